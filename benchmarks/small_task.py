"""The service as small as a task can be: a quarter of a core, few slots; what it holds, what it asks of AWS, what it logs.

python -m benchmarks.small_task [--share 0.25] [--slots 8] [--jobs 96] [--users 8] [--latency 2]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import psutil
import uvloop
from PIL import Image

from benchmarks import main_job, stage
from benchmarks.main_job import Watch
from benchmarks.stage import ROOT, Figures
from tests.person import Person

PERIOD_SECONDS: Final = 0.1
"""Linux gives a container its share of each tenth of a second."""
LOOK_SECONDS: Final = 0.005
IDLE_SECONDS: Final = 40.0
SETTLE_SECONDS: Final = 5.0
READY_SECONDS: Final = 120.0
LARGE_SIDES: Final = (6000, 4000)
"""As many pixels as a PNG may have."""
_TARGET: Final = re.compile(rb"\r\nx-amz-target: [A-Za-z0-9_]*?([A-Za-z]+)(?:_\d+)?\.([A-Za-z]+)\r\n", re.IGNORECASE)
_S3: Final = re.compile(rb"(?:^|\r\n)(PUT|GET|HEAD|DELETE) /[^ ]+ HTTP/1\.1\r\n")


class CountingLine:
    """``async with CountingLine(url) as line:`` relays ``line.url`` to the cloud and counts what is asked of it."""

    def __init__(self, url: str) -> None:
        self._far = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where the service finds the cloud."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> CountingLine:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._relay(reader, writer), name="counting line")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._far.hostname, self._far.port)
        directions = (self._carry(reader, far_writer, is_asking=True), self._carry(far_reader, writer, is_asking=False))
        tasks = [asyncio.create_task(direction) for direction in directions]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            far_writer.close()
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_asking: bool) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(2**16):
                if is_asking:
                    self._count(piece)
                writer.write(piece)
                await writer.drain()

    def _count(self, piece: bytes) -> None:
        # Each request's head is written at once, so it is never cut in two.
        targets = _TARGET.findall(piece)
        self.asked.update(f"{service.decode()}.{action.decode()}" for service, action in targets)
        if not targets:
            self.asked.update(f"S3.{verb.decode()}" for verb in _S3.findall(piece))


@dataclass(slots=True)
class Confined:
    """A process that may use ``share`` of one core, as a container may, and what it has written."""

    pid: int
    share: float
    url: str = ""
    ready_seconds: float = 0.0
    log_bytes: int = 0
    owners: list[asyncio.Task[None]] = field(default_factory=list)

    async def confine(self) -> None:
        """Stop the process for the rest of each period whose share it has used; until canceled."""
        process = psutil.Process(self.pid)
        try:
            while True:
                ends = time.monotonic() + PERIOD_SECONDS
                most = _cpu(process) + self.share * PERIOD_SECONDS
                while (now := time.monotonic()) < ends:
                    if _cpu(process) >= most:
                        os.kill(self.pid, signal.SIGSTOP)
                        await asyncio.sleep(max(0.0, ends - now))
                        os.kill(self.pid, signal.SIGCONT)
                        break
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    async def read_log(self, lines: asyncio.StreamReader) -> None:
        """Count what it logs."""
        while line := await lines.readline():
            self.log_bytes += len(line)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def confined_service(environment: Mapping[str, str], share: float) -> AsyncIterator[Confined]:
    """Run the service on a free port with so much of a core, its log as on ECS."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GEMINI_", "GOOGLE_"))}
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "--port=0"),
        cwd=ROOT,
        env=own | dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**20,
    )
    assert process.stdout is not None
    service = Confined(pid=process.pid, share=share)
    service.owners.append(asyncio.create_task(service.confine(), name="confine"))
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not service.url:
                found = re.search(rb"http://[0-9.]+:\d+", await process.stdout.readline())
                service.url = found[0].decode() if found else ""
        service.ready_seconds = time.monotonic() - started
        service.owners.append(asyncio.create_task(service.read_log(process.stdout), name="read log"))
        yield service
    finally:
        service.owners[0].cancel()
        await asyncio.wait(service.owners[:1])
        process.terminate()
        await process.wait()
        await asyncio.gather(*service.owners, return_exceptions=True)


def large_photo() -> bytes:
    """Return a PNG of as many pixels as are allowed, with transparency: what takes most memory to look at."""
    content = io.BytesIO()
    Image.new("RGBA", LARGE_SIDES, (120, 130, 140, 200)).save(content, "PNG", compress_level=1)
    return content.getvalue()


