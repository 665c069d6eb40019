"""Long polling: the last resort of a client that can hold neither a socket nor a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from jobs import clock
from jobs.errors import CursorUnknown
from jobs.event_log import Cursor
from jobs.events import Event
from jobs.ids import UserId
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.hub import Hub
from websocket.messages import Frame
from websocket.metrics import Transport

MAX_WAIT_SECONDS = 55
"""Below the minute after which many proxies and clients give up."""


class _Waiting:
    """The end of a client that waits for news; what they are, the log says."""

    def __init__(self, is_gone: Callable[[], bool]) -> None:
        self.close_code: int = CloseCode.NORMAL
        self.is_closed = False
        self.news = asyncio.Event()
        self._is_gone = is_gone

    def put(self, frame: Frame) -> None:
        """Look into the log."""
        self.news.set()

    def put_newest(self, key: str, frame: Frame) -> None:
        """Ignore what a later one replaces: a poll tells of lasting changes only."""

    def close(self, code: CloseCode, message: str | None = None, error: str | None = None) -> None:
        """Answer now."""
        if not self.is_closed:
            self.is_closed, self.close_code = True, code
            self.news.set()

    def check(self, now: float) -> None:
        """Wait no longer for a client that is gone: until the answer nothing else would notice, and it counts as the user's."""
        if self._is_gone():
            self.close(CloseCode.NORMAL)


async def poll(hub: Hub, user_id: UserId, after: str | None, wait_seconds: float, is_gone: Callable[[], bool]) -> bytes:
    """Return what has happened since the cursor as JSON, waiting so long for something to happen.

    ``{"events": […], "cursor": "…"}``; ``events`` has the very objects that sockets are sent. Without a cursor, or after a
    ``resync`` among them, they end with a ``snapshot``. Raises CloudUnavailable, TimeoutError, and Disconnect for too many.
    """
    waiting = _Waiting(is_gone)
    with hub.holding(waiting, Transport.POLL):
        hub.join(waiting, user_id)
        if waiting.is_closed:
            raise Disconnect(CloseCode.OVERLOADED)  # answered with nothing it would ask again at once
        await hub.listening(user_id)
        if after is None:
            return await _begin(hub, user_id, [])
        try:
            return await _wait(hub, user_id, Cursor.read(after), waiting, wait_seconds)
        except CursorUnknown as error:
            return await _begin(hub, user_id, [messages.resync(error.message)])


async def _begin(hub: Hub, user_id: UserId, told: list[Frame]) -> bytes:
    # Where nothing has happened yet there is no position, and without a cursor a client would be told so over and over.
    beginning = Cursor.at(clock.now_milliseconds())
    snapshot = await hub.recovery.snapshot(user_id)
    return _answer([*told, messages.snapshot(snapshot)], snapshot.position or str(beginning))


async def _wait(hub: Hub, user_id: UserId, cursor: Cursor, waiting: _Waiting, wait_seconds: float) -> bytes:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while True:
        waiting.news.clear()
        events = await hub.recovery.missed(user_id, cursor)
        if fresh := _fresh(events, cursor):
            told = [frame async for frame in hub.recovery.told(fresh)]
            return _answer(told, str(Cursor.after((event.event_id for event in events), cursor)))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await waiting.news.wait()
        if waiting.is_closed or loop.time() >= deadline:
            return _answer([], str(cursor))


def _fresh(events: list[Event], cursor: Cursor) -> list[Event]:
    """Choose what the client has not seen: all of the overlap, if something has appeared there since it was last told."""
    seen = [event.event_id for event in events if event.event_id <= cursor.event_id]
    return events[len(seen) :] if Cursor.after(seen, cursor) == cursor else events


def _answer(frames: list[Frame], cursor: str) -> bytes:
    events = b",".join(frame.content for frame in frames)
    return b'{"events":[' + events + b'],"cursor":' + json.dumps(cursor).encode() + b"}"
