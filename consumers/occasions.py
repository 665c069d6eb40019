"""Where and when a photo was taken: put together from what it says itself and what its sender says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from consumers import photo_facts
from consumers.photo_facts import PhotoFacts, Position
from jobs import clock
from jobs.errors import PermanentError

_FARTHEST_EAST: Final = timedelta(hours=14)
"""No place's clocks are further ahead of UTC."""
_EARLIEST: Final = "2020-01-01 00:00:00"
"""A clock that shows less was never set: cameras begin in 1970, 1980 or 2000."""


class MissingMetadata(PermanentError):
    """The photo does not say where and when it was taken. Send latitude, longitude and capture time with it."""

    code = "missing_metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Where and when a photo was taken, by the clocks of the place, and who says so: the photo or the client."""

    position: Position
    time: str
    position_source: str
    time_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the sender says, and what is wrong with it, in a sentence."""

    facts: PhotoFacts
    problem: str | None = None


def occasion_of(known: PhotoFacts, said: Said, *, given_first: bool) -> Occasion:
    """Take each from the photo where it has it, else from the sender; or the other way round. Raises MissingMetadata."""
    if known.taken_at is not None and (known.taken_at < _EARLIEST or lies_ahead(known.taken_at)):
        known = PhotoFacts(position=known.position, taken_at=None)  # a clock that was never set
    first, second = (said.facts, known) if given_first else (known, said.facts)
    position, time = first.position or second.position, first.taken_at or second.taken_at
    if position is None or time is None:
        raise MissingMetadata(said.problem or _what_is_missing(position, time))
    return Occasion(
        position=position,
        time=time,
        position_source="client" if position is said.facts.position else "photo",
        time_source="client" if time is said.facts.taken_at else "photo",
    )


def read_said(metadata: Mapping[str, str], latitude: float | None, longitude: float | None, time: str | None) -> Said:
    """Read what the request says, or, where it says nothing, what came with the upload, where nobody has checked it yet."""
    places = ((latitude, longitude), (metadata.get("latitude"), metadata.get("longitude")))
    position, taken_at, problems = None, None, []
    for north, east in places:
        if north is not None and east is not None:
            try:
                position = photo_facts.parse_position(north, east)
            except ValueError as error:
                problems.append(str(error))
            break
    if written := time or metadata.get("capture-time"):
        try:
            taken_at = read_time(written)
        except ValueError as error:
            problems.append(str(error))
    return Said(facts=PhotoFacts(position=position, taken_at=taken_at), problem=" ".join(problems) or None)


def read_time(text: str) -> str:
    """Read a sender's capture time. Raises ValueError with a sentence for the sender."""
    time = photo_facts.parse_capture_time(text)
    if time < _EARLIEST:
        raise ValueError("The capture time lies before 2020: the camera's clock was not set.")
    if lies_ahead(time):
        raise ValueError("The capture time lies in the future.")
    return time


def lies_ahead(time: str) -> bool:
    """Tell whether no clock on Earth shows this yet: such a sighting would stay the last one of its place."""
    now = datetime.fromtimestamp(clock.now_milliseconds() / 1000, UTC).replace(tzinfo=None)
    return datetime.fromisoformat(time) > now + _FARTHEST_EAST


def _what_is_missing(position: Position | None, time: str | None) -> str:
    if position is None and time is None:
        return "The photo says neither where nor when it was taken. Send latitude, longitude and captureTime with it."
    if position is None:
        return "The photo does not say where it was taken. Send latitude and longitude with it."
    return "The photo does not say when it was taken. Send captureTime with it."
