"""Parked cars as Gotcha sees them: their photos, its rows, and those who own the reports."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.clients.gotcha import Gotcha, Uploaded
from tests.consumers.pipelines.photos import take_photo
from tests.drawings import Car, street
from tests.person import Person

Place: TypeAlias = tuple[float, float]
PLATE = "12가3456"
CAR = Car(x=400, y=420, width=400, plate=PLATE)
NINE, FIVE_PAST, SIX_PAST = "2026-11-20 09:00:00", "2026-11-20 09:05:00", "2026-11-20 09:06:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody with a token: the device that sends it along, and the page that listens."""

    device: Gotcha
    page: Person


Join: TypeAlias = Callable[[str], Awaitable[Member]]
"""Makes a member of somebody new, with a device of that name."""


def photo_of(*cars: Car, place: int = 0, at: Place | None = None, taken_at: str | None = None) -> bytes:
    """Take a photo of cars in one of the drawn places; phones write where and when into it, browsers take it away."""
    position = (f"{at[0]:.6f}", f"{at[1]:.6f}") if at else None
    photo = take_photo(street(place, cars, size=(1200, 900)).image, position=position, taken_at=taken_at)
    return photo + secrets.token_bytes(8)  # no two shots are the same to the byte


def row_of(upload: Uploaded, at: Place, time: str, **more: Any) -> dict[str, Any]:
    """Write down what is known of a photo, as the function behind the S3 event does."""
    return {"latitude": at[0], "longitude": at[1], "capture_time": time, "image_url": upload.s3, **more}


async def sighted(gotcha: Gotcha, at: Place, time: str, *, place: int = 0) -> dict[str, Any]:
    """Upload a photo without EXIF and process it."""
    reply = await gotcha.process_metadata(**row_of(await gotcha.upload(photo_of(CAR, place=place)), at, time))
    said: dict[str, Any] = reply.json
    assert (200, "success") == (reply.status, said["status"]), said
    return said
