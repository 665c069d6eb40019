"""A proxy that stands between the service and a cloud, and lets happen to chosen requests what networks and clouds do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tests.faults import messages
from tests.faults.messages import Head, Request, Response, UnreadableMessage
from tests.faults.rules import Ending, Matches, Rule

T = TypeVar("T")
HOST = "127.0.0.1"
BUFFER_BYTES = 2**20
BACKLOG = 1024
CONNECT_SECONDS = 5
WHOLE = Rule(lambda _request: True)
"""The rule of a request that no fault befalls."""


class _ConnectionEnds(Exception):
    """Nothing more is said on this connection."""


class FaultProxy:
    """``async with FaultProxy(upstream_url) as proxy:`` listens at ``proxy.url`` and forwards what comes, Host header and all.

    Faults are said with ``when``; of several rules that match, the first made wins. ``down`` and ``up`` cut off everybody.
    Connections are kept alive as both sides wish; a client that leaves takes its request at the upstream with it. What a rule's
    own code raises is raised again when the block ends.
    """

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._rules: list[Rule] = []
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._broken: list[Exception] = []
        # Bound but not listening: while the proxy is down its port refuses, and nobody else gets it.
        self._reservation = socket.socket()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind((HOST, 0))
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()
        await self.down()
        self._reservation.close()
        if self._broken:
            raise ExceptionGroup("a rule's own code failed", self._broken)

    def when(self, matches: Matches) -> Rule:
        """Add a rule for the requests that ``matches`` chooses; its methods say what happens to them."""
        rule = Rule(matches)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Lift every rule."""
        for rule in self._rules:
            rule.lift()
        self._rules.clear()

    async def down(self) -> None:
        """Reset every connection and refuse new ones until ``up``."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections.values():
            connection.reset()
        # A callback may call this: its own connection ends by itself.
        others = self._connections.keys() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    async def up(self) -> None:
        """Listen again, at the same address."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._begin, HOST, self._port, limit=BUFFER_BYTES, backlog=BACKLOG, reuse_port=True
            )

    @property
    def _port(self) -> int:
        return int(self._reservation.getsockname()[1])

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            _reset(writer)  # it was accepted in the moment of going down
            return
        connection = _Connection(self._upstream, self._rules, reader, writer)
        task = asyncio.create_task(connection.serve(), name="fault-proxy-connection")
        self._connections[task] = connection
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        # Not for its task to do: a client leaves, and while its request is taken back ``down`` cancels the task once more.
        self._connections.pop(task).close()
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._broken.append(error)


class _Connection:
    """One client's connection, with one to the upstream beside it."""

    def __init__(
        self,
        upstream: tuple[str, int],
        rules: list[Rule],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._address = upstream
        self._rules = rules
        self._reader = reader
        self._writer = writer
        self._upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        # Reading ahead is how the proxy learns that a client has left while its request is under way.
        self._next_head = self._read_head()

    async def serve(self) -> None:
        """Serve one request after the other until a side closes or a fault ends it."""
        ends = (_ConnectionEnds, UnreadableMessage, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError)
        with contextlib.suppress(*ends):
            while True:
                await self._serve_one(await self._read_request(await self._next_head))

    def close(self) -> None:
        """Let go of both sides, and of the upstream's half-way through a request; to be called once ``serve`` is over."""
        if not self._next_head.cancel() and not self._next_head.cancelled():
            self._next_head.exception()  # not asked, it would be logged
        self._hang_up()
        self._writer.close()

    def reset(self) -> None:
        """Throw the client out."""
        _reset(self._writer)

    def _read_head(self) -> asyncio.Task[Head]:
        return asyncio.create_task(messages.read_head(self._reader), name="fault-proxy-head")

    async def _read_request(self, head: Head) -> Request:
        if head.headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = await messages.read_request(head, self._reader)
        self._next_head = self._read_head()
        return request

    async def _serve_one(self, request: Request) -> None:
        rule = next((rule for rule in self._rules if rule.takes(request)), WHOLE)
        try:
            await self._befall(request, rule)
        finally:
            rule.finished.set()

    async def _befall(self, request: Request, rule: Rule) -> None:
        """Do to the request what the rule says, step by step; only the callbacks outlive a client that leaves."""
        if rule.seconds:
            await self._unless_left(asyncio.sleep(rule.seconds))
        if rule.call_before is not None:
            await rule.call_before()
        match rule.ending:
            case Ending.CUT:
                raise _ConnectionEnds
            case Ending.RESET:
                _reset(self._writer)
                raise _ConnectionEnds
            case Ending.ANSWER:
                self._writer.write(rule.make_answer(request))
            case Ending.BLACKHOLE:
                await self._unless_left(rule.released.wait())
                await self._pass_on(request, rule)
            case Ending.PASS | Ending.CUT_AFTER:
                await self._pass_on(request, rule)

    async def _pass_on(self, request: Request, rule: Rule) -> None:
        response = await self._unless_left(self._forward(request))
        if rule.call_after is not None:
            await rule.call_after()
        if rule.ending is Ending.CUT_AFTER:
            raise _ConnectionEnds
        self._writer.writelines(response.wire)
        await self._writer.drain()
        if not response.keeps_open:
            raise _ConnectionEnds

    async def _unless_left(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work, or cancel it and end when the client leaves first."""
        task = asyncio.create_task(work, name="fault-proxy-request")
        try:
            await asyncio.wait({task, self._next_head}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self._next_head.exception() is None:
                await asyncio.wait({task})  # the client has sent its next request ahead; it is still there
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            raise _ConnectionEnds
        return task.result()

    async def _forward(self, request: Request) -> Response:
        reader, writer = await self._dial()
        writer.writelines(request.wire)
        with contextlib.suppress(ConnectionError):  # refused half-way through a body, the answer may still be there
            await writer.drain()
        response = await messages.read_response(reader, request.method)
        if not response.keeps_open:
            self._hang_up()
        return response

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream is not None and self._upstream[0].at_eof():
            self._hang_up()
        if self._upstream is None:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._upstream = await asyncio.open_connection(*self._address, limit=BUFFER_BYTES)
        return self._upstream

    def _hang_up(self) -> None:
        if self._upstream is not None:
            self._upstream[1].transport.abort()
            self._upstream = None


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, unless it is closed: linger zero throws away what was not sent."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
