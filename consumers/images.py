"""Pictures, decoded and encoded off the event loop, in a bounded thread pool with a time-out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from PIL import ExifTags, Image, ImageOps
from PIL.JpegImagePlugin import MARKER

from jobs.errors import InvalidImage

T = TypeVar("T")

# Only these parsers ever see an upload; a file's name plays no part.
PHOTO_FORMATS: Final = ("JPEG", "PNG", "WEBP")
CONTENT_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
MAX_PIXELS: Final = {"JPEG": 50_000_000, "PNG": 24_000_000, "WEBP": 24_000_000}
"""A JPEG is decoded at a fraction of its size; the others must be whole in memory, twice where they have transparency."""
MAX_SIDE_PIXELS: Final = 16_000
MIN_SIDE_PIXELS: Final = 32
SENT_SIDE_PIXELS: Final = 2048
"""Gemini looks at no more than this; a larger photo only costs upload time."""
MAX_PIECES: Final = 10_000
"""Segments of a JPEG or chunks of a PNG: each costs Pillow microseconds, and ten MiB have room for millions."""
_PNG_BEGINNING: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_SCAN: Final = 0xFFDA
_JPEG_QUALITY: Final = 92
_LYING: Final = (5, 6, 7, 8)
"""The EXIF orientations whose upright picture is as wide as the stored one is high."""
# Our own caps are read from the header before anything is decoded, and raise a code of ours.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An encoded picture and what its header says; sides in pixels.

    ``photo_width`` and ``photo_height`` are those of the photo as its viewer sees it, before it was made smaller.
    """

    content: bytes
    content_type: str
    width: int
    height: int
    photo_width: int = 0
    photo_height: int = 0

    def __post_init__(self) -> None:
        if not self.photo_width:
            object.__setattr__(self, "photo_width", self.width)
        if not self.photo_height:
            object.__setattr__(self, "photo_height", self.height)


class ImageWorker:
    """Runs picture work in ``threads`` threads, each piece for at most ``timeout_seconds``."""

    def __init__(self, *, threads: int = 2, timeout_seconds: float = 30.0) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="picture")
        self._free_threads = asyncio.Semaphore(threads)
        self._timeout_seconds = timeout_seconds

    async def prepare(self, upload: bytes) -> Picture:
        """Return the photo upright, without its metadata, and not larger than Gemini looks at. Raises InvalidImage."""
        return await self.run(lambda: prepare(upload))

    async def inspect(self, upload: bytes) -> Picture:
        """Read a picture's header. Raises InvalidImage."""
        return await self.run(lambda: inspect(upload))

    def close(self) -> None:
        """Let the threads go; work in hand is given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a thread. Raises InvalidImage when it takes too long, and what the work raises."""
        # The wait for a thread does not count: it says nothing about the picture.
        await self._free_threads.acquire()
        result = asyncio.get_running_loop().run_in_executor(self._executor, work)
        result.add_done_callback(self._free_thread)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(result)
        except TimeoutError as error:
            raise InvalidImage("The photo took too long to read.") from error

    def _free_thread(self, result: asyncio.Future[T]) -> None:
        """Let the next one begin: a thread cannot be stopped, so work that was given up holds it to its end."""
        self._free_threads.release()
        if not result.cancelled():
            result.exception()  # asked for, since nobody may be waiting any more


def prepare(upload: bytes) -> Picture:
    """Return the photo upright, without its metadata, at most 2048 pixels a side. Raises InvalidImage."""
    with refusing_unreadable(), open_photo(upload) as image:
        photo_size = upright_size(image)
        shrink(image, SENT_SIDE_PIXELS)
        return encode_jpeg(turn_upright(image), photo_size=photo_size)


def inspect(content: bytes) -> Picture:
    """Read a picture's header. Raises InvalidImage."""
    with refusing_unreadable(), open_photo(content) as image:
        return Picture(
            content=content, content_type=CONTENT_TYPES[format_of(image)], width=image.width, height=image.height
        )


@contextmanager
def refusing_unreadable() -> Iterator[None]:
    """Turn whatever broken bytes make Pillow raise into InvalidImage."""
    try:
        yield
    except InvalidImage:
        raise
    except Exception as error:  # Pillow's parsers raise whatever broken bytes make them raise
        raise InvalidImage from error


