"""A process that holds sockets and pushes when it is asked to: the push floor or a bare aiohttp server.

python -m benchmarks.push_server house|bare [--redis redis://…]

Both serve ``/ws``. A POST to ``/rounds`` or ``/lives`` makes them push, and answers with what that took. The house's sockets,
hub, bus and views are the service's own and links are signed; only tokens are taken at their word, and nothing is read from AWS.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import socket
import sys
import time
from contextlib import AsyncExitStack
from typing import Final

import uvloop
from aiohttp import web

from benchmarks import push_frames
from benchmarks.push_frames import Step
from benchmarks.push_stands import Stand, open_bare, open_house
from service.web_app import RUNNER_OPTIONS

SHORTEST_PAUSE_SECONDS: Final = 0.05
WARM_UP_SECONDS_A_SOCKET: Final = 0.001
PAUSE_SECONDS_A_SOCKET: Final = 0.0003
"""Long enough for a round to be written before the next: looking whether it has been would cost more than the writing."""
BACKLOG: Final = 2048
SEND_BUFFER_BYTES: Final = 43_520
"""Doubled by Linux: what a socket has on a network. On loopback it is 2.5 MiB, and a client that does not read goes unnoticed."""


class Pushing:
    """The routes that make a stand push."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    async def rounds(self, request: web.Request) -> web.Response:
        """Push round after round: one frame for each socket, either all the same or each user its own event."""
        rounds, users, sockets = (int(request.query[name]) for name in ("rounds", "users", "sockets"))
        steps = push_frames.one_for_each(users)
        await self._stand.prepare(steps)
        is_same = request.query["frames"] == "same"
        await self._round(steps, is_same=is_same)
        await asyncio.sleep(sockets * WARM_UP_SECONDS_A_SOCKET)
        _settle()
        began = time.process_time()
        for _ in range(rounds):
            await self._round(steps, is_same=is_same)
            await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS, sockets * PAUSE_SECONDS_A_SOCKET))
        return web.json_response({"cpu_seconds": time.process_time() - began, "frames": rounds * sockets})

    async def _round(self, steps: list[Step], *, is_same: bool) -> None:
        if is_same:
            await self._stand.push_to_all()
        else:
            for step in steps:
                await self._stand.push(step)

    async def lives(self, request: web.Request) -> web.Response:
        """Push what happens in the lives of jobs, each step in its time."""
        steps = push_frames.lives(
            jobs_per_second=float(request.query["rate"]),
            seconds=float(request.query["seconds"]),
            users=int(request.query["users"]),
            busy_users=int(request.query.get("busy", 0)),
        )
        await self._stand.prepare(steps)
        _settle()
        began, cpu = time.monotonic(), time.process_time()
        for step in steps:
            wait = began + step.at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._stand.push_stamped(step)
        return web.json_response({"cpu_seconds": time.process_time() - cpu, "steps": len(steps)})

    async def collect(self, request: web.Request) -> web.Response:
        """Throw away what nobody holds, so that memory can be compared; tell how many sockets were closed as too slow."""
        gc.collect()
        return web.json_response({"slow": self._stand.count_slow()})


def _settle() -> None:
    """Leave nothing for the collector to find in the midst of a measurement; the service, too, sets aside what it starts with."""
    gc.collect()
    gc.freeze()


async def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push_server", description=__doc__)
    parser.add_argument("stand", choices=("house", "bare"))
    parser.add_argument("--redis", help="where the bus between processes is")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with AsyncExitStack() as stack:
        stand: Stand = await (open_house(stack, options.redis) if options.stand == "house" else open_bare(stack))
        pushing, app = Pushing(stand), web.Application()
        app.router.add_get("/ws", stand.serve)
        for handler in (pushing.rounds, pushing.lives, pushing.collect):
            app.router.add_post(f"/{handler.__name__}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0, **RUNNER_OPTIONS)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        host, port = runner.addresses[0][:2]
        sys.stdout.write(f"http://{host}:{port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
