"""Pictures, decoded and encoded off the event loop, in a bounded thread pool with a time-out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from PIL import Image, ImageOps

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
_JPEG_QUALITY: Final = 92
# Our own caps are read from the header before anything is decoded, and raise a code of ours.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An encoded picture and what its header says; sides in pixels."""

    content: bytes
    content_type: str
    width: int
    height: int


class ImageWorker:
    """Runs picture work in ``threads`` threads, each piece for at most ``timeout_seconds``."""

    def __init__(self, *, threads: int = 2, timeout_seconds: float = 30.0) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="picture")
        self._free_threads = asyncio.Semaphore(threads)
        self._timeout_seconds = timeout_seconds

    async def prepare(self, upload: bytes) -> Picture:
        """Return the photo upright, without its metadata, and not larger than Gemini looks at. Raises InvalidImage."""
        return await self._run(lambda: prepare(upload))

    def close(self) -> None:
        """Let the threads go; work in hand is given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
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
    try:
        with _open(upload) as image:
            image.draft("RGB", (SENT_SIDE_PIXELS, SENT_SIDE_PIXELS))
            # First smaller, then upright: turning copies the picture.
            image.thumbnail((SENT_SIDE_PIXELS, SENT_SIDE_PIXELS))
            return _encode(ImageOps.exif_transpose(image))
    except InvalidImage:
        raise
    except Exception as error:  # Pillow's parsers raise whatever broken bytes make them raise
        raise InvalidImage from error


def inspect(content: bytes) -> Picture:
    """Read a picture's header. Raises InvalidImage."""
    try:
        with _open(content) as image:
            return Picture(
                content=content,
                content_type=CONTENT_TYPES[str(image.format)],
                width=image.width,
                height=image.height,
            )
    except InvalidImage:
        raise
    except Exception as error:  # as above
        raise InvalidImage from error


def _open(content: bytes) -> Image.Image:
    """Open a picture without decoding it, and refuse what would be too large once decoded."""
    image = Image.open(io.BytesIO(content), formats=PHOTO_FORMATS)
    width, height = image.size
    if width * height > MAX_PIXELS[str(image.format)] or max(width, height) > MAX_SIDE_PIXELS:
        raise InvalidImage(f"The photo has too many pixels: {width} × {height}.")
    if min(width, height) < MIN_SIDE_PIXELS:
        raise InvalidImage(f"The photo is too small: {width} × {height} pixels.")
    return image


def _encode(image: Image.Image) -> Picture:
    flat = image if image.mode == "RGB" else _on_white(image)
    buffer = io.BytesIO()
    # The colour profile is no metadata of the person's: without it a wide-gamut photo turns pale.
    profile = image.info.get("icc_profile") if image.mode == "RGB" else None
    flat.save(buffer, "JPEG", quality=_JPEG_QUALITY, icc_profile=profile)
    return Picture(content=buffer.getvalue(), content_type="image/jpeg", width=flat.width, height=flat.height)


def _on_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    background = Image.new("RGB", layer.size, "white")
    background.paste(layer, mask=layer.getchannel("A"))
    return background
