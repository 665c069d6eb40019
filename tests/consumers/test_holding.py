"""Leases, throttling and cancels, while a job is in hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from consumers.failures import FailureClass
from consumers.gate_state import NotNow
from jobs import clock, moves
from jobs.aws import ATTEMPTS, Clients
from jobs.control import CancelOutcome, Control
from jobs.events import JobProgress, Stage
from jobs.ids import UserId
from jobs.job_table import JobTable, Tables
from jobs.model import Status
from tests.aws_faults import Refuses
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


async def calls_gemini(story: Story) -> None:
    """Wait until a job is in Gemini's hands."""
    async with asyncio.timeout(20):
        while not any(isinstance(note, JobProgress) and note.stage is Stage.GENERATING for note in story.notices):
            story.news.clear()
            await story.news.wait()


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
            await calls_gemini(story)
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
        await calls_gemini(story)
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
