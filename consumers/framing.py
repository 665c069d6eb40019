"""How a portrait is cut: the formats a caller may choose, the words that ask for each, and the cut itself."""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from PIL import Image, ImageOps

from consumers.images import flatten, format_of, open_photo, refusing_unreadable

DOTS_PER_INCH: Final = 300
_QUALITY: Final = 95
_HEAD_ROOM: Final = (0.5, 0.2)
"""Where a cut is laid, of what may be cut away: in the middle of the width, and near the top, for that is where heads are."""


class PhotoFormat(StrEnum):
    """What a portrait is cut to; ``ORIGINAL`` is what the model made of it."""

    ORIGINAL = "original"
    ID = "id-35x45"
    SQUARE = "square"
    FOUR_TO_FIVE = "4:5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A format's shape, ``width`` to ``height``. ``pixels`` is the one size it has, where there is only one; then it is printed."""

    width: int
    height: int
    pixels: tuple[int, int] | None = None


FRAMES: Final = {
    PhotoFormat.ID: Frame(width=7, height=9, pixels=(413, 531)),  # 35 × 45 mm
    PhotoFormat.SQUARE: Frame(width=1, height=1),
    PhotoFormat.FOUR_TO_FIVE: Frame(width=4, height=5),
}


def words_for(photo_format: PhotoFormat) -> str:
    """Ask the model to leave room for the cut; empty where nothing is cut."""
    frame = FRAMES.get(photo_format)
    if frame is None:
        return ""
    return (
        f"The picture will be cut to {frame.width}:{frame.height}, width to height: compose it so, with head and shoulders in the "
        "middle of the width and a little room above the hair."
    )


def cut(content: bytes, photo_format: PhotoFormat) -> bytes:
    """Cut a picture to a format; a JPEG stays one, all else becomes a PNG. Raises InvalidImage."""
    frame = FRAMES.get(photo_format)
    if frame is None:
        return content
    with refusing_unreadable(), open_photo(content) as image:
        size = frame.pixels or _largest(image.size, frame)
        fitted = ImageOps.fit(flatten(image), size, Image.Resampling.LANCZOS, centering=_HEAD_ROOM)
        return _encode(fitted, image, is_printed=frame.pixels is not None)


def _largest(size: tuple[int, int], frame: Frame) -> tuple[int, int]:
    unit = min(size[0] / frame.width, size[1] / frame.height)
    return max(1, round(unit * frame.width)), max(1, round(unit * frame.height))


def _encode(fitted: Image.Image, source: Image.Image, *, is_printed: bool) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, object] = {"icc_profile": source.info.get("icc_profile") if source.mode == "RGB" else None}
    if is_printed:
        options["dpi"] = (DOTS_PER_INCH, DOTS_PER_INCH)
    if format_of(source) == "JPEG":
        fitted.save(buffer, "JPEG", quality=_QUALITY, subsampling=0, **options)
    else:
        fitted.save(buffer, "PNG", **options)
    return buffer.getvalue()
