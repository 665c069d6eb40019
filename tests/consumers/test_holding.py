"""Leases, throttling and cancels, while a job is in hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt, Workshop
from consumers.failures import FailureClass
from consumers.gate_state import NotNow
from consumers.heartbeat import Heartbeat
from jobs import clock, moves
from jobs.aws import ATTEMPTS, Clients
from jobs.control import CancelOutcome, Control
from jobs.events import InProcessBus, JobProgress, Stage
from jobs.files import Files
from jobs.ids import UserId
from jobs.job_table import JobTable, Tables
from jobs.model import Charge, Status
from jobs.work_queue import Delivery, WorkQueue
from tests.aws_faults import HeldBackPut, Refuses, RefusesCalls
from tests.consumers.house import House, Story, open_house


@asynccontextmanager
async def short_leases(
    clients: Clients, tables: Tables, environment: Mapping[str, str], *, patience_seconds: float = 20
) -> AsyncIterator[House]:
    """Open the house with leases of three seconds."""
    async with open_house(
        clients, tables, environment, visibility_seconds=3, patience_seconds=patience_seconds
    ) as house:
        yield house


async def reaches(story: Story, stage: Stage) -> None:
    """Wait until a job is so far."""
    async with asyncio.timeout(20):
        while not any(isinstance(note, JobProgress) and note.stage is stage for note in story.notices):
            story.news.clear()
            await story.news.wait()


def elsewhere(house: House) -> Control:
    """Do an owner's will in another process, which cannot tell how far the job is."""
    bus = InProcessBus()
    return Control(JobTable(house.clients.dynamodb, house.tables, bus), house.files, house.submission, bus)


class ToldOfItsLoss(Attempt):
    """Says when it has heard that the job is not its own any more."""

    def __init__(self, workshop: Workshop, delivery: Delivery) -> None:
        super().__init__(workshop, delivery)
        self.is_told = asyncio.Event()

    def lose(self) -> None:
        """Stop, and say so."""
        super().lose()
        self.is_told.set()


async def is_told_of_its_loss(attempt: ToldOfItsLoss, heartbeat: Heartbeat) -> None:
    """Let the heart beat until the attempt has heard of it."""
    beating = asyncio.create_task(heartbeat.run())
    try:
        async with asyncio.timeout(20):
            await attempt.is_told.wait()
    finally:
        beating.cancel()
        await asyncio.wait([beating])


async def only_delivery(house: House) -> Delivery:
    """Receive the one message there is."""
    [delivery] = await house.queue.receive(1)
    return delivery


async def test_a_job_longer_than_its_visibility_runs_once(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId, photo: bytes
) -> None:
    """Three leases long; a second pool on the same queue never gets it."""
    async with short_leases(clients, tables, cloud_environment) as house:
        await house.reset_simulator()
        story = Story(house.bus, user)
        await house.submit(user, photo, "[[sim:slow=8]]")
        async with house.pool(), house.pool():
            done = await story.until("job.completed")
        calls = (await house.simulator_stats())["calls"]

    assert (1, 1) == (done.attempt, calls)
    assert 0 == done.crashes


async def test_a_worker_that_lost_its_lease_stops_working(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId, photo: bytes
) -> None:
    """Another took the job over (as after a long pause of the machine): the call is dropped, its result is never written."""
    async with short_leases(clients, tables, cloud_environment) as house:
        await house.reset_simulator()
        story = Story(house.bus, user)
        job = await house.submit(user, photo, "[[sim:slow=30]]")
        async with house.pool() as pool:
            await reaches(story, Stage.GENERATING)
            held = await house.table.get(job.job_id)
            now = clock.now_milliseconds()
            await house.table.renew_lease(job.job_id, held.owner or "", now - 1)
            taken = await house.table.apply(
                await house.table.get(job.job_id), moves.claimed("another", now + 60_000, now)
            )
            async with asyncio.timeout(10):
                await pool.stop(20)  # ends with the work in hand, which would take 30 s
        after = await house.table.get(job.job_id)
        in_flight = (await house.simulator_stats())["inFlight"]

    assert (taken.owner, Status.PROCESSING) == (after.owner, after.status)
    assert 0 == in_flight


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


