"""A process that holds sockets and pushes when it is asked to: the push floor, a bare aiohttp server or Starlette.

python -m benchmarks.push_server house|bare|starlette [--redis redis://…]

All serve ``/ws``. A POST to ``/rounds`` or ``/lives`` makes them push, and answers with what that took. The house's sockets,
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
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import uvloop
from aiohttp import web

from benchmarks import push_frames, push_starlette
from benchmarks.push_frames import Step
from benchmarks.push_stands import Bare, Command, OnAiohttp, Stand, open_contents, open_house
from benchmarks.push_starlette import OnStarlette
from service.web_app import RUNNER_OPTIONS

SHORTEST_PAUSE_SECONDS: Final = 0.05
WARM_UP_SECONDS_A_SOCKET: Final = 0.001
PAUSE_SECONDS_A_SOCKET: Final = 0.0003
"""Long enough for a round to be written before the next: looking whether it has been would cost more than the writing."""
BACKLOG: Final = 2048
SEND_BUFFER_BYTES: Final = 43_520
"""Doubled by Linux: what a socket has on a network. On loopback it is 2.5 MiB, and a client that does not read goes unnoticed."""


class Pushing:
    """The commands that make a stand push, by name."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.commands: dict[str, Command] = {"rounds": self.rounds, "lives": self.lives, "collect": self.collect}

    async def rounds(self, query: Mapping[str, str]) -> dict[str, float]:
        """Push round after round: one frame for each socket, either all the same or each user its own event."""
        rounds, users, sockets = (int(query[name]) for name in ("rounds", "users", "sockets"))
        steps = push_frames.one_for_each(users)
        await self._stand.prepare(steps)
        is_same = query["frames"] == "same"
        await self._round(steps, is_same=is_same)
        await asyncio.sleep(sockets * WARM_UP_SECONDS_A_SOCKET)
        _settle()
        began = time.process_time()
        for _ in range(rounds):
            await self._round(steps, is_same=is_same)
            await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS, sockets * PAUSE_SECONDS_A_SOCKET))
        return {"cpu_seconds": time.process_time() - began, "frames": rounds * sockets}

    async def _round(self, steps: list[Step], *, is_same: bool) -> None:
        if is_same:
            await self._stand.push_to_all()
        else:
            for step in steps:
                await self._stand.push(step)

    async def lives(self, query: Mapping[str, str]) -> dict[str, float]:
        """Push what happens in the lives of jobs, each step in its time."""
        steps = push_frames.lives(
            jobs_per_second=float(query["rate"]),
            seconds=float(query["seconds"]),
            users=int(query["users"]),
            busy_users=int(query.get("busy", 0)),
        )
        await self._stand.prepare(steps)
        _settle()
        began, cpu = time.monotonic(), time.process_time()
        for step in steps:
            wait = began + step.at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._stand.push_stamped(step)
        return {"cpu_seconds": time.process_time() - cpu, "steps": len(steps)}

    async def collect(self, query: Mapping[str, str]) -> dict[str, float]:
        """Throw away what nobody holds, so that memory can be compared; tell how many sockets were closed as too slow."""
        gc.collect()
        return {"slow": self._stand.count_slow()}


def _settle() -> None:
    """Leave nothing for the collector to find in the midst of a measurement; the service, too, sets aside what it starts with."""
    gc.collect()
    gc.freeze()


async def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push_server", description=__doc__)
    parser.add_argument("stand", choices=("house", "bare", "starlette"))
    parser.add_argument("--redis", help="where the bus between processes is")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    async with AsyncExitStack() as stack:
        if options.stand == "house":
            serving = serve(await open_house(stack, options.redis), listener)
        elif options.stand == "bare":
            serving = serve(Bare(await open_contents(stack)), listener)
        else:
            starlette = OnStarlette(await open_contents(stack))
            commands = Pushing(starlette).commands
            serving = push_starlette.serve(starlette, commands, listener, backlog=BACKLOG)
        # Whoever connects before the server has begun waits in the backlog.
        host, port = listener.getsockname()
        sys.stdout.write(f"http://{host}:{port}\n")
        sys.stdout.flush()
        await serving


async def serve(stand: OnAiohttp, listener: socket.socket) -> None:
    """Serve a stand of aiohttp until the process is ended."""
    app = web.Application()
    app.router.add_get("/ws", stand.serve)
    for name, command in Pushing(stand).commands.items():
        app.router.add_post(f"/{name}", _handler(command))
    runner = web.AppRunner(app, shutdown_timeout=0, **RUNNER_OPTIONS)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    await asyncio.Event().wait()


def _handler(command: Command) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(await command(request.query))

    return handle


if __name__ == "__main__":
    uvloop.run(main())
