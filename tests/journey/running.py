"""The whole service in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from tests.conftest import CHECKOUT

READY_SECONDS = 60
PATIENCE_SECONDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service process that is ready. ``banner`` is what it printed until then."""

    process: asyncio.subprocess.Process
    url: str
    banner: str

    @property
    def family(self) -> list[psutil.Process]:
        """The process and all it has started."""
        service = psutil.Process(self.process.pid)
        return [service, *service.children(recursive=True)]

    async def end(self, number: signal.Signals) -> tuple[int, list[psutil.Process]]:
        """Send the signal; return the exit code and which of the family are still there ten seconds later."""
        family = self.family
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE_SECONDS):
            code = await self.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=10)
        return code, alive


@asynccontextmanager
async def embedded_service(
    data_dir: Path, *options: str, settings: Mapping[str, str] | None = None, log: IO[bytes] | None = None
) -> AsyncIterator[Running]:
    """Run ``python -m service --embedded`` on a free port until the block ends; ``log`` takes what it writes to stderr."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GEMINI_", "GOOGLE_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "--embedded", "--port=0", f"--data-dir={data_dir}", *options),
        cwd=CHECKOUT,
        env=environment | dict(settings or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    try:
        banner = await _read_banner(process)
        match = re.search(r"http://\S+", banner)
        assert match is not None, banner
        yield Running(process=process, url=match[0], banner=banner)
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # asyncio keeps the pipe of a killed process open


async def _read_banner(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(READY_SECONDS):
        while not lines or "Ctrl-C" not in lines[-1]:
            line = (await process.stdout.readline()).decode()
            assert line, f"the service ended: {''.join(lines)}"
            lines.append(line)
    return "".join(lines)
