"""The crack-detection pipeline: where in a photo of a room the walls are cracked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from consumers import boxes, drawing
from consumers.boxes import Seen
from consumers.gates import Role
from consumers.images import Picture
from consumers.pipelines import Pipeline, Share, Work
from jobs.events import Stage
from jobs.model import JSON, Output

DEFAULT_THRESHOLD: Final = 0.5
MOST_BOXES: Final = 100
"""A wall with more cracks than this needs no box around each."""
_INSTRUCTION: Final = (
    "You inspect photos of rooms for a landlord and a tenant who must agree on damage. Find every crack in walls, ceilings, "
    "floors and tiles. A crack is an irregular break in a surface. Edges of furniture, joints between tiles, cables, "
    "shadows, stains and patterns are no cracks. Give each crack one tight box as box_2d, which is [ymin, xmin, ymax, xmax] "
    "in thousandths of the photo's height and width, and as confidence a number from 0 to 1 for how sure you are. "
    "Without a crack the list is empty. Never invent one."
)


class CrackInput(BaseModel):
    """``threshold``: the least confidence, 0 to 1, with which something counts as a crack."""

    model_config = ConfigDict(frozen=True)

    threshold: float = Field(default=DEFAULT_THRESHOLD, ge=0, le=1)


class _Crack(BaseModel):
    box_2d: list[int] = Field(min_length=4, max_length=4, description="[ymin, xmin, ymax, xmax], 0 to 1000")
    confidence: Share


class _Cracks(BaseModel):
    cracks: list[_Crack]


async def run(work: Work, wish: CrackInput) -> Output:
    """Find the cracks, and draw a box around each that is sure enough."""
    photo = await work.load_photo()
    reading = await work.calling(0.25, "Looking for cracks").ask(_INSTRUCTION, _Cracks, photo=photo)
    detections = _detections(reading.answer.cracks, photo)
    sure = [seen for seen in detections if seen.confidence >= wish.threshold]
    work.tell(Stage.STORING, 0.9, "Drawing the boxes")
    labels = [f"{seen.confidence:.0%}" for seen in sure]
    drawn = await work.images.run(lambda: drawing.draw_boxes(photo, [seen.box for seen in sure], labels))
    return Output(
        url=await work.store_picture(drawn),
        model_name=reading.model_name,
        generation_milliseconds=reading.milliseconds,
        facts=_facts(sure, detections, photo) | {"threshold": wish.threshold},
        pictures=0,
    )


def _detections(cracks: Iterable[_Crack], photo: Picture) -> list[Seen]:
    """Return what the model saw in pixels of the photo, the surest first."""
    found = ((boxes.from_gemini(crack.box_2d, photo.photo_width, photo.photo_height), crack) for crack in cracks)
    detections = [Seen(box=box, label="crack", confidence=crack.confidence) for box, crack in found if box is not None]
    return sorted(detections, key=lambda seen: -seen.confidence)[:MOST_BOXES]


def _facts(sure: list[Seen], detections: list[Seen], photo: Picture) -> dict[str, JSON]:
    return {
        "hasCrack": bool(sure),
        "confidence": max((seen.confidence for seen in sure), default=0),
        "crackCount": len(sure),
        "boundingBoxes": [_view(seen) for seen in sure],
        "detections": [_view(seen) for seen in detections],
        "width": photo.photo_width,
        "height": photo.photo_height,
    }


def _view(seen: Seen) -> dict[str, JSON]:
    return {**boxes.as_json(seen.box), "confidence": seen.confidence}


PIPELINE: Final = Pipeline(name="crack-detection", input_model=CrackInput, run=run, first_model=Role.VISION)
