"""What is done to pictures with boxes: cut out, outlined, masked, and compared by what is left."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from consumers.boxes import Box, Size, inside, scaled
from consumers.images import (
    MAX_PIXELS,
    SENT_SIDE_PIXELS,
    Picture,
    encode_jpeg,
    flatten,
    open_photo,
    orientation_of,
    refusing_unreadable,
    shrink,
    turn_upright,
    upright_size,
)
from jobs.errors import InvalidImage

Corners: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom, as Pillow has them: the last two lie outside."""

MASKED_SIDE_PIXELS: Final = 768
"""An embedding model sees no more in a larger picture."""
_DECODED_PIXELS: Final = MAX_PIXELS["PNG"]
"""What may lie decoded in memory; a JPEG of more is read at half its size, where a plate is still as large as in others."""
_MASKED_QUALITY: Final = 95
_GREY: Final = (128, 128, 128)
_DARK: Final = (17, 17, 17)
_BRIGHT: Final = (255, 214, 10)
_COLUMNS: Final = 9
_ROWS: Final = 8
_STEPS: Final = (_COLUMNS - 1) * _ROWS
_EVEN_LEVELS: Final = 2
"""Of 255; a smaller step is what JPEG makes of an even sky, and another one in each copy."""
_FEWEST_COMPARED: Final = 16
"""With fewer, two places may look alike by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceHash:
    """A picture's 64 steps from left to right, a bit for each: brighter, darker, and whether it is seen beside the mask."""

    brighter: int
    darker: int
    seen: int


def crop(photo: bytes, box: Box) -> Picture:
    """Cut a box, in pixels of the upright photo, out of it; a JPEG without metadata, at most 2048 pixels a side.

    ``photo_width`` and ``photo_height`` of the answer are the cut box's own, so that boxes in it can be scaled.
    Raises InvalidImage.
    """
    with refusing_unreadable(), open_photo(photo) as image:
        upright = upright_size(image)
        cut = _within(box, upright)
        if cut is None:
            raise InvalidImage("There is nothing to cut out there.")
        piece = _cut_out(image, _as_stored(cut, upright, orientation_of(image)))
        return encode_jpeg(turn_upright(piece), photo_size=(cut.width, cut.height))


def draw_boxes(prepared: Picture, boxes: Sequence[Box], labels: Sequence[str] | None = None) -> Picture:
    """Draw boxes, in pixels of the upright photo, and a label above each, into the prepared picture; a JPEG.

    The labels' font has Latin letters and digits only. Raises InvalidImage.
    """
    photo_size = (prepared.photo_width, prepared.photo_height)
    labelled = list(zip(boxes, labels or [""] * len(boxes), strict=True))
    with refusing_unreadable(), open_photo(prepared.content) as image:
        canvas = flatten(image)
        for box, label in labelled:
            _outline(canvas, scaled(box, photo_size, canvas.size), label)
        return encode_jpeg(canvas, photo_size=photo_size)


def mask(picture: bytes, box: Box) -> bytes:
    """Cover a box, in pixels of the upright picture, with grey; a JPEG of at most 768 pixels a side. Raises InvalidImage."""
    with refusing_unreadable():
        image, covered = _small(picture, box)
        image.paste(_GREY, covered)
        return encode_jpeg(image, quality=_MASKED_QUALITY).content


def difference_hash(picture: bytes, box: Box | None = None) -> DifferenceHash:
    """Hash what is seen around a box, in pixels of the upright picture. Raises InvalidImage.

    Cells are averaged over what is not masked: a grey patch as such would make all places look alike.
    """
    with refusing_unreadable():
        image, covered = _small(picture, box)
        light, seen = image.convert("L").convert("F"), Image.new("F", image.size, 1.0)
        light.paste(0, covered)
        seen.paste(0, covered)
        return _steps(_cells(light), _cells(seen))


def hash_distance(one: DifferenceHash, other: DifferenceHash) -> int:
    """Return 0 (the same picture) to 64 (another one, or too little is seen to tell, as on two plain walls)."""
    brighter, darker = one.brighter | other.brighter, one.darker | other.darker
    # Where both are even they agree on nothing: two dark nights are not one place.
    compared = (brighter | darker) & one.seen & other.seen
    if compared.bit_count() < _FEWEST_COMPARED:
        return _STEPS
    different = ((one.brighter ^ other.brighter) | (one.darker ^ other.darker)) & compared
    return round(_STEPS * different.bit_count() / compared.bit_count())


