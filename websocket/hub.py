"""Who is connected to this process, and the one road from the event bus to their sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from jobs.conditions import Conditions
from jobs.events import InProcessBus, JobEvent, JobProgress, Notice
from jobs.ids import EventId, UserId
from jobs.model import JSON, Job
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.connection import Connection
from websocket.limits import SocketLimits
from websocket.messages import Frame, Snapshot
from websocket.metrics import SocketMetrics

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Audience:
    """The sockets of one user. ``newest_id`` is the newest durable event known to have been told or shown to any of them."""

    unsubscribe: Callable[[], None]
    connections: set[Connection] = field(default_factory=set)
    newest_id: EventId | None = None


class Hub:
    """Hands every notice to its owner's sockets; publishing never waits, and no socket waits for another.

    ``view`` writes a job as JSON; ``read_snapshot`` reads how a user's jobs are; what is wrong with the house, by its
    ``conditions``, is told to everybody. Make it inside the running loop.
    ``failed`` ends, with the error, when the hub can no longer do its work: the process must stop then.
    """

    def __init__(
        self,
        bus: InProcessBus,
        view: Callable[[Job], Awaitable[dict[str, JSON]]],
        read_snapshot: Callable[[UserId], Awaitable[Snapshot]],
        *,
        limits: SocketLimits,
        registry: CollectorRegistry,
        conditions: Conditions | None = None,
    ) -> None:
        self.limits = limits
        self.metrics = SocketMetrics(registry)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bus = bus
        self._view = view
        self._read_snapshot = read_snapshot
        self._notices: asyncio.Queue[Notice] = asyncio.Queue(limits.undelivered_notices)
        self._connections: set[Connection] = set()
        self._audiences: dict[UserId, _Audience] = {}
        self._conditions = conditions or Conditions()
        self._conditions_changed = asyncio.Event()
        self._unsubscribe_conditions = self._conditions.subscribe(self._conditions_changed.set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_left = asyncio.Event()
        self._all_left.set()
        self._is_closing = False

    async def start(self) -> None:
        """Begin to deliver."""
        for work in (self._dispatch_all, self._ping_all, self._tell_conditions, self._check_writers):
            task = asyncio.create_task(work(), name=f"hub {work.__name__}")
            task.add_done_callback(self._report_death)
            self._tasks.add(task)

    async def close(self) -> None:
        """Deliver what is known, then close every socket with RESTART, all at once; takes a few bounded seconds."""
        self._is_closing = True
        self._unsubscribe_conditions()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_seconds):
                await self._notices.join()
        for connection in self._connections:
            connection.close(CloseCode.RESTART)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_seconds + self.limits.close_seconds + 1):
                await self._all_left.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def holding(self, connection: Connection) -> Iterator[None]:
        """Know the connection, signed in or not, until it has ended; closes it at once when there is no room."""
        self._connections.add(connection)
        self._all_left.clear()
        self.metrics.connections.inc()
        if self._is_closing:
            connection.close(CloseCode.RESTART)
        elif len(self._connections) > self.limits.connections_per_task:
            connection.close(CloseCode.OVERLOADED)
        try:
            yield
        finally:
            self._connections.discard(connection)
            self.metrics.connections.dec()
            self.metrics.count_closed(connection.close_code)
            if not self._connections:
                self._all_left.set()

    @contextmanager
    def joined(self, connection: Connection, user_id: UserId) -> Iterator[None]:
        """Give the connection what happens to the user's jobs from now on. Raises Disconnect for too many."""
        audience = self._audiences.get(user_id)
        if audience is None:
            audience = _Audience(self._bus.subscribe(user_id, self._deliver))
            self._audiences[user_id] = audience
        if len(audience.connections) >= self.limits.connections_per_user:
            raise Disconnect(CloseCode.TOO_MANY, "You have too many connections")
        audience.connections.add(connection)
        try:
            yield
        finally:
            audience.connections.discard(connection)
            if not audience.connections:
                audience.unsubscribe()
                del self._audiences[user_id]

    async def snapshot(self, user_id: UserId) -> Frame:
        """Read how the user's jobs are. Raises TimeoutError and CloudUnavailable."""
        async with asyncio.timeout(self.limits.snapshot_seconds):
            state = await self._read_snapshot(user_id)
        self._note_newest(user_id, state.position)
        return messages.snapshot(state)

    def ping(self, user_id: UserId) -> Frame:
        """Return the ping of this moment for the user's sockets."""
        audience = self._audiences.get(user_id)
        return messages.ping(audience.newest_id if audience else None)

    def degraded(self) -> Frame | None:
        """Return what is wrong with the service, for a client that has just come; None while all is well."""
        degradations = self._conditions.current()
        return messages.system_degraded(degradations) if degradations else None

    def _deliver(self, notice: Notice) -> None:
        try:
            self._notices.put_nowait(notice)
        except asyncio.QueueFull:
            # Closed, the client reads everything anew; with this notice left out it would wait for ever.
            extra = {"action": "deliver", "user_id": notice.job.user_id, "job_id": notice.job.job_id}
            logger.error("Too many notices wait to be delivered", extra=extra)  # noqa: TRY400 - nothing to trace
            self._close_audience(notice.job.user_id)

    async def _dispatch_all(self) -> None:
        loop = asyncio.get_running_loop()
        turn_ends = 0.0
        while True:
            # A full queue and views that are ready at once would keep the loop from everybody else. But giving way after
            # each notice would let one pass for every round of a busy loop, and the queue would only grow.
            if loop.time() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = loop.time() + self.limits.turn_seconds
            notice = await self._notices.get()
            try:
                await self._dispatch(notice)
            except Exception:
                extra = {"action": "deliver", "user_id": notice.job.user_id, "job_id": notice.job.job_id}
                logger.exception("A notice could not be delivered", extra=extra)
                self._close_audience(notice.job.user_id)
            finally:
                self._notices.task_done()

    async def _dispatch(self, notice: Notice) -> None:
        match notice:
            case JobProgress():
                frame = messages.job_progress(notice)
                for connection in self._listeners(notice.job.user_id):
                    connection.put_newest(notice.job.job_id, frame)
            case JobEvent():
                async with asyncio.timeout(self.limits.view_seconds):
                    view = await self._view(notice.job)
                frame = messages.job_event(notice, view)
                self._note_newest(notice.job.user_id, notice.event_id)
                for connection in self._listeners(notice.job.user_id):
                    connection.put(frame)

    async def _ping_all(self) -> None:
        while True:
            await asyncio.sleep(self.limits.ping_message_seconds)
            await self._put_to_all("ping", self.ping)

    async def _tell_conditions(self) -> None:
        while True:
            await self._conditions_changed.wait()
            self._conditions_changed.clear()
            await self._tell_everybody(messages.system_degraded(self._conditions.current()))

    async def _tell_everybody(self, frame: Frame) -> None:
        await self._put_to_all(frame.type, lambda _: frame)

    async def _put_to_all(self, key: str, frame_of: Callable[[UserId], Frame]) -> None:
        for user_id in tuple(self._audiences):
            frame = frame_of(user_id)
            for connection in self._listeners(user_id):
                connection.put_newest(key, frame)
            await asyncio.sleep(0)  # ten thousand sockets at a stretch would be felt

    async def _check_writers(self) -> None:
        while True:
            await asyncio.sleep(self.limits.write_check_seconds)
            now = asyncio.get_running_loop().time()
            for connection in self._connections:
                connection.check_writer(now)

    def _listeners(self, user_id: UserId) -> set[Connection]:
        audience = self._audiences.get(user_id)
        return audience.connections if audience else set()

    def _note_newest(self, user_id: UserId, event_id: EventId | None) -> None:
        audience = self._audiences.get(user_id)
        if audience and event_id and event_id > (audience.newest_id or ""):
            audience.newest_id = event_id

    def _close_audience(self, user_id: UserId) -> None:
        for connection in self._listeners(user_id):
            connection.close(CloseCode.OVERLOADED)

    def _report_death(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self.failed.done():
            return
        self.failed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} has ended"))
