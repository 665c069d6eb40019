"""Who is connected to this process, and the one road from the event bus to their sockets."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator, KeysView
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry

from jobs import clock
from jobs.conditions import Conditions
from jobs.errors import CloudUnavailable, CursorUnknown
from jobs.event_log import Cursor, is_moment
from jobs.events import ACCOUNT_ERASED, Event, EventBus, JobProgress, Notice, UserEvent
from jobs.ids import EventId, UserId
from jobs.queue_place import QueuePlace
from websocket import messages
from websocket.barring import Barring, ReadBlocked, nobody
from websocket.close_codes import CloseCode, Disconnect
from websocket.healing import Healer
from websocket.limits import SocketLimits
from websocket.messages import Frame
from websocket.metrics import SocketMetrics, Transport
from websocket.quota import QuotaTeller, ReadQuota, no_quota
from websocket.recovery import Recovery

logger = logging.getLogger(__name__)

_ERASED = "account_erased"


class Listener(Protocol):
    """One client's end of any transport. None of its methods waits."""

    @property
    def close_code(self) -> int:
        """Why it ended."""

    def put(self, frame: Frame) -> None:
        """Owe it a frame that must not be lost."""

    def put_newest(self, key: str, frame: Frame) -> None:
        """Owe it a frame of which only the newest of a key matters."""

    def close(self, code: CloseCode, message: str | None = None, error: str | None = None) -> None:
        """End it; the first reason counts."""

    def check(self, now: float) -> None:
        """Look after what has been due for long; told every second or so, with the loop's time."""


@dataclass(slots=True)
class _Audience:
    """The clients of one user; small, because most have one socket.

    ``newest_id`` is the newest durable event known to have been told or shown to any of them. Up to ``whole_until`` nothing is
    missing; ``healed`` are the events of the last healing, which overlaps with the next.
    """

    unsubscribe: Callable[[], None]
    whole_until: Cursor
    listeners: tuple[Listener, ...] = ()
    resuming: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_resume_at: float = 0.0
    newest_id: EventId | None = None
    healed: frozenset[EventId] = frozenset()