def open_photo(content: bytes) -> Image.Image:
    """Open a picture without decoding it, and refuse what would be too large once decoded, or in too many pieces to read."""
    if sum(1 for _ in zip(range(MAX_PIECES + 1), _pieces_of(content), strict=False)) > MAX_PIECES:
        raise InvalidImage("The photo is made of too many pieces.")
    image = Image.open(io.BytesIO(content), formats=PHOTO_FORMATS)
    width, height = image.size
    if width * height > MAX_PIXELS[format_of(image)] or max(width, height) > MAX_SIDE_PIXELS:
        raise InvalidImage(f"The photo has too many pixels: {width} × {height}.")
    if min(width, height) < MIN_SIDE_PIXELS:
        raise InvalidImage(f"The photo is too small: {width} × {height} pixels.")
    return image


def _pieces_of(content: bytes) -> Iterator[int]:
    """Walk through a JPEG or PNG as Pillow does, and yield where each piece begins."""
    if content.startswith(_PNG_BEGINNING):
        at, after = len(_PNG_BEGINNING), _after_chunk
    elif content.startswith(b"\xff\xd8"):
        at, after = 0, _after_segment
    else:
        return  # what WebP is made of costs a hundredth
    while at < len(content):
        yield at
        at = after(content, at)


def _after_segment(content: bytes, at: int) -> int:
    marker = int.from_bytes(content[at : at + 2])
    if marker == _JPEG_SCAN:
        return len(content)
    if content[at] != 0xFF or marker == 0xFFFF:
        return at + 1  # a stray byte, or one that fills
    known = MARKER.get(marker)
    if known is None or known[2] is None:
        return at + 2  # without a length, for Pillow
    return at + 2 + max(2, int.from_bytes(content[at + 2 : at + 4]))


def _after_chunk(content: bytes, at: int) -> int:
    is_last = content[at + 4 : at + 8] == b"IEND"
    return len(content) if is_last else at + 12 + int.from_bytes(content[at : at + 4])


def format_of(image: Image.Image) -> str:
    """Name the picture's format: one of PHOTO_FORMATS."""
    # Phones append a depth map or a second lens's view to a JPEG, and Pillow calls that one MPO; its first picture counts.
    return "JPEG" if image.format == "MPO" else str(image.format)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or its EXIF cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - as above; and a readable photo is not refused for a broken note in it
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height as the photo's viewer sees them."""
    width, height = image.size
    return (height, width) if orientation_of(image) in _LYING else (width, height)


def turn_upright(image: Image.Image) -> Image.Image:
    """Return the picture as its viewer sees it."""
    return image if orientation_of(image) == 1 else ImageOps.exif_transpose(image)


def shrink(image: Image.Image, side_pixels: int) -> None:
    """Make the opened picture smaller in place, where it is larger; a JPEG is decoded at a fraction of its size."""
    # Before it is turned upright: turning copies the picture. draft() goes by the shorter side, so it is told both.
    share = min(1.0, side_pixels / max(image.size))
    image.draft("RGB", (max(1, int(image.width * share)), max(1, int(image.height * share))))
    image.thumbnail((side_pixels, side_pixels))


def encode_jpeg(
    image: Image.Image, *, photo_size: tuple[int, int] | None = None, quality: int = _JPEG_QUALITY
) -> Picture:
    """Return the picture as a JPEG without metadata, on white where it is transparent."""
    flat = flatten(image)
    buffer = io.BytesIO()
    # The colour profile is no metadata of the person's: without it a wide-gamut photo turns pale.
    profile = image.info.get("icc_profile") if image.mode == "RGB" else None
    # The empty comment keeps Pillow from handing on the upload's.
    flat.save(buffer, "JPEG", quality=quality, icc_profile=profile, comment=b"")
    photo_width, photo_height = photo_size or flat.size
    return Picture(
        content=buffer.getvalue(),
        content_type="image/jpeg",
        width=flat.width,
        height=flat.height,
        photo_width=photo_width,
        photo_height=photo_height,
    )


def flatten(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, on white where it is transparent."""
    if image.mode == "RGB":
        return image
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    background = Image.new("RGB", layer.size, "white")
    background.paste(layer, mask=layer.getchannel("A"))
    return background
