"""What pushes in a measurement: the service's own push floor, and a bare aiohttp server beside it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, Protocol, TypeAlias, cast

from aiohttp import WSMsgType, hdrs, web
from prometheus_client import CollectorRegistry

from benchmarks import push_frames
from benchmarks.push_frames import Step
from jobs import aws, clock
from jobs.aws import AWSConfig
from jobs.conditions import Conditions, Degradation
from jobs.event_log import Cursor, EventLog
from jobs.events import Event, EventBus, InProcessBus, JobEvent, Notice
from jobs.files import Files
from jobs.ids import EventId, JobId, UserId
from jobs.model import JSON, Caller, Status
from jobs.redis_bus import open_redis_bus
from jobs.views import JobViews
from websocket import messages
from websocket.endpoint import SocketEndpoint
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.messages import Frame, Snapshot
from websocket.recovery import Recovery
from websocket.session import Desk

SHOWN_JOBS: Final = 5
"""So many jobs the snapshot of a new socket has."""
NOWHERE: Final = AWSConfig(
    region="eu-central-1",
    endpoint_url="http://127.0.0.1:9",
    access_key_id="nobody",
    secret_access_key="nothing",  # noqa: S106 - it opens nothing
)
"""Links are signed without asking anybody."""


Command: TypeAlias = Callable[[Mapping[str, str]], Awaitable[dict[str, float]]]
"""What a stand can be told to do: a query in, figures out, whatever server it has."""


class Stand(Protocol):
    """What pushes."""

    async def prepare(self, steps: list[Step]) -> None:
        """Make beforehand what is not to be measured."""

    async def push(self, step: Step) -> None:
        """Tell the sockets of the step's user what was prepared."""

    async def push_stamped(self, step: Step) -> None:
        """Tell them the same with the stamp of now."""

    async def push_to_all(self) -> None:
        """Tell all sockets the same."""

    def count_slow(self) -> int:
        """Return how many sockets were closed because their clients did not read."""


class OnAiohttp(Stand, Protocol):
    """What pushes through aiohttp."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket to its end."""


class Contents:
    """What a floor sends, encoded before anything is measured; ``greeting`` is what each socket gets first."""

    def __init__(self, views: JobViews, greeting: list[bytes]) -> None:
        self.greeting = greeting
        self._views = views
        self._contents: dict[Step, bytes] = {}

    async def prepare(self, steps: list[Step]) -> None:
        """Encode what will be pushed, all but the stamps."""
        for step in steps:
            notice = push_frames.notice(step, stamp=0)
            if isinstance(notice, JobEvent):
                frame = messages.event(notice, await self._views.view(notice.job))
            else:
                frame = messages.job_progress(notice)
            self._contents[step] = frame.content

    def of(self, step: Step) -> bytes:
        """Return what was prepared."""
        return self._contents[step]

    def stamped(self, step: Step) -> bytes:
        """Return it with the stamp of now."""
        return push_frames.STAMP.sub(b"stamped %019d" % time.monotonic_ns(), self._contents[step])

    def for_all(self) -> bytes:
        """Return what everybody is told."""
        return messages.system_degraded([trouble()]).content


class Bare:
    """Nothing but aiohttp: sockets in lists, and ``send_frame`` with bytes that were encoded before."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._sockets: dict[str, list[web.WebSocketResponse]] = defaultdict(list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Greet as the house does, and read until the client leaves."""
        socket = web.WebSocketResponse(compress=False, protocols=(messages.PROTOCOL,))
        await socket.prepare(request)
        user = request.headers[hdrs.AUTHORIZATION].removeprefix("Bearer ")
        for content in self._contents.greeting:
            await socket.send_frame(content, WSMsgType.TEXT)
        sockets = self._sockets[user]
        sockets.append(socket)
        async for _ in socket:
            pass
        sockets.remove(socket)
        return socket

    async def prepare(self, steps: list[Step]) -> None:
        """Encode what will be pushed, all but the stamps."""
        await self._contents.prepare(steps)

    async def push(self, step: Step) -> None:
        """Send the step's bytes to its user's sockets."""
        for socket in self._sockets[step.user]:
            await socket.send_frame(self._contents.of(step), WSMsgType.TEXT)

    async def push_stamped(self, step: Step) -> None:
        """Stamp the bytes and send them."""
        content = self._contents.stamped(step)
        for socket in self._sockets[step.user]:
            await socket.send_frame(content, WSMsgType.TEXT)

    async def push_to_all(self) -> None:
        """Send the same bytes to everybody."""
        content = self._contents.for_all()
        for sockets in self._sockets.values():
            for socket in sockets:
                await socket.send_frame(content, WSMsgType.TEXT)

    def count_slow(self) -> int:
        """Nobody is closed."""
        return 0


