"""Two photos of one car in one place: the report that they make, once, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from consumers.attempt import Attempt
from jobs.event_log import Cursor, EventLog
from jobs.events import UserEvent
from jobs.ids import UserId
from jobs.items import s3_key
from jobs.model import JSON, Job, Output
from jobs.parking import Report
from tests.consumers.house import House
from tests.consumers.in_hand import only_delivery
from tests.consumers.pipelines.desk import Desk, facts, others_being_served
from tests.consumers.pipelines.parking import CAR, FIVE_PAST, NINE, PARKING, PLATE, Place, photo_of, sighted
from tests.consumers.pipelines.wire import Wire


async def report_of(desk: Desk, result: Mapping[str, Any]) -> Report:
    """Read the report that a photo has led to."""
    return await desk.house.reports.get(result["reportId"], desk.user)


async def confirmations(house: House, user: UserId) -> list[Mapping[str, JSON]]:
    """Read from a user's log what reports were confirmed."""
    log = EventLog(house.clients.dynamodb, house.tables.events)
    start = Cursor.at(0)
    return [event.data async for event in log.since(user, start) if isinstance(event, UserEvent)]


@pytest.mark.parametrize("order", [(NINE, FIVE_PAST), (FIVE_PAST, NINE)], ids=["in-order", "latest-first"])
async def test_one_car_in_one_place_for_five_minutes_is_a_report(
    desk: Desk, somewhere: Place, order: tuple[str, str]
) -> None:
    """Whoever arrives first: it is confirmed, the backgrounds being alike although the second aim is another one."""
    moved = replace(CAR, x=360, y=440, width=380)
    await desk.house.reset_simulator()
    first = await sighted(desk, photo_of(CAR, place=3, at=somewhere, taken_at=order[0]))
    second = await sighted(desk, photo_of(moved, place=3, at=somewhere, taken_at=order[1]))
    report = await report_of(desk, second)
    [told] = await confirmations(desk.house, desk.user)

    assert "reportId" not in first
    assert report.report_bool
    assert report.similarity is not None
    assert 0.8 <= report.similarity <= 1
    assert (PLATE, NINE, FIVE_PAST) == (report.first.plate, report.first.capture_time, report.last.capture_time)
    assert (report.report_id, 1, True, report.similarity) == tuple(
        told[name] for name in ("reportId", "version", "reportBool", "similarity")
    )
    assert 1 == (await desk.house.simulator_stats())["byModel"]["gemini-embedding-2"]


async def test_another_background_is_no_confirmed_report(desk: Desk, somewhere: Place) -> None:
    """The coordinates say one place, the pictures say two: the report is kept and not confirmed."""
    await sighted(desk, photo_of(CAR, place=1, at=somewhere, taken_at=NINE))
    report = await report_of(desk, await sighted(desk, photo_of(CAR, place=6, at=somewhere, taken_at=FIVE_PAST)))
    [told] = await confirmations(desk.house, desk.user)

    assert not report.report_bool
    assert report.similarity is not None
    assert report.similarity < 0.8
    assert told["reportBool"] is False


async def test_both_owners_are_told_of_a_report(desk: Desk, somewhere: Place) -> None:
    """Two users saw the car, and neither learns of the other's photo. A photo after four minutes is not enough."""
    other = Desk(desk.house, UserId(f"{desk.user}-other"))
    await sighted(desk, photo_of(CAR, at=somewhere, taken_at=NINE))
    early = await sighted(other, photo_of(CAR, at=somewhere, taken_at="2026-11-20 09:04:59"))
    report = await report_of(desk, await sighted(other, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST)))
    mine, others = [await confirmations(desk.house, owner) for owner in (desk.user, other.user)]

    assert "reportId" not in early
    assert (desk.user, other.user) == report.owners
    assert [report.report_id] == [told["reportId"] for told in mine]
    assert mine == others
    assert not any("s3://" in str(told) for told in mine)
    assert 3 == await sightings(desk.house, report)


async def sightings(house: House, report: Report) -> int:
    """Count what is kept of a car in a place."""
    query = {":place": report.first.place_plate, ":photos": "photo#"}
    answer = await house.clients.dynamodb.query(
        TableName=house.reports._sightings_table,
        KeyConditionExpression="placePlate = :place AND capturedAt < :photos",
        ExpressionAttributeValues=query,
    )
    return answer["Count"]


class Killed(BaseException):
    """The worker is gone."""


class DiesAtTheEnd(Attempt):
    """Does its work, and is killed before it can write that down."""

    async def _complete(self, job: Job, output: Output) -> None:
        raise Killed


async def test_a_worker_that_dies_after_the_report_makes_no_second_one(desk: Desk, somewhere: Place) -> None:
    """Another does the job again, and its message comes once more even then: one sighting, one report, told of once."""
    house = desk.house
    await sighted(desk, photo_of(CAR, at=somewhere, taken_at=NINE))
    job = await desk.submit(PARKING, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST))
    delivery = await only_delivery(house)
    with pytest.raises(Killed):
        await DiesAtTheEnd(house.workshop, delivery).run()
    held = await house.table.get(job.job_id)
    await house.table.renew_lease(job.job_id, held.owner or "", 1)
    await house.queue.hide([delivery.receipt], 0)
    [done] = await desk.ended(job)
    await house.queue.send(done)
    await Attempt(house.workshop, await only_delivery(house)).run()
    report = await report_of(desk, facts(done))

    assert (2, 1) == (done.attempt, report.version)
    assert 2 == await sightings(house, report)
    assert 1 == len(await confirmations(house, desk.user))
    assert done == await house.table.get(job.job_id)


async def test_a_crop_that_is_gone_confirms_nothing(
    desk: Desk, somewhere: Place, cloud_environment: Mapping[str, str]
) -> None:
    """There is nothing left to compare: the report says so, and the job is done all the same."""
    job = await desk.done(PARKING, photo_of(CAR, at=somewhere, taken_at=NINE))
    assert job.output is not None
    await desk.house.clients.s3.delete_object(
        Bucket=cloud_environment["RESULT_BUCKET"], Key=s3_key(job.output.url or "")
    )
    report = await report_of(desk, await sighted(desk, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST)))
    [told] = await confirmations(desk.house, desk.user)

    assert (False, None) == (report.report_bool, report.similarity)
    assert "similarity" not in told


async def test_a_comparison_that_keeps_failing_costs_the_report_its_word_and_not_the_sighting(
    wired: tuple[House, Wire], user: UserId, somewhere: Place
) -> None:
    """After the third try the job is done without it, and its crop is kept: the next sighting is compared as any other."""
    house, wire = wired
    desk = Desk(house, user)
    moved = replace(CAR, x=360, y=440, width=380)
    await sighted(desk, photo_of(CAR, at=somewhere, taken_at=NINE))
    wire.fails_at = "mbedContent"
    async with others_being_served(house.gates["gemini-embedding-2"]):
        second = await desk.done(PARKING, photo_of(moved, at=somewhere, taken_at=FIVE_PAST))
    before = await report_of(desk, facts(second))
    wire.fails_at = None
    after = await report_of(desk, await sighted(desk, photo_of(moved, at=somewhere, taken_at="2026-11-20 09:10:00")))

    assert (3, False, None) == (second.attempt, before.report_bool, before.similarity)
    assert "JPEG" == (await desk.picture(second)).format
    assert (2, True) == (after.version, after.report_bool)
