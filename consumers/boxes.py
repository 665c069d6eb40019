"""Boxes around what a model has seen: whole pixels, always inside their picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from jobs.model import Box as Box  # noqa: PLC0414 - whoever works with boxes finds them here

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

_GEMINI_SIDE: Final = 1000
"""Gemini counts each side of every picture in thousandths."""
_SUBJECTS: Final = frozenset({"car", "truck"})
_SIZE_WEIGHT: Final = 0.4
_PLACE_WEIGHT: Final = 0.4
_CONFIDENCE_WEIGHT: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Something a model has seen, what it calls it, and how sure it says it is (0 to 1)."""

    box: Box
    label: str
    confidence: float


def from_gemini(box_2d: Sequence[float], width: int, height: int) -> Box | None:
    """Turn Gemini's [top, left, bottom, right] in thousandths into pixels of a picture of that size.

    None where the four are not numbers, or where nothing of the box lies in the picture.
    """
    if len(box_2d) != 4 or not all(map(_is_number, box_2d)):
        return None
    top, left, bottom, right = (min(max(edge, 0), _GEMINI_SIDE) for edge in box_2d)
    if top == bottom or left == right:
        return None
    return _outward((left, top, right, bottom), (_GEMINI_SIDE, _GEMINI_SIDE), (width, height))


def scaled(box: Box, before: Size, after: Size) -> Box:
    """Return the box in a picture of another size; a box never vanishes, and never grows out of the picture."""
    return _outward((box.x, box.y, box.x + box.width, box.y + box.height), before, after)


def surroundings(
    box: Box, *, within: Size, margin_x: int = 300, margin_top: int = 300, margin_bottom: int = 100
) -> Box:
    """Return the box with so many pixels around it as the picture has."""
    left, top = max(0, box.x - margin_x), max(0, box.y - margin_top)
    right = min(within[0], box.x + box.width + margin_x)
    bottom = min(within[1], box.y + box.height + margin_bottom)
    return Box(x=left, y=top, width=right - left, height=bottom - top)


def inside(box: Box, frame: Box) -> Box | None:
    """Return the part of the box that lies in the frame, seen from the frame's corner; None where there is none."""
    left, top = max(box.x, frame.x), max(box.y, frame.y)
    right = min(box.x + box.width, frame.x + frame.width)
    bottom = min(box.y + box.height, frame.y + frame.height)
    if right <= left or bottom <= top:
        return None
    return Box(x=left - frame.x, y=top - frame.y, width=right - left, height=bottom - top)


def as_json(box: Box) -> dict[str, int]:
    """Return the box as answers and results carry it."""
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}


def choose_subject(vehicles: Iterable[Seen], width: int, height: int) -> Seen | None:
    """Return the car or truck that the photo is of; None where only others were seen.

    Size and place weigh most: whoever reports a car walks up to it and holds it in the middle of the photo, while one that
    drives by is far away or cut by the photo's edge. Confidence is the model's word about itself, which orders clear
    from doubtful and no more, so that it decides between vehicles that are alike in the rest.
    """
    subjects = [seen for seen in vehicles if seen.label.strip().lower() in _SUBJECTS]
    largest = max((_side(seen.box) for seen in subjects), default=0.0)

    def score(seen: Seen) -> float:
        return (
            _SIZE_WEIGHT * _side(seen.box) / largest
            + _PLACE_WEIGHT * _centrality(seen.box, width, height)
            + _CONFIDENCE_WEIGHT * seen.confidence
        )

    return max(subjects, key=score, default=None)


def _is_number(value: object) -> bool:
    # A whole number of any length is finite, and too long a one cannot be asked whether it is.
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole or (isinstance(value, float) and math.isfinite(value))


def _outward(edges: tuple[float, float, float, float], before: Size, after: Size) -> Box:
    """Scale the edges to whole pixels that hold all of what they held: a crack may be thinner than one."""
    (left, right), (top, bottom) = sorted((edges[0], edges[2])), sorted((edges[1], edges[3]))
    x, end_x = _span(left, right, after[0], before[0])
    y, end_y = _span(top, bottom, after[1], before[1])
    return Box(x=x, y=y, width=end_x - x, height=end_y - y)


def _span(start: float, end: float, after: int, before: int) -> tuple[int, int]:
    # Multiplied first: a quotient that is a hair above a whole number would cost a pixel.
    first = min(int(start * after // before), after - 1)
    last = min(int(-(-end * after // before)), after)
    return first, max(last, first + 1)


def _side(box: Box) -> float:
    """Return the side of a square of the box's size: twice as near is twice as much."""
    return math.sqrt(box.width * box.height)


def _centrality(box: Box, width: int, height: int) -> float:
    """Return 1 for a box in the picture's middle, 0 for one whose own middle is at an edge."""
    across = abs(2 * box.x + box.width - width) / width
    down = abs(2 * box.y + box.height - height) / height
    return 1 - max(across, down)
