"""What brings a client to the present: the events it has missed, or how everything is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from jobs.errors import CursorUnknown
from jobs.event_log import Cursor, EventLog
from jobs.events import Event, JobEvent
from jobs.ids import UserId
from jobs.model import JSON, Job
from websocket import messages
from websocket.limits import SocketLimits
from websocket.messages import Frame, Snapshot

T = TypeVar("T")
View = Callable[[Job], Awaitable[dict[str, JSON]]]
ReadSnapshot = Callable[[UserId], Awaitable[Snapshot]]


class Recovery:
    """Reads the log for those who have left off somewhere, and a snapshot for all others.

    Whoever recovers must listen first, so that nothing falls between. A recovery is complete, or says by a ``resync`` that
    it is not. All errors: CloudUnavailable and TimeoutError, and ConnectionError for a client that is gone.
    """

    def __init__(self, log: EventLog, view: View, read_snapshot: ReadSnapshot, limits: SocketLimits) -> None:
        self._log = log
        self._view = view
        self._read_snapshot = read_snapshot
        self._limits = limits
        # After a deploy thousands come at once: reading for all together, each would be done as late as the last.
        self._room = asyncio.Semaphore(limits.recoveries_at_once)

    async def frames(self, user_id: UserId, since: str | None, is_gone: Callable[[], bool]) -> AsyncIterator[Frame]:
        """Tell what a client with this cursor is owed: every event since then, or what is wrong with it and a snapshot.

        Only so many are read for at once, in the order they came; nobody waits for longer than ``recovery_seconds``, and
        nothing is read for one that ``is_gone`` by then.
        """
        if since is not None:
            try:
                cursor = Cursor.read(since)
                events = await self._in_turn(lambda: self.missed(user_id, cursor), is_gone)
            except CursorUnknown as error:
                yield messages.resync(error.message)
            else:
                async for frame in self.told(events):
                    yield frame
                return
        yield messages.snapshot(await self._in_turn(lambda: self.snapshot(user_id), is_gone))

    async def _in_turn(self, read: Callable[[], Awaitable[T]], is_gone: Callable[[], bool]) -> T:
        async with asyncio.timeout(self._limits.recovery_seconds), self._room:
            if is_gone():
                raise ConnectionResetError("The client did not wait for its turn")
            return await read()

    async def snapshot(self, user_id: UserId) -> Snapshot:
        """Read how the user's jobs are."""
        async with asyncio.timeout(self._limits.snapshot_seconds):
            return await self._read_snapshot(user_id)

    async def missed(self, user_id: UserId, cursor: Cursor) -> list[Event]:
        """Read the events since the cursor, its overlap included. Raises CursorUnknown when they are too many to tell."""
        events: list[Event] = []
        async with asyncio.timeout(self._limits.snapshot_seconds):
            async for event in self._log.since(user_id, cursor):
                events.append(event)
                if len(events) > self._limits.recovered_events:
                    raise CursorUnknown("Too much has happened since")
        return events

    async def told(self, events: Iterable[Event]) -> AsyncIterator[Frame]:
        """Write events as every client is told them."""
        for event in events:
            yield messages.event(event, await self.told_of(event))
            await asyncio.sleep(0)  # signing a job's links takes a millisecond, and nobody else should wait for all

    async def told_of(self, event: Event) -> dict[str, JSON]:
        """Write what an event is about as every client is shown it."""
        return await self._view(event.job) if isinstance(event, JobEvent) else dict(event.data)