class Hub:
    """Hands every notice to its owner's clients; publishing never waits, and no client waits for another.

    What the bus may have missed is read from the log, by ``recovery``; what is wrong with the house, by its
    ``conditions``, is told to everybody; what is left of a user's day, by ``read_quota``. Whoever is blocked, by
    ``read_blocked``, or has erased the account, is closed. Make it inside the running loop.
    ``failed`` ends, with the error, when the hub can no longer do its work: the process must stop then.
    """

    def __init__(
        self,
        bus: EventBus,
        recovery: Recovery,
        *,
        limits: SocketLimits,
        registry: CollectorRegistry,
        conditions: Conditions | None = None,
        read_quota: ReadQuota = no_quota,
        read_blocked: ReadBlocked = nobody,
    ) -> None:
        self.limits = limits
        self.metrics = SocketMetrics(registry)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.recovery = recovery
        self._bus = bus
        self._notices: asyncio.Queue[Notice] = asyncio.Queue(limits.undelivered_notices)
        self._listeners: dict[Listener, UserId | None] = {}
        self._audiences: dict[UserId, _Audience] = {}
        self._quotas = QuotaTeller(read_quota, self.watched(), self._tell_quota, limits)
        self._barring = Barring(read_blocked, self.watched(), self.forbid, limits)
        self._healer = Healer(bus, self.watched(), self._heal, limits)
        self._conditions = conditions or Conditions()
        self._conditions_changed = asyncio.Event()
        self._unsubscribe_conditions = self._conditions.subscribe(self._conditions_changed.set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_left = asyncio.Event()
        self._all_left.set()
        self._is_closing = False
        self._strangers: set[Listener] = set()

    async def start(self) -> None:
        """Begin to deliver."""
        works = (
            self._dispatch_all,
            self._healer.run,
            self._ping_all,
            self._tell_conditions,
            self._check_all,
            self._quotas.run,
            self._barring.run,
        )
        for work in works:
            task = asyncio.create_task(work(), name=f"hub {work.__qualname__}")
            task.add_done_callback(self._report_death)
            self._tasks.add(task)

    async def close(self, budget_seconds: float = math.inf) -> None:
        """Deliver what is known, ask all clients to go elsewhere, and close those that have not; takes bounded seconds.

        They are asked to come back spread over some seconds, and leave when they are connected again. In a hurry, because
        ``budget_seconds`` are less than that needs, every step is shorter.
        """
        hurry = min(1.0, budget_seconds / self.limits.leaving_seconds)
        self._is_closing = True
        self._unsubscribe_conditions()
        with suppress(TimeoutError):
            async with asyncio.timeout(hurry * self.limits.drain_seconds):
                await self._notices.join()
        spread_seconds = hurry * self._spread_seconds()
        for listener in self._listeners:
            after = random.uniform(0, spread_seconds)  # noqa: S311 - jitter is no secret
            listener.put_newest("reconnect", messages.reconnect(round(after * 1000)))
        # The last ones need a moment to connect and recover elsewhere before they leave.
        await self._wait_until_left(spread_seconds + hurry * self.limits.reconnect_grace_seconds)
        for listener in self._listeners:
            listener.close(CloseCode.RESTART)
        await self._wait_until_left(hurry * (self.limits.drain_seconds + self.limits.close_seconds + 1))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spread_seconds(self) -> float:
        """Take longer for many, so that whoever receives them all is not flooded."""
        limits = self.limits
        needed = len(self._listeners) / limits.reconnects_per_second
        return min(max(limits.reconnect_spread_seconds, needed), limits.most_reconnect_spread_seconds)

    async def _wait_until_left(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_left.wait()

    @contextmanager
    def holding(
        self, listener: Listener, transport: Transport = Transport.SOCKET, *, has_token: bool = True
    ) -> Iterator[None]:
        """Know the client until it has ended; closes it at once when there is no room.

        There is less room for those that have brought no token, lest they keep out the others.
        """
        self._listeners[listener] = None
        if not has_token:
            self._strangers.add(listener)
        self._all_left.clear()
        self.metrics.count_opened(transport)
        if self._is_closing:
            listener.close(CloseCode.RESTART)
        elif (
            len(self._listeners) > self.limits.connections_per_task
            or len(self._strangers) > self.limits.strangers_per_task
        ):
            listener.close(CloseCode.OVERLOADED)
        try:
            yield
        finally:
            self._leave(listener)
            self.metrics.count_closed(listener.close_code, transport)
            if not self._listeners:
                self._all_left.set()

    def join(self, listener: Listener, user_id: UserId) -> None:
        """Give a client that is held what happens to the user's jobs from now on. Raises Disconnect for too many."""
        audience = self._audiences.get(user_id)
        if audience is None:
            audience = _Audience(self._bus.subscribe(user_id, self._deliver), Cursor.at(clock.now_milliseconds()))
            self._audiences[user_id] = audience
        if len(audience.listeners) >= self.limits.connections_per_user:
            raise Disconnect(CloseCode.TOO_MANY, "You have too many connections")
        audience.listeners = (*audience.listeners, listener)
        self._listeners[listener] = user_id
        self._strangers.discard(listener)

    def _leave(self, listener: Listener) -> None:
        self._strangers.discard(listener)
        user_id = self._listeners.pop(listener)
        if user_id is None:
            return
        audience = self._audiences[user_id]
        audience.listeners = tuple(other for other in audience.listeners if other is not listener)
        if not audience.listeners:
            audience.unsubscribe()
            del self._audiences[user_id]

    @asynccontextmanager
    async def resuming(self, user_id: UserId) -> AsyncIterator[None]:
        """Let one of the user's clients resume, and the next one only a moment later: the others' events must not wait for it."""
        audience, clock = self._audiences[user_id], asyncio.get_running_loop().time
        async with audience.resuming:
            await asyncio.sleep(audience.next_resume_at - clock())
            yield
            audience.next_resume_at = clock() + self.limits.resume_pause_seconds

    async def listening(self, user_id: UserId) -> None:
        """Return when nothing that is committed from now on can be missed by the user's clients, who have joined."""
        await self._bus.listening(user_id)

    async def recovered(self, user_id: UserId, since: str | None, is_gone: Callable[[], bool]) -> AsyncIterator[Frame]:
        """Give what brings one of the user's clients to the present, and note how far it is. Raises as ``Recovery`` does."""
        has_missed = False
        async for frame in self.recovery.frames(user_id, since, is_gone):
            yield frame
            self.note_told(user_id, frame.event_id)
            has_missed = has_missed or frame.job_id is not None
        if has_missed:  # a snapshot has the day's figures, and without an event they have not changed
            self._quotas.tell_soon(user_id)

    def watched(self) -> KeysView[UserId]:
        """Return the users who have a client here, as they come and go."""
        return self._audiences.keys()

    def forbid(self, user_id: UserId, error: str, message: str) -> None:
        """Tell the user's clients here this code and sentence, and close them."""
        for listener in self._audience(user_id):
            listener.close(CloseCode.FORBIDDEN, message, error)

    def tell_place(self, place: QueuePlace) -> None:
        """Tell the user's clients here where a job stands in the queue."""
        frame = messages.job_place(place)
        for listener in self._audience(place.user_id):
            listener.put_newest(place.job_id, frame)

    def ping(self, user_id: UserId) -> Frame:
        """Return the ping of this moment for the user's sockets."""
        audience = self._audiences.get(user_id)
        return messages.ping(audience.newest_id if audience else None)

    def degraded(self) -> Frame | None:
        """Return what is wrong with the service, for a client that has just come; None while all is well."""
        degradations = self._conditions.current()
        return messages.system_degraded(degradations) if degradations else None

    def note_told(self, user_id: UserId, event_id: EventId | None) -> None:
        """Take note of how far a client of the user has been told."""
        audience = self._audiences.get(user_id)
        if audience is None or event_id is None or is_moment(event_id) or event_id <= (audience.newest_id or ""):
            return
        audience.newest_id = event_id
        if self._healer.is_whole(user_id):
            audience.whole_until = Cursor(event_id=event_id)

    def _deliver(self, notice: Notice) -> None:
        try:
            self._notices.put_nowait(notice)
        except asyncio.QueueFull:
            # Closed, the client reads everything anew; with this notice left out it would wait for ever.
            extra = {"action": "deliver", "user_id": notice.user_id}
            logger.error("Too many notices wait to be delivered", extra=extra)  # noqa: TRY400 - nothing to trace
            self._close_audience(notice.user_id)

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
                extra = {"action": "deliver", "user_id": notice.user_id}
                logger.exception("A notice could not be delivered", extra=extra)
                self._close_audience(notice.user_id)
            finally:
                self._notices.task_done()

    async def _dispatch(self, notice: Notice) -> None:
        match notice:
            case JobProgress():
                frame = messages.job_progress(notice)
                for listener in self._audience(notice.user_id):
                    listener.put_newest(notice.job.job_id, frame)
            case UserEvent(type=type) if type == ACCOUNT_ERASED:
                self.forbid(notice.user_id, _ERASED, "This account was erased")
            case _:
                told = await self.recovery.told_of(notice)
                self._tell(notice, messages.event(notice, told, is_next=self._healer.is_whole(notice.user_id)))

    def _tell(self, event: Event, frame: Frame) -> None:
        self.note_told(event.user_id, event.event_id)
        self._quotas.note(event)
        for listener in self._audience(event.user_id):
            listener.put(frame)

    def _tell_quota(self, user_id: UserId, frame: Frame) -> None:
        for listener in self._audience(user_id):
            listener.put_newest(frame.type, frame)

    async def _heal(self, user_id: UserId) -> None:
        """Tell a user's clients what may have been missed. Raises CloudUnavailable and TimeoutError."""
        audience = self._audiences.get(user_id)
        if audience is None:
            return
        try:
            await self._tell_missed(user_id, audience)
        except (CloudUnavailable, TimeoutError):
            raise
        except CursorUnknown:
            self._close_audience(user_id)  # they come back and are given a snapshot
        except Exception:
            logger.exception("A gap could not be healed", extra={"action": "heal", "user_id": user_id})
            self._close_audience(user_id)

    async def _tell_missed(self, user_id: UserId, audience: _Audience) -> None:
        async with asyncio.timeout(self.limits.healing_read_seconds):
            events = await self.recovery.missed(user_id, audience.whole_until)
        missed = [event for event in events if event.event_id not in audience.healed]
        for event in missed:
            self._tell(event, messages.event(event, await self.recovery.told_of(event)))
            await asyncio.sleep(0)  # as many views as there are events would keep the loop from everybody else
        audience.healed = frozenset(event.event_id for event in events)
        audience.whole_until = Cursor.after(audience.healed, audience.whole_until)

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
        clock_of = asyncio.get_running_loop().time
        turn_ends = clock_of() + self.limits.turn_seconds
        for user_id in tuple(self._audiences):
            frame = frame_of(user_id)
            for listener in self._audience(user_id):
                listener.put_newest(key, frame)
            if clock_of() >= turn_ends:
                await asyncio.sleep(0)  # ten thousand sockets at a stretch would be felt
                turn_ends = clock_of() + self.limits.turn_seconds

    async def _check_all(self) -> None:
        while True:
            await asyncio.sleep(self.limits.write_check_seconds)
            now = asyncio.get_running_loop().time()
            for listener in self._listeners:
                listener.check(now)

    def _audience(self, user_id: UserId) -> tuple[Listener, ...]:
        audience = self._audiences.get(user_id)
        return audience.listeners if audience else ()

    def _close_audience(self, user_id: UserId) -> None:
        for listener in self._audience(user_id):
            listener.close(CloseCode.OVERLOADED)

    def _report_death(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self.failed.done():
            return
        self.failed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} has ended"))
