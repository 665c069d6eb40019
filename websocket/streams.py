"""Server-sent events: what a socket tells, for networks that let none through."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import hdrs, web

from jobs.errors import CloudUnavailable
from jobs.ids import JobId
from jobs.model import Caller
from websocket import messages
from websocket.close_codes import CloseCode
from websocket.hub import Hub
from websocket.messages import Frame
from websocket.outbox import Outbox

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/event-stream"
_HEADERS = {
    hdrs.CONTENT_TYPE: CONTENT_TYPE,
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # proxies of nginx's kind would keep small events back
}


class Stream:
    """One answer that goes on. With ``job_id`` it tells of that job alone, and ends with it.

    Its frames are written by whoever awaits ``run``; ``put`` and its like never wait.
    """

    __slots__ = (
        "_asks_for_token_at",
        "_caller",
        "_end",
        "_job_id",
        "_limits",
        "_metrics",
        "_outbox",
        "_request",
    )

    def __init__(self, hub: Hub, caller: Caller, job_id: JobId | None = None) -> None:
        self._caller = caller
        self._job_id = job_id
        self._limits = hub.limits
        self._metrics = hub.metrics
        self._outbox = Outbox(max_frames=hub.limits.outbox_frames, max_bytes=hub.limits.outbox_bytes)
        self._request: web.Request | None = None
        self._end: CloseCode | None = None
        self._asks_for_token_at = hub.limits.asks_for_token_at(caller.expires_at, time.time())

    @property
    def close_code(self) -> int:
        """Why it ended, in the words of a socket."""
        return self._end or CloseCode.NORMAL

    @property
    def is_closed(self) -> bool:
        """Tell whether it has been ended."""
        return self._end is not None

    def put(self, frame: Frame) -> None:
        """Owe the client a frame that must not be lost; ends a stream whose client is too slow for it."""
        if self._concerns(frame) and not self._outbox.put(frame):
            self.close(CloseCode.SLOW)

    def put_newest(self, key: str, frame: Frame) -> None:
        """Owe the client a frame of which only the newest of a key matters."""
        if self._concerns(frame):
            self._outbox.put_newest(key, frame)

    def close(self, code: CloseCode, message: str | None = None, error: str | None = None) -> None:
        """End the stream after what is owed already; the client comes back and says where it left off."""
        if self._end is None:
            self._end = code
            if code.error:
                self._outbox.put(messages.error(error or code.error, message or code.meaning))
            self._outbox.finish()

    def check(self, now: float) -> None:
        """Ask for a fresh token in time; a stream cannot take one, so it ends with the old one. ``now`` is not needed.

        It ends when its client is gone, too: until the next frame nothing else would notice, and it counts as one of the user's.
        """
        if self._request is not None and self._request.transport is None:
            self.close(CloseCode.NORMAL)
        moment = time.time()
        if moment > self._caller.expires_at + self._limits.expired_token_seconds:
            self.close(CloseCode.UNAUTHORIZED, "The token has expired")
        elif moment > self._asks_for_token_at:
            self._asks_for_token_at = math.inf
            self.put_newest("auth.expiring", messages.auth_expiring(self._caller))

    async def run(
        self, request: web.Request, beginning: AsyncIterator[Frame], *, is_over: bool = False
    ) -> web.StreamResponse:
        """Write the beginning and then what is owed, until the stream, its job or its client ends; nothing if ``is_over``."""
        self._request, transport = request, request.transport
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        async with asyncio.timeout(self._limits.write_seconds):
            await response.prepare(request)
        try:
            with suppress(ConnectionError):
                if await self._write_beginning(response, beginning) and not is_over:
                    await self._write_owed(response)
        finally:
            if transport is not None:
                # A closed transport still waits for its buffer to drain, for ever if the client does not read.
                asyncio.get_running_loop().call_later(self._limits.close_seconds, transport.abort)
        return response

    async def _write_beginning(self, response: web.StreamResponse, beginning: AsyncIterator[Frame]) -> bool:
        """Return whether it is complete; else nothing may follow it, or the client would come back from behind a hole."""
        try:
            async for frame in beginning:
                await self._write(response, frame)
        except (CloudUnavailable, TimeoutError):
            self._end = self._end or CloseCode.OVERLOADED
            await self._write(response, messages.error(self._end.error, "Your jobs cannot be read just now"))
            return False
        return True

    async def _write_owed(self, response: web.StreamResponse) -> None:
        while (owed := await self._outbox.take()) is not None:
            await self._write(response, owed)
            if self._job_id is not None and owed.ends_job:
                return

    async def _write(self, response: web.StreamResponse, frame: Frame) -> None:
        head = f"id: {frame.event_id}\n".encode() if frame.event_id else b""
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                await response.write(head + b"data: " + frame.content + b"\n\n")
        except TimeoutError:
            self.close(CloseCode.SLOW)
            raise ConnectionResetError("The client does not read") from None
        self._metrics.count_sent(frame.type)

    def _concerns(self, frame: Frame) -> bool:
        if self._job_id is None:
            return True
        return frame.job_id == self._job_id or (frame.job_id is None and not frame.is_of_user)
