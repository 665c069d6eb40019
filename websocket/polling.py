"""Long polling: the last resort of a client that can hold neither a socket nor a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from jobs.errors import CursorUnknown
from jobs.event_log import Cursor
from jobs.ids import UserId
from websocket import messages
from websocket.close_codes import CloseCode
from websocket.hub import Hub
from websocket.messages import Frame

MAX_WAIT_SECONDS = 55
"""Below the minute after which many proxies and clients give up."""


class _Gathering:
    """Gathers the events that come while a poll waits."""

    close_code: int = CloseCode.NORMAL

    def __init__(self, most: int) -> None:
        self.frames: list[Frame] = []
        self.news = asyncio.Event()
        self._most = most

    def put(self, frame: Frame) -> None:
        """Keep an event; beyond the bound the next poll reads it from the log."""
        if frame.event_id is not None and len(self.frames) < self._most:
            self.frames.append(frame)
            self.news.set()

    def put_newest(self, key: str, frame: Frame) -> None:
        """Ignore what a later one replaces: a poll tells of lasting changes only."""

    def close(self, code: CloseCode, message: str | None = None) -> None:
        """Answer now, with what there is."""
        self.news.set()

    def check(self, now: float) -> None:
        """Do nothing: a poll is short."""


async def poll(hub: Hub, user_id: UserId, after: str | None, wait_seconds: float) -> bytes:
    """Return what has happened since the cursor as JSON, waiting so long for something to happen.

    ``{"events": […], "cursor": "…"}``; ``events`` has the very objects that sockets are sent. Without a cursor, or after a
    ``resync`` among them, they end with a ``snapshot``. Raises CloudUnavailable, TimeoutError, and Disconnect for too many.
    """
    gathering = _Gathering(hub.limits.outbox_frames)
    with hub.holding(gathering), hub.joined(gathering, user_id):
        await hub.listening(user_id)
        try:
            cursor = Cursor.read(after) if after is not None else None
        except CursorUnknown:
            return await _begin(hub.recovery.frames(user_id, after))
        if cursor is None:
            return await _begin(hub.recovery.frames(user_id, None))
        return await _wait(hub, user_id, cursor, gathering, wait_seconds)


async def _begin(frames: AsyncIterator[Frame]) -> bytes:
    told = [frame async for frame in frames]
    return _answer(told, told[-1].event_id)


async def _wait(hub: Hub, user_id: UserId, cursor: Cursor, gathering: _Gathering, wait_seconds: float) -> bytes:
    try:
        events = await hub.recovery.missed(user_id, cursor)
    except CursorUnknown as error:
        return await _begin(_resynced(hub, user_id, error.message))
    seen = [event.event_id for event in events if event.event_id <= cursor.event_id]
    # What lies in the overlap is told again only if something has appeared there since the client was last told.
    if len(seen) < len(events) or Cursor.after(seen, cursor).digest != cursor.digest:
        told = [await hub.recovery.event_frame(event) for event in events]
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await gathering.news.wait()
        told = gathering.frames
    ids = {event.event_id for event in events} | {frame.event_id for frame in told if frame.event_id}
    return _answer(told, str(Cursor.after(ids, cursor)))


async def _resynced(hub: Hub, user_id: UserId, reason: str) -> AsyncIterator[Frame]:
    yield messages.resync(reason)
    async for frame in hub.recovery.frames(user_id, None):
        yield frame


def _answer(frames: list[Frame], cursor: str | None) -> bytes:
    events = b",".join(frame.content for frame in frames)
    return b'{"events":[' + events + b'],"cursor":' + json.dumps(cursor).encode() + b"}"