async def run_jobs(service: Confined, options: argparse.Namespace, peak: list[int]) -> Watch:
    """Let all users submit at once, and watch the memory until the last completion."""
    watch, go, prompt = Watch(), asyncio.Event(), f"[[sim:slow={options.latency:g}]]"
    each = options.jobs // options.users
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        users = [
            group.create_task(main_job.use(session, service.url, f"user-{number}", each, prompt, watch, go))
            for number in range(options.users)
        ]
        go.set()
        while not all(user.done() for user in users):
            peak.append(Figures.of(service.pid).memory_bytes)
            await asyncio.sleep(0.1)
    return watch


async def run_large(service: Confined, peak: list[int]) -> None:
    """Have two photos as large as they may be prepared at once."""
    photo = await asyncio.to_thread(large_photo)
    async with aiohttp.ClientSession() as session:
        people = [await Person.sign_in(session, service.url, f"large-{number}") for number in range(2)]
        jobs = [await person.generate(photo) for person in people]
        async with asyncio.timeout(120):
            while [
                (await person.get(f"/jobs/{job}"))["terminal"] for person, job in zip(people, jobs, strict=True)
            ] != [
                True,
                True,
            ]:
                for _ in range(20):
                    peak.append(Figures.of(service.pid).memory_bytes)
                    await asyncio.sleep(0.02)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small_task", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--share", type=float, default=0.25, help="of one core")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=96)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds of Gemini")
    options = parser.parse_args()
    async with stage.cloud(options.latency) as environment, CountingLine(environment["AWS_ENDPOINT_URL"]) as line:
        settings = environment | {
            "AWS_ENDPOINT_URL": line.url,
            "EMBEDDED": "true",
            "DAILY_LIMIT": "1000000",
            "WORKER_SLOTS": str(options.slots),
            "METRICS_PORT": "off",
            "LOG_FORMAT": "json",
        }
        async with confined_service(settings, options.share) as service:
            await measure(service, line, options)


async def measure(service: Confined, line: CountingLine, options: argparse.Namespace) -> None:
    """Measure the running service: idle, at work, and with the largest photos."""
    print(f"{options.share:g} of a core, {options.slots} slots, {options.latency:g} s of Gemini")
    print(f"start to ready                {service.ready_seconds:8.1f} s")
    await asyncio.sleep(SETTLE_SECONDS)
    line.asked.clear()
    before, logged = Figures.of(service.pid), service.log_bytes
    await asyncio.sleep(IDLE_SECONDS)
    idle = Figures.of(service.pid)
    print(f"idle: memory                  {idle.memory_bytes / 2**20:8.0f} MiB")
    print(
        f"idle: CPU                     {(idle.cpu_seconds - before.cpu_seconds) / IDLE_SECONDS * 1000:8.1f} ms a second"
    )
    print(f"idle: log                     {(service.log_bytes - logged) / IDLE_SECONDS:8.1f} bytes a second")
    for name, number in sorted(line.asked.items()):
        print(f"  {name:36}{number / IDLE_SECONDS:8.3f} a second")
    line.asked.clear()
    before, logged, peak = idle, service.log_bytes, [idle.memory_bytes]
    watch = await run_jobs(service, options, peak)
    after = Figures.of(service.pid)
    jobs = options.jobs
    ends = sorted(watch.completed.values())
    print(f"jobs completed                {len(watch.completed):8} of {jobs}")
    print(f"jobs a second                 {watch.rate():8.2f} of {options.slots / options.latency:.2f}")
    print(f"CPU a job                     {(after.cpu_seconds - before.cpu_seconds) / jobs * 1000:8.1f} ms")
    print(f"memory, highest               {max(peak) / 2**20:8.0f} MiB")
    print(f"log a job                     {(service.log_bytes - logged) / jobs:8.0f} bytes")
    for name, number in sorted(line.asked.items()):
        print(
            f"  {name:36}{number / jobs:8.2f} a job, of {len(ends)} in {ends[-1] - min(watch.submitted.values()):.0f} s"
        )
    peak = [after.memory_bytes]
    await run_large(service, peak)
    print(f"memory with two PNGs of 24 Mpx{max(peak) / 2**20:8.0f} MiB")


if __name__ == "__main__":
    uvloop.run(main())
