"""The processes that hold clients, told by lines of JSON what to do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.stage import ROOT

PATIENCE_SECONDS: Final = 180
LINE_BYTES: Final = 2**26


@dataclass(frozen=True, slots=True)
class Process:
    """A process that answers a line with a line."""

    pid: int
    _stdin: asyncio.StreamWriter
    _stdout: asyncio.StreamReader

    async def say(self, what: object) -> None:
        """Write one line."""
        self._stdin.write(json.dumps(what).encode() + b"\n")
        await self._stdin.drain()

    async def read(self) -> str:
        """Read one line."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self._stdout.readline()
        assert line, "the process has ended"
        return line.decode().strip()

    async def ask(self) -> Any:
        """Ask for a report."""
        await self.say("report")
        return json.loads(await self.read())


@asynccontextmanager
async def running(module: str, *arguments: str) -> AsyncIterator[Process]:
    """Run a module of these benchmarks until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{module}", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Process(process.pid, process.stdin, process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process.stdin.close()
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio keeps the pipe of a killed process open


@asynccontextmanager
async def resuming_clients(
    url: str, tokens: Sequence[str], *, sockets_each: int, ping_seconds: float = 4
) -> AsyncIterator[Process]:
    """Run clients that come back, some for each token, and wait until all are connected."""
    async with running(
        "push_resuming", url, f"--sockets-each={sockets_each}", f"--ping-seconds={ping_seconds}"
    ) as process:
        await process.say(tokens)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(client["resumedAt"] for client in await process.ask()):  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.2)
        yield process
