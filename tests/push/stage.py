"""A real server with real sockets around the hub, and the few things tests do with it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from jobs import clock
from jobs.conditions import Conditions
from jobs.errors import CloudUnavailable, Forbidden, InvalidRequest, JobNotFound, Unauthorized
from jobs.event_log import Cursor, EventLog
from jobs.events import Event, EventType, InProcessBus, JobEvent, JobProgress, Notice, Stage, UserEvent
from jobs.ids import EventId, JobId, UserId
from jobs.model import JSON, Caller, Charge, Job, Status
from websocket.barring import ReadBlocked, nobody
from websocket.connection import Connection
from websocket.endpoint import SocketEndpoint
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.messages import Snapshot
from websocket.quota import ReadQuota, no_quota
from websocket.recovery import Recovery
from websocket.session import Authenticate, Cancel, Desk

ORIGIN = "https://darkroom.example"
WAIT_SECONDS = 5
Message = dict[str, Any]
_TAILS = itertools.count(1)

StartServer = Callable[[web.Application], Awaitable[TestServer]]


def job(user: str = "alice", *, job_id: str = "job_1", version: int = 1, status: Status = Status.PROCESSING) -> Job:
    """Return a job as the bus carries it."""
    return Job(
        job_id=JobId(job_id),
        user_id=UserId(user),
        pipeline="profile-photo",
        status=status,
        version=version,
        created_at=0,
        updated_at=0,
        charge=Charge.CHARGED,
        quota_day="2026-11-20",
    )


def completed(user: str = "alice", *, number: int = 1, job_id: str = "job_1") -> JobEvent:
    """Return an event whose id is made of ``number``."""
    done = job(user, job_id=job_id, version=number, status=Status.COMPLETED)
    return JobEvent(event_id=EventId(f"{number:028x}"), type=EventType.COMPLETED, at=0, job=done)


def progress(fraction: float, *, job_id: str = "job_1") -> JobProgress:
    """Return how far alice's job is."""
    return JobProgress(job=job(job_id=job_id), at=0, stage=Stage.GENERATING, fraction=fraction, message="Working")


class FullTransport(asyncio.Transport):
    """A transport that nothing can be written to at once, so that all is owed."""

    def is_closing(self) -> bool:
        """Stay open."""
        return False

    def get_write_buffer_size(self) -> int:
        """Be full."""
        return 1 << 30


async def plain_view(job: Job) -> dict[str, JSON]:
    """Write a job as JSON, unsigned."""
    return {"jobId": job.job_id, "userId": job.user_id, "version": job.version, "status": job.status.value}


async def empty_snapshot(_: UserId) -> Snapshot:
    """Read the jobs of somebody who has none."""
    return Snapshot(position=EventId("0"), jobs=[], has_more=False, quota={})


def happened(seconds_ago: float = 0, *, user: str = "alice", job_id: str = "job_1", version: int = 2) -> JobEvent:
    """Return an event whose id was made so long ago."""
    then = clock.now_milliseconds() - round(seconds_ago * 1000)
    after = job(user, job_id=job_id, version=version, status=Status.COMPLETED)
    return JobEvent(event_id=EventId(f"{then:012x}{next(_TAILS):016x}"), type=EventType.COMPLETED, at=then, job=after)


def confirmed(seconds_ago: float = 0, *, user: str = "alice", version: int = 1) -> UserEvent:
    """Return an event that is no change of a job, whose id was made so long ago."""
    then = clock.now_milliseconds() - round(seconds_ago * 1000)
    return UserEvent(
        event_id=EventId(f"{then:012x}{next(_TAILS):016x}"),
        user_id=UserId(user),
        type="report.confirmed",
        at=then,
        about="report_1",
        data={"reportId": "report_1", "version": version, "latitude": 37.5665},
    )


