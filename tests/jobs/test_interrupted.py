"""Callers that go away in the midst of a write."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from jobs import clock, moves
from jobs.events import Event, EventType, InProcessBus, JobEvent
from jobs.ids import UserId
from jobs.job_table import JobTable
from jobs.model import Status
from tests.aws_faults import AnswersLate
from tests.jobs.ground import PLENTY, Ground
from tests.jobs.story import new_job


async def test_a_commit_whose_caller_has_gone_is_told_all_the_same(ground: Ground, user: UserId) -> None:
    """Interleaving: a cancel over a socket, committed, the socket ends, answered. Its owner's other clients wait for it."""
    job = await ground.table.create(new_job(user), PLENTY)
    late, bus = AnswersLate(ground.clients.dynamodb), InProcessBus()
    told: list[JobEvent] = []
    offered: list[str] = []

    async def offer(event: Event) -> None:
        offered.append(event.type)

    bus.subscribe(job.user_id, lambda notice: told.append(cast(JobEvent, notice)))
    table = JobTable(cast(Any, late), ground.tables, bus, offer)
    canceling = asyncio.create_task(table.apply(job, moves.canceled_if(lambda _: False, clock.now_milliseconds())))
    await late.committed.wait()
    canceling.cancel()
    await asyncio.wait([canceling])
    late.go.set()
    await table.writes.close()

    assert canceling.cancelled()
    assert [EventType.CANCELED] == [event.type for event in told] == offered
    assert (await ground.table.get(job.job_id)).status is Status.CANCELED


async def test_what_is_not_answered_holds_up_the_end_for_some_seconds_only(ground: Ground, user: UserId) -> None:
    """Whoever stops the process has given it a time."""
    job = await ground.table.create(new_job(user), PLENTY)
    late = AnswersLate(ground.clients.dynamodb)
    table = JobTable(cast(Any, late), ground.tables, InProcessBus())
    canceling = asyncio.create_task(table.apply(job, moves.canceled_if(lambda _: False, clock.now_milliseconds())))
    await late.committed.wait()
    async with asyncio.timeout(10):
        await table.writes.close()
    await asyncio.wait([canceling])

    assert canceling.cancelled()
