"""The main job under load: rate, latency to the pushed completion, CPU and memory a job, and start-up, beside their floors.

python -m benchmarks.main_job [--jobs 640] [--users 64] [--slots 64] [--latency 2]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import psutil
import uvloop

from benchmarks import stage
from benchmarks.stage import ROOT, Figures
from tests.person import Person

LIBRARIES = "aioboto3, aiohttp, google.genai, jwt, PIL.Image, prometheus_client, pydantic_settings, structlog, uvloop"
STARTS = 5
WARM_UP_SECONDS = 8.0
"""Everybody has signed in, uploaded and connected by then; nothing is measured yet."""


@dataclass(slots=True)
class Watch:
    """When each job was submitted and when its completion came over the socket, in seconds."""

    submitted: dict[str, float] = field(default_factory=dict)
    completed: dict[str, float] = field(default_factory=dict)
    failed: int = 0

    def latencies(self) -> list[float]:
        """Return the seconds from submission to pushed completion, sorted."""
        return sorted(self.completed[job_id] - at for job_id, at in self.submitted.items() if job_id in self.completed)

    def rate(self) -> float:
        """Return jobs a second over the middle of the run, from 20 % to 80 % of the completions."""
        ends = sorted(self.completed.values())
        first, last = int(len(ends) * 0.2), int(len(ends) * 0.8)
        return (last - first) / (ends[last] - ends[first])


async def use(
    session: aiohttp.ClientSession, url: str, name: str, jobs: int, prompt: str, watch: Watch, go: asyncio.Event
) -> None:
    """Be one user: sign in, upload once, open the socket, submit all jobs, and wait for every completion."""
    photo = (ROOT / "tests/data/astronaut.png").read_bytes()
    person = await Person.sign_in(session, url, name)
    key = await person.upload(photo)
    async with person.socket() as socket:
        await go.wait()
        listening = asyncio.create_task(listen(socket, jobs, watch))
        for _ in range(jobs):
            at = time.monotonic()
            made = await person.post("/generate", {"fileKey": key, "style": "professional", "prompt": prompt})
            watch.submitted[made["jobId"]] = at
        await listening


async def listen(socket: aiohttp.ClientWebSocketResponse, jobs: int, watch: Watch) -> None:
    """Note each end that is pushed."""
    ended = 0
    while ended < jobs:
        message = await socket.receive_json()
        if message["type"] == "job.completed":
            watch.completed[message["job"]["jobId"]] = time.monotonic()
        elif message["type"] == "job.failed":
            watch.failed += 1
        ended += message["type"] in ("job.completed", "job.failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the load showed: the watch, the service's CPU milliseconds a job and its highest memory, how busy the machine was."""

    watch: Watch
    cpu_milliseconds: float
    memory_mib: float
    machine_busy: float


async def measure_load(service: stage.Service, options: argparse.Namespace) -> Load:
    """Let all users submit at once, and watch until the last completion is pushed."""
    watch, go, each = Watch(), asyncio.Event(), options.jobs // options.users
    # An exact latency for every call: by itself the simulator varies it a little, and the ideal rate with it.
    prompt = f"[[sim:slow={options.latency:g}]]"
    peak = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        users = [
            group.create_task(use(session, service.url, f"user-{number}", each, prompt, watch, go))
            for number in range(options.users)
        ]
        await asyncio.sleep(WARM_UP_SECONDS)
        before = Figures.of(service.pid)
        psutil.cpu_percent()
        go.set()
        while not all(user.done() for user in users):
            peak = max(peak, Figures.of(service.pid).memory_bytes)
            await asyncio.sleep(0.2)
    busy = psutil.cpu_percent()
    spent = Figures.of(service.pid).cpu_seconds - before.cpu_seconds
    return Load(
        watch=watch, cpu_milliseconds=spent * 1000 / options.jobs, memory_mib=peak / 2**20, machine_busy=busy / 100
    )


async def measure_floor(environment: Mapping[str, str]) -> dict[str, float]:
    """Run the bare calls in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.floor"),
        cwd=ROOT,
        env=dict(os.environ) | dict(environment),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    figures: dict[str, float] = json.loads(output)
    return figures


async def measure_starts(environment: Mapping[str, str]) -> tuple[float, float]:
    """Start the service and import its libraries alone, in turn; returns the medians in seconds."""
    starts, imports = [], []
    for _ in range(STARTS):
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", f"import {LIBRARIES}", cwd=ROOT)
        await process.wait()
        imports.append(time.monotonic() - started)
        async with stage.service(environment) as service:
            starts.append(service.ready_seconds)
    return statistics.median(starts), statistics.median(imports)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))]


async def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=640)
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds")
    options = parser.parse_args()
    async with stage.cloud(options.latency) as environment:
        settings = environment | {
            "EMBEDDED": "true",
            "DAILY_LIMIT": "1000000",
            "WORKER_SLOTS": str(options.slots),
            "METRICS_PORT": "off",
            "LOG_LEVEL": "ERROR",
        }
        async with stage.service(settings) as service:
            load = await measure_load(service, options)
        floor = await measure_floor(environment)
        start, imports = await measure_starts(settings)
    report(options, load, floor, start, imports)


def report(options: argparse.Namespace, load: Load, floor: Mapping[str, float], start: float, imports: float) -> None:
    """Print one line a figure: the floor, the service, the ratio."""
    ideal = options.slots / options.latency
    watch = load.watch
    latencies = watch.latencies()
    floor_cpu = floor["submit_ms"] + floor["run_ms"]
    print(f"\n{options.jobs} jobs, {options.users} users, {options.slots} slots, {options.latency:g} s of Gemini\n")
    print(f"{'':44}{'floor':>10}{'service':>10}{'ratio':>8}")
    for name, low, high, unit in (
        ("jobs/s in the middle of the run", ideal, watch.rate(), ""),
        ("CPU a job (submit + run, socket, REST)", floor_cpu, load.cpu_milliseconds, " ms"),
        ("memory, highest", floor["memory_mib"], load.memory_mib, " MiB"),
        ("start to ready over importing the libraries", imports, start, " s"),
    ):
        print(f"{name:44}{low:>10.2f}{high:>10.2f}{high / low:>8.2f}{unit}")
    print("\nPOST /generate to the pushed completion, the queue included:")
    print(
        "  " + "  ".join(f"p{round(share * 100)} {percentile(latencies, share):.2f} s" for share in (0.5, 0.95, 0.99))
    )
    print(
        f"  completed {len(watch.completed)}, failed {watch.failed}, lost {options.jobs - len(watch.completed) - watch.failed}"
    )
    print(f"  floor: submit {floor['submit_ms']:.2f} ms, run {floor['run_ms']:.2f} ms of CPU")
    print(f"  machine {load.machine_busy:.0%} busy: emulator, simulator and these users share it with the service")


if __name__ == "__main__":
    uvloop.run(main())