class Log:
    """A log in memory, for what the emulator's cannot be told to do.

    What a reader is given is what was written when it began; it gets it when ``go`` is set. ``is_readable`` False fails it.
    """

    def __init__(self, *events: Event) -> None:
        self.events = list(events)
        self.is_readable = True
        self.reads = 0
        self.most_at_once = 0
        self.is_read = asyncio.Condition()
        self.readers: list[UserId] = []
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    def write(self, *events: Event) -> None:
        """Commit events."""
        self.events += events

    async def since(self, user_id: UserId, cursor: Cursor) -> AsyncIterator[Event]:
        """Read as the real one does."""
        found = [event for event in self.events if event.user_id == user_id and event.event_id >= cursor.overlap_start]
        self.readers.append(user_id)
        self.most_at_once = max(self.most_at_once, len(self.readers) - self.reads)
        self.reached.set()
        await self.go.wait()
        async with self.is_read:
            self.reads += 1
            self.is_read.notify_all()
        if not self.is_readable:
            raise CloudUnavailable
        for event in sorted(found, key=lambda event: event.event_id):
            yield event

    async def read_again(self, times: int = 1) -> None:
        """Wait until it has been read so many times more."""
        wanted = self.reads + times
        async with asyncio.timeout(WAIT_SECONDS), self.is_read:
            await self.is_read.wait_for(lambda: self.reads >= wanted)


class GappyBus(InProcessBus):
    """A bus that can be cut, as one between tasks can."""

    def __init__(self) -> None:
        super().__init__()
        self.is_whole = True
        self._heals: list[Callable[[UserId], None]] = []

    def on_gap(self, heal: Callable[[UserId], None]) -> None:
        """Remember whom to tell of a gap."""
        self._heals.append(heal)

    def publish(self, notice: Notice) -> None:
        """Lose it while the bus is cut."""
        if self.is_whole:
            super().publish(notice)

    def publish_here(self, notice: Notice) -> None:
        """Hand it over as the work of this very task, which no cut concerns."""
        super().publish(notice)

    def note_gap(self, *users: str) -> None:
        """Say that notices for these users may have been missed."""
        for heal in self._heals:
            for user in users:
                heal(UserId(user))

    def mend(self, *users: str) -> None:
        """End the cut."""
        self.is_whole = True
        self.note_gap(*users)


async def cancel(user_id: UserId, job_id: JobId) -> dict[str, JSON]:
    """Cancel every job but those whose names tell otherwise."""
    refusals = {"job_none": JobNotFound, "job_of_bob": Forbidden, "job_far_away": CloudUnavailable}
    if job_id in refusals:
        raise refusals[job_id]
    if job_id == "job_hung":
        await asyncio.Event().wait()
    return {"jobId": job_id, "outcome": "before_start", "givenBack": True, "for": user_id}


async def authenticate(token: str) -> Caller:
    """Take a token for its user's name, ``alice`` or ``alice@<seconds since the epoch when it expires>``."""
    if token == "cloud is down":
        raise CloudUnavailable
    if not token.startswith(("alice", "bob")):
        raise Unauthorized
    name, _, expires_at = token.partition("@")
    return Caller(user_id=UserId(name), expires_at=int(expires_at or time.time() + 3600))


