"""The bytes of one socket while several sides have something to write: the hub, the writer, a resume and the end."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from jobs.model import JSON, Job
from tests.push.stage import WAIT_SECONDS, Log, Push, Theatre, happened, plain_view

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wire:
    """A client's end of a socket that takes in no more than it is asked for, frame by frame."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> tuple[int, bytes]:
        """Read a frame; return its first byte and its content."""
        (kind,) = await self._read(1)
        return kind, await self._read_content()

    async def read_versions(self, count: int) -> list[int]:
        """Read so many events; return their versions."""
        frames = [await self.read() for _ in range(count)]
        assert {TEXT} == {kind for kind, _ in frames}
        return [json.loads(content)["job"]["version"] for _, content in frames]

    async def read_end(self) -> list[tuple[int, bytes]]:
        """Read whole frames until the line ends."""
        frames = []
        async with asyncio.timeout(WAIT_SECONDS):
            while kind := await self.reader.read(1):
                frames.append((kind[0], await self._read_content()))
        return frames

    async def _read_content(self) -> bytes:
        (length,) = await self._read(1)
        if length > 125:
            length = int.from_bytes(await self._read(2 if length == 126 else 8))
        return await self._read(length)

    async def _read(self, count: int) -> bytes:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.reader.readexactly(count)


@asynccontextmanager
async def _connected(push: Push) -> AsyncIterator[_Wire]:
    """Open a socket with hardly any room between its two ends."""
    reader, writer = await asyncio.open_connection(sock=await push.connect_hung(), limit=1024)
    assert push.server.handler is not None
    (served,) = push.server.handler.connections
    assert served.transport is not None
    served.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        yield _Wire(reader=reader, writer=writer)
    finally:
        writer.transport.abort()


def _from_client(kind: int, content: bytes) -> bytes:
    """Return a frame of a client, masked with zeros."""
    return struct.pack("!BB", kind, 0x80 | len(content)) + bytes(4) + content


def _view_of(event_bytes: int) -> Callable[[Job], Awaitable[dict[str, JSON]]]:
    async def view(job: Job) -> dict[str, JSON]:
        return {**await plain_view(job), "prompt": "x" * event_bytes}

    return view


async def test_a_reader_that_falls_behind_and_catches_up_again_and_again_misses_nothing(theatre: Theatre) -> None:
    """What comes while the writer waits is told after what is owed, even if it would fit into the line."""
    # Just below the 64 KiB at which the writer waits: most of what comes while it does would fit.
    push = await theatre.start(view=_view_of(20_000), outbox_bytes=10**6, unread_bytes=60_000)
    versions: list[int] = []
    async with _connected(push) as wire:
        for first in (1, 21, 41):
            await _publish(push, range(first, first + 10))
            for version in range(first + 10, first + 20):
                versions += await wire.read_versions(1)
                await _publish(push, [version])
            versions += await wire.read_versions(10)

    assert versions == list(range(1, 61))


ENDS = {
    "the client's close": (_from_client(CLOSE, struct.pack("!H", 1000)), 1000),
    "a bad frame": (_from_client(TEXT, b"{"), 4400),
    "a binary frame": (_from_client(BINARY, b"{}"), 4400),
    "broken text": (_from_client(TEXT, b"\xff"), 1007),
    "a frame too large": (struct.pack("!BBH", TEXT, 0x80 | 126, 20_000), 1009),
}


@pytest.mark.parametrize(("end", "close_code"), ENDS.values(), ids=ENDS)
async def test_nothing_follows_the_close_frame_that_a_client_brings_about(
    theatre: Theatre, end: bytes, close_code: int
) -> None:
    """However much happens while the server waits for the client to close too."""
    push = await theatre.start()
    async with _connected(push) as wire:
        publishing = asyncio.create_task(_publish_while_served(push))
        await wire.read_versions(3)
        wire.writer.write(end)
        frames = await wire.read_end()
        await publishing

    assert [(CLOSE, close_code)] == _from_close_on(frames)


async def test_nothing_follows_the_close_frame_of_a_hub_that_closes(theatre: Theatre) -> None:
    """Jobs go on in other tasks, and their events come in to the last."""
    push = await theatre.start()
    async with _connected(push) as wire:
        publishing = asyncio.create_task(_publish_while_served(push))
        await wire.read_versions(3)
        closing = asyncio.create_task(push.hub.close())
        frames = await wire.read_end()
        await asyncio.gather(publishing, closing)

    assert [(CLOSE, 1012)] == _from_close_on(frames)


@pytest.mark.parametrize("name", ["broken text", "a frame too large"])
async def test_nothing_follows_the_close_frame_to_a_client_that_is_behind(theatre: Theatre, name: str) -> None:
    """aiohttp closes by itself there, and waits for the client to take in what was sent before."""
    end, close_code = ENDS[name]
    push = await theatre.start(view=_view_of(100_000))
    async with _connected(push) as wire:
        await _publish(push, [1])
        publishing = asyncio.create_task(_publish_while_served(push))
        wire.writer.write(end)
        frames = await wire.read_end()
        await publishing

    assert [(CLOSE, close_code)] == _from_close_on(frames)


async def test_a_resume_waits_for_the_write_that_hangs(theatre: Theatre) -> None:
    """The log is read for a client that takes in what it is sent: told are what was under way, what was missed, what is owed."""
    resume = json.dumps({"type": "resume", "since": happened(60).event_id}).encode()
    log = Log(*(happened(10 - version, version=version) for version in (1, 2, 3)))
    push = await theatre.start(view=_view_of(100_000), log=log, outbox_bytes=10**6)
    async with _connected(push) as wire:
        await _publish(push, [1, 2, 3])
        wire.writer.write(_from_client(TEXT, resume))
        under_way = await wire.read_versions(1)

        assert not log.reached.is_set()

        under_way += await wire.read_versions(1)
        missed = await wire.read_versions(3)
        await _publish(push, [4])
        owed = await wire.read_versions(2)

    assert (under_way, missed, owed) == ([1, 2], [1, 2, 3], [3, 4])


async def _publish(push: Push, versions: Iterable[int]) -> None:
    """Publish so many versions of a job, each delivered before the next."""
    for version in versions:
        push.bus.publish(happened(version=version))
        await push.hub._notices.join()


async def _publish_while_served(push: Push) -> None:
    """Publish an event in every turn of the loop until nobody is served any more."""
    versions = itertools.count(1)
    while push.hub._audiences:
        push.bus.publish(happened(version=next(versions)))
        await asyncio.sleep(0)


def _from_close_on(frames: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """Return the close frame and what follows it, each with the number that it begins with."""
    last = itertools.dropwhile(lambda frame: frame[0] != CLOSE, frames)
    return [(kind, int.from_bytes(content[:2])) for kind, content in last]
