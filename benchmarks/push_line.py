"""The line between clients and services, at one address: it may be cut or stand still, and leads to whoever is there."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

HOST: Final = "127.0.0.1"
DIAL_SECONDS: Final = 5
PIECE_BYTES: Final = 2**16
BACKLOG: Final = 4096


class Line:
    """``async with Line(urls) as line:`` relays what comes to ``line.url``, each connection to the next of ``urls()``."""

    def __init__(self, urls: Callable[[], Sequence[str]]) -> None:
        self._urls = urls
        self._turns = itertools.count()
        self._moving = asyncio.Event()
        self._moving.set()
        self._server: asyncio.Server | None = None
        self._ends: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, HOST, 0, backlog=BACKLOG)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Reset every connection, whatever is on its way."""
        for writer in self._ends.values():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        tasks = tuple(self._ends)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stand_still(self) -> None:
        """Let nothing through until ``move``; nobody is told."""
        self._moving.clear()

    def move(self) -> None:
        """Let through what has gathered and what follows."""
        self._moving.set()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._relay(reader, writer), name="line")
        self._ends[task] = writer
        task.add_done_callback(self._ends.pop)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError, TimeoutError):
                far_reader, far_writer = await self._dial()
                directions = (self._carry(reader, far_writer), self._carry(far_reader, writer))
                tasks = [asyncio.create_task(direction) for direction in directions]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    end.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        urls = self._urls()
        if not urls:
            raise ConnectionRefusedError
        address = urlsplit(urls[next(self._turns) % len(urls)])
        async with asyncio.timeout(DIAL_SECONDS):
            return await asyncio.open_connection(address.hostname, address.port)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._moving.wait()
            writer.write(piece)
            await writer.drain()
