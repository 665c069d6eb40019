"""A wire between a browser and the service: raw TCP that can be cut, swallow everything, or let some requests through only."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

HOST = "127.0.0.1"
CHUNK_BYTES = 2**16
CONNECT_SECONDS = 5
WEBSOCKET = b"upgrade: websocket"
EVENT_STREAM = b"accept: text/event-stream"
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"


class Wire:
    """``async with Wire() as wire:`` listens at ``wire.url``; ``lead_to`` says where new connections go.

    The faults: ``down`` resets all and refuses until ``up``; ``swallow`` lets nothing pass any more on the connections there
    are, nor on new ones until ``heal``; ``refused`` and ``held`` are what a request must have in its head for it to be
    answered with 403, or for its answer to be kept back; of those with a mark in ``lost``, so many reach the service and are
    reset instead of answered.
    """

    def __init__(self) -> None:
        self.refused: set[bytes] = set()
        self.held: set[bytes] = set()
        self.lost: dict[bytes, int] = {}
        self.forgets = False
        self._upstream = ("", 0)
        self._swallows = False
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        # Bound but not listening: while the wire is down its port refuses, and nobody else gets it.
        self._reservation = socket.socket()

    @property
    def url(self) -> str:
        """Where the wire listens."""
        return f"http://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind((HOST, 0))
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.down()
        self._reservation.close()

    def lead_to(self, url: str) -> None:
        """Connect those who come from now on to this address."""
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "", parts.port or 80)

    async def down(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task, connection in self._connections.items():
            connection.reset()
            task.cancel()
        if self._connections:
            await asyncio.wait(tuple(self._connections))

    async def up(self) -> None:
        """Listen again, at the same address."""
        if self._server is None:
            self._server = await asyncio.start_server(self._begin, HOST, self._port, reuse_port=True)

    def swallow(self) -> None:
        """Let nothing pass, and tell nobody."""
        self._swallows = True
        for connection in self._connections.values():
            connection.swallows = True

    def heal(self, *, forgets: bool = False) -> None:
        """Let new connections work in every way; the old ones stay as they are.

        A wire that ``forgets`` resets them when the browser next speaks there, as a router does that knows them no more.
        """
        self._swallows = False
        self.forgets = forgets
        self.refused.clear()
        self.held.clear()
        self.lost.clear()

    @property
    def _port(self) -> int:
        return int(self._reservation.getsockname()[1])

    def loses(self, head: bytes) -> bool:
        """Tell whether the answer to a request is to be lost, and count it."""
        mark = next((mark for mark, times in self.lost.items() if times and mark in head), None)
        if mark is not None:
            self.lost[mark] -= 1
        return mark is not None

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer, swallows=self._swallows)
        task = asyncio.create_task(connection.serve(self._upstream), name="wire-connection")
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)


class _Connection:
    """One browser's connection, with one to the service beside it."""

    def __init__(
        self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, swallows: bool
    ) -> None:
        self.swallows = swallows
        self._loses_answer = False
        self._wire = wire
        self._reader = reader
        self._writer = writer

    def reset(self) -> None:
        """Close with RST: linger zero throws away what was not sent."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def serve(self, address: tuple[str, int]) -> None:
        """Pass on what both sides say until one of them ends it."""
        upstream: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                answers, upstream = await asyncio.open_connection(*address)
            ways = [
                asyncio.create_task(self._pass_requests(upstream), name="wire-requests"),
                asyncio.create_task(self._pass_answers(answers), name="wire-answers"),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, TimeoutError):
            pass  # nobody is there: the browser sees its connection closed
        finally:
            for writer in (upstream, self._writer):
                if writer is not None:
                    writer.close()

    async def _pass_requests(self, upstream: asyncio.StreamWriter) -> None:
        while said := await self._reader.read(CHUNK_BYTES):
            head = said.lower()
            if any(mark in head for mark in self._wire.refused):
                self._writer.write(_REFUSAL)
                return
            self._loses_answer = self._loses_answer or self._wire.loses(head)
            if any(mark in head for mark in self._wire.held):
                self.swallows = True
                upstream.write(said)
            elif not self.swallows:
                upstream.write(said)
            elif self._wire.forgets:
                self.reset()
                return
            await upstream.drain()

    async def _pass_answers(self, answers: asyncio.StreamReader) -> None:
        while said := await answers.read(CHUNK_BYTES):
            if self._loses_answer:
                self.reset()
                return
            if not self.swallows:
                self._writer.write(said)
                await self._writer.drain()
