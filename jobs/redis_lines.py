"""Lines to Redis or Valkey, one a server: channels to listen to and to speak on, for as long as all of it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

REPLY_SECONDS: Final = 2.0
"""The longest a server may take for one batch; it may be forking, or dropping a large key."""
BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
"""Without even our own beat for so long, a server counts as gone: a hung one gives no other sign."""
CONNECT_SECONDS: Final = 1.0
_PROTOCOL: Final = 2
_CHANNELS_AT_ONCE: Final = 500
_MESSAGES_PER_TURN: Final = 100
_CLUSTER: Final = "+cluster"


class LineBroken(Exception):
    """What was said may not have been heard."""


LINE_ERRORS: Final = (LineBroken, RedisError, RedisClusterException, OSError)
"""All that may befall a line. After any of them it is of no more use, and new ones are opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """Who listens. ``wants`` tells whether a channel is wanted now, ``listening`` is told once it is heard from that moment on.

    ``beaten`` is told of every proof that what is published comes back.
    """

    wants: Callable[[str], bool]
    listening: Callable[[str], None]
    hear: Callable[[str, bytes], None]
    beaten: Callable[[], None]


class Line:
    """One server: a connection that listens, others that speak. It heals nothing: at the first trouble ``run`` raises.

    So there is one way back from every trouble, and no reconnect that nobody has noticed. One command at most is under way
    for a channel, so that a confirmation never speaks of an older wish.
    """

    def __init__(self, client: Redis, beat_channel: str, ears: Ears, *, is_sharded: bool) -> None:
        self._client = client
        self._listener = client.pubsub()
        self._subscribe = self._listener.ssubscribe if is_sharded else self._listener.subscribe
        self._unsubscribe = self._listener.sunsubscribe if is_sharded else self._listener.unsubscribe
        self._is_sharded = is_sharded
        self._beat_channel = beat_channel
        self._ears = ears
        self._subscribed: set[str] = set()
        self._asked = {beat_channel}
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        self._hears_beats = asyncio.Event()
        self.has_beaten = False

    def note_change(self, channel: str) -> None:
        """Look soon whether the channel is wanted."""
        self._changed.add(channel)
        self._has_changed.set()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Speak on channels of this server. Raises LINE_ERRORS, also when it is a replica, where others may not listen."""
        pipeline = self._client.pipeline(transaction=False)
        for channel, payload in messages:
            pipeline.execute_command("SPUBLISH" if self._is_sharded else "PUBLISH", channel, payload)
        # A server that is demoted keeps its connections and takes messages, but those on its new primary never get them. Asked
        # last, it answers for all before. Of the commands that tell the role, this one is never refused: no state of a server
        # or a cluster forbids it, and a user who may hardly do a thing may still say hello.
        pipeline.execute_command("HELLO", _PROTOCOL)
        async with asyncio.timeout(REPLY_SECONDS):
            *_, greeting = await pipeline.execute()
        if b"replica" in greeting:
            raise LineBroken("The server is a replica")

    async def run(self) -> None:
        """Listen and beat for ever. Raises LINE_ERRORS, in a group."""
        # First of all, or with every attempt all would be healed on a server that stays a replica.
        await self.publish([])
        async with asyncio.timeout(REPLY_SECONDS):
            await self._subscribe(self._beat_channel)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(), name="redis line read")
            group.create_task(self._follow_wishes(), name="redis line subscribe")
            group.create_task(self._beat(), name="redis line beat")

    async def close(self) -> None:
        """Hang up; takes some CONNECT_SECONDS at most, after which a server that does not answer is left alone."""
        with suppress(*LINE_ERRORS):
            await self._listener.aclose()  # type: ignore[no-untyped-call]
        with suppress(*LINE_ERRORS):
            await self._client.aclose()

    async def _beat(self) -> None:
        await self._hears_beats.wait()
        while True:
            await self.publish([(self._beat_channel, b"")])
            await asyncio.sleep(BEAT_SECONDS)

    async def _follow_wishes(self) -> None:
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changed, self._changed = self._changed - self._asked, set()
            wanted = [channel for channel in changed if self._ears.wants(channel)]
            for channel in self._subscribed.intersection(wanted):
                self._ears.listening(channel)  # the last who wanted it has gone, and the next come, before it was left
            await self._ask(self._subscribe, [channel for channel in wanted if channel not in self._subscribed])
            await self._ask(self._unsubscribe, list(changed.intersection(self._subscribed).difference(wanted)))

    async def _ask(self, command: Callable[..., Any], channels: list[str]) -> None:
        self._asked.update(channels)
        self._subscribed.difference_update(channels)
        # Channels of different slots cannot share a command, though they share the server.
        at_once = 1 if self._is_sharded else _CHANNELS_AT_ONCE
        for start in range(0, len(channels), at_once):
            async with asyncio.timeout(REPLY_SECONDS):
                await command(*channels[start : start + at_once])

    async def _read(self) -> None:
        for number in count(1):
            message = await self._next_message()
            self._take(message["type"], message["channel"].decode(), message["data"])
            if number % _MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)  # reading what has already arrived gives nobody else a turn

    async def _next_message(self) -> dict[str, Any]:
        try:
            message: dict[str, Any] | None = await self._listener.get_message(timeout=SILENCE_SECONDS)
        except (AttributeError, RuntimeError) as error:
            # What the client raises when a failed write has just closed the connection under its reader.
            raise LineBroken("The connection was closed while it was read") from error
        if message is None:
            raise LineBroken(f"The server has said nothing for {SILENCE_SECONDS:.0f} s")
        return message

    def _take(self, kind: str, channel: str, data: Any) -> None:
        if kind in ("message", "smessage"):
            self._take_message(channel, data)
        elif channel not in self._asked:
            # A cluster takes a channel away when its slot moves to another server.
            raise LineBroken(f"The server has sent an unexpected {kind}")
        else:
            self._asked.discard(channel)
            self._take_answer(channel, is_subscribed=kind in ("subscribe", "ssubscribe"))

    def _take_message(self, channel: str, payload: bytes) -> None:
        if channel == self._beat_channel:
            self.has_beaten = True
            self._ears.beaten()
        else:
            self._ears.hear(channel, payload)

    def _take_answer(self, channel: str, *, is_subscribed: bool) -> None:
        if channel == self._beat_channel:
            self._hears_beats.set()
            return
        if is_subscribed:
            self._subscribed.add(channel)
            self._ears.listening(channel)
        if self._ears.wants(channel) != is_subscribed:
            self.note_change(channel)  # the wish has changed since the command was sent


class Lines:
    """The lines to all servers that share the channels."""

    def __init__(self, lines: Sequence[Line], find: Callable[[str], Line]) -> None:
        self._lines = lines
        self.find = find

    def __iter__(self) -> Iterator[Line]:
        """Walk through them."""
        return iter(self._lines)

    @property
    def have_beaten(self) -> bool:
        """Tell whether every server has proved to work."""
        return all(line.has_beaten for line in self._lines)

    async def close(self) -> None:
        """Hang up everywhere at once: servers that hang would add up, before the way back or the end of the process."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(line.close(), name="redis line close")


