"""Ends, and whatever is no change of a job, are told once more where other tasks could not be told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from jobs import clock, moves
from jobs import retelling as module
from jobs.event_log import Cursor, EventLog
from jobs.events import JobEvent, Notice, UserEvent
from jobs.ids import EventIds, UserId
from jobs.model import Job
from jobs.retelling import Retelling
from tests.jobs.ground import Ground
from tests.jobs.story import FAILURE, claim, complete, stored

EVENT_IDS = EventIds()


class Line:
    """A bus that is cut or not."""

    is_whole = False


@pytest.fixture
def line() -> Line:
    """Cut the bus."""
    return Line()


@pytest.fixture
async def retelling(ground: Ground, line: Line, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Retelling]:
    """Run one that looks often."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    running = Retelling(ground.table, line)
    running.start()
    yield running
    await running.stop()


async def ended(ground: Ground, user: UserId, retelling: Retelling) -> Job:
    """Have a job done whose events are all dropped."""
    end_watch = ground.bus.subscribe(user, lambda notice: drop(notice, retelling))
    job = await complete(ground.table, await claim(ground.table, await stored(ground.table, user)))
    end_watch()
    return job


def drop(notice: Notice, retelling: Retelling) -> None:
    """Note what was not sent."""
    if isinstance(notice, JobEvent):
        retelling.note(notice)


async def mend(line: Line, ground: Ground, job: Job) -> None:
    """Mend the line, and wait until the job's end is told."""
    told = asyncio.Event()
    ground.bus.subscribe(job.user_id, lambda notice: told.set() if tells_of(notice, job) else None)
    line.is_whole = True
    async with asyncio.timeout(5):
        await told.wait()


def tells_of(notice: Notice, job: Job) -> bool:
    """Tell whether it is an event of this job."""
    return isinstance(notice, JobEvent) and notice.job.job_id == job.job_id


async def test_an_end_is_told_again_once_the_bus_is_whole(
    ground: Ground, user: UserId, retelling: Retelling, line: Line
) -> None:
    """Once, under a fresh id, to those who watch and in the log; what came before the end is not worth it."""
    job = await ended(ground, user, retelling)
    heard: list[Notice] = []
    ground.bus.subscribe(user, heard.append)
    assert ["job.queued", "job.processing", "job.completed"] == await ground.events(job)
    await mend(line, ground, job)

    assert [job] == [notice.job for notice in heard if isinstance(notice, JobEvent)]
    assert ["job.queued", "job.processing", "job.completed", "job.completed"] == await ground.events(job)


async def test_a_job_that_is_deleted_meanwhile_keeps_nobody_from_being_told(
    ground: Ground, user: UserId, retelling: Retelling, line: Line
) -> None:
    """Its end is nobody's business any more."""
    gone = await ended(ground, user, retelling)
    await ground.table.delete(gone)
    job = await ended(ground, user, retelling)
    await mend(line, ground, job)

    assert "job.deleted" == (await ground.events(gone))[-1]


async def test_a_job_that_was_brought_back_meanwhile_has_no_end_to_tell(
    ground: Ground, user: UserId, retelling: Retelling, line: Line
) -> None:
    """The log would say that it failed, after it was queued again."""
    end_watch = ground.bus.subscribe(user, lambda notice: drop(notice, retelling))
    failure = moves.failed(FAILURE, clock.now_milliseconds(), owner="me", keeps_charge=False)
    job = await ground.table.apply(await claim(ground.table, await stored(ground.table, user)), failure)
    end_watch()
    await ground.table.apply(job, moves.brought_back(clock.now_milliseconds()))
    other = await ended(ground, user, retelling)
    await mend(line, ground, other)

    assert ["job.queued", "job.processing", "job.failed", "job.queued"] == await ground.events(job)


def confirmed(user: UserId, version: int) -> UserEvent:
    """Return an event that is no change of a job."""
    return UserEvent(
        event_id=EVENT_IDS.next(),
        user_id=user,
        type="report.confirmed",
        at=clock.now_milliseconds(),
        about="report_1",
        data={"reportId": "report_1", "version": version, "similarity": 0.93},
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in-order", "the-newer-one-found-no-room"])
async def test_what_is_no_change_of_a_job_is_told_again_as_it_was_last(
    ground: Ground, user: UserId, retelling: Retelling, line: Line, order: tuple[int, int]
) -> None:
    """Under a fresh id, in the log and to those who watch; what it was before is not worth it."""
    heard: asyncio.Queue[Notice] = asyncio.Queue()
    ground.bus.subscribe(user, heard.put_nowait)
    events = [confirmed(user, version) for version in (1, 2)]
    for index in order:
        retelling.note(events[index])
    line.is_whole = True
    async with asyncio.timeout(5):
        told = await heard.get()
    await retelling.stop()
    log = EventLog(ground.clients.dynamodb, ground.tables.events)

    assert isinstance(told, UserEvent)
    assert events[1].event_id < told.event_id
    assert events[1].data == told.data
    assert heard.empty()
    assert [told] == [event async for event in log.since(user, Cursor.at(0))]
