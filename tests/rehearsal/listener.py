"""A client that holds a socket by the rules of the protocol: it moves when it is asked to, comes back, resumes, and counts."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import aiohttp

PING_SECONDS: Final = 20
CONNECT_SECONDS: Final = 15
MOST_PAUSE_SECONDS: Final = 0.3
LOST_CODES: Final = frozenset({None, 1000, 1006, 1012})
"""How a socket may end that was cut, left, or closed by a task that goes away."""
Message = dict[str, Any]


class Listener:
    """One user's socket, and what the user has been told over it.

    ``ended`` are the ends by job and version; ``longest_gap_seconds`` is the longest time without a socket that had told all.
    ``failures`` are connections that could not be made, or that ended as none should.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
        self.ended: dict[str, int] = {}
        self.ended_twice = self.lost = self.moves = self.resyncs = 0
        self.longest_gap_seconds = 0.0
        self.failures: Counter[str] = Counter()
        self.news = asyncio.Event()
        self.is_up = asyncio.Event()
        self._session = session
        self._url = url
        self._headers = headers
        self._since: str | None = None
        self._versions: dict[str, int] = {}
        self._up = 0
        self._down_since = 0.0

    async def run(self) -> None:
        """Hold a socket until canceled."""
        async with asyncio.TaskGroup() as group:
            line = _Line()
            group.create_task(self._hold(line))
            while True:
                await line.changed.wait()
                if line.is_over:
                    self.lost += 1
                    await asyncio.sleep(random.uniform(0, MOST_PAUSE_SECONDS))
                else:
                    self.moves += 1
                    await asyncio.sleep(line.after_seconds)
                old, line = line, _Line()
                group.create_task(self._hold(line))
                if not old.is_over:
                    # Make before break: it is left when the new one has told all that was missed.
                    await line.settled.wait()
                    old.leave()

    async def heard_of(self, job_id: str, seconds: float) -> None:
        """Return when the user has been told that the job has ended, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while job_id not in self.ended:
                    self.news.clear()
                    await self.news.wait()

    async def _hold(self, line: _Line) -> None:
        try:
            await self._connect(line)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self.failures[f"GET /ws: {getattr(error, 'status', type(error).__name__)}"] += 1
        finally:
            self._note_down(line)
            line.end()

    async def _connect(self, line: _Line) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            line.socket = socket = await self._session.ws_connect(
                f"{self._url}/ws",
                params={} if self._since is None else {"since": self._since},
                headers=self._headers,
                protocols=("darkroom.v1",),
                heartbeat=PING_SECONDS,
                max_msg_size=0,
            )
        async with socket:
            # It is answered when all that was missed has been told.
            await socket.send_json({"type": "ping"})
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    await self._take(json.loads(frame.data), line, socket)
        if socket.close_code not in LOST_CODES:
            self.failures[f"GET /ws: closed with {socket.close_code}"] += 1

    async def _take(self, message: Message, line: _Line, socket: aiohttp.ClientWebSocketResponse) -> None:
        match message["type"]:
            case "snapshot":
                for job in message["data"]["jobs"]:
                    self._apply(job)
            case "resync":
                self.resyncs += 1
            case "reconnect":
                line.ask(message["data"]["afterMs"] / 1000)
            case "ping" if not line.is_up:
                self._note_up(line)
            case "ping":
                newest_id = message["data"]["newestId"]
                if self._since is not None and newest_id is not None and newest_id > self._since:
                    await socket.send_json({"type": "resume", "since": self._since})
            case _:
                if "job" in message:
                    self._apply(message["job"])
        if "id" in message:
            self._since = max(self._since or "", message["id"])

    def _apply(self, job: Message) -> None:
        job_id, version = job["jobId"], job["version"]
        if version <= self._versions.get(job_id, 0):
            return
        self._versions[job_id] = version
        if job.get("terminal"):
            self.ended_twice += job_id in self.ended
            self.ended[job_id] = version
            self.news.set()

    def _note_up(self, line: _Line) -> None:
        line.is_up = True
        line.settled.set()
        if self._up == 0 and self.is_up.is_set():
            gap_seconds = asyncio.get_running_loop().time() - self._down_since
            self.longest_gap_seconds = max(self.longest_gap_seconds, gap_seconds)
        self._up += 1
        self.is_up.set()

    def _note_down(self, line: _Line) -> None:
        if line.is_up:
            self._up -= 1
            self._down_since = asyncio.get_running_loop().time()


class _Line:
    """One connection. ``changed`` says that it is over or was asked to go, ``settled`` that it is over or has told all."""

    def __init__(self) -> None:
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self.changed = asyncio.Event()
        self.settled = asyncio.Event()
        self.after_seconds = 0.0
        self.is_up = self.is_over = False
        self._leaving: asyncio.Task[bool] | None = None

    def ask(self, after_seconds: float) -> None:
        """Note that the service wants it to go elsewhere."""
        self.after_seconds = after_seconds
        self.changed.set()

    def end(self) -> None:
        """Note that it is over."""
        self.is_over = True
        self.changed.set()
        self.settled.set()

    def leave(self) -> None:
        """Close it; what is read until the service has answered still counts."""
        if self.socket is not None and self._leaving is None:
            self._leaving = asyncio.create_task(self.socket.close(), name="leave a socket")
