"""A job ends while it is in hand: what it costs its owner, and what becomes of its result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt
from jobs import clock, moves
from jobs.control import Canceled, CancelOutcome, Control
from jobs.events import InProcessBus, Stage
from jobs.files import Files
from jobs.ids import UserId
from jobs.job_table import JobTable
from jobs.model import Charge, Job
from tests.aws_faults import HeldBackPut
from tests.consumers.house import House, Story
from tests.consumers.in_hand import ToldOfItsLoss, is_told_of_its_loss, only_delivery, reaches, shut_gate


def elsewhere(house: House) -> Control:
    """Do an owner's will in another process, which cannot tell how far the job is."""
    bus = InProcessBus()
    return Control(JobTable(house.clients.dynamodb, house.tables, bus), house.files, house.submission, bus)


async def cancel_elsewhere(house: House, story: Story, job: Job, stage: Stage) -> Canceled:
    """Begin to work on a job, cancel it in another process once it is so far, and let its worker hear of it and stop."""
    attempt = ToldOfItsLoss(house.workshop, await only_delivery(house))
    running = asyncio.create_task(attempt.run())
    await reaches(story, stage)
    canceled = await elsewhere(house).cancel(await house.table.get(job.job_id))
    await is_told_of_its_loss(attempt, house.workshop.heartbeat)
    async with asyncio.timeout(5):
        await running
    return canceled


