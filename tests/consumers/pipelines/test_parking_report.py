"""One photo of a parked car: which car it is of, what its plate says, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from PIL import Image, ImageDraw, ImageFilter

from consumers.vehicles import normal_plate
from jobs.events import JobProgress
from jobs.model import JSON
from tests.consumers.pipelines.desk import Desk, facts
from tests.consumers.pipelines.parking import CAR, NINE, PARKING, PLATE, SIZE, Place, photo_of, sighted
from tests.consumers.pipelines.photos import take_photo
from tests.drawings import Car, street


def left_upper(box: Mapping[str, int]) -> tuple[int, int]:
    """Read where a box is."""
    return box["x"], box["y"]


@pytest.mark.parametrize("held", [1, 6])
async def test_a_parked_car_is_sighted(desk: Desk, somewhere: Place, held: int) -> None:
    """Its plate, its box in the photo as its viewer sees it, its place and time, and the crop under the job's own key."""
    job = await desk.done(PARKING, photo_of(CAR, at=somewhere, taken_at=NINE, held=held), deviceId="phone-1")
    result, crop = facts(job), await desk.picture(job)
    seen, within = result["vehicle"]["box"], result["vehicleInCrop"]

    assert ("sighting", PLATE, 1) == (result["outcome"], result["plate"], result["vehiclesSeen"])
    assert ("car", SIZE) == (result["vehicle"]["label"], (result["width"], result["height"]))
    assert (400, 420, 400, 312) == pytest.approx(tuple(seen.values()), abs=4)
    assert (float(somewhere[0]), float(somewhere[1]), NINE) == (
        result["latitude"],
        result["longitude"],
        result["captureTime"],
    )
    assert ("photo", "photo", "phone-1") == (result["positionSource"], result["timeSource"], result["deviceId"])
    assert (300, 300) == pytest.approx(left_upper(within), abs=1)
    assert (seen["width"] + 600, seen["height"] + 400) == pytest.approx(crop.size, abs=1)
    assert ("JPEG", 0) == (crop.format, len(crop.getexif()))
    assert shows_the_plate(crop, within)
    assert job.output is not None
    assert (job.output.url or "").endswith(f"/generated/{desk.user}/{job.job_id}.jpg")
    assert 0 == job.output.pictures
    assert "reportId" not in result


def shows_the_plate(crop: Image.Image, within: Mapping[str, int]) -> bool:
    """Say whether the car is there in the crop: its plate, bright between dark, where a car of this size has it."""
    car = Car(x=within["x"], y=within["y"], width=within["width"], plate=PLATE)
    assert car.plate_box is not None
    left, top, right, bottom = car.plate_box.edges
    grey, down = crop.convert("L"), (top + bottom) // 2
    bright = [cast(int, grey.getpixel((x, down))) for x in (left + 5, right - 6)]
    dark = [cast(int, grey.getpixel((x, down))) for x in (left - 8, right + 8)]
    return min(bright) > 180 and max(dark) < 90


@pytest.mark.parametrize(("x", "y"), [(0, 20), (800, 588)])
async def test_a_crop_ends_where_the_photo_ends(desk: Desk, somewhere: Place, x: int, y: int) -> None:
    """In the left upper corner and in the right lower one."""
    job = await desk.done(PARKING, photo_of(replace(CAR, x=x, y=y), at=somewhere, taken_at=NINE))
    result, crop = facts(job), await desk.picture(job)
    frame = (max(0, x - 300), max(0, y - 300), min(SIZE[0], x + 700), min(SIZE[1], y + 412))

    assert (frame[2] - frame[0], frame[3] - frame[1]) == pytest.approx(crop.size, abs=4)
    assert (x - frame[0], y - frame[1]) == pytest.approx(left_upper(result["vehicleInCrop"]), abs=4)
    assert min(left_upper(result["vehicleInCrop"])) >= 0
    assert shows_the_plate(crop, result["vehicleInCrop"])


@pytest.mark.parametrize(
    "bystander",
    [
        Car(x=-230, y=350, width=600, plate="98호7654"),
        Car(x=900, y=380, width=520, plate="98호7654", kind="truck"),
        Car(x=20, y=500, width=300, plate="98호7654"),
    ],
    ids=["larger-and-cut", "truck-at-the-edge", "beside"],
)
async def test_a_bystanders_car_is_not_reported(desk: Desk, somewhere: Place, bystander: Car) -> None:
    """It is counted, and no more: also where the car in the middle has no plate that could be read."""
    with_plate = photo_of(bystander, CAR, at=somewhere, taken_at=NINE)
    without = photo_of(bystander, replace(CAR, plate=None), at=somewhere, taken_at=NINE)
    one, other = map(
        facts, await desk.ended(await desk.submit(PARKING, with_plate), await desk.submit(PARKING, without))
    )

    assert ("sighting", PLATE, 2) == (one["outcome"], one["plate"], one["vehiclesSeen"])
    assert ("no_plate", 2) == (other["outcome"], other["vehiclesSeen"])
    assert "plate" not in other


