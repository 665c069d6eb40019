"""Vehicles in a photo: which one it is of, and what its number plate says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, Field

from consumers import boxes, drawing
from consumers.boxes import Seen
from consumers.images import Picture
from consumers.pipelines import Share, Work

PLATE: Final = re.compile(r"[0-9]{2,3}[가나다라마거너더러머고노도로모구누두루무버서어저보소오조부수우주허하호][0-9]{4}")
"""A Korean number plate without its spaces."""
_PLATE_MARGIN_SHARE: Final = 0.08
_FIND: Final = (
    "You look at a photo that somebody took to report a parked vehicle. List every vehicle you can see, parked or driving, "
    "near or far. label is car (vans too), truck, bus, motorcycle or other. Give each one tight box as box_2d, which is "
    "[ymin, xmin, ymax, xmax] in thousandths of the photo's height and width, and as confidence a number from 0 to 1 for how "
    "sure you are. Without a vehicle the list is empty."
)
_READ: Final = (
    "Read the Korean number plate of the one vehicle that fills this photo: 2 or 3 digits, one Hangul syllable, 4 digits. "
    "plate is exactly what you read, without spaces. If any character is unsure, hidden, blurred or cut off, plate is null: "
    "a wrong plate accuses somebody who has done nothing. Never guess, and never read another vehicle's plate."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The vehicle that a photo is of, if there is one, among so many; and what finding it took."""

    subject: Seen | None
    vehicles: int
    model_name: str
    milliseconds: int


class _Vehicle(BaseModel):
    box_2d: list[int] = Field(min_length=4, max_length=4, description="[ymin, xmin, ymax, xmax], 0 to 1000")
    label: Literal["car", "truck", "bus", "motorcycle", "other"]
    confidence: Share


class _Vehicles(BaseModel):
    vehicles: list[_Vehicle]


class _Plate(BaseModel):
    plate: str | None


async def find(work: Work, photo: Picture) -> Found:
    """Find the car or truck that the photo is of; bystanders are counted. Raises CallFailed and NotNow."""
    reading = await work.calling(0.25, "Looking for the vehicle").ask(_FIND, _Vehicles, photo=photo, keep_as="vehicles")
    seen = list(_seen(reading.answer.vehicles, photo))
    return Found(
        subject=boxes.choose_subject(seen, photo.photo_width, photo.photo_height),
        vehicles=len(seen),
        model_name=reading.model_name,
        milliseconds=reading.milliseconds,
    )


async def read_plate(work: Work, upload: bytes, subject: Seen, photo: Picture) -> str | None:
    """Read the vehicle's plate from the upload, where it is largest; None unless it is sure and of the Korean form.

    The vehicle is cut out, so that another's plate cannot be taken for its. Raises CallFailed and NotNow.
    """
    margin = round(_PLATE_MARGIN_SHARE * max(subject.box.width, subject.box.height))
    size = (photo.photo_width, photo.photo_height)
    frame = boxes.surroundings(subject.box, within=size, margin_x=margin, margin_top=margin, margin_bottom=margin)
    vehicle = await work.images.run(lambda: drawing.crop(upload, frame))
    reading = await work.calling(0.5, "Reading the plate").ask(_READ, _Plate, photo=vehicle, keep_as="plate")
    return normal_plate(reading.answer.plate)


def normal_plate(text: str | None) -> str | None:
    """Return a plate of the Korean form without its spaces; None for anything else."""
    # Some systems write a syllable as its two or three letters, which look the same.
    plate = "".join(unicodedata.normalize("NFC", text or "").split())
    return plate if PLATE.fullmatch(plate) else None


def _seen(found: Iterable[_Vehicle], photo: Picture) -> Iterator[Seen]:
    for vehicle in found:
        box = boxes.from_gemini(vehicle.box_2d, photo.photo_width, photo.photo_height)
        if box is not None:
            yield Seen(box=box, label=vehicle.label, confidence=vehicle.confidence)
