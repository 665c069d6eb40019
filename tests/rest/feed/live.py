"""The service with its push floor at work, and the clients of its streams and long polls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from aiohttp import ClientResponse
from prometheus_client import CollectorRegistry

from jobs import clock
from jobs.actions import event_item
from jobs.event_log import Cursor
from jobs.events import EventType, JobEvent, Notice, UserEvent
from jobs.ids import EventId, UserId
from jobs.model import Job
from tests.rest.api import Api, complete
from websocket.hub import Hub

WAIT_SECONDS = 5
Message: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """One client's end of a stream."""

    response: ClientResponse

    async def read(self) -> Message | None:
        """Read one message, its stream's id as ``lastEventId``; None is the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_SECONDS):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
        return {**json.loads(fields["data"]), "lastEventId": fields.get("id")} if fields else None

    async def read_types(self, *expected: str) -> list[Message]:
        """Read messages of exactly these types, in this order."""
        found = [await self.read() or {"type": "the end"} for _ in expected]
        assert list(expected) == [message["type"] for message in found]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The service with its push floor at work."""

    api: Api
    registry: CollectorRegistry

    @property
    def hub(self) -> Hub:
        """The hub."""
        return self.api.services.hub

    @property
    def connections(self) -> int:
        """How many clients the server holds."""
        handlers = self.api.http.server.handler
        assert handlers is not None
        return len(handlers.connections)

    def count(self, name: str, **labels: str) -> float:
        """Return a metric's value."""
        return self.registry.get_sample_value(name, labels) or 0.0

    @asynccontextmanager
    async def stream(self, path: str = "/events", *, token: str | None = None, **headers: str) -> AsyncIterator[Reader]:
        """Open a stream."""
        token = token or self.api.issuer.id_token(self.api.user)
        told = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.api.http.get(path, headers=told) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            yield Reader(response)

    async def poll(self, after: str | None = None, wait: float = 0) -> tuple[list[Message], str]:
        """Poll once; return the events and the cursor."""
        params = {"wait": str(wait)} | ({"after": after} if after is not None else {})
        answer = await self.api.get("/events", params=params)
        assert answer.status == 200, answer.body
        assert answer.body.keys() == {"events", "cursor"}
        return answer.body["events"], answer.body["cursor"]

    async def joined(self, count: int = 1) -> None:
        """Wait until so many clients are known."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.hub._listeners) < count:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.005)

    async def all_left(self) -> None:
        """Wait until no client is."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.hub._all_left.wait()

    async def job(self) -> Job:
        """Start a job."""
        return await self.api.stored(await self.api.started())

    async def completed(self, job: Job) -> Job:
        """Do the worker's part."""
        return await complete(self.api.services.jobs, job, result_bucket=self.api.result_bucket)

    def publish(self, notice: Notice) -> None:
        """Put something on the bus that is nowhere else."""
        self.hub._bus.publish(notice)

    async def log(self, job: Job, seconds_ago: float = 0, *, tail: int = 1) -> EventId:
        """Put an event into the log alone, under an id made so long ago."""
        then = clock.now_milliseconds() - round(seconds_ago * 1000)
        event = JobEvent(event_id=EventId(f"{then:012x}{tail:016x}"), type=EventType.QUEUED, at=then, job=replace(job))
        await self.api.clients.dynamodb.put_item(TableName=self.api.tables.events, Item=event_item(event))
        return event.event_id

    async def confirm(self, seconds_ago: float = 0, *, version: int = 1) -> UserEvent:
        """Have something happen to the user that is no change of a job, under an id made so long ago."""
        then = clock.now_milliseconds() - round(seconds_ago * 1000)
        event = UserEvent(
            event_id=EventId(f"{then:012x}{version:016x}"),
            user_id=UserId(self.api.user),
            type="report.confirmed",
            at=then,
            about="report_1",
            data={
                "reportId": "report_1",
                "version": version,
                "plateString": "12가3456",
                "latitude": 37.5665,
                "longitude": 126.978,
                "firstCaptureTime": "2026-11-20 09:00:00",
                "lastCaptureTime": "2026-11-20 09:06:00",
                "reportBool": True,
            },
        )
        await self.api.clients.dynamodb.put_item(TableName=self.api.tables.events, Item=event_item(event))
        self.publish(event)
        return event


def a_cursor(seconds_ago: float) -> str:
    """Make a cursor of so long ago."""
    return str(Cursor.at(clock.now_milliseconds() - round(seconds_ago * 1000)))


async def caught_up(live: Live) -> str:
    """Return the cursor of a poll that has been told all."""
    _, cursor = await live.poll()
    _, cursor = await live.poll(cursor)
    return cursor


StartLive: TypeAlias = Callable[..., Awaitable[Live]]
