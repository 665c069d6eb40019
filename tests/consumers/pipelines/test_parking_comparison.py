"""Two crops: whether they show one place, whatever car stands there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from consumers.failures import FailureClass
from jobs.control import Control
from jobs.model import JSON, Charge, Job
from tests.consumers.pipelines.desk import Desk, facts, failure
from tests.drawings import Box, Car, save_jpeg, street

COMPARISON = "parking-comparison"
EMBEDDING = "gemini-embedding-2"
SIZE = (1000, 800)
CAR = Car(x=300, y=380, width=360, plate="12가3456")
MOVED = replace(CAR, x=380, y=420, width=330, colour=(100, 16, 20), plate="98호7654")


async def crop_of(desk: Desk, place: int, car: Car = CAR, *, knows_vehicle: bool = True, quality: int = 90) -> JSON:
    """Put a picture of a car in a place where crops are, and say where the car is in it."""
    drawing = street(place, [car], size=SIZE)
    url = await desk.upload(save_jpeg(drawing.image, quality=quality))
    return {"url": url, "vehicle": as_json(drawing.boxes[0])} if knows_vehicle else {"url": url}


def as_json(box: Box) -> JSON:
    """Write a box as a request does."""
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}


async def similarity(desk: Desk, first: JSON, second: JSON) -> Any:
    """Have two crops compared."""
    return facts(await desk.done(COMPARISON, first=first, second=second))["similarity"]


async def test_one_place_is_alike_and_two_are_not(desk: Desk) -> None:
    """Another car at another spot counts for nothing; the same car elsewhere neither."""
    for place in (0, 7):
        here = await crop_of(desk, place)

        assert 0.8 < await similarity(desk, here, await crop_of(desk, place, MOVED)) < 1
        assert await similarity(desk, here, await crop_of(desk, place + 1)) < 0.8


async def test_near_duplicates_need_no_call(desk: Desk) -> None:
    """The hash says it already: the same picture, saved once more, with another car on the same spot."""
    here = await crop_of(desk, 2)
    await desk.house.reset_simulator()
    again = await similarity(desk, here, await crop_of(desk, 2, quality=60))
    other_car = await similarity(
        desk, here, await crop_of(desk, 2, replace(CAR, colour=(100, 16, 20), plate="98호7654"))
    )
    calls = (await desk.house.simulator_stats())["calls"]

    assert min(again, other_car) > 0.9
    assert 1 == await similarity(desk, here, here)
    assert 0 == calls


async def test_a_vehicle_nobody_knows_of_is_no_hindrance(desk: Desk) -> None:
    """The whole pictures are compared then; a report's id comes back with the answer."""
    first, second = [await crop_of(desk, 4, car, knows_vehicle=False) for car in (CAR, MOVED)]
    elsewhere = await crop_of(desk, 9, knows_vehicle=False)
    alike, unlike = await desk.ended(
        await desk.submit(COMPARISON, first=first, second=second, reportId="report_1"),
        await desk.submit(COMPARISON, first=first, second=elsewhere),
    )

    assert facts(alike)["similarity"] > 0.8 > facts(unlike)["similarity"]
    assert "report_1" == facts(alike)["reportId"]
    assert "reportId" not in facts(unlike)
    assert is_without_picture(alike)


def is_without_picture(job: Job) -> bool:
    """Say whether a job has made no picture and counts none."""
    return job.output is not None and job.output.url is None and job.output.pictures == 0


async def test_what_cannot_be_compared_fails(desk: Desk) -> None:
    """A crop that is gone, one that is no picture, and a request without a second one."""
    here = await crop_of(desk, 1)
    gone: JSON = {"url": desk.house.files.upload_url(f"uploads/{desk.user}/gone.jpg")}
    text: JSON = {"url": await desk.upload(b"%PDF-1.7 ...")}
    jobs = await desk.ended(
        await desk.submit(COMPARISON, first=here, second=gone),
        await desk.submit(COMPARISON, first=text, second=here),
        await desk.submit(COMPARISON, first=here),
    )

    assert ["invalid_image", "invalid_image", "invalid_input"] == [failure(job)[0] for job in jobs]
    assert "A crop is not there any more." == failure(jobs[0])[1]
    assert [Charge.RETURNED] * 3 == [job.charge for job in jobs]


async def test_a_cancel_while_the_model_is_shut_is_free(desk: Desk) -> None:
    """The crops have been read, and no model has been called."""
    house = desk.house
    control = Control(house.table, house.files, house.submission, house.bus)
    first, second = [await crop_of(desk, place) for place in (0, 1)]
    async with house.gates[EMBEDDING].admit(5) as permit:
        permit.failed(FailureClass.THROTTLED, 8)
    job = await desk.submit(COMPARISON, first=first, second=second)
    async with house.pool(makes_way=False):
        await desk.waits_at(house.gates[EMBEDDING])
        canceled = await control.cancel(await house.table.get(job.job_id))

    assert canceled.given_back
    assert (0, 0) == await house.usage(desk.user)