async def test_a_street_without_cars_is_no_sighting(desk: Desk, somewhere: Place) -> None:
    """There is nothing to crop, and no model is asked for a plate."""
    await desk.house.reset_simulator()
    job = await desk.done(PARKING, photo_of(at=somewhere, taken_at=NINE))
    result = facts(job)

    assert ("no_vehicle", 0) == (result["outcome"], result["vehiclesSeen"])
    assert not {"vehicle", "vehicleInCrop", "plate"} & result.keys()
    assert job.output is not None
    assert job.output.url is None
    assert 1 == (await desk.house.simulator_stats())["calls"]


def smeared(what: str) -> Image.Image:
    """Draw a car whose plate cannot be read for certain."""
    drawing = street(0, [CAR], size=SIZE)
    [plate] = drawing.plates
    assert plate is not None
    left, top, _, bottom = plate.edges
    if what == "mud":
        ImageDraw.Draw(drawing.image).rectangle((left + 60, top, left + 100, bottom), fill=(70, 60, 50))
    else:
        blurred = drawing.image.crop(plate.edges).filter(ImageFilter.GaussianBlur(9))
        drawing.image.paste(blurred, (left, top))
    return drawing.image


async def test_a_plate_is_never_guessed(desk: Desk, somewhere: Place) -> None:
    """Covered in part, blurred, too far away, or not there: the crop is kept and nobody is accused."""
    far = street(0, [Car(x=560, y=560, width=90, plate=PLATE)], size=SIZE).image
    bare = street(0, [replace(CAR, plate=None)], size=SIZE).image
    scenes = [smeared("mud"), smeared("blur"), far, bare]
    photos = [take_photo(scene, position=somewhere, taken_at=NINE) for scene in scenes]
    results = [facts(job) for job in await desk.ended(*[await desk.submit(PARKING, photo) for photo in photos])]

    assert ["no_plate"] * 4 == [result["outcome"] for result in results]
    assert not any("plate" in result for result in results)
    assert all("vehicleInCrop" in result for result in results)


@pytest.mark.parametrize(
    ("text", "plate"),
    [
        ("12가3456", "12가3456"),
        ("123허4567", "123허4567"),
        (" 12 가 3456 ", "12가3456"),
        ("12가\n3456", "12가3456"),
        (None, None),
        ("", None),
        ("1가3456", None),
        ("1234가3456", None),
        ("12가345", None),
        ("12가34567", None),
        ("12각3456", None),
        ("12차3456", None),
        ("12A3456", None),
        ("서울12가3456", None),
        ("12가3456.", None),
        ("１２가３４５６", None),
        ("12가345?", None),
    ],
)
def test_a_plate_has_the_korean_form(text: str | None, plate: str | None) -> None:
    """Two or three digits, one of the syllables on plates, four digits; blanks do not matter."""
    assert plate == normal_plate(text)


async def test_a_plate_that_the_sender_has_read_is_not_read_again(desk: Desk, somewhere: Place) -> None:
    """Unless it is none."""
    photo = photo_of(CAR, at=somewhere, taken_at=NINE)
    await desk.house.reset_simulator()
    given, wrong = map(
        facts,
        await desk.ended(
            await desk.submit(PARKING, photo, plate="34나 5678"), await desk.submit(PARKING, photo, plate="MY CAR")
        ),
    )

    assert ("34나5678", PLATE) == (given["plate"], wrong["plate"])
    assert 3 == (await desk.house.simulator_stats())["calls"]


async def test_a_crop_that_the_sender_has_made_is_kept(desk: Desk, somewhere: Place) -> None:
    """It is the job's, and nothing else is stored."""
    crop: JSON = {"url": await desk.upload(photo_of(CAR)), "vehicle": {"x": 1, "y": 2, "width": 30, "height": 40}}
    job = await desk.done(PARKING, photo_of(CAR, at=somewhere, taken_at=NINE), crop=crop)

    assert job.output is not None
    assert cast(Any, crop)["url"] == job.output.url
    assert {"x": 1, "y": 2, "width": 30, "height": 40} == facts(job)["vehicleInCrop"]


async def test_progress_of_a_photo_only_grows(desk: Desk, somewhere: Place) -> None:
    """From the download to the crop; its events are those of every job."""
    await sighted(desk, photo_of(CAR, at=somewhere, taken_at=NINE))
    told = [notice.fraction for notice in desk.story.notices if isinstance(notice, JobProgress)]

    assert 5 == len(told)
    assert sorted(told) == told
    assert ["job.queued", "job.processing", "job.completed"] == desk.story.events
