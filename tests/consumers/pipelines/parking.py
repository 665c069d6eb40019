"""What the tests of parked cars share: photos of cars in drawn places, and how one is looked at."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from jobs.model import JSON
from tests.consumers.pipelines.desk import Desk, facts
from tests.consumers.pipelines.photos import take_photo
from tests.drawings import Car, street

PARKING: Final = "parking-report"
SIZE: Final = (1200, 900)
PLATE: Final = "12가3456"
CAR: Final = Car(x=400, y=420, width=400, plate=PLATE)
"""In the middle, as whoever reports a car has it."""
NINE: Final = "2026-11-20 09:00:00"
FIVE_PAST: Final = "2026-11-20 09:05:00"
Place: TypeAlias = tuple[str, str]
"""Latitude and longitude, in degrees."""


def photo_of(*cars: Car, place: int = 0, at: Place | None = None, taken_at: str | None = None, held: int = 1) -> bytes:
    """Take a photo of cars in one of the drawn places."""
    return take_photo(street(place, cars, size=SIZE).image, position=at, taken_at=taken_at, orientation=held)


async def sighted(desk: Desk, photo: bytes, **asked: JSON) -> dict[str, Any]:
    """Have one photo looked at."""
    return facts(await desk.done(PARKING, photo, **asked))