@web.middleware
async def errors_as_statuses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what the endpoint raises before the upgrade, as the service does."""
    try:
        return await handler(request)
    except Forbidden as error:
        return web.json_response({"error": error.message, "code": error.code}, status=403)
    except InvalidRequest as error:
        return web.json_response({"error": error.message, "code": error.code}, status=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push floor at work."""

    bus: InProcessBus
    conditions: Conditions
    hub: Hub
    registry: CollectorRegistry
    server: TestServer
    session: aiohttp.ClientSession

    async def connect(self, token: str | None = "alice", **options: Any) -> Client:
        """Open a socket, with the token in the header unless it is None."""
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return Client(await self.session.ws_connect(self.server.make_url("/ws"), headers=headers, **options))

    async def connect_since(self, cursor: object, token: str = "alice") -> Client:
        """Open a socket that says where it left off, and read its welcome."""
        client = await self.connect(token, params={"since": str(cursor)})
        await client.read_types("welcome")
        return client

    async def connect_live(self, token: str = "alice", **options: Any) -> Client:
        """Open a socket and read its welcome and snapshot."""
        client = await self.connect(token, **options)
        await client.read_types("welcome", "snapshot")
        return client

    async def connect_hung(self, token: str = "alice") -> socket.socket:
        """Open a socket whose client never reads after the upgrade, and has hardly room for what it is sent."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, (self.server.host, self.server.port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws HTTP/1.1\r\nHost: {self.server.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        await loop.sock_sendall(raw, request.encode())
        received = b""
        while b'"snapshot"' not in received:
            received += await loop.sock_recv(raw, 4096)
        return raw

    def count(self, name: str, **labels: str) -> float:
        """Return a metric's value."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def noticed_gone(self, count: int) -> None:
        """Wait until the server knows of so many sockets it holds that nothing reaches them."""
        async with asyncio.timeout(WAIT_SECONDS):
            while count > sum(isinstance(one, Connection) and one.is_gone for one in self.hub._listeners):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def all_gone(self) -> None:
        """Wait until the server holds no socket."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self.hub._all_left.wait()


@dataclass(frozen=True, slots=True)
class Client:
    """One client's end of a socket."""

    socket: aiohttp.ClientWebSocketResponse

    async def read(self) -> Message:
        """Read one message."""
        message: Message = await self.socket.receive_json(timeout=WAIT_SECONDS)
        return message

    async def read_types(self, *expected: str) -> list[Message]:
        """Read messages of exactly these types, in this order."""
        found = [await self.read() for _ in expected]
        assert list(expected) == [message["type"] for message in found]
        return found

    async def read_versions(self, count: int, job_id: str = "job_1") -> list[int]:
        """Read so many events of a job; return their versions."""
        found = [await self.read() for _ in range(count)]
        assert {job_id} == {message["job"]["jobId"] for message in found}
        return [message["job"]["version"] for message in found]

    async def assert_silent(self) -> None:
        """Show that nothing more was said: the answer to a ping comes first."""
        await self.send({"type": "ping"})
        await self.read_types("ping")

    async def send(self, message: Message) -> None:
        """Send one message."""
        await self.socket.send_str(json.dumps(message))

    async def read_end(self) -> tuple[list[Message], int | None]:
        """Read to the end; return what came before it and the close code."""
        found: list[Message] = []
        while (frame := await self.socket.receive(timeout=WAIT_SECONDS)).type is aiohttp.WSMsgType.TEXT:
            found.append(json.loads(frame.data))
        return found, self.socket.close_code

    async def read_error(self) -> tuple[str, int | None]:
        """Read to the end, which must be one ``error`` and a close; return the error's code and the close code."""
        found, close_code = await self.read_end()
        assert [message["type"] for message in found] == ["error"]
        return found[0]["data"]["code"], close_code


@dataclass(slots=True, kw_only=True)
class Theatre:
    """Starts push floors and ends them."""

    start_server: StartServer
    session: aiohttp.ClientSession
    hubs: list[Hub] = field(default_factory=list)

    async def start(
        self,
        *,
        view: Callable[[Job], Awaitable[dict[str, JSON]]] = plain_view,
        read_snapshot: Callable[[UserId], Awaitable[Snapshot]] = empty_snapshot,
        conditions: Conditions | None = None,
        bus: InProcessBus | None = None,
        log: Log | EventLog | None = None,
        read_quota: ReadQuota = no_quota,
        cancel: Cancel = cancel,
        authenticate: Authenticate = authenticate,
        read_blocked: ReadBlocked = nobody,
        **limits: float,
    ) -> Push:
        """Start a push floor with some limits changed."""
        bus, registry, conditions = bus or InProcessBus(), CollectorRegistry(), conditions or Conditions()
        quick = SocketLimits(
            drain_seconds=0.3, close_seconds=0.3, reconnect_spread_seconds=0.1, reconnect_grace_seconds=0.1
        )
        settings = replace(quick, **limits)  # type: ignore[arg-type]
        recovery = Recovery(cast(EventLog, log or Log()), view, read_snapshot, settings)
        hub = Hub(
            bus,
            recovery,
            limits=settings,
            registry=registry,
            conditions=conditions,
            read_quota=read_quota,
            read_blocked=read_blocked,
        )
        await hub.start()
        self.hubs.append(hub)
        desk = Desk(hub=hub, authenticate=authenticate, cancel=cancel)
        app = web.Application(middlewares=[errors_as_statuses])
        app.router.add_get("/ws", SocketEndpoint(desk, frozenset({ORIGIN})).handle)
        server = await self.start_server(app)
        assert server.handler is not None
        server.handler.handler_cancellation = (
            False  # as in the service; aiohttp's test server cancels whoever is left alone
        )
        return Push(bus=bus, conditions=conditions, hub=hub, registry=registry, server=server, session=self.session)
