"""One photo is one sighting, whoever sends it and whatever is said of it; and what is shown of it outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from jobs.actions import Tables
from jobs.aws import Clients
from jobs.ids import UserId, new_job_id
from tests.jobs.parking_lot import Lot, open_lot, span


@pytest.fixture
def lot(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> Lot:
    """Open a lot."""
    return open_lot(clients, tables, cloud_environment)


@pytest.fixture
def other() -> UserId:
    """Name another user nobody has seen."""
    return UserId(str(uuid4()))


async def test_a_photo_is_no_second_sighting_of_itself(lot: Lot, user: UserId) -> None:
    """A second job says that the same photo was taken at another time, or crops it anew: the first account stays."""
    first = lot.sighting(user, 0)
    again = replace(lot.sighting(user, 3600), photo=first.photo)
    results = [await lot.record(one) for one in (first, again)]
    report = await lot.record(lot.sighting(user, 300))

    assert [None, None] == results
    assert report is not None
    assert ((0, 300), first.capture_time) == (span(report), report.first.capture_time)
    assert report == await lot.record(again)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_url": "s3://uploads/under/another/key.jpg"},
        {"plate": str(uuid4())},
        {"latitude": Decimal("37.9")},
        {"longitude": Decimal("-126.9")},
        {"capture_time": "2026-11-20 11:00:00"},
    ],
)
async def test_a_photo_is_one_sighting_wherever_it_is_said_to_be(
    lot: Lot, user: UserId, changes: Mapping[str, Any]
) -> None:
    """Uploaded twice, or placed twice: the second finds the first, and its report; nothing is kept of the other place."""
    first = lot.sighting(user, 0)
    again = replace(lot.sighting(user, 0, **changes), photo=first.photo)
    results = [await lot.record(one) for one in (first, again)]
    report = await lot.reported(user, 300)
    kept = await lot.rows(first.place_plate)

    assert [None, None] == results
    assert [first.captured_at] == [row["capturedAt"] for row in kept if row["captureTime"] == first.capture_time]
    assert (2, 0) == (
        len(kept),
        0 if again.place_plate == first.place_plate else len(await lot.rows(again.place_plate)),
    )
    assert report == await lot.record(again)


async def test_another_users_copy_of_a_photo_is_no_sighting(lot: Lot, user: UserId, other: UserId) -> None:
    """It is the first one's: the other gets no report, and no word in one; nor does his crop take the place of the first's."""
    first = lot.sighting(user, 0)
    await lot.record(first)
    stolen = replace(lot.sighting(other, 300), photo=first.photo)
    results = [await lot.record(stolen)]
    report = await lot.reported(user, 300)
    results.append(await lot.record(stolen))

    assert [None, None] == results
    assert ((user,), first) == (report.owners, report.first)
    assert [] == await lot.told(other)


async def test_one_photo_at_once_in_two_places_is_in_one(lot: Lot, user: UserId, other: UserId) -> None:
    """Two users, two places, twenty times: only one of each two is kept."""

    async def meet() -> int:
        first = lot.sighting(user, 0)
        elsewhere = replace(lot.sighting(other, 0, latitude=Decimal("37.9")), photo=first.photo, plate=f"{uuid4()}")
        await asyncio.gather(lot.record(first), lot.record(elsewhere))
        rows = [*await lot.rows(first.place_plate), *await lot.rows(elsewhere.place_plate)]
        return sum(row["photo"] == first.photo for row in rows)

    assert [1] * 20 == await asyncio.gather(*(meet() for _ in range(20)))


async def test_a_photo_that_is_sent_again_brings_its_crop(lot: Lot, user: UserId) -> None:
    """Its first job was canceled, and the crop went with it: what is compared is what its second job has made."""
    first = lot.sighting(user, 0)
    again = replace(
        first,
        job_id=new_job_id(),
        cropped_url="s3://results/again.jpg",
        vehicle_in_crop=None,
        device_id="phone-2",
        plate=str(uuid4()),
    )
    lot.eye.gone.add(first.cropped_url)
    await lot.record(first)
    await lot.record(again)
    report = await lot.reported(user, 300)

    assert [(again.cropped_url, report.last.cropped_url)] == lot.eye.crops
    assert replace(again, device_id=first.device_id, plate=first.plate) == report.first
    assert report.similarity == lot.eye.similarity


async def test_a_crop_that_comes_too_late_is_still_compared(lot: Lot, user: UserId) -> None:
    """The report had to do without; its next version does not. A copy that it has already is not made again."""
    first = lot.sighting(user, 0)
    lot.eye.gone.add(first.cropped_url)
    await lot.record(first)
    before = await lot.reported(user, 300)
    after = await lot.record(replace(first, job_id=new_job_id(), cropped_url="s3://results/again.jpg"))

    assert (1, None, None, f"s3://copies/{before.last.photo}") == (
        before.version,
        before.similarity,
        before.first_copy,
        before.last_copy,
    )
    assert after is not None
    assert (2, 0.93, True, f"s3://copies/{first.photo}") == (
        after.version,
        after.similarity,
        after.report_bool,
        after.first_copy,
    )
    assert before.last_copy == after.last_copy
    assert after == await lot.reports().get(after.report_id, user)
    assert [1, 2] == await lot.told(user)


async def test_a_comparison_that_came_to_nothing_is_made_up_for(lot: Lot, user: UserId) -> None:
    """By any later sighting there, or the same one again; nothing is told until there is something to tell."""
    lot.eye.similarity = None
    made = await lot.reported(user, 0, 300)
    same = [await lot.record(made.last), await lot.reported(user, 150)]
    lot.eye.similarity = 0.95
    report = await lot.reported(user, 160)
    settled = await lot.reported(user, 170)

    assert [made, made] == same
    assert (2, 0.95, True) == (report.version, report.similarity, report.report_bool)
    assert report == settled
    assert [(0, 300)] * 4 == lot.eye.seen
    assert [1, 2] == await lot.told(user)


async def test_copies_outlive_what_they_were_made_of(lot: Lot, user: UserId) -> None:
    """The crops are gone with their jobs when the report changes: it is shown, and compared, by its own."""
    made = await lot.reported(user, 0, 300)
    lot.eye.gone |= {made.first.cropped_url, made.last.cropped_url}
    report = await lot.reported(user, 600)

    assert (made.first_copy, 0.93) == (report.first_copy, report.similarity)
    assert f"s3://copies/{report.last.photo}" == report.last_copy
