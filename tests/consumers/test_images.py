"""Preparing photos."""

from __future__ import annotations

import asyncio
import gc
import io
import struct
import subprocess
import sys
import threading
import time
import zlib

import pytest
from PIL import Image

from consumers.images import MAX_PIECES, ImageWorker, inspect, prepare
from jobs.errors import InvalidImage
from tests.conftest import CHECKOUT

MEBIBYTE = 2**20
ORIENTATION, GPS = 0x0112, 0x8825

# Measures what one preparation adds to the memory of a fresh process: ru_maxrss is in KiB on Linux.
MEASURE = r"""
import resource, struct, sys, zlib
from consumers.images import prepare
from jobs.errors import InvalidImage
width, height, channels, rows = map(int, sys.argv[1:])
packer = zlib.compressobj(1)
line = bytes(1 + width * channels)
body = b"".join(packer.compress(line) for _ in range(rows)) + packer.flush()
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
head = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
photo = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    prepare(photo)
    print("fine")
except InvalidImage as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def memory_of(width: int, height: int, channels: int, rows: int) -> tuple[str, int]:
    """Prepare a PNG in a process of its own; returns what was said of it and the bytes it took."""
    command = [sys.executable, "-c", MEASURE, *map(str, (width, height, channels, rows))]
    said, taken = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    return said, int(taken) * 1024


def test_a_bomb_takes_no_memory() -> None:
    """Nothing is decoded once the header has said too much."""
    said, taken = memory_of(30_000, 30_000, 3, 1)

    assert "too many pixels" in said
    assert taken < 8 * MEBIBYTE


@pytest.mark.parametrize("channels", [3, 4])
def test_the_largest_png_that_is_taken_fits_a_small_task(channels: int) -> None:
    """24 million pixels, twice in memory at the most."""
    said, taken = memory_of(6000, 4000, channels, 4000)

    assert "fine" == said
    assert taken < 260 * MEBIBYTE


def test_a_photo_is_turned_upright_and_loses_where_it_was_taken() -> None:
    """The camera lay on its side and knew its position; neither reaches Gemini."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(GPS)[1] = "N"
    buffer = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(buffer, "JPEG", exif=exif)
    prepared = prepare(buffer.getvalue())
    with Image.open(io.BytesIO(prepared.content)) as image:
        left = dict(image.getexif())

    assert (100, 200) == (prepared.width, prepared.height)
    assert {} == left


def test_a_transparent_picture_lies_on_white() -> None:
    """Black where nothing is would be a surprise."""
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(buffer, "PNG")
    with Image.open(io.BytesIO(prepare(buffer.getvalue()).content)) as image:
        pixel = image.getpixel((32, 32))

    assert (255, 255, 255) == pixel


def encoded(kind: str) -> bytes:
    """Make a small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, kind)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Write a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


JPEG, PNG = encoded("JPEG"), encoded("PNG")
SCAN, DATA, END = JPEG.index(b"\xff\xda"), PNG.index(b"IDAT") - 4, PNG.index(b"IEND") - 4


def with_more(photo: bytes, at: int, piece: bytes, count: int = MAX_PIECES) -> bytes:
    """Put the piece into the photo so often."""
    return photo[:at] + piece * count + photo[at:]


@pytest.mark.parametrize(
    "photo",
    [
        with_more(JPEG, 2, b"\xff\xe1\0\2"),
        with_more(JPEG, SCAN, b"\xff\xfe\0\2"),
        with_more(JPEG, 2, b"\xff\xe1\0\0"),
        with_more(JPEG, 2, b"\xff\xd0"),
        with_more(JPEG, SCAN, b"\xff\xf0\xff\xff"),
        with_more(JPEG, SCAN, b"\xff\0"),
        with_more(JPEG, SCAN, b"\xff"),
        with_more(JPEG, SCAN, b"\0"),
        with_more(PNG, DATA, chunk(b"aaAa")),
        with_more(PNG, DATA, chunk(b"tEXt", b"a\0b")),
        with_more(PNG, DATA, chunk(b"IDAT")),
        with_more(PNG, END, chunk(b"aaAa")),
    ],
    ids=[
        "APP",
        "COM",
        "no length",
        "RST",
        "unread length",
        "escaped",
        "fill",
        "stray",
        "PNG",
        "text",
        "data",
        "behind",
    ],
)
def test_a_photo_of_very_many_pieces_is_refused(photo: bytes) -> None:
    """Pillow's loop over them would hold its thread for seconds, and could not be stopped."""
    for read in (inspect, prepare):
        with pytest.raises(InvalidImage, match="too many pieces"):
            read(photo)


