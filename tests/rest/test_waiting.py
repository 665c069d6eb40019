"""Waiting for a job's end when the bus is not what it should be, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self, cast

import pytest

from jobs.errors import JobNotFound
from jobs.events import EventType, InProcessBus, JobEvent
from jobs.ids import EventId, JobId, UserId
from jobs.job_reader import JobReader
from jobs.model import Job, Status
from jobs.waiting import Waiting
from tests.rest.api import WAIT_SECONDS, Api, claim, complete

pytestmark = pytest.mark.asyncio(loop_scope="session")


class OtherBus(InProcessBus):
    """The bus of another task: what is published elsewhere is not heard here."""

    def __init__(self, *, is_whole: bool = True) -> None:
        super().__init__()
        self.is_whole = is_whole
        self.heals: list[Callable[[UserId], None]] = []

    def on_gap(self, heal: Callable[[UserId], None]) -> None:
        self.heals.append(heal)


async def waits(waiting: Waiting, job: Job, seconds: float = 20) -> asyncio.Task[Job]:
    """Begin to wait, until it has been seen how the job is."""
    task = asyncio.create_task(waiting.ended(job, seconds), name="wait")
    async with asyncio.timeout(WAIT_SECONDS):
        while not _has_begun(waiting):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # the read that has begun ends
    return task


def _has_begun(waiting: Waiting) -> bool:
    vigils = [vigil for of_user in waiting._vigils.values() for vigil in of_user]
    return bool(vigils) and not any(vigil.must_read for vigil in vigils)


async def a_job(api: Api) -> Job:
    """Start a job."""
    return await api.stored(await api.started())


class Reads:
    """Counts the single reads that reach DynamoDB."""

    def __init__(self, api: Api) -> None:
        self.count = 0
        self._events = api.clients.dynamodb.meta.events

    def __enter__(self) -> Self:
        self._events.register("before-call.dynamodb.GetItem", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._events.unregister("before-call.dynamodb.GetItem", self._note)

    def _note(self, **_: object) -> None:
        self.count += 1


async def test_waiting_asks_once_and_is_told_the_rest(api: Api) -> None:
    """However long it takes."""
    bus = InProcessBus()
    waiting, job = Waiting(api.services.jobs, bus, look_seconds=0.01), await a_job(api)
    done = replace(job, status=Status.COMPLETED, version=job.version + 2)
    with Reads(api) as reads:
        task = await waits(waiting, job)
        await asyncio.sleep(0.1)
        bus.publish(JobEvent(event_id=EventId("1"), type=EventType.COMPLETED, at=1, job=done))

        assert done == await task
        assert reads.count == 1


async def test_what_is_told_of_the_past_ends_nothing(api: Api) -> None:
    """A failed job that was brought back lives, though its failure is told once more; nor does another job's end count."""
    bus, job = InProcessBus(), replace(await a_job(api), version=9)
    waiting = Waiting(api.services.jobs, bus)
    task = asyncio.create_task(waiting.ended(job, 0.5))
    await asyncio.sleep(0.2)
    old = replace(job, status=Status.FAILED, version=4)
    others = replace(job, job_id=JobId(await api.started()), status=Status.COMPLETED, version=99)
    for each in (old, others):
        bus.publish(JobEvent(event_id=EventId("1"), type=EventType.FAILED, at=1, job=each))

    assert Status.QUEUED is (await task).status


async def test_an_end_that_came_before_the_waiting_is_seen(api: Api) -> None:
    """The caller may know the job as it was a moment ago."""
    job = await a_job(api)
    await complete(api.services.jobs, job)
    waiting = Waiting(api.services.jobs, InProcessBus())
    async with asyncio.timeout(WAIT_SECONDS):
        ended = await waiting.ended(job, 20)

    assert Status.COMPLETED is ended.status


async def test_while_the_bus_is_cut_the_table_is_read(api: Api) -> None:
    """Every couple of seconds."""
    waiting = Waiting(api.services.jobs, OtherBus(is_whole=False), look_seconds=0.05)
    job = await a_job(api)
    task = await waits(waiting, job)
    await complete(api.services.jobs, job)
    async with asyncio.timeout(WAIT_SECONDS):
        assert Status.COMPLETED is (await task).status


async def test_a_gap_in_what_was_told_is_looked_into(api: Api) -> None:
    """When the bus says that it may have missed something of this user."""
    bus = OtherBus()
    waiting, job = Waiting(api.services.jobs, bus), await a_job(api)
    task = await waits(waiting, job)
    await complete(api.services.jobs, job)
    for heal in bus.heals:
        heal(UserId("somebody else"))
        heal(job.user_id)
    async with asyncio.timeout(WAIT_SECONDS):
        assert Status.COMPLETED is (await task).status


async def test_the_end_of_the_time_is_seen_as_it_is(api: Api) -> None:
    """Although nobody told of it."""
    waiting, job = Waiting(api.services.jobs, OtherBus()), await a_job(api)
    task = await waits(waiting, job, seconds=0.5)
    claimed = await claim(api.services.jobs, job)

    assert (Status.PROCESSING, claimed.version) == ((ended := await task).status, ended.version)


async def test_a_deleted_job_is_not_found(api: Api) -> None:
    """Be it told, or found so."""
    bus, job = InProcessBus(), await a_job(api)
    task = await waits(Waiting(api.services.jobs, bus), job)
    deleted = replace(job, status=Status.CANCELED, version=job.version + 2)
    bus.publish(JobEvent(event_id=EventId("1"), type=EventType.DELETED, at=1, job=deleted))
    await api.delete(f"/jobs/{job.job_id}")

    for waiting in (task, Waiting(api.services.jobs, bus).ended(job, 20)):
        with pytest.raises(JobNotFound):
            await waiting


async def test_a_table_that_cannot_be_read_makes_no_error(api: Api) -> None:
    """The job was taken in; what is told of it is told all the same."""
    job = await a_job(api)
    bus = InProcessBus()
    waiting = Waiting(JobReader(cast(Any, Unreachable()), api.tables), bus, look_seconds=0.05)
    late = await waiting.ended(job, 0.3)
    task = asyncio.create_task(waiting.ended(job, 20))
    await asyncio.sleep(0.2)
    done = replace(job, status=Status.COMPLETED, version=job.version + 2)
    bus.publish(JobEvent(event_id=EventId("1"), type=EventType.COMPLETED, at=1, job=done))

    assert (job, done) == (late, await task)


async def test_no_more_wait_than_may(api: Api) -> None:
    """The others are answered at once."""
    waiting, job = Waiting(api.services.jobs, InProcessBus(), most_at_once=1), await a_job(api)
    task = await waits(waiting, job)
    async with asyncio.timeout(1):
        assert job == await waiting.ended(job, 20)
    waiting.close()

    assert job.job_id == (await task).job_id
    assert waiting.count == 0


async def test_nothing_is_left_of_a_caller_that_is_canceled(api: Api) -> None:
    """No watcher, no vigil."""
    bus, job = InProcessBus(), await a_job(api)
    waiting = Waiting(api.services.jobs, bus)
    task = await waits(waiting, job)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert (0, {}, {}) == (waiting.count, waiting._vigils, bus._watchers)


class Unreachable:
    """A DynamoDB that nobody answers for."""

    async def get_item(self, **_: object) -> None:
        raise OSError("no route to host")
