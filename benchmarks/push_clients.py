"""Clients by the thousand in a process of their own: they read frames as cheaply as Python can and note when stamped ones came.

python -m benchmarks.push_clients URL --sockets 1000 --users 1000 [--hung 10]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.push_frames import STAMP

AT_ONCE: Final = 64
CONNECT_SECONDS: Final = 60
HUNG_BUFFER_BYTES: Final = 4096
_PING: Final = 0x9
_EMPTY_PONG: Final = b"\x8a\x80\0\0\0\0"


@dataclass(slots=True)
class Crowd:
    """What all clients have seen since the last report; ``latencies`` are nanoseconds from the stamp to here."""

    frames: int = 0
    latencies: list[int] = field(default_factory=list)

    def report(self) -> dict[str, object]:
        """Return what was seen and forget it."""
        seen = {"frames": self.frames, "latencies": self.latencies}
        self.frames, self.latencies = 0, []
        return seen


class Client(asyncio.Protocol):
    """One socket, from the upgrade on. ``ready`` ends with its snapshot; a hung one reads nothing after that."""

    __slots__ = ("_buffer", "_crowd", "_is_hung", "_is_upgraded", "_request", "_transport", "ready")

    def __init__(self, crowd: Crowd, request: bytes, *, is_hung: bool) -> None:
        self._crowd = crowd
        self._request = request
        self._is_hung = is_hung
        self._is_upgraded = False
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read what is whole."""
        self._buffer += data
        if not self._is_upgraded:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_upgraded, self._buffer = True, rest
        for opcode, content in self._whole_frames():
            self._take(opcode, content)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail who waits for the snapshot."""
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("closed before the snapshot"))

    def _take(self, opcode: int, content: bytes) -> None:
        assert self._transport is not None
        if opcode == _PING:
            self._transport.write(_EMPTY_PONG)
            return
        stamp = STAMP.search(content)
        if stamp is not None:
            self._crowd.frames += 1
            self._crowd.latencies.append(time.monotonic_ns() - int(stamp[1]))
        elif not self.ready.done() and content.startswith(b'{"type":"snapshot"'):
            self.ready.set_result(None)
            if self._is_hung:
                self._transport.pause_reading()

    def _whole_frames(self) -> Iterator[tuple[int, bytes]]:
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            length, head = buffer[start + 1], 2
            if length == 126:
                head = 4
                length = struct.unpack_from("!H", buffer, start + 2)[0] if len(buffer) - start >= head else len(buffer)
            elif length == 127:
                head = 10
                length = struct.unpack_from("!Q", buffer, start + 2)[0] if len(buffer) - start >= head else len(buffer)
            if len(buffer) - start < head + length:
                break
            yield buffer[start] & 0xF, buffer[start + head : start + head + length]
            start += head + length
        self._buffer = buffer[start:]


async def connect_all(crowd: Crowd, options: argparse.Namespace) -> list[Client]:
    """Open all sockets, some at a time, each until its snapshot."""
    room = asyncio.Semaphore(AT_ONCE)
    address = urlsplit(options.url)
    host, port = address.hostname or "", address.port or 80

    async def connect(number: int) -> Client:
        user, is_hung = f"user-{number % options.users}", number < options.hung
        async with room, asyncio.timeout(CONNECT_SECONDS):
            raw = socket.socket()
            raw.setblocking(False)
            if is_hung:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HUNG_BUFFER_BYTES)
            await asyncio.get_running_loop().sock_connect(raw, (host, port))
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: Client(crowd, _upgrade(host, user), is_hung=is_hung), sock=raw
            )
            await client.ready
            return client

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connect(number)) for number in range(options.sockets)]
    return [task.result() for task in tasks]


def _upgrade(host: str, user: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: darkroom.v1\r\nAuthorization: Bearer {user}\r\n\r\n"
    ).encode()


async def main() -> None:
    """Connect, say so in a line of JSON, and answer each line of stdin with a report until it ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push_clients", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sockets", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--hung", type=int, default=0, help="so many of the first stop reading after their snapshot")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd()
    began = time.monotonic()
    clients = await connect_all(crowd, options)
    _say({"sockets": len(clients), "seconds": time.monotonic() - began})
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        _say(crowd.report())


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
