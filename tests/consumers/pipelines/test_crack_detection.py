"""Cracks: found where they were drawn, none where none is, and outlined on the stored picture."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from PIL import Image

from jobs.control import Control
from jobs.files import Files
from jobs.ids import UserId
from jobs.model import JSON, Charge, Job, Status
from tests.aws_faults import HeldBackPut
from tests.consumers.house import House
from tests.consumers.pipelines.desk import Desk, facts, failure
from tests.consumers.pipelines.photos import take_photo
from tests.drawings import Box, Crack, save_jpeg, wall

CRACKS = "crack-detection"
LARGE = (2600, 1950)
SMALL = (800, 600)
CLEAR = Crack(x=100, y=90, width=260, height=200)
FAINT = Crack(x=500, y=380, width=130, height=110, strength=0.25)


def edges_of(seen: Mapping[str, int]) -> tuple[int, int, int, int]:
    """Read a box of a result as left, top, right and bottom."""
    return seen["x"], seen["y"], seen["x"] + seen["width"], seen["y"] + seen["height"]


def is_there(drawn: Box, seen: Mapping[str, int], size: tuple[int, int]) -> bool:
    """Say whether a box is where it was drawn, give or take a hundredth of the photo."""
    nearness = max(size) / 100
    return all(abs(one - other) <= nearness for one, other in zip(drawn.edges, edges_of(seen), strict=True))


async def test_a_crack_is_found_where_its_viewer_sees_it(desk: Desk) -> None:
    """However the camera was held, in pixels of the original, which is larger than what Gemini is shown."""
    drawing = wall([Crack(x=400, y=300, width=700, height=380)], size=LARGE)
    photos = [take_photo(drawing.image, orientation=held) for held in range(1, 9)]
    jobs = await desk.ended(*[await desk.submit(CRACKS, photo) for photo in photos])

    for result in map(facts, jobs):
        [box] = result["boundingBoxes"]
        assert LARGE == (result["width"], result["height"])
        assert (True, 1) == (result["hasCrack"], result["crackCount"])
        assert is_there(drawing.boxes[0], box, LARGE)


async def test_a_clean_wall_has_none(desk: Desk) -> None:
    """Neither a socket nor a window is one; and no picture is counted as its owner's for any of them."""
    clean = wall(size=SMALL, socket=True, window=True, grain=6)
    result = facts(job := await desk.done(CRACKS, save_jpeg(clean.image)))

    assert (False, 0, 0) == (result["hasCrack"], result["crackCount"], result["confidence"])
    assert ([], []) == (result["boundingBoxes"], result["detections"])
    assert SMALL == (await desk.picture(job)).size
    assert job.output is not None
    assert 0 == job.output.pictures


async def test_the_threshold_moves_what_counts_and_not_what_is_seen(desk: Desk) -> None:
    """Without one it is a half. The surest comes first, and its confidence is that of the whole."""
    photo = save_jpeg(wall([FAINT, CLEAR], size=SMALL).image)
    every, usual, sure, none = map(
        facts,
        await desk.ended(
            await desk.submit(CRACKS, photo, threshold=0),
            await desk.submit(CRACKS, photo),
            await desk.submit(CRACKS, photo, threshold=0.9),
            await desk.submit(CRACKS, photo, threshold=1),
        ),
    )
    clear, faint = every["detections"]

    assert clear["confidence"] > 0.9 > faint["confidence"]
    assert is_there(wall([CLEAR], size=SMALL).boxes[0], clear, SMALL)
    assert [[clear, faint]] * 4 == [result["detections"] for result in (every, usual, sure, none)]
    assert [0, 0.5, 0.9, 1] == [result["threshold"] for result in (every, usual, sure, none)]
    assert [[clear, faint], [clear], []] == [result["boundingBoxes"] for result in (every, sure, none)]
    assert [clear["confidence"]] * 3 + [0] == [result["confidence"] for result in (every, usual, sure, none)]
    assert [2, 1, 0] == [result["crackCount"] for result in (every, sure, none)]


def is_outline(picture: Image.Image, place: tuple[float, float]) -> bool:
    """Say whether the bright line of a box runs within a few pixels of a place."""
    x, y = map(round, place)
    around = picture.convert("RGB").crop((x - 12, y - 12, x + 12, y + 12))
    pixels = zip(*(band.tobytes() for band in around.split()), strict=True)
    return any(red > 200 and green > 160 and blue < 110 for red, green, blue in pixels)


async def test_the_stored_picture_shows_the_boxes(desk: Desk) -> None:
    """A JPEG of at most 2048 pixels a side, lines around each crack; none inside and none elsewhere."""
    drawing = wall([Crack(x=400, y=300, width=700, height=380)], size=LARGE)
    job = await desk.done(CRACKS, take_photo(drawing.image, orientation=6))
    picture = await desk.picture(job)
    share = picture.width / LARGE[0]
    left, top, right, bottom = (edge * share for edge in edges_of(facts(job)["boundingBoxes"][0]))
    across, down = (left + right) / 2, (top + bottom) / 2

    assert ("JPEG", (2048, 1536)) == (picture.format, picture.size)
    assert all(is_outline(picture, spot) for spot in [(left, down), (right, down), (across, top), (across, bottom)])
    assert not any(is_outline(picture, spot) for spot in [(across, down), (right + 200, down), (across, bottom + 200)])
    assert 0 == len(picture.getexif())
    assert job.output is not None
    assert (job.output.url or "").endswith(f"/generated/{desk.user}/{job.job_id}.jpg")


