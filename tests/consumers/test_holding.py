"""Leases, throttling and refusals, while a job is in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias, cast

import pytest

from consumers.attempt import Attempt
from consumers.gate_state import NotNow
from jobs import clock, moves
from jobs.aws import ATTEMPTS, Clients
from jobs.events import Stage
from jobs.ids import UserId
from jobs.job_table import JobTable, Tables
from jobs.model import Status
from jobs.work_queue import WorkQueue
from tests.aws_faults import Refuses, RefusesCalls
from tests.consumers.house import House, Story, open_house
from tests.consumers.in_hand import only_delivery, reaches, shut_gate

OpenHouse: TypeAlias = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def short_leases(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> OpenHouse:
    """Open a house with leases of three seconds."""
    return partial(open_house, clients, tables, cloud_environment, visibility_seconds=3)


async def test_a_job_longer_than_its_visibility_runs_once(short_leases: OpenHouse, user: UserId, photo: bytes) -> None:
    """Three leases long; a second pool on the same queue never gets it."""
    async with short_leases() as house:
        await house.reset_simulator()
        story = Story(house.bus, user)
        await house.submit(user, photo, "[[sim:slow=8]]")
        async with house.pool(), house.pool():
            done = await story.until("job.completed")
        calls = (await house.simulator_stats())["calls"]

    assert (1, 1) == (done.attempt, calls)
    assert 0 == done.crashes


async def test_a_worker_that_lost_its_lease_stops_working(short_leases: OpenHouse, user: UserId, photo: bytes) -> None:
    """Another took the job over (as after a long pause of the machine): the call is dropped, its result is never written."""
    async with short_leases() as house:
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


async def test_throttling_burns_no_receive_and_fails_no_job(
    short_leases: OpenHouse, user: UserId, photo: bytes
) -> None:
    """The model is shut for longer than any job is patient, over many receives; then it opens, and every job completes."""
    async with short_leases(patience_seconds=0.5) as house:
        story = Story(house.bus, user)
        await shut_gate(house, 5)
        jobs = [await house.submit(user, photo, f"job {number}") for number in range(6)]
        assert not house.gate.is_open_for_fetching
        async with house.pool():
            done = [await story.until("job.completed", job.job_id) for job in jobs]
        dead = await house.messages(house.dead_letters_url)

    assert {1} == {job.attempt for job in done}
    assert "job.failed" not in story.events
    assert 0 == dead


async def test_a_job_that_finds_the_gate_shut_is_put_off_without_a_failed_try(
    short_leases: OpenHouse, user: UserId, photo: bytes
) -> None:
    """The gate shuts while jobs are in hand already: they come back as delayed copies, however often, and complete."""
    async with short_leases(patience_seconds=0.1) as house:
        story = Story(house.bus, user)
        job = await house.submit(user, photo)
        async with house.pool():
            for number in range(1, 5):
                await shut_gate(house, 1.5)
                if number == 1:
                    await story.until("job.completed", job.job_id)
                    job = await house.submit(user, photo)
            done = await story.until("job.completed", job.job_id)
        dead = await house.messages(house.dead_letters_url)

    assert Status.COMPLETED == done.status
    assert 0 == dead


async def test_a_gate_that_will_not_open_in_time_says_so_at_once(house: House) -> None:
    """Waiting would only hold a slot."""
    await shut_gate(house, 30)
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