async def test_throttling_burns_no_receive_and_fails_no_job(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId, photo: bytes
) -> None:
    """The model is shut for longer than any job is patient, over many receives; then it opens, and every job completes."""
    async with short_leases(clients, tables, cloud_environment, patience_seconds=0.5) as house:
        story = Story(house.bus, user)
        async with house.gate.admit(1) as permit:
            permit.failed(FailureClass.THROTTLED, 5)
        jobs = [await house.submit(user, photo, f"job {number}") for number in range(6)]
        assert not house.gate.is_open_for_fetching
        async with house.pool():
            done = [await story.until("job.completed", job.job_id) for job in jobs]
        dead = await house.messages(house.dead_letters_url)

    assert {1} == {job.attempt for job in done}
    assert "job.failed" not in story.events
    assert 0 == dead


async def test_a_job_that_finds_the_gate_shut_is_put_off_without_a_failed_try(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId, photo: bytes
) -> None:
    """The gate shuts while jobs are in hand already: they come back as delayed copies, however often, and complete."""
    async with short_leases(clients, tables, cloud_environment, patience_seconds=0.1) as house:
        story = Story(house.bus, user)
        job = await house.submit(user, photo)
        async with house.pool():
            for number in range(1, 5):
                async with house.gate.admit(5) as permit:
                    permit.failed(FailureClass.THROTTLED, 1.5)
                if number == 1:
                    await story.until("job.completed", job.job_id)
                    job = await house.submit(user, photo)
            done = await story.until("job.completed", job.job_id)
        dead = await house.messages(house.dead_letters_url)

    assert Status.COMPLETED == done.status
    assert 0 == dead


async def test_a_gate_that_will_not_open_in_time_says_so_at_once(house: House) -> None:
    """Waiting would only hold a slot."""
    async with house.gate.admit(1) as permit:
        permit.failed(FailureClass.THROTTLED, 30)
    with pytest.raises(NotNow) as caught:
        async with house.gate.admit(1):
            raise AssertionError

    assert caught.value.retry_after_seconds > 20