def bomb() -> bytes:
    """Write the start of a PNG that promises too many pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize("pipeline", [CRACKS, "parking-report"])
async def test_what_is_no_photo_fails_the_job(desk: Desk, pipeline: str) -> None:
    """Gemini is not asked, and the unit is given back."""
    await desk.house.reset_simulator()
    whole = save_jpeg(wall(size=SMALL).image)
    uploads = [b"%PDF-1.7 ...", bomb(), whole[: len(whole) // 2], b""]
    given: dict[str, Any] = {"latitude": 37.5, "longitude": 127.0, "captureTime": "2026-11-20 09:00:00"}
    asked = given if pipeline == "parking-report" else {}
    jobs = await desk.ended(*[await desk.submit(pipeline, upload, **asked) for upload in uploads])

    assert ["invalid_image"] * 4 == [failure(job)[0] for job in jobs]
    assert [Charge.RETURNED] * 4 == [job.charge for job in jobs]
    assert 0 == (await desk.house.simulator_stats())["calls"]


async def test_a_threshold_that_is_none_fails_the_job(desk: Desk) -> None:
    """Whoever has let it in; the photo is not even fetched."""
    thresholds: list[JSON] = [-0.1, 1.5, "much"]
    jobs = await desk.ended(*[await desk.submit(CRACKS, "s3://nowhere/at-all.jpg", threshold=no) for no in thresholds])

    assert [("invalid_input", Charge.RETURNED)] * 3 == [(failure(job)[0], job.charge) for job in jobs]


async def test_a_canceled_jobs_picture_is_taken_away(desk: Desk, cloud_environment: Mapping[str, str]) -> None:
    """It was being stored when its owner canceled."""
    bucket, house = cloud_environment["RESULT_BUCKET"], desk.house
    held, slow = storing_slowly(house, bucket)
    control = Control(house.table, house.files, house.submission, house.bus)
    job = await desk.submit(CRACKS, save_jpeg(wall([CLEAR], size=SMALL).image))
    async with held.pool(slots=1) as pool:
        async with asyncio.timeout(20):
            await slow.reached.wait()
        await control.cancel(await house.table.get(job.job_id))
        slow.go.set()
        await pool.stop(20)
    listed = await house.clients.s3.list_objects_v2(Bucket=bucket, Prefix=f"generated/{desk.user}/")

    assert slow.landed
    assert 0 == listed["KeyCount"]
    assert Status.CANCELED is (await house.table.get(job.job_id)).status


def storing_slowly(house: House, result_bucket: str) -> tuple[House, HeldBackPut]:
    """Have results stored when they may, not before."""
    slow = HeldBackPut(house.clients.s3)
    files = Files(
        cast(Any, slow),
        house.clients.find_credentials,
        upload_bucket=house.upload_bucket,
        result_bucket=result_bucket,
        upload_link_seconds=600,
    )
    return replace(house, workshop=replace(house.workshop, files=files)), slow


async def test_a_hundred_at_once_all_end(house: House) -> None:
    """On sixteen slots, ten each for ten users: every one finds its own crack."""
    drawings = [wall([Crack(x=60 + 40 * at, y=80, width=160, height=150)], size=(640, 480)) for at in range(10)]
    desks = [Desk(house, UserId(f"lodger-{at}-{id(house)}")) for at in range(10)]
    jobs = await asyncio.gather(*(ten(*pair) for pair in zip(desks, drawings, strict=True)))
    async with house.pool(slots=16):
        ended = [await desk.end_of(job) for desk, own in zip(desks, jobs, strict=True) for job in own]

    assert [Status.COMPLETED] * 100 == [job.status for job in ended]
    assert [1] * 100 == [facts(job)["crackCount"] for job in ended]
    for at, job in enumerate(ended):
        assert is_there(drawings[at // 10].boxes[0], facts(job)["boundingBoxes"][0], (640, 480))


async def ten(desk: Desk, drawing: Any) -> list[Job]:
    """Hand in ten jobs of one photo."""
    url = await desk.upload(save_jpeg(drawing.image))
    return [await desk.submit(CRACKS, url) for _ in range(10)]


def test_pillow_reads_what_take_photo_writes() -> None:
    """The photos themselves: upright they are the scene again."""
    scene = wall([CLEAR], size=(400, 300)).image
    sizes = [Image.open(io.BytesIO(take_photo(scene, orientation=held))).size for held in range(1, 9)]

    assert [(400, 300)] * 4 + [(300, 400)] * 4 == sizes
