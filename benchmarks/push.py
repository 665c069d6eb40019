"""The push floor beside a bare aiohttp server: memory, connects, CPU a frame, latency, hung readers, two tasks, a restart.

For context, some of it is measured on Starlette under uvicorn, too.

python -m benchmarks.push [--quick] [--idle 10000] [--sockets 1000,5000] [--rounds 20] [--seconds 30] [--restart 2000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from benchmarks import push_crowd, push_restart
from benchmarks.main_job import percentile
from benchmarks.push_crowd import Process
from benchmarks.stage import Figures
from tests.bus.redis_server import RedisServer

KINDS: Final = ("starlette", "bare", "house")
JOBS_PER_SECOND: Final = 50
HUNG_SHARE: Final = 0.01
WARM_SOCKETS: Final = 200
WARM_SECONDS: Final = 1
SPARE_FILES: Final = 200
REQUEST_SECONDS: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; a floor of None has no ratio, and ``context`` is what Starlette under uvicorn does."""

    name: str
    floor: float | None
    figure: float
    unit: str
    context: float | None = None
    aim: str = ""

    def __str__(self) -> str:
        floor, ratio = ("", "") if self.floor is None else (f"{self.floor:.2f}", f"{self.figure / self.floor:.2f}")
        context = "" if self.context is None else f"{self.context:.2f}"
        return f"| {self.name} | {context} | {floor} | {self.figure:.2f} {self.unit} | {ratio} | {self.aim} |"


class Stand:
    """A server that pushes when it is told to, in a process of its own."""

    def __init__(self, session: aiohttp.ClientSession, process: Process, url: str) -> None:
        self._session = session
        self._process = process
        self.url = url

    def figures(self) -> Figures:
        """Read its CPU time and memory."""
        return Figures.of(self._process.pid)

    async def command(self, path: str, **query: object) -> dict[str, Any]:
        """Let it do something and return what that took."""
        query = {name: str(value) for name, value in query.items()}
        async with self._session.post(f"{self.url}/{path}", params=query) as answer:  # type: ignore[arg-type]
            answer.raise_for_status()
            done: dict[str, Any] = json.loads(await answer.text())
            return done


@asynccontextmanager
async def stand(kind: str, *arguments: str) -> AsyncIterator[Stand]:
    """Run the ``house``, the ``bare`` server or the ``starlette`` one."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with (
        push_crowd.running("push_server", kind, *arguments) as process,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        yield Stand(session, process, await process.read())


@asynccontextmanager
async def crowd(
    url: str, sockets: int, *, users: int | None = None, hung: int = 0
) -> AsyncIterator[tuple[Process, float]]:
    """Connect so many clients; gives the process that holds them and the seconds that connecting took."""
    arguments = (f"--sockets={sockets}", f"--users={users or sockets}", f"--hung={hung}")
    async with push_crowd.running("push_clients", url, *arguments) as process:
        yield process, json.loads(await process.read())["seconds"]


async def measure_idle(sockets: int) -> list[Row]:
    """Open sockets that do nothing: what one costs in memory, and what opening one does."""
    memory, rate, cpu = {}, {}, {}
    for kind in KINDS:
        async with stand(kind) as server:
            async with crowd(server.url, WARM_SOCKETS):
                pass
            await server.command("collect")
            before = server.figures()
            async with crowd(server.url, sockets) as (_, seconds):
                cpu[kind] = (server.figures().cpu_seconds - before.cpu_seconds) * 1e6 / sockets
                await server.command("collect")
                memory[kind] = (server.figures().memory_bytes - before.memory_bytes) / 1024 / sockets
                rate[kind] = sockets / seconds
    return [
        Row(
            name=f"memory of an idle socket, {sockets:,} of them",
            context=memory["starlette"],
            floor=memory["bare"],
            figure=memory["house"],
            unit="KiB",
            aim="≤ 1.4",
        ),
        Row(name="connects a second", context=rate["starlette"], floor=rate["bare"], figure=rate["house"], unit=""),
        Row(name="CPU of a connect", context=cpu["starlette"], floor=cpu["bare"], figure=cpu["house"], unit="µs"),
    ]


async def measure_frames(sockets: int, rounds: int) -> list[Row]:
    """Push to all sockets, round after round: the same frame to everybody, and to each user an event of its own."""
    cost: dict[tuple[str, str], float] = {}
    for kind in KINDS:
        async with stand(kind) as server, crowd(server.url, sockets) as (clients, _):
            for frames in ("same", "own"):
                done = await server.command("rounds", rounds=rounds, users=sockets, sockets=sockets, frames=frames)
                cost[kind, frames] = done["cpu_seconds"] * 1e6 / done["frames"]
                received = (await clients.ask())["frames"]
                assert received == (rounds + 1) * sockets, f"{kind}: {received} frames of {(rounds + 1) * sockets}"
    names = {"same": "the same frame for all", "own": "an event to each, view and encoding included"}
    return [
        Row(
            name=f"CPU of a pushed frame, {sockets:,} sockets, {name}",
            context=cost["starlette", frames],
            floor=cost["bare", frames],
            figure=cost["house", frames],
            unit="µs",
            aim="≤ 1.3" if frames == "same" else "",
        )
        for frames, name in names.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From the publication of a committed change to its frame at the client, in milliseconds; ``closed`` sockets were too slow."""

    p50: float
    p99: float
    closed: int


