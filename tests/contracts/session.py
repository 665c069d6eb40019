"""A whole session on a real socket, with everything in it that a server says; ``python -m tests.contracts.session`` records it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from jobs.aws import AWSConfig, open_clients
from jobs.conditions import Conditions
from jobs.errors import JobNotFound
from jobs.event_log import EventLog
from jobs.events import EventType, InProcessBus
from jobs.files import Files
from jobs.ids import JobId, UserId, new_job_id
from jobs.model import JSON, Quota
from jobs.views import JobViews
from tests.contracts import frames
from tests.push.stage import Client, Log, authenticate
from websocket.endpoint import SocketEndpoint
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.messages import Snapshot
from websocket.recovery import Recovery
from websocket.session import Desk

Line = dict[str, Any]
PART = "gemini"


@asynccontextmanager
async def open_views(bus: InProcessBus) -> AsyncIterator[JobViews]:
    """Open what writes jobs; its links are signed for a cloud that nobody needs to reach."""
    config = AWSConfig(
        region="us-east-1", endpoint_url="http://127.0.0.1:9", access_key_id="nobody", secret_access_key="nothing"
    )
    async with open_clients(config) as clients:
        files = Files(
            clients.s3,
            clients.find_credentials,
            upload_bucket="uploads",
            result_bucket="results",
            upload_link_seconds=600,
        )
        yield JobViews(files, bus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A push floor at work, and all that can happen to it."""

    bus: InProcessBus
    conditions: Conditions
    hub: Hub
    log: Log
    figures: list[Quota]
    server: TestServer


@asynccontextmanager
async def open_floor() -> AsyncIterator[Floor]:
    """Open one that is quick to notice and to end."""
    bus, log, conditions = InProcessBus(), Log(), Conditions(recovery_seconds=0.01)
    figures: list[Quota] = []
    limits = SocketLimits(
        write_check_seconds=0.02,
        quota_seconds=0.02,
        reconnect_spread_seconds=0.1,
        drain_seconds=0.3,
        close_seconds=0.3,
    )
    async with open_views(bus) as views:

        async def read_snapshot(_: UserId) -> Snapshot:
            shown = [await views.view(job) for job in (frames.COMPLETED, frames.FAILED, frames.QUEUED)]
            return Snapshot(position=frames.EVENT_IDS.next(), jobs=shown, has_more=True, quota=frames.QUOTA)

        async def read_quota(_: UserId) -> Quota | None:
            return next(iter(figures), None)

        recovery = Recovery(cast(EventLog, log), views.view, read_snapshot, limits)
        hub = Hub(
            bus,
            recovery,
            limits=limits,
            registry=CollectorRegistry(),
            conditions=conditions,
            read_quota=read_quota,
        )
        await hub.start()
        desk = Desk(hub=hub, authenticate=authenticate, cancel=_cancel)
        app = web.Application()
        app.router.add_get("/ws", SocketEndpoint(desk, frozenset()).handle)
        server = TestServer(app)
        async with server:
            yield Floor(bus=bus, conditions=conditions, hub=hub, log=log, figures=figures, server=server)
            await hub.close()
        conditions.close()


@dataclass(frozen=True, slots=True)
class Tape:
    """A client whose every word is recorded, and every word to it."""

    client: Client
    lines: list[Line] = field(default_factory=list)

    async def say(self, message: Line, *expected: str) -> None:
        """Send a message, and read what must come of it."""
        self.lines.append({"from": "client", "message": message})
        await self.client.send(message)
        await self.hear(*expected)

    async def hear(self, *expected: str) -> None:
        """Read messages of exactly these types."""
        self._note(await self.client.read_types(*expected))

    async def hear_end(self) -> None:
        """Read to the end."""
        rest, code = await self.client.read_end()
        self._note(rest)
        self.lines.append({"from": "server", "close": code})

    def _note(self, messages: list[Line]) -> None:
        self.lines.extend({"from": "server", "message": message} for message in messages)


async def record() -> list[Line]:
    """Hold a session and return what was said."""
    async with open_floor() as floor, aiohttp.ClientSession() as session:
        tape = Tape(Client(await session.ws_connect(floor.server.make_url("/ws"))))
        await _sign_in(tape, floor)
        told = await _live(tape, floor)
        await _ask(tape, told)
        await _count(tape, floor)
        closing = asyncio.create_task(floor.hub.close())
        await tape.hear("reconnect")
        await tape.hear_end()
        await closing
        return tape.lines


async def _sign_in(tape: Tape, floor: Floor) -> None:
    """Come with a token that is about to expire, while the service is not well; be asked half-way, and refresh it."""
    floor.conditions.report(PART, frames.BUSY)
    hello = {"type": "hello", "token": f"alice@{int(time.time()) + 1}"}
    await tape.say(hello, "welcome", "snapshot", "system.degraded", "auth.expiring")
    await tape.say({"type": "auth", "token": "mallory"}, "error")
    await tape.say({"type": "auth", "token": "alice"}, "auth.ok")
    floor.conditions.report(PART, None)
    await tape.hear("system.degraded")


async def _live(tape: Tape, floor: Floor) -> list[str]:
    """Be told of everything that can happen to a job, and of a report; return the events' types."""
    for kind, job in frames.CHANGES:
        event = frames.event(kind, job)
        floor.log.write(event)
        floor.bus.publish(event)
        await tape.hear(kind.value)
        if job is frames.QUEUED:
            floor.hub.tell_place(frames.place(12, 30))
            await tape.hear("job.progress")
        if job is frames.RUNNING:
            floor.bus.publish(frames.progress(job))
            await tape.hear("job.progress")
    report = frames.confirmed()
    floor.log.write(report)
    floor.bus.publish(report)
    await tape.hear(report.type)
    return [*(kind.value for kind, _ in frames.CHANGES), report.type]


async def _ask(tape: Tape, told: list[str]) -> None:
    """Say all that a client may say."""
    await tape.say({"type": "ping"}, "ping")
    newest_id = tape.lines[-1]["message"]["data"]["newestId"]
    await tape.say({"type": "cancel", "jobId": frames.CANCELED.job_id, "ref": "a"}, "cancel.ok")
    await tape.say({"type": "cancel", "jobId": "job_none", "ref": 2}, "error")
    await tape.say({"type": "resume", "since": newest_id}, *told)
    await tape.say({"type": "resume", "since": "nobody knows this one"}, "resync", "snapshot")


async def _count(tape: Tape, floor: Floor) -> None:
    """Be told what is left of the day."""
    floor.figures.append(frames.FIGURES)
    floor.bus.publish(frames.event(EventType.QUEUED, replace(frames.QUEUED, job_id=new_job_id())))
    await tape.hear("job.queued", "quota")


async def _cancel(_: UserId, job_id: JobId) -> dict[str, JSON]:
    if job_id == "job_none":
        raise JobNotFound
    return frames.cancel_result()


if __name__ == "__main__":
    for line in asyncio.run(record()):
        print(json.dumps(line, ensure_ascii=False))
