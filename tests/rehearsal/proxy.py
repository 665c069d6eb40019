"""A real HAProxy with the habits of an Application Load Balancer, and tasks that come and go behind it."""

from __future__ import annotations

import asyncio
import csv
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.conftest import CHECKOUT

CHECK_SECONDS: Final = 0.5
CHECKS_TO_TURN: Final = 2
"""So many checks in a row decide that a task is well, or that it is not."""
IDLE_SECONDS: Final = 120
BOOT_SECONDS: Final = 10
COMMAND_SECONDS: Final = 5
CONFIGURATION: Final = CHECKOUT / "tests" / "rehearsal" / "haproxy.cfg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that runs. A task is known by a name, and gets requests while it is well and not leaving."""

    url: str
    _socket: Path

    async def register(self, name: str, port: int) -> None:
        """Begin to look after a task; it gets no request before it is admitted."""
        await self._command(
            f"add server tasks/{name} 127.0.0.1:{port} check inter {CHECK_SECONDS * 1000:.0f} "
            f"rise {CHECKS_TO_TURN} fall {CHECKS_TO_TURN} pool-purge-delay {IDLE_SECONDS}s",
            answer="New server registered.",
        )
        await self._command(f"enable health tasks/{name}")
        await self._command(f"set server tasks/{name} state drain")

    async def admit(self, name: str) -> None:
        """Let the task have requests; returns when it is well enough for them, however long that takes."""
        well = 0
        while well < CHECKS_TO_TURN:
            await asyncio.sleep(CHECK_SECONDS)
            well = well + 1 if (await self._look(name))["check_status"] == "L7OK" else 0
        await self._command(f"set server tasks/{name} state ready")

    async def deregister(self, name: str, delay_seconds: float) -> None:
        """Give the task no more requests; returns when it has no connection left. After the delay all that are left are cut."""
        await self._command(f"set server tasks/{name} state drain")
        deadline = asyncio.get_running_loop().time() + delay_seconds
        while int((await self._look(name))["scur"]) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - the proxy is asked, it tells nothing
            await asyncio.sleep(0.1)
        await self.forget(name)

    async def forget(self, name: str) -> None:
        """Give the task nothing any more, and cut whoever is connected to it."""
        await self._command(f"set server tasks/{name} state maint")
        await self._command(f"shutdown sessions server tasks/{name}")

    async def _look(self, name: str) -> dict[str, str]:
        lines = (await self._command("show stat tasks 4 -1", answer=None)).lstrip("# ").splitlines()
        [row] = [row for row in csv.DictReader(lines) if row["svname"] == name]
        return row

    async def _command(self, command: str, *, answer: str | None = "") -> str:
        async with asyncio.timeout(COMMAND_SECONDS):
            reader, writer = await asyncio.open_unix_connection(self._socket)
            writer.write(f"{command}\n".encode())
            said = (await reader.read()).decode().strip()
            writer.close()
            await writer.wait_closed()
        assert answer is None or said == answer, f"{command}: {said}"
        return said


@asynccontextmanager
async def running_proxy(folder: Path) -> AsyncIterator[Proxy]:
    """Run a proxy on a free port, its log and its control socket in the folder, whose name must be short."""
    port = _free_port()
    proxy = Proxy(url=f"http://127.0.0.1:{port}", _socket=folder / "haproxy")
    with (folder / "haproxy.log").open("xb") as log:
        process = await asyncio.create_subprocess_exec(
            *("haproxy", "-db", "-f", str(CONFIGURATION)),
            env={"PATH": os.environ["PATH"], "SOCKET": str(folder / "haproxy"), "PORT": str(port)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await _until_it_answers(proxy.url)
        yield proxy
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_it_answers(url: str) -> None:
    async with asyncio.timeout(BOOT_SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
