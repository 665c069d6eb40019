"""What a parking sighting and a report are, and the rule that makes a report of two sightings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Final, NamedTuple

from jobs.ids import JobId, UserId
from jobs.model import JSON, Box

PARKED_SECONDS: Final = 300
"""Two sightings so far apart, or farther, are one report."""
REPORT_CONFIRMED: Final = "report.confirmed"
ERASED: Final = UserId("#erased")
"""Whose a sighting is when its owner has gone and another's report still rests on it. No user can be called this."""
_PLACE: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A car on a photo. ``latitude`` and ``longitude`` are exact degrees: of a float ``f``, ``Decimal(str(f))``.

    ``capture_time`` is local at the place, ``2026-11-20 09:00:00``; anything else raises ValueError. Both links are ``s3://``.
    ``photo`` is what ``photo_of`` says of its bytes. ``vehicle_in_crop`` is where the crop shows the car, if that is known.
    """

    user_id: UserId
    job_id: JobId
    photo: str
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
    def captured_at(self) -> str:
        """Its place in the order of the sightings of one car in one cell: no two photos have the same."""
        return f"{self.capture_time}#{self.photo}"


class Pair(NamedTuple):
    """The two sightings that a report rests on."""

    first: Sighting
    last: Sighting

    @property
    def photos(self) -> tuple[str, str]:
        """Which two photos they are, whatever job has looked at them."""
        return self.first.photo, self.last.photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for a report: how alike the backgrounds are, 0 … 1, and the report's own copies of both crops, ``s3://``.

    ``similarity`` is None when they cannot be compared, a copy when its crop is gone.
    """

    similarity: float | None
    first_copy: str | None = None
    last_copy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A car that stood in one place. ``version`` grows with each change; the rest is as ``Evidence`` has it.

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
    first_copy: str | None = None
    last_copy: str | None = None

    @property
    def pair(self) -> Pair:
        """What it rests on."""
        return Pair(self.first, self.last)

    @property
    def copies(self) -> dict[str, str]:
        """Where its own copies of the crops lie, by photo."""
        both = zip(self.pair.photos, (self.first_copy, self.last_copy), strict=True)
        return {photo: url for photo, url in both if url is not None}

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
        return tuple(dict.fromkeys(sighting.user_id for sighting in self.pair if sighting.user_id != ERASED))


def cut(degrees: Decimal) -> str:
    """Cut to four places, towards zero: ``37.56659`` is in the cell ``37.5665``, and ``-0.00009`` in ``0.0000``."""
    # Adding zero takes its sign away.
    return f"{degrees.quantize(_PLACE, ROUND_DOWN) + 0:f}"


def photo_of(content: bytes) -> str:
    """Name a photo by its bytes: the same one is the same wherever it lies, whoever has sent it."""
    return hashlib.sha256(content).hexdigest()


def report_id_of(place_plate: str) -> str:
    """Name the one report of a car in a cell; the name shows neither."""
    return f"report_{hashlib.sha256(place_plate.encode()).hexdigest()[:32]}"


def find_pair(found: Iterable[Sighting], before: Report | None = None) -> Pair | None:
    """Return the earliest and the latest of one car's sightings in one cell, if they are far enough apart for a report.

    Those that the report before rests on count too, unless their owner has gone; of two accounts of one photo the report's
    does, with its newest crop.
    """
    found = tuple(found)
    known = [_renewed(sighting, found) for sighting in before.pair if sighting.user_id != ERASED] if before else []
    in_order = sorted([*known, *found], key=lambda sighting: sighting.captured_at)
    if not in_order:
        return None
    first = in_order[0]
    last = next(sighting for sighting in in_order if sighting.captured_at == in_order[-1].captured_at)
    apart = (last.captured - first.captured).total_seconds()
    return Pair(first, last) if apart >= PARKED_SECONDS else None


def _renewed(known: Sighting, found: Iterable[Sighting]) -> Sighting:
    """Return the newest account of a sighting that its owner has given: its crop may have been made anew."""
    same = (known.captured_at, known.user_id)
    return next((sighting for sighting in found if (sighting.captured_at, sighting.user_id) == same), known)


def is_settled(report: Report, pair: Pair) -> bool:
    """Tell whether there is nothing more to find out of a report: it rests on these two, and they have been compared."""
    return report.pair.photos == pair.photos and report.similarity is not None


def next_report(before: Report | None, pair: Pair, evidence: Evidence, threshold: float, now: int) -> Report:
    """Return the report that rests on this pair: new, or the next version; or the same one, where nothing has changed.

    A copy that was made once is kept. ``now`` is milliseconds since the epoch.
    """
    copies: Mapping[str, str] = before.copies if before else {}
    similarity = evidence.similarity
    after = Report(
        report_id=report_id_of(pair.first.place_plate),
        version=before.version + 1 if before else 1,
        first=pair.first,
        last=pair.last,
        similarity=similarity,
        report_bool=similarity is not None and similarity >= threshold,
        created_at=before.created_at if before else now,
        updated_at=now,
        first_copy=evidence.first_copy or copies.get(pair.first.photo),
        last_copy=evidence.last_copy or copies.get(pair.last.photo),
    )
    return before if before is not None and _says(before) == _says(after) else after


def _says(report: Report) -> tuple[object, ...]:
    """Return what its readers would see change."""
    return report.pair.photos, report.similarity, report.copies


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
