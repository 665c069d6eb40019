"""One socket, from the upgrade to the last byte."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import WSMsgType, web

from jobs.model import Caller
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.limits import SocketLimits
from websocket.messages import Frame
from websocket.metrics import SocketMetrics
from websocket.outbox import Outbox

logger = logging.getLogger(__name__)

ABNORMAL_CLOSURE = 1006


class Connection:
    """Reads one client's messages and writes what it is owed, until somebody closes it. ``caller`` is who it signed in as.

    Everything runs in the task that awaits ``run``. A writer task is there only while the client is behind: thousands of idle
    sockets would pay for theirs, and waking it costs twice as much as the write.
    """

    __slots__ = (
        "_asks_for_token_at",
        "_end",
        "_is_live",
        "_left_with",
        "_life",
        "_limits",
        "_metrics",
        "_outbox",
        "_second_began",
        "_second_frames",
        "_socket",
        "_transport",
        "_writer",
        "_writing_since",
        "caller",
        "connection_id",
    )

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        limits: SocketLimits,
        metrics: SocketMetrics,
    ) -> None:
        self.connection_id = f"con_{secrets.token_hex(8)}"
        self._socket = socket
        self._transport = transport
        self._limits = limits
        self._metrics = metrics
        self._outbox = Outbox(max_frames=limits.outbox_frames, max_bytes=limits.outbox_bytes)
        self._is_live = False
        self._writer: asyncio.Task[None] | None = None
        self._life: asyncio.Timeout | None = None
        self._end: Disconnect | None = None
        self._left_with = ABNORMAL_CLOSURE
        self.caller: Caller | None = None
        self._asks_for_token_at = math.inf
        self._writing_since: float | None = None
        self._second_began = 0.0
        self._second_frames = 0

    @property
    def close_code(self) -> int:
        """The code it was closed with, by us or by the client."""
        return self._left_with if self._end is None else self._end.code

    @property
    def is_gone(self) -> bool:
        """Tell whether nothing can reach the client any more."""
        return self._transport.is_closing()

    async def run(self, session: Callable[[], Awaitable[None]]) -> None:
        """Run the session until it returns, raises Disconnect or ``close`` is called; then say why and close."""
        try:
            await self._attend(session)
            await self._part()
        finally:
            if self._writer is not None:
                self._writer.cancel()
            # A closed transport still waits for its buffer to drain, for ever if the client does not read.
            asyncio.get_running_loop().call_later(self._limits.close_seconds, self._transport.abort)

    def close(self, code: CloseCode, message: str | None = None, error: str | None = None) -> None:
        """End the session from outside; the first reason counts."""
        if self._end is not None:
            return
        self._end = Disconnect(code, message, error)
        if self._life is not None and not self._life.expired():
            self._life.reschedule(asyncio.get_running_loop().time())

    def sign_in(self, caller: Caller) -> None:
        """Live from now on as long as this caller's token, and a little longer."""
        self.caller = caller
        self._asks_for_token_at = self._limits.asks_for_token_at(caller.expires_at, time.time())

    def put(self, frame: Frame) -> None:
        """Owe the client a frame that must not be lost; never waits, and closes a client that is too slow for it."""
        if self._write_at_once(frame):
            return
        if not self._outbox.put(frame):
            self.close(CloseCode.SLOW)
        self._write_later()

    def put_newest(self, key: str, frame: Frame) -> None:
        """Owe the client a frame of which only the newest of a key matters; never waits."""
        if not self._write_at_once(frame):
            self._outbox.put_newest(key, frame)
            self._write_later()

    def _write_at_once(self, frame: Frame) -> bool:
        """Write a frame if the client is live and owed nothing, and keeps up; none may follow a close frame."""
        transport = self._transport
        if not self._is_live or self._writer is not None or self._socket.closed or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > self._limits.unread_bytes:
            return False
        transport.write(frame.wire)
        self._metrics.count_sent(frame.type)
        return True

    def _write_later(self) -> None:
        """See that somebody writes what is owed."""
        if self._is_live and self._writer is None and not self._outbox.is_empty:
            self._writer = asyncio.create_task(self._write_owed(), name=f"writer of {self.connection_id}")

    async def write(self, frame: Frame) -> None:
        """Send a frame past the outbox; only while it is not live. Raises Disconnect for a client that does not read."""
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                await self._send(frame)
        except TimeoutError:
            raise Disconnect(CloseCode.SLOW) from None

    def go_live(self) -> None:
        """Send what has gathered in the outbox, and all that follows."""
        self._is_live = True
        self._write_later()

    async def pause(self) -> None:
        """Let what is owed gather in the outbox until it goes live again."""
        self._is_live = False
        await self._stop_writing()  # no longer than one write may take, or ``check`` closes the client

    async def _stop_writing(self) -> None:
        if self._writer is not None:
            await asyncio.wait({self._writer})

    def check(self, now: float) -> None:
        """Close a client that has kept the writer waiting for too long at ``now``, in the loop's time, or whose token has ended.

        Somebody calls this for all sockets every second or so: a timer for each write would cost as much as the write.
        """
        if self._writing_since is not None and now - self._writing_since > self._limits.write_seconds:
            self.close(CloseCode.SLOW)
        if self.caller is not None:
            self._check_token(self.caller, time.time())

    def _check_token(self, caller: Caller, now: float) -> None:
        if now > caller.expires_at + self._limits.expired_token_seconds:
            self.close(CloseCode.UNAUTHORIZED, "The token has expired")
        elif now > self._asks_for_token_at:
            self._asks_for_token_at = math.inf
            self.put_newest("auth.expiring", messages.auth_expiring(caller))

    async def receive(self) -> str | None:
        """Wait for the client's next message; None says that the client has left. Raises Disconnect."""
        while True:
            message = await self._socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    self._count_inbound()
                    return str(message.data)
                case WSMsgType.BINARY:
                    raise Disconnect(CloseCode.BAD_FRAME, "Messages are text frames")
                case WSMsgType.PING:
                    self._count_inbound()
                    await self._pong(message.data)
                case WSMsgType.PONG:
                    self._count_inbound()
                case WSMsgType.ERROR:
                    self._left_with = int(getattr(message.data, "code", ABNORMAL_CLOSURE))
                    return None
                case _:
                    self._left_with = self._socket.close_code or ABNORMAL_CLOSURE
                    return None

    async def _pong(self, payload: bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                await self._socket.pong(payload)
        except TimeoutError:
            raise Disconnect(CloseCode.SLOW) from None

    async def _attend(self, session: Callable[[], Awaitable[None]]) -> None:
        """Run the session inside its life, a timeout that ``close`` lets run out."""
        try:
            async with asyncio.timeout(None) as self._life:
                if self._end is None:
                    await session()
        except Disconnect as end:
            self._end = self._end or end
        except ConnectionError:
            pass  # the client left while we wrote; were it another connection, the client is closed all the same
        except Exception as error:
            # Nothing may reach the middleware: it would write an HTTP answer into the socket.
            if self._end is None or not isinstance(error, TimeoutError):
                logger.exception("A socket failed", extra={"action": "socket", "connection_id": self.connection_id})
            self._end = self._end or Disconnect(CloseCode.OVERLOADED)
        finally:
            self._life = None

    async def _part(self) -> None:
        """Send what is owed, the reason and the close frame, each with little patience."""
        self._outbox.finish()
        if self._end is None and self._socket.closed:
            return  # aiohttp has answered the client's close
        end = self._end or Disconnect(CloseCode.OVERLOADED)
        with suppress(TimeoutError, ConnectionError):
            if end.code is not CloseCode.SLOW:
                async with asyncio.timeout(self._limits.drain_seconds):
                    await self._send_last(end)
        if self._writer is not None:
            self._writer.cancel()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(self._limits.close_seconds):
                # Draining would wait for a client that does not read.
                await self._socket.close(code=end.code, message=end.code.meaning.encode(), drain=False)

    async def _send_last(self, end: Disconnect) -> None:
        await self._stop_writing()
        if end.error:
            await self._send(messages.error(end.error, end.message))

    async def _write_owed(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._is_live and not self._outbox.is_empty:
                self._writing_since = clock()
                await self._send(self._outbox.pop())
        except ConnectionError:
            pass  # the reader learns of it too
        finally:
            self._writing_since = self._writer = None

    async def _send(self, frame: Frame) -> None:
        await self._socket.send_frame(frame.content, WSMsgType.TEXT)
        self._metrics.count_sent(frame.type)

    def _count_inbound(self) -> None:
        now = time.monotonic()
        if now - self._second_began >= 1:
            self._second_began, self._second_frames = now, 0
        self._second_frames += 1
        if self._second_frames > self._limits.inbound_frames_per_second:
            raise Disconnect(CloseCode.TOO_MANY, "Too many messages")
