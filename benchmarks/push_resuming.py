"""Clients as they should be, in a process of their own: they come back, resume from where they left off, and forget nothing.

python -m benchmarks.push_resuming URL --sockets-each 3   (a JSON list of tokens comes as the first line of stdin)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import uvloop

MOST_WAIT_SECONDS: Final = 2.0
FIRST_WAIT_SECONDS: Final = 0.2
CONNECT_SECONDS: Final = 15.0
PAGE: Final = 100
Message = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Client:
    """One client: what it knows of its user's jobs, and how it came to know it.

    ``resumed_at`` is when the newest connection had told all that was missed, in monotonic seconds; 0 while there is none.
    """

    session: aiohttp.ClientSession
    url: str
    token: str
    ping_seconds: float
    since: str | None = None
    versions: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    resumed_at: float = 0
    connections: int = 0
    snapshots: int = 0
    resyncs: int = 0
    repeated: int = 0

    async def run(self) -> None:
        """Be connected, for ever."""
        wait = FIRST_WAIT_SECONDS
        while True:
            resumed_before = self.connections
            with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                await self._connect()
            self.resumed_at = 0
            wait = FIRST_WAIT_SECONDS if self.connections > resumed_before else min(wait * 2, MOST_WAIT_SECONDS)
            await asyncio.sleep(random.uniform(0, wait))

    async def _connect(self) -> None:
        query = {} if self.since is None else {"since": self.since}
        opening = self.session.ws_connect(
            f"{self.url}/ws",
            params=query,
            headers={"Authorization": f"Bearer {self.token}"},
            protocols=("darkroom.v1",),
            heartbeat=self.ping_seconds,
            max_msg_size=0,
        )
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await opening
        async with socket:
            # It is answered when all that was missed has been told.
            await socket.send_json({"type": "ping"})
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    return  # the line stands still
                await self._take(json.loads(frame.data), socket)

    async def _take(self, message: Message, socket: aiohttp.ClientWebSocketResponse) -> None:
        match message["type"]:
            case "snapshot":
                await self._replace(message)
            case "resync":
                self.resyncs += 1
            case "ping":
                await self._look(message["data"]["newestId"], socket)
            case message_type if "job" in message:
                self._apply(message["job"], is_deleted=message_type == "job.deleted")
            case _:
                pass
        if "id" in message:
            self.since = max(self.since or "", message["id"])

    async def _look(self, newest_id: str | None, socket: aiohttp.ClientWebSocketResponse) -> None:
        if not self.resumed_at:
            self.resumed_at = time.monotonic()
            self.connections += 1
        elif self.since is not None and newest_id is not None and newest_id > self.since:
            await socket.send_json({"type": "resume", "since": self.since})

    async def _replace(self, message: Message) -> None:
        self.snapshots += 1
        self.since = None
        for job in message["data"]["jobs"]:
            self._apply(job)
        if message["data"]["hasMore"]:
            await self._read_all()

    async def _read_all(self) -> None:
        """Read the jobs that a snapshot has no room for."""
        query: dict[str, str] = {"limit": str(PAGE)}
        while True:
            headers = {"Authorization": f"Bearer {self.token}"}
            async with self.session.get(f"{self.url}/jobs", params=query, headers=headers) as answer:
                answer.raise_for_status()
                page = await answer.json()
            for job in page["jobs"]:
                self._apply(job)
            if "nextCursor" not in page:
                return
            query["cursor"] = page["nextCursor"]

    def _apply(self, job: Message, *, is_deleted: bool = False) -> None:
        job_id, version = job["jobId"], job["version"]
        if version <= self.versions.get(job_id, 0):
            self.repeated += 1
            return
        self.versions[job_id] = version
        if is_deleted:
            self.ended.pop(job_id, None)
        elif job.get("terminal"):
            self.ended[job_id] = version

    def report(self) -> Message:
        """Say what it knows."""
        return {
            "ended": self.ended,
            "resumedAt": self.resumed_at,
            "connections": self.connections,
            "snapshots": self.snapshots,
            "resyncs": self.resyncs,
            "repeated": self.repeated,
        }


async def main() -> None:
    """Run the clients of each token, and answer each further line of stdin with a line of what they know, in the tokens' order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push_resuming", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sockets-each", type=int, default=1)
    parser.add_argument(
        "--ping-seconds",
        type=float,
        default=4,
        help="a line that stands still is noticed after one and a half of these",
    )
    options = parser.parse_args()
    lines = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tokens = json.loads(await lines.readline())
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):
        clients = [
            Client(session=session, url=options.url, token=token, ping_seconds=options.ping_seconds)
            for token in tokens
            for _ in range(options.sockets_each)
        ]
        tasks = [group.create_task(client.run()) for client in clients]
        while await lines.readline():
            sys.stdout.write(json.dumps([client.report() for client in clients]) + "\n")
            sys.stdout.flush()
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