async def latency(
    publisher: Stand, holder: Stand, sockets: int, seconds: float, *, busy: int = 0, hung: int = 0
) -> Latency:
    """Publish what happens to jobs at one server, and look when it comes to sockets at one, which may be the same."""
    lives = {"rate": JOBS_PER_SECOND, "users": sockets, "busy": busy}
    async with crowd(holder.url, sockets, hung=hung) as (clients, _):
        await publisher.command("lives", seconds=WARM_SECONDS, **(lives | {"busy": 0}))
        await clients.ask()
        await publisher.command("lives", seconds=seconds, **lives)
        seen = await clients.ask()
        slow = (await holder.command("collect"))["slow"]
    ordered = sorted(nanoseconds / 1e6 for nanoseconds in seen["latencies"])
    return Latency(p50=percentile(ordered, 0.5), p99=percentile(ordered, 0.99), closed=slow)


async def measure_latency(sockets: int, seconds: float) -> list[Row]:
    """Measure the way of a change to its client: bare, in one task, between two, and beside hung readers."""
    async with stand("starlette") as server:
        context = await latency(server, server, sockets, seconds)
    async with stand("bare") as server:
        floor = await latency(server, server, sockets, seconds)
    async with stand("house") as server:
        house = await latency(server, server, sockets, seconds)
    busy = int(sockets * HUNG_SHARE)
    async with stand("house") as server:
        calm = await latency(server, server, sockets, seconds, busy=busy)
    async with stand("house") as server:
        beside = await latency(server, server, sockets, seconds, busy=busy, hung=busy)
    task = f"{JOBS_PER_SECOND} jobs/s, {sockets:,} sockets"
    return [
        Row(name=f"commit → frame, p50, {task}", context=context.p50, floor=floor.p50, figure=house.p50, unit="ms"),
        Row(
            name=f"commit → frame, p99, {task}",
            context=context.p99,
            floor=floor.p99,
            figure=house.p99,
            unit="ms",
            aim="≤ 3",
        ),
        *await _between_tasks(floor, sockets, seconds),
        Row(
            name=f"p99 of the others while {busy} do not read ({beside.closed} closed), over all reading",
            floor=calm.p99,
            figure=beside.p99,
            unit="ms",
            aim="≈ 1",
        ),
    ]


async def _between_tasks(floor: Latency, sockets: int, seconds: float) -> list[Row]:
    if shutil.which("redis-server") is None:
        print("Two tasks through Redis: not measured, there is no redis-server here")
        return []
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        await asyncio.to_thread(redis.start)
        try:
            async with stand("house", f"--redis={redis.url}") as one, stand("house", f"--redis={redis.url}") as other:
                across = await latency(one, other, sockets, seconds)
        finally:
            await asyncio.to_thread(redis.kill)
    return [
        Row(name="commit → frame, p50, through Redis to another task", floor=floor.p50, figure=across.p50, unit="ms"),
        Row(name="commit → frame, p99, through Redis to another task", floor=floor.p99, figure=across.p99, unit="ms"),
    ]


async def measure_restart(sockets: int) -> list[Row]:
    """Kill the whole service under its sockets."""
    restart = await push_restart.measure(sockets)
    task = f"kill -9 and restart with {restart.sockets:,} sockets"
    return [
        Row(name=f"{task}: half are back and resumed", floor=None, figure=restart.half_seconds, unit="s"),
        Row(name=f"{task}: all are", floor=None, figure=restart.all_seconds, unit="s"),
        Row(name="reads of the event log for each of them", floor=None, figure=restart.log_reads, unit=""),
        Row(name="ends of jobs lost", floor=None, figure=restart.lost, unit="", aim="0"),
    ]


async def main() -> None:
    """Measure everything and print the table as it grows."""
    options = parse()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n")
    print("| what | Starlette + uvicorn | bare aiohttp | here | ratio | aim |\n|---|---|---|---|---|---|", flush=True)
    show(await measure_idle(options.idle))
    for sockets in options.sockets:
        show(await measure_frames(sockets, options.rounds))
    show(await measure_latency(options.sockets[0], options.seconds))
    if options.restart:
        show(await measure_restart(options.restart))
    print(f"\nload of the machine after: {os.getloadavg()[0]:.1f}")


def show(rows: Sequence[Row]) -> None:
    """Print some rows."""
    print("\n".join(map(str, rows)), flush=True)


def parse() -> argparse.Namespace:
    """Read the command line; as many idle sockets as files may be open."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 10_000 if files == resource.RLIM_INFINITY else min(10_000, files - SPARE_FILES)
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=description)
    parser.add_argument("--quick", action="store_true", help="a minute or so, with figures to match")
    parser.add_argument("--idle", type=int, default=most)
    parser.add_argument(
        "--sockets", type=lambda text: [int(number) for number in text.split(",")], default=[1000, 5000]
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--restart", type=int, default=2000, help="so many sockets; 0 leaves it out")
    options = parser.parse_args()
    if options.quick:
        options.idle, options.sockets, options.rounds, options.seconds, options.restart = 1000, [1000], 10, 4, 0
    return options


if __name__ == "__main__":
    uvloop.run(main())
