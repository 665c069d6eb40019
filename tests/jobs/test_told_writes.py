"""Changes of whatever kind, told to all whom they concern in one transaction."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from jobs import clock, told_writes
from jobs.actions import Action, Actions
from jobs.aws import Clients
from jobs.errors import CloudUnavailable
from jobs.event_log import Cursor, EventLog
from jobs.events import Event, EventType, InProcessBus, JobEvent, Notice, UserEvent
from jobs.ids import UserId
from jobs.job_table import Tables
from jobs.told_writes import News, ToldWrites
from tests.aws_faults import AnswersLate, Refuses
from tests.jobs.story import new_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Two users who are to be told, and all they were told."""

    clients: Clients
    tables: Tables
    users: tuple[UserId, UserId]
    bus: InProcessBus
    heard: list[Notice]
    offered: list[Event]

    def writes(self, client: object | None = None) -> ToldWrites:
        """Open what writes, on a client that misbehaves if need be."""

        async def offer(event: Event) -> None:
            self.offered.append(event)

        return ToldWrites(
            cast(Any, client or self.clients.dynamodb),
            Actions(self.tables),
            self.tables.events,
            self.bus,
            offer,
        )

    def change(self) -> Action:
        """Store something that is there once."""
        thing = {"userId": f"thing of {self.users[0]}"}
        condition = "attribute_not_exists(userId)"
        return {"Put": {"TableName": self.tables.users, "Item": thing, "ConditionExpression": condition}}

    def news(self) -> list[News]:
        """Tell both of it."""
        return [confirmed(user) for user in self.users]

    async def logged(self) -> list[list[Event]]:
        """Read what the log of each has."""
        log, start = EventLog(self.clients.dynamodb, self.tables.events), Cursor.at(0)
        return [[event async for event in log.since(user, start)] for user in self.users]


@pytest.fixture
def scene(clients: Clients, tables: Tables, user: UserId) -> Scene:
    """Watch two users."""
    users, bus = (user, UserId(str(uuid.uuid4()))), InProcessBus()
    heard: list[Notice] = []
    for one in users:
        bus.subscribe(one, heard.append)
    return Scene(clients=clients, tables=tables, users=users, bus=bus, heard=heard, offered=[])


def confirmed(user: UserId) -> News:
    """Tell a user of something that is no change of a job."""
    return lambda event_id, at: UserEvent(
        event_id=event_id,
        user_id=user,
        type="report.confirmed",
        at=at,
        about="report_1",
        data={"reportId": "report_1", "version": 1, "latitude": 37.5665, "deep": [{"is": True, "none": None}]},
    )


async def test_two_users_are_told_of_one_change(scene: Scene) -> None:
    """In the log of each and where they watch, the very same; whoever offers webhooks gets both."""
    await scene.writes().write([scene.change()], *scene.news())

    assert list(scene.users) == [notice.user_id for notice in scene.heard]
    assert [[event] for event in scene.heard] == await scene.logged()
    assert scene.heard == scene.offered


async def test_what_is_refused_is_told_to_nobody(scene: Scene) -> None:
    """Neither by the log; the second change of the two is none."""
    await scene.writes().write([scene.change()], *scene.news())
    with pytest.raises(ClientError):
        await scene.writes().write([scene.change()], *scene.news())

    assert [1, 1] == [len(events) for events in await scene.logged()]
    assert 2 == len(scene.heard)


async def test_what_must_be_tried_again_is_told_to_nobody_yet(scene: Scene) -> None:
    """Others write there just now: the caller tries again, under fresh ids."""
    with pytest.raises(CloudUnavailable):
        await scene.writes(Refuses(scene.clients.dynamodb, 1)).write([scene.change()], *scene.news())

    assert [[], []] == await scene.logged()
    assert [] == scene.heard == scene.offered


async def test_a_late_commit_is_logged_once_more_for_each(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers may have passed both; those who watch are told once, under the fresh ids."""
    monkeypatch.setattr(told_writes, "LATE_COMMIT_SECONDS", 0.0)
    await scene.writes().write([scene.change()], *scene.news())
    logged = await scene.logged()

    assert scene.heard == [events[-1] for events in logged] == scene.offered
    for first, second in logged:
        assert first.event_id < second.event_id
        assert replace(second, event_id=first.event_id, at=first.at) == first


async def test_all_are_told_although_the_caller_has_gone(scene: Scene) -> None:
    """Interleaving: committed, canceled, answered."""
    late = AnswersLate(scene.clients.dynamodb)
    writes = scene.writes(late)
    writing = asyncio.create_task(writes.write([scene.change()], *scene.news()))
    await late.committed.wait()
    writing.cancel()
    await asyncio.wait([writing])
    assert [] == scene.heard
    late.go.set()
    await writes.close()

    assert writing.cancelled()
    assert [[event] for event in scene.heard] == await scene.logged()
    assert scene.heard == scene.offered


async def test_a_user_is_told_of_a_job_and_of_something_else_at_once(scene: Scene) -> None:
    """Both kinds lie in one log, in their order."""
    job = new_job(scene.users[0])
    changed: News = lambda event_id, at: JobEvent(event_id=event_id, type=EventType.PENDING, at=at, job=job)  # noqa: E731
    await scene.writes().write([scene.change()], changed, *scene.news())
    (first, second), other = await scene.logged()

    assert (job, "report_1") == (cast(JobEvent, first).job, second.about)
    assert [first, second, *other] == scene.heard


async def test_what_is_told_once_more_has_a_fresh_id_and_time(scene: Scene) -> None:
    """Whoever knows that it was committed, but not when, tells it so."""
    before = clock.now_milliseconds()
    writes = scene.writes()
    floor = writes.new_id()
    await writes.tell_once_more(confirmed(scene.users[0]))
    (told,), nothing = await scene.logged()

    assert [] == nothing
    assert [told] == scene.heard
    assert floor < told.event_id
    assert before <= told.at