class House:
    """The hub, its sockets, the bus and the views, put together as the service does."""

    def __init__(
        self, bus: EventBus, endpoint: SocketEndpoint, conditions: Conditions, registry: CollectorRegistry
    ) -> None:
        self._bus = bus
        self._endpoint = endpoint
        self._conditions = conditions
        self._registry = registry
        self._notices: dict[Step, Notice] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket as the service does."""
        return await self._endpoint.handle(request)

    async def prepare(self, steps: list[Step]) -> None:
        """Make the notices; whoever commits a change has made its job."""
        self._notices = {step: push_frames.notice(step, stamp=0) for step in steps}

    async def push(self, step: Step) -> None:
        """Publish, as is done when a change has been committed."""
        self._bus.publish(self._notices[step])

    async def push_stamped(self, step: Step) -> None:
        """Publish a notice made now."""
        self._bus.publish(push_frames.notice(step))

    async def push_to_all(self) -> None:
        """Report what everybody is told."""
        self._conditions.report("gemini", trouble())

    def count_slow(self) -> int:
        """Read the metric."""
        return int(self._registry.get_sample_value("ws_slow_client_closed_total") or 0)


async def open_contents(stack: AsyncExitStack) -> Contents:
    """Open what a floor sends."""
    views = JobViews(await _open_files(stack), InProcessBus())
    shown = messages.snapshot(await snapshot(views, UserId("user-0")))
    return Contents(views, [(await _welcome("user-0")).content, shown.content])


async def open_house(stack: AsyncExitStack, redis_url: str | None) -> House:
    """Open the push floor, on the bus of this process or on one between several."""
    registry, conditions = CollectorRegistry(), Conditions()
    bus: EventBus = InProcessBus()
    if redis_url is not None:
        opening = open_redis_bus(redis_url, prefix="benchmark", registry=registry, report=lambda is_whole: None)
        bus = await stack.enter_async_context(opening)
    views = JobViews(await _open_files(stack), bus)
    limits = replace(SocketLimits(), connections_per_task=20_000)

    async def read_snapshot(user_id: UserId) -> Snapshot:
        return await snapshot(views, user_id)

    recovery = Recovery(cast(EventLog, _EmptyLog()), views.view, read_snapshot, limits)
    hub = Hub(bus, recovery, limits=limits, registry=registry, conditions=conditions)
    await hub.start()
    desk = Desk(hub=hub, authenticate=_authenticate, cancel=_cancel)
    return House(bus, SocketEndpoint(desk, frozenset()), conditions, registry)


async def _open_files(stack: AsyncExitStack) -> Files:
    clients = await stack.enter_async_context(aws.open_clients(NOWHERE))
    return Files(
        clients.s3,
        clients.find_credentials,
        upload_bucket="darkroom-uploads",
        result_bucket="darkroom-results",
        upload_link_seconds=3600,
    )


async def snapshot(views: JobViews, user_id: UserId) -> Snapshot:
    """Return the state of a user with some jobs, without reading it anywhere."""
    steps = [Step(at=0, user="user-0", job_id=f"job_{number:032x}", number=4) for number in range(SHOWN_JOBS)]
    jobs = [await views.view(push_frames.job(step, Status.COMPLETED, prompt="")) for step in steps]
    return Snapshot(position=EventId(f"{clock.now_milliseconds():012x}{0:016x}"), jobs=jobs, has_more=False, quota={})


def trouble() -> Degradation:
    """Return what all sockets are told, each time something else."""
    return Degradation(
        part="gemini", condition="throttled", reason=f"Too much at once, stamped {time.monotonic_ns():019d}"
    )


async def _welcome(user: str) -> Frame:
    return messages.welcome("con_0", await _authenticate(user), 25)


async def _authenticate(token: str) -> Caller:
    return Caller(user_id=UserId(token), expires_at=int(time.time()) + 3600)


async def _cancel(user_id: UserId, job_id: JobId) -> dict[str, JSON]:
    return {}


class _EmptyLog:
    async def since(self, user_id: UserId, cursor: Cursor) -> AsyncIterator[Event]:
        events: tuple[Event, ...] = ()
        for event in events:
            yield event