@asynccontextmanager
async def open_lines(url: str, prefix: str, ears: Ears) -> AsyncIterator[Lines]:
    """Prepare the lines to a server or, for a scheme with ``+cluster``, to those of a cluster. Raises LINE_ERRORS."""
    if _CLUSTER in urlsplit(url).scheme:
        plain_url = url.replace(_CLUSTER, "", 1)
        lines = _cluster_lines(await _learn_cluster(plain_url), plain_url, prefix, ears)
    else:
        line = _line(url, f"{prefix}:beat", ears)
        lines = Lines([line], lambda _: line)
    try:
        yield lines
    finally:
        await lines.close()


def _cluster_lines(cluster: RedisCluster, url: str, prefix: str, ears: Ears) -> Lines:
    lines = {}
    for server in cluster.get_primaries():
        names = (f"{prefix}:beat:{number}" for number in count())
        beat_channel = next(name for name in names if _server(cluster, name) == server.name)
        server_url = _at(url, str(server.host), int(server.port))
        lines[server.name] = _line(server_url, beat_channel, ears, is_sharded=True)
    return Lines(list(lines.values()), lambda channel: lines[_server(cluster, channel)])


async def _learn_cluster(url: str) -> RedisCluster:
    """Learn which server has which channels, and hang up: the lines notice when that changes."""
    cluster = RedisCluster.from_url(url, **_connection_options())
    try:
        async with asyncio.timeout(CONNECT_SECONDS + REPLY_SECONDS):
            return await cluster.initialize()
    finally:
        await cluster.aclose()


def _server(cluster: RedisCluster, channel: str) -> str:
    server = cluster.get_node_from_key(channel)
    if server is None:
        raise LineBroken("The cluster has no server for a channel")
    return str(server.name)


def _line(url: str, beat_channel: str, ears: Ears, *, is_sharded: bool = False) -> Line:
    return Line(Redis.from_url(url, **_connection_options()), beat_channel, ears, is_sharded=is_sharded)


def _connection_options() -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        # Every call here has a time-out of its own. The client's would use wait_for, which up to Python 3.11 may swallow a
        # cancellation that comes just as it is done.
        "socket_timeout": None,
        # With nothing to retry, the client raises at once, where it would reconnect in silence.
        "retry": Retry(NoBackoff(), 0, supported_errors=()),
        # Under RESP3 pushes would be mixed into replies; nothing here needs them.
        "protocol": _PROTOCOL,
    }


def _at(url: str, host: str, port: int) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    name = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{credentials}{at}{name}:{port}").geturl()
