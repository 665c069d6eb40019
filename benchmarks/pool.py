"""The pool: jobs a second over slots and latency, CPU and memory beside the bare calls, 500 jobs in flight, and fairness.

python -m benchmarks.pool [--slots 16 64 256] [--latency 4] [--rounds 4]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping

import aiohttp
import uvloop

from benchmarks import main_job, stage
from benchmarks.main_job import Load
from benchmarks.stage import ROOT, Figures
from tests.person import Person

IN_FLIGHT = 500
MANY_JOBS = 200
FAIR_SLOTS = 32


def settings_for(environment: Mapping[str, str], slots: int, **more: str) -> dict[str, str]:
    """Return a service's environment without the limits that would be measured instead."""
    return {
        **environment,
        "EMBEDDED": "true",
        "DAILY_LIMIT": "1000000",
        "MAX_USER_UNFINISHED": "100000",
        "MAX_USER_IN_FLIGHT": "100000",
        "WORKER_SLOTS": str(slots),
        "METRICS_PORT": "off",
        "LOG_LEVEL": "ERROR",
        **more,
    }


async def measure_slots(environment: Mapping[str, str], slots: int, latency: float, rounds: int) -> Load:
    """Run so many rounds of full slots."""
    users = min(slots, 64)
    options = argparse.Namespace(jobs=slots * rounds // users * users, users=users, slots=slots, latency=latency)
    async with stage.service(settings_for(environment, slots)) as service:
        return await main_job.measure_load(service, options)


async def measure_in_flight(environment: Mapping[str, str]) -> tuple[float, float]:
    """Hold 500 jobs in Gemini's hands at once; returns the service's memory before and then, in MiB."""
    photo = (ROOT / "tests/data/astronaut.png").read_bytes()
    async with (
        stage.service(settings_for(environment, IN_FLIGHT)) as service,
        aiohttp.ClientSession() as session,
    ):
        person = await Person.sign_in(session, service.url, "flying")
        key = await person.upload(photo)
        before = Figures.of(service.pid).memory_bytes
        body = {"fileKey": key, "style": "professional", "prompt": "[[sim:slow=60]]"}
        room = asyncio.Semaphore(16)

        async def submit() -> None:
            async with room:
                await person.post("/generate", body)

        await asyncio.gather(*(submit() for _ in range(IN_FLIGHT)))
        peak = before
        async with asyncio.timeout(120), person.socket() as socket:
            for _ in range(IN_FLIGHT // 2):  # by then all the others are or were in flight together
                await until_completed(socket)
                peak = max(peak, Figures.of(service.pid).memory_bytes)
    return before / 2**20, peak / 2**20


async def measure_fairness(environment: Mapping[str, str], in_flight: int, latency: float) -> float:
    """Let one user submit 200 jobs, then another one; returns the seconds until the second user's only job is completed."""
    photo = (ROOT / "tests/data/astronaut.png").read_bytes()
    settings = settings_for(environment, FAIR_SLOTS, MAX_USER_IN_FLIGHT=str(in_flight))
    async with stage.service(settings) as service, aiohttp.ClientSession() as session:
        many = await Person.sign_in(session, service.url, f"many-{in_flight}")
        one = await Person.sign_in(session, service.url, f"one-{in_flight}")
        body = {"fileKey": await many.upload(photo), "style": "professional", "prompt": f"[[sim:slow={latency:g}]]"}
        room = asyncio.Semaphore(16)

        async def submit() -> None:
            async with room:
                await many.post("/generate", body)

        await asyncio.gather(*(submit() for _ in range(MANY_JOBS)))
        key = await one.upload(photo)
        async with one.socket() as socket:
            started = time.monotonic()
            await one.post("/generate", body | {"fileKey": key})
            async with asyncio.timeout(300):
                await until_completed(socket)
            return time.monotonic() - started


async def until_completed(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Read until a completion."""
    while (await socket.receive_json())["type"] != "job.completed":
        pass


async def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--latency", type=float, default=4.0, help="seconds of Gemini")
    parser.add_argument("--rounds", type=int, default=5, help="jobs a slot")
    options = parser.parse_args()
    print(f"\nslots  {'floor':>8}  {'jobs/s':>8}  {'ratio':>6}  {'CPU ms a job':>12}  {'MiB':>6}  machine busy")
    async with stage.cloud(0) as environment:
        for slots in options.slots:
            load = await measure_slots(environment, slots, options.latency, options.rounds)
            ideal, rate = slots / options.latency, load.watch.rate()
            print(
                f"{slots:5}  {ideal:8.2f}  {rate:8.2f}  {rate / ideal:6.2f}  {load.cpu_milliseconds:12.1f}  "
                f"{load.memory_mib:6.0f}  {load.machine_busy:.0%}"
            )
        floor = await main_job.measure_floor(environment)
        print(f"bare calls: {floor['submit_ms'] + floor['run_ms']:.1f} ms of CPU a job, {floor['memory_mib']:.0f} MiB")
        before, peak = await measure_in_flight(environment)
        print(f"{IN_FLIGHT} jobs in flight: {before:.0f} MiB idle, {peak:.0f} MiB at the most")
        shared = await measure_fairness(environment, 100_000, options.latency)
        fair = await measure_fairness(environment, 16, options.latency)
    print(
        f"the only job of one user behind {MANY_JOBS} of another, {FAIR_SLOTS} slots: "
        f"{shared:.1f} s with no cap in flight, {fair:.1f} s with 16"
    )


if __name__ == "__main__":
    uvloop.run(main())