async def test_a_table_that_refuses_claims_burns_no_receive(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """Five claims in a row are refused, more than a message has receives; the job is done at the first that lands."""
    refusing = JobTable(cast(Any, Refuses(house.clients.dynamodb, 5 * ATTEMPTS)), house.tables, house.bus)
    workshop = replace(house.workshop, table=refusing, unclaimed_seconds=0)
    await house.submit(user, photo)
    async with replace(house, workshop=workshop).pool():
        done = await story.until("job.completed")

    assert 1 == done.attempt
    assert 0 == await house.messages(house.dead_letters_url)
    assert (1, 1) == await house.usage(user)


async def test_a_cancel_while_the_model_is_shut_is_free(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """The job is in hand, and waits at the gate: Gemini has not been called."""
    control = Control(house.table, house.files, house.submission, house.bus)
    job = await house.submit(user, photo)
    async with house.gate.admit(1) as permit:
        permit.failed(FailureClass.THROTTLED, 15)
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
    async with house.gate.admit(1) as permit:
        permit.failed(FailureClass.THROTTLED, 15)
    attempt = ToldOfItsLoss(house.workshop, await only_delivery(house))
    running = asyncio.create_task(attempt.run())
    await reaches(story, Stage.PREPARING)
    canceled = await elsewhere(house).cancel(await house.table.get(job.job_id))
    await is_told_of_its_loss(attempt, house.workshop.heartbeat)
    async with asyncio.timeout(5):
        await running

    assert (CancelOutcome.WHILE_RUNNING, False) == (canceled.outcome, canceled.given_back)
    assert replace(canceled.job, charge=Charge.RETURNED) == await house.table.get(job.job_id)
    assert (0, 0) == await house.usage(user)


async def test_a_cancel_elsewhere_while_the_model_works_is_charged(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The worker drops the call at its next beat, and Gemini is paid all the same."""
    job = await house.submit(user, photo, "[[sim:slow=30]]")
    attempt = ToldOfItsLoss(house.workshop, await only_delivery(house))
    running = asyncio.create_task(attempt.run())
    await reaches(story, Stage.GENERATING)
    canceled = await elsewhere(house).cancel(await house.table.get(job.job_id))
    await is_told_of_its_loss(attempt, house.workshop.heartbeat)
    async with asyncio.timeout(5):
        await running

    assert canceled.job == await house.table.get(job.job_id)
    assert (1, 1) == await house.usage(user)


def storing_slowly(house: House, result_bucket: str) -> tuple[House, HeldBackPut]:
    """Have results stored when they may, not before."""
    slow = HeldBackPut(house.clients.s3)
    files = Files(
        cast(Any, slow), upload_bucket=house.upload_bucket, result_bucket=result_bucket, upload_link_seconds=600
    )
    return replace(house, workshop=replace(house.workshop, files=files)), slow


async def stored_results(house: House, result_bucket: str, user: UserId) -> list[str]:
    """Name what lies in the bucket for a user."""
    listed = await house.clients.s3.list_objects_v2(Bucket=result_bucket, Prefix=f"generated/{user}/")
    return [item["Key"] for item in listed.get("Contents", [])]


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


async def test_a_claim_ends_a_job_that_has_taken_its_workers_with_it(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """Its message is gone with it."""
    await house.reset_simulator()
    job = await house.submit(user, photo)
    now = clock.now_milliseconds()
    for worker in ("first", "second", "third"):
        job = await house.table.apply(job, moves.claimed(worker, now - 1, now))
    async with house.pool() as pool:
        failed = await story.until("job.failed")
        await pool.stop(20)

    assert failed.failure is not None
    assert ("worker_lost", 3) == (failed.failure.code, failed.crashes)
    assert (0, 0) == await house.usage(user)
    assert 0 == (await house.simulator_stats())["calls"]
    assert 0 == await house.messages(house.queue_url)


async def test_a_job_may_be_put_off_for_a_day_from_the_first_time_on(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """Then it fails, and is given back."""
    job = await house.submit(user, photo)
    yesterday = clock.now_milliseconds() - clock.DAY_SECONDS * 1000 - 1
    claimed = await house.table.apply(job, moves.claimed("me", yesterday + 1000, yesterday))
    await house.table.apply(claimed, moves.put_off("me", yesterday))
    house.gate.close_until(clock.now_milliseconds() / 1000 + 100, "Closed.")
    await Attempt(house.workshop, await only_delivery(house)).run()
    failed = await story.until("job.failed")

    assert failed.failure is not None
    assert ("provider_failure", True) == (failed.failure.code, failed.failure.retryable)
    assert (0, 0) == await house.usage(user)


@pytest.mark.parametrize("name", ["receive_message", "delete_message_batch", "change_message_visibility_batch"])
async def test_a_queue_that_refuses_for_a_while_kills_nothing(
    house: House, story: Story, user: UserId, photo: bytes, name: str
) -> None:
    """Too many messages in flight, a key that KMS throttles: the pool goes on, and is there when it is over."""
    client = RefusesCalls(house.clients.sqs, name, 1)
    queue = WorkQueue(
        cast(Any, client),
        cast(Any, client),
        url=house.queue_url,
        visibility_seconds=3,
        dead_letters_url=house.dead_letters_url,
    )
    workshop = replace(house.workshop, queue=queue)
    await house.submit(user, photo, "[[sim:slow=4]]")
    async with replace(house, queue=queue, workshop=workshop).pool() as pool:
        await story.until("job.completed")
        assert not pool.failed.done()
        await pool.stop(20)

    assert 0 == client.left
    assert 0 == await house.messages(house.queue_url)
