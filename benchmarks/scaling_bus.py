"""What one notice costs between tasks: CPU of the publisher, of the listener and of the Redis server, measured on this machine.

python -m benchmarks.scaling_bus [--notices 20000] [--users 500]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.cost_use import USUAL_JOB
from jobs.events import EventType, JobEvent, Notice
from jobs.ids import EventIds, UserId
from jobs.redis_bus import RedisBus
from tests.bus.redis_server import RedisServer

AT_ONCE: Final = 50
"""What a task publishes within one turn of its loop."""
HEARD_SECONDS: Final = 60


class _Ear:
    """Knows when all has arrived."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self.has_all = asyncio.Event()

    def deliver(self, _: Notice) -> None:
        self._missing -= 1
        if not self._missing:
            self.has_all.set()


def open_bus(url: str) -> RedisBus:
    """Make one task's bus."""
    return RedisBus(url, prefix="scaling", registry=CollectorRegistry(), report=lambda _: None)


async def publish_all(bus: RedisBus, events: list[JobEvent]) -> None:
    """Publish as a busy task does: some at a time, with the loop's turns between."""
    for start in range(0, len(events), AT_ONCE):
        for event in events[start : start + AT_ONCE]:
            bus.publish(event)
        await asyncio.sleep(0.002)


async def measure(url: str, server: psutil.Process, notices: int, users: int) -> None:
    """Print what each notice costs, with a listener for it and without one."""
    speaker, listener, ear, ids = open_bus(url), open_bus(url), _Ear(notices), EventIds()
    await speaker.start()
    await listener.start()
    names = [UserId(f"user-{number}") for number in range(users)]
    jobs = [replace(USUAL_JOB, user_id=name) for name in names]
    events = [
        JobEvent(event_id=ids.next(), type=EventType.QUEUED, at=0, job=jobs[number % users])
        for number in range(notices)
    ]
    unheard = await _cost(speaker, server, events, None)
    started = time.process_time()
    ends = [listener.subscribe(name, ear.deliver) for name in names]
    await asyncio.gather(*map(listener.listening, names))
    print(f"subscribe to {users} users: {(time.process_time() - started) / users * 1e6:.0f} us a user")
    heard = await _cost(speaker, server, events, ear.has_all)
    print(f"publish:  {unheard[0]:6.1f} us of the task's CPU, {unheard[1]:5.1f} us of the server's, nobody listening")
    print(f"and hear: {heard[0] - unheard[0]:6.1f} us of the task's CPU, {heard[1]:5.1f} us of the server's in all")
    for end in ends:
        end()
    await speaker.stop()
    await listener.stop()


async def _cost(
    bus: RedisBus, server: psutil.Process, events: list[JobEvent], heard: asyncio.Event | None
) -> tuple[float, float]:
    own, theirs = time.process_time(), sum(server.cpu_times()[:2])
    await publish_all(bus, events)
    if heard is not None:
        async with asyncio.timeout(HEARD_SECONDS):
            await heard.wait()
    await asyncio.sleep(0.5)  # what is still on its way to the server
    each = 1e6 / len(events)
    return (time.process_time() - own) * each, (sum(server.cpu_times()[:2]) - theirs) * each


async def main() -> None:
    """Measure on a server of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling_bus", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--notices", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            found = re.search(r"process_id\D+(\d+)", server.command("INFO", "server"))
            assert found is not None
            await measure(server.url, psutil.Process(int(found[1])), options.notices, options.users)
        finally:
            server.kill()


if __name__ == "__main__":
    uvloop.run(main())