async def test_a_cancel_drops_the_call_that_runs(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """The slot is free at once, the message is gone, and the charge is kept: Gemini was at work."""
    control = Control(house.table, house.files, house.submission, house.bus)
    job = await house.submit(user, photo, "[[sim:slow=30]]")
    async with house.pool(slots=1) as pool:
        await reaches(story, Stage.GENERATING)
        canceled = await control.cancel(await house.table.get(job.job_id))
        async with asyncio.timeout(5):
            await pool.stop(20)  # ends with the work in hand, which would take 30 s
    again = await control.cancel(await house.table.get(job.job_id))

    assert (CancelOutcome.WHILE_RUNNING, False) == (canceled.outcome, canceled.given_back)
    assert CancelOutcome.ALREADY_CANCELED == again.outcome
    assert "job.canceled" == story.events[-1]
    assert (1, 1) == await house.usage(user)
    assert 0 == await house.messages(house.queue_url)


async def test_a_cancel_while_the_model_is_shut_is_free(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """The job is in hand, and waits at the gate: Gemini has not been called."""
    control = Control(house.table, house.files, house.submission, house.bus)
    job = await house.submit(user, photo)
    await shut_gate(house, 15)
    running = asyncio.create_task(Attempt(house.workshop, await only_delivery(house)).run())
    await reaches(story, Stage.PREPARING)
    canceled = await control.cancel(await house.table.get(job.job_id))
    async with asyncio.timeout(5):
        await running

    assert (CancelOutcome.WHILE_RUNNING, True) == (canceled.outcome, canceled.given_back)
    assert (0, 0) == await house.usage(user)


async def test_a_cancel_elsewhere_while_the_model_is_shut_is_free_a_moment_later(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The answer says that the charge is kept; the worker, at its next beat, gives back what it has not used."""
    job = await house.submit(user, photo)
    await shut_gate(house, 15)
    canceled = await cancel_elsewhere(house, story, job, Stage.PREPARING)

    assert (CancelOutcome.WHILE_RUNNING, False) == (canceled.outcome, canceled.given_back)
    assert replace(canceled.job, charge=Charge.RETURNED) == await house.table.get(job.job_id)
    assert (0, 0) == await house.usage(user)


async def test_a_cancel_elsewhere_while_the_model_works_is_charged(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The worker drops the call at its next beat, and Gemini is paid all the same."""
    job = await house.submit(user, photo, "[[sim:slow=30]]")
    canceled = await cancel_elsewhere(house, story, job, Stage.GENERATING)

    assert canceled.job == await house.table.get(job.job_id)
    assert (1, 1) == await house.usage(user)


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


async def stored_results(house: House, result_bucket: str, user: UserId) -> list[str]:
    """Name what lies in the bucket for a user."""
    listed = await house.clients.s3.list_objects_v2(Bucket=result_bucket, Prefix=f"generated/{user}/")
    return [item["Key"] for item in listed.get("Contents", [])]


async def test_a_result_that_is_stored_while_its_job_is_canceled_is_taken_away(
    house: House, story: Story, user: UserId, photo: bytes, cloud_environment: Mapping[str, str]
) -> None:
    """The upload is not cut in its middle, for nobody could tell then whether it still lands."""
    bucket = cloud_environment["RESULT_BUCKET"]
    held, slow = storing_slowly(house, bucket)
    control = Control(house.table, house.files, house.submission, house.bus)
    job = await house.submit(user, photo)
    async with held.pool(slots=1) as pool:
        async with asyncio.timeout(20):
            await slow.reached.wait()
        await control.cancel(await house.table.get(job.job_id))
        slow.go.set()
        await pool.stop(20)

    assert slow.landed
    assert [] == await stored_results(house, bucket, user)
    assert "job.canceled" == story.events[-1]


@pytest.mark.parametrize("wish", ["cancel", "delete"])
async def test_a_result_that_is_stored_while_its_job_is_ended_elsewhere_is_taken_away(
    house: House, user: UserId, photo: bytes, cloud_environment: Mapping[str, str], wish: str
) -> None:
    """The heart notices it during the upload; the message stays for another receive, and goes with it."""
    bucket = cloud_environment["RESULT_BUCKET"]
    held, slow = storing_slowly(house, bucket)
    job, acknowledger = await house.submit(user, photo), Acknowledger(house.queue)
    workshop = replace(held.workshop, acknowledger=acknowledger)
    delivery = await only_delivery(house)
    attempt = ToldOfItsLoss(workshop, delivery)
    running = asyncio.create_task(attempt.run())
    async with asyncio.timeout(20):
        await slow.reached.wait()
    control, current = elsewhere(house), await house.table.get(job.job_id)
    await (control.cancel(current) if wish == "cancel" else control.delete(current))
    await is_told_of_its_loss(attempt, workshop.heartbeat)
    slow.go.set()
    await running
    await house.queue.hide([delivery.receipt], 0)
    await Attempt(workshop, await only_delivery(house)).run()
    acknowledger.close()
    await acknowledger.run()

    assert 1 == slow.landed
    assert [] == await stored_results(house, bucket, user)
    assert 0 == await house.messages(house.queue_url) + await house.messages(house.dead_letters_url)


@pytest.mark.parametrize(
    ("prompt", "event", "left"), [("", "job.completed", [".png"]), ("[[sim:safety]]", "job.failed", [])]
)
async def test_a_second_try_takes_away_what_the_first_one_stored(
    house: House,
    story: Story,
    user: UserId,
    photo: bytes,
    cloud_environment: Mapping[str, str],
    prompt: str,
    event: str,
    left: list[str],
) -> None:
    """The first worker stored a JPEG and was lost before it could say so; the second has a PNG, or nothing."""
    bucket, key = cloud_environment["RESULT_BUCKET"], f"generated/{user}/"
    job, now = await house.submit(user, photo, prompt), clock.now_milliseconds()
    await house.table.apply(job, moves.claimed("lost", now - 1, now))
    await house.clients.s3.put_object(Bucket=bucket, Key=f"{key}{job.job_id}.jpg", Body=b"a picture")
    await house.clients.s3.put_object(Bucket=bucket, Key=f"{key}{job.job_id}0.jpg", Body=b"another job's")
    async with house.pool() as pool:
        await story.until(event)
        await pool.stop(20)

    assert [f"{key}{job.job_id}{end}" for end in [*left, "0.jpg"]] == await stored_results(house, bucket, user)