@pytest.mark.parametrize(
    "photo",
    [
        with_more(JPEG, 2, b"\xff\xe1\xff\xff" + bytes(65_533), 100),
        with_more(JPEG, SCAN, b"\xff", 100),
        with_more(PNG, DATA, chunk(b"tEXt", b"a\0" + bytes(1000)), 1000),
        JPEG + bytes(2 * MAX_PIECES),
        PNG + bytes(24 * MAX_PIECES),
        encoded("WEBP"),
    ],
    ids=["a long profile", "filled", "notes", "behind a JPEG", "behind a PNG", "WebP"],
)
def test_a_photo_of_some_pieces_is_read(photo: bytes) -> None:
    """However long they are, and whatever lies behind it."""
    assert (64, 64) == (inspect(photo).width, prepare(photo).height)


async def test_waiting_for_a_thread_is_no_fault_of_the_photo() -> None:
    """Six pieces of work for one thread; together they take longer than each may."""
    worker = ImageWorker(threads=1, timeout_seconds=0.5)
    await asyncio.gather(*(worker.run(lambda: time.sleep(0.2)) for _ in range(6)))
    worker.close()


async def test_a_photo_that_takes_too_long_is_refused(photo: bytes) -> None:
    """A decoder that hangs must not hold the job."""
    worker = ImageWorker(threads=1, timeout_seconds=0.0001)
    with pytest.raises(InvalidImage):
        await worker.prepare(photo)
    worker.close()


@pytest.mark.parametrize("ending", ["timed out", "canceled"])
async def test_a_photo_behind_a_slow_one_is_prepared(photo: bytes, ending: str) -> None:
    """The slow one is given up and holds its thread all the same; the other's time begins when it is free."""
    worker, slow_may_end = ImageWorker(threads=1, timeout_seconds=0.5), threading.Event()
    slow = asyncio.create_task(worker.run(lambda: slow_may_end.wait(20)))
    waiting = asyncio.create_task(worker.prepare(photo))
    if ending == "canceled":
        await asyncio.sleep(0)  # begun
        slow.cancel()
    await asyncio.wait([slow])
    await asyncio.wait([waiting], timeout=1)  # twice as long as it may take
    waited = not waiting.done()
    slow_may_end.set()
    prepared = await waiting
    worker.close()

    assert waited
    assert ("canceled" == ending) == slow.cancelled()
    assert "image/jpeg" == prepared.content_type
    if ending == "timed out":
        assert isinstance(slow.exception(), InvalidImage)


async def test_a_photo_that_breaks_when_it_was_given_up_is_nobodys_trouble(
    photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread is free again, and its error does not come up as one that was never looked at."""
    worker, slow_may_end = ImageWorker(threads=1, timeout_seconds=0.5), threading.Event()

    def break_late() -> None:
        slow_may_end.wait(20)
        raise InvalidImage

    with pytest.raises(InvalidImage, match="too long"):
        await worker.run(break_late)
    slow_may_end.set()
    prepared = await worker.prepare(photo)
    worker.close()
    gc.collect()

    assert "image/jpeg" == prepared.content_type
    assert [] == caplog.messages