def _as_stored(box: Box, upright: Size, orientation: int) -> Box:
    """Find a box of the upright photo in the photo as the camera stored it."""
    x, y, width, height = box.x, box.y, box.width, box.height
    stored_width, stored_height = upright
    if orientation in (5, 6, 7, 8):
        x, y, width, height = y, x, height, width
        stored_width, stored_height = stored_height, stored_width
    if orientation in (2, 3, 7, 8):
        x = stored_width - x - width
    if orientation in (3, 4, 6, 7):
        y = stored_height - y - height
    return Box(x=x, y=y, width=width, height=height)


def _cut_out(image: Image.Image, box: Box) -> Image.Image:
    """Cut a box, in pixels of the opened picture, out of it before anything else is done that would copy the whole."""
    whole = image.size
    fraction = max(math.ceil(math.sqrt(whole[0] * whole[1] / _DECODED_PIXELS)), _longest(box) // SENT_SIDE_PIXELS)
    if fraction > 1:  # which only a JPEG can; no other is so large that it must
        image.draft(None, (whole[0] // fraction, whole[1] // fraction))
    piece = scaled(box, whole, image.size)
    share = SENT_SIDE_PIXELS / _longest(piece)
    if share >= 1:
        return image.crop(_corners(piece))
    size = (max(1, round(piece.width * share)), max(1, round(piece.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS, _corners(piece), reducing_gap=3.0)


def _small(picture: bytes, box: Box | None) -> tuple[Image.Image, Corners]:
    """Read a picture upright and small, and find what the box covers there: nothing without a box."""
    image = open_photo(picture)
    before = upright_size(image)
    shrink(image, MASKED_SIDE_PIXELS)
    image = flatten(turn_upright(image))
    covered = _within(box, before) if box else None
    return image, _corners(scaled(covered, before, image.size)) if covered else (0, 0, 0, 0)


def _within(box: Box, size: Size) -> Box | None:
    return inside(box, Box(x=0, y=0, width=size[0], height=size[1]))


def _longest(box: Box) -> int:
    return max(box.width, box.height)


def _corners(box: Box) -> Corners:
    return box.x, box.y, box.x + box.width, box.y + box.height


def _cells(image: Image.Image) -> list[float]:
    """Average a picture of one band over nine columns and eight rows."""
    small = image.resize((_COLUMNS, _ROWS), Image.Resampling.BOX)
    return list(struct.unpack(f"{_COLUMNS * _ROWS}f", small.tobytes()))


def _steps(light: Sequence[float], seen: Sequence[float]) -> DifferenceHash:
    brighter = darker = both_seen = 0
    # The last of a row has no neighbour to the right.
    pairs = [(here, here + 1) for here in range(_COLUMNS * _ROWS) if (here + 1) % _COLUMNS]
    for bit, (here, right) in enumerate(pairs):
        if min(seen[here], seen[right]) >= 0.5:
            step = light[right] / seen[right] - light[here] / seen[here]
            both_seen |= 1 << bit
            brighter |= (step > _EVEN_LEVELS) << bit
            darker |= (step < -_EVEN_LEVELS) << bit
    return DifferenceHash(brighter=brighter, darker=darker, seen=both_seen)


def _outline(canvas: Image.Image, box: Box, label: str) -> None:
    """Draw a dark line and a bright one within it, of which one is seen on every wall; around the box, where there is room."""
    pen = ImageDraw.Draw(canvas)
    line = max(2, max(canvas.size) // 400)
    left, top, right, bottom = _corners(box)
    for colour, outside, inset in ((_DARK, 2 * line, 0), (_BRIGHT, line, line)):
        edges = (
            max(left - outside, inset),
            max(top - outside, inset),
            min(right + outside, canvas.width - inset) - 1,
            min(bottom + outside, canvas.height - inset) - 1,
        )
        pen.rectangle(edges, outline=colour, width=line)
    if label:
        _write(pen, label, (left, top - 2 * line), canvas.size)


def _write(pen: ImageDraw.ImageDraw, label: str, corner: tuple[int, int], size: Size) -> None:
    """Write a label with its left lower corner there, or as near as the picture has room."""
    points = max(12, max(size) // 50)
    font = ImageFont.load_default(points)
    left, top, right, bottom = pen.textbbox((0, 0), label, font=font)
    margin = points / 4
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    x, y = max(0, min(corner[0], size[0] - width)), max(0, corner[1] - height)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=_DARK)
    pen.text((x + margin - left, y + margin - top), label, fill=_BRIGHT, font=font)
