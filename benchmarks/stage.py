"""What a measurement stands on: the embedded cloud, a service process on it, and the figures of a process."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A process at one moment: CPU seconds spent and memory held, in bytes."""

    cpu_seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, pid: int) -> Figures:
        """Read the figures of a running process."""
        process = psutil.Process(pid)
        times = process.cpu_times()
        return cls(cpu_seconds=times.user + times.system, memory_bytes=process.memory_info().rss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service process that is ready; ``ready_seconds`` is what that took from its start."""

    url: str
    pid: int
    ready_seconds: float


@asynccontextmanager
async def cloud(latency_seconds: float) -> AsyncIterator[dict[str, str]]:
    """Run the embedded cloud; gives the environment a service there has."""
    with tempfile.TemporaryDirectory() as folder:
        env_file = Path(folder, "environment")
        command = [
            "deploy.cloud",
            f"--data-dir={folder}/data",
            f"--env-file={env_file}",
            f"--gemini-latency={latency_seconds}",
        ]
        async with _python(*command, environment={}) as process:
            assert process.stdout is not None
            async with asyncio.timeout(READY_SECONDS):
                line = await process.stdout.readline()
            assert b"ready" in line, line.decode()
            yield _read_exports(env_file)


def _read_exports(env_file: Path) -> dict[str, str]:
    lines = (shlex.split(line)[1] for line in env_file.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines)


@asynccontextmanager
async def service(environment: Mapping[str, str]) -> AsyncIterator[Service]:
    """Run the service on a free port."""
    started = time.monotonic()
    async with _python("service", "--port=0", environment=environment) as process:
        assert process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            line = (await process.stdout.readline()).decode()
        ready_seconds = time.monotonic() - started
        assert "http://" in line, "the service did not start"
        yield Service(url=line.split()[-1], pid=process.pid, ready_seconds=ready_seconds)


@asynccontextmanager
async def _python(
    module: str, *arguments: str, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GEMINI_", "GOOGLE_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env=own | dict(environment),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()
