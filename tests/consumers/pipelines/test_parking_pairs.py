"""Two photos of one car in one place: the report that they make, once, and who is told of it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from consumers.attempt import Attempt
from jobs.control import Control
from jobs.event_log import Cursor, EventLog
from jobs.events import UserEvent
from jobs.ids import UserId
from jobs.items import s3_key
from jobs.model import JSON, Job, Output
from jobs.parking import Report
from tests.consumers.house import House
from tests.consumers.in_hand import only_delivery
from tests.consumers.pipelines.desk import Desk, facts, others_being_served
from tests.consumers.pipelines.parking import CAR, FIVE_PAST, NINE, PARKING, PLATE, SIZE, Place, photo_of, sighted
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


async def test_whoever_adds_nothing_to_a_report_is_not_shown_it(desk: Desk, somewhere: Place) -> None:
    """A stranger's sighting between the two: it is one, and the report is others'."""
    for time in (NINE, "2026-11-20 09:10:00"):
        await sighted(desk, photo_of(CAR, place=3, at=somewhere, taken_at=time))
    stranger = Desk(desk.house, UserId(f"{desk.user}-stranger"))
    between = await sighted(stranger, photo_of(CAR, place=3, at=somewhere, taken_at=FIVE_PAST))

    assert "sighting" == between["outcome"]
    assert "reportId" not in between
    assert [] == await confirmations(desk.house, stranger.user)


async def sightings(house: House, report: Report) -> int:
    """Count what is kept of a car in a place."""
    answer = await house.clients.dynamodb.query(
        TableName=house.reports._sightings._table,
        KeyConditionExpression="placePlate = :place",
        ExpressionAttributeValues={":place": report.first.place_plate},
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


async def test_one_photo_is_one_sighting_under_whatever_key(desk: Desk, somewhere: Place) -> None:
    """The same bytes twice, the second time said to be of later: there is no second photo for a report."""
    photo = photo_of(CAR, at=somewhere, taken_at=NINE)
    later: dict[str, JSON] = {
        "latitude": float(somewhere[0]),
        "longitude": float(somewhere[1]),
        "captureTime": FIVE_PAST,
    }
    first, again = await sighted(desk, photo), await sighted(desk, photo, **later, givenFirst=True)
    report = await report_of(desk, await sighted(desk, photo_of(CAR, at=somewhere, taken_at="2026-11-20 09:10:00")))

    assert ["sighting"] * 2 == [first["outcome"], again["outcome"]]
    assert "reportId" not in again
    assert (NINE, 2) == (report.first.capture_time, await sightings(desk.house, report))


async def delete(desk: Desk, job: Job) -> None:
    """Delete a job, and with it its crop."""
    house = desk.house
    await Control(house.table, house.files, house.submission, house.bus).delete(job)


async def test_a_crop_that_is_gone_confirms_nothing(desk: Desk, somewhere: Place) -> None:
    """There is nothing left to compare: the report says so, and the job is done all the same."""
    await delete(desk, await desk.done(PARKING, photo_of(CAR, at=somewhere, taken_at=NINE)))
    report = await report_of(desk, await sighted(desk, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST)))
    [told] = await confirmations(desk.house, desk.user)

    assert (False, None, None) == (report.report_bool, report.similarity, report.first_copy)
    assert report.last_copy is not None
    assert "similarity" not in told


async def test_a_photo_that_is_sent_again_is_compared_after_all(desk: Desk, somewhere: Place) -> None:
    """Its first job was deleted, and the report went without it."""
    photo = photo_of(CAR, at=somewhere, taken_at=NINE)
    await delete(desk, await desk.done(PARKING, photo))
    before = await report_of(desk, await sighted(desk, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST)))
    report = await report_of(desk, await sighted(desk, photo))

    assert (None, 1, 2) == (before.similarity, before.version, report.version)
    assert report.report_bool
    assert report.first_copy is not None
    assert [1, 2] == [told["version"] for told in await confirmations(desk.house, desk.user)]


async def test_a_report_has_crops_of_its_own(
    desk: Desk, somewhere: Place, cloud_environment: Mapping[str, str]
) -> None:
    """They name nobody, know nothing, and stay when both jobs are deleted: the next photo is compared with them."""
    other = Desk(desk.house, UserId(f"{desk.user}-other"))
    first = await desk.done(PARKING, photo_of(CAR, at=somewhere, taken_at=NINE), metadata={"said": "secret"})
    second = await other.done(PARKING, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST))
    report = await report_of(desk, facts(second))
    await delete(desk, first)
    await delete(other, second)
    for url in (report.first_copy, report.last_copy):
        key = s3_key(url or "")
        stored = await desk.house.clients.s3.get_object(Bucket=cloud_environment["RESULT_BUCKET"], Key=key)
        async with stored["Body"] as body:
            copy = Image.open(io.BytesIO(await body.read()))
        assert key.startswith(f"evidence/{report.report_id}/")
        assert desk.user not in key
        assert ({}, "image/jpeg") == (stored["Metadata"], stored["ContentType"])
        assert ("JPEG", 0) == (copy.format, len(copy.getexif()))
        assert (1000, 712) == pytest.approx(copy.size, abs=4)
    wider = await report_of(desk, await sighted(desk, photo_of(CAR, at=somewhere, taken_at="2026-11-20 09:10:00")))

    assert (2, True, report.first_copy) == (wider.version, wider.report_bool, wider.first_copy)


async def test_a_given_crop_is_drawn_anew_for_its_report(
    desk: Desk, somewhere: Place, cloud_environment: Mapping[str, str]
) -> None:
    """Whatever it knows of its owner stays with him."""
    crop: JSON = {"url": await desk.upload(photo_of(CAR, at=somewhere, taken_at=NINE, held=6), {"owner": "me"})}
    await sighted(desk, photo_of(CAR, at=somewhere, taken_at=NINE), crop=crop)
    report = await report_of(desk, await sighted(desk, photo_of(CAR, at=somewhere, taken_at=FIVE_PAST)))
    stored = await desk.house.clients.s3.get_object(
        Bucket=cloud_environment["RESULT_BUCKET"], Key=s3_key(report.first_copy or "")
    )
    async with stored["Body"] as body:
        copy = Image.open(io.BytesIO(await body.read()))

    assert ({}, 0, SIZE) == (stored["Metadata"], len(copy.getexif()), copy.size)


async def test_a_comparison_that_keeps_failing_costs_the_report_its_word_and_not_the_sighting(
    wired: tuple[House, Wire], user: UserId, somewhere: Place
) -> None:
    """After the third try the job is done without it, and its crop is kept: the next sighting makes up for it."""
    house, wire = wired
    desk = Desk(house, user)
    moved = replace(CAR, x=360, y=440, width=380)
    await sighted(desk, photo_of(CAR, at=somewhere, taken_at=NINE))
    wire.fails_at = "mbedContent"
    async with others_being_served(house.gates["gemini-embedding-2"]):
        second = await desk.done(PARKING, photo_of(moved, at=somewhere, taken_at=FIVE_PAST))
    before = await report_of(desk, facts(second))
    wire.fails_at = None
    after = await report_of(desk, await sighted(desk, photo_of(moved, at=somewhere, taken_at="2026-11-20 09:02:00")))

    assert (3, False, None) == (second.attempt, before.report_bool, before.similarity)
    assert "JPEG" == (await desk.picture(second)).format
    assert (2, True, before.pair) == (after.version, after.report_bool, after.pair)
    assert (before.first_copy, before.last_copy) == (after.first_copy, after.last_copy)
