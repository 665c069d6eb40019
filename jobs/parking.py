"""What a parking sighting and a report are, and the rule that makes a report of two sightings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Final, NamedTuple

from jobs.ids import JobId, UserId
from jobs.model import JSON, Box

PARKED_SECONDS: Final = 300
"""Two sightings so far apart, or farther, are one report."""
REPORT_CONFIRMED: Final = "report.confirmed"
_PLACE: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A car on a photo. ``latitude`` and ``longitude`` are exact degrees: of a float ``f``, ``Decimal(str(f))``.

    ``capture_time`` is local at the place, ``2026-11-20 09:00:00``; anything else raises ValueError. Both links are ``s3://``.
    ``vehicle_in_crop`` is where the crop shows the car, if that is known.
    """

    user_id: UserId
    job_id: JobId
    device_id: str
    plate: str
    latitude: Decimal
    longitude: Decimal
    capture_time: str
    image_url: str
    cropped_url: str
    vehicle_in_crop: Box | None = None

    def __post_init__(self) -> None:
        """Let no time in that could not be read again: it would stand in the way of every later sighting there."""
        if self.captured.tzinfo is not None or self.captured.isoformat(" ") != self.capture_time:
            raise ValueError("A capture time is written like 2026-11-20 09:00:00")

    @property
    def captured(self) -> datetime:
        """When it was, by the clocks of the place."""
        return datetime.fromisoformat(self.capture_time)

    @property
    def cell(self) -> tuple[str, str]:
        """Where it was: latitude and longitude cut to four places, some eleven metres."""
        return cut(self.latitude), cut(self.longitude)

    @property
    def place_plate(self) -> str:
        """What the sightings of one car in one cell share."""
        return "#".join((self.plate, *self.cell))

    @property
    def photo(self) -> str:
        """Which photo it is."""
        return hashlib.sha256(self.image_url.encode()).hexdigest()[:32]

    @property
    def captured_at(self) -> str:
        """Its place in the order of the sightings of one car in one cell: no two photos have the same."""
        return f"{self.capture_time}#{self.photo}"


class Pair(NamedTuple):
    """The two sightings that a report rests on."""

    first: Sighting
    last: Sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A car that stood in one place. ``version`` grows with each change; ``similarity`` of the two backgrounds is 0 … 1.

    ``created_at`` and ``updated_at`` are milliseconds since the epoch.
    """

    report_id: str
    version: int
    first: Sighting
    last: Sighting
    similarity: float | None
    report_bool: bool
    created_at: int
    updated_at: int

    @property
    def pair(self) -> Pair:
        """What it rests on."""
        return Pair(self.first, self.last)

    @property
    def latitude(self) -> float:
        """The degrees of its cell."""
        return float(self.first.cell[0])

    @property
    def longitude(self) -> float:
        """The degrees of its cell."""
        return float(self.first.cell[1])

    @property
    def owners(self) -> tuple[UserId, ...]:
        """Whose sightings it rests on: one user or two."""
        return tuple(dict.fromkeys((self.first.user_id, self.last.user_id)))


def cut(degrees: Decimal) -> str:
    """Cut to four places, towards zero: ``37.56659`` is in the cell ``37.5665``, and ``-0.00009`` in ``0.0000``."""
    # Adding zero takes its sign away.
    return f"{degrees.quantize(_PLACE, ROUND_DOWN) + 0:f}"


def report_id_of(place_plate: str) -> str:
    """Name the one report of a car in a cell; the name shows neither."""
    return f"report_{hashlib.sha256(place_plate.encode()).hexdigest()[:32]}"


def find_pair(sightings: Iterable[Sighting]) -> Pair | None:
    """Return the earliest and the latest of one car's sightings in one cell, if they are far enough apart for a report.

    Of two accounts of one photo the one that comes first counts.
    """
    in_order = sorted(sightings, key=lambda sighting: sighting.captured_at)
    if not in_order:
        return None
    first = in_order[0]
    last = next(sighting for sighting in in_order if sighting.captured_at == in_order[-1].captured_at)
    apart = (last.captured - first.captured).total_seconds()
    return Pair(first, last) if apart >= PARKED_SECONDS else None


def next_report(before: Report | None, pair: Pair, similarity: float | None, threshold: float, now: int) -> Report:
    """Return the report that rests on this pair: new, or the next version. ``now`` is milliseconds since the epoch."""
    return Report(
        report_id=report_id_of(pair.first.place_plate),
        version=before.version + 1 if before else 1,
        first=pair.first,
        last=pair.last,
        similarity=similarity,
        report_bool=similarity is not None and similarity >= threshold,
        created_at=before.created_at if before else now,
        updated_at=now,
    )


def announcement(report: Report) -> dict[str, JSON]:
    """Say what every owner of its sightings may know of a report: no links, for one of them is another user's."""
    data: dict[str, JSON] = {
        "reportId": report.report_id,
        "version": report.version,
        "plateString": report.first.plate,
        "latitude": report.latitude,
        "longitude": report.longitude,
        "firstCaptureTime": report.first.capture_time,
        "lastCaptureTime": report.last.capture_time,
        "reportBool": report.report_bool,
    }
    return data if report.similarity is None else data | {"similarity": report.similarity}
