"""The command line: `python -m deploy.gemini_simulator` serves on loopback until its parent is gone."""

import argparse
import asyncio
import ctypes
import ipaddress
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Sequence
from typing import Final

import uvloop
from aiohttp import web

from deploy.gemini_simulator.server import Settings, build_app

PR_SET_PDEATHSIG: Final = 1
STDIN: Final = 0
CANNOT_LISTEN: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal, or until the parent is gone; returns 3 when the address cannot be had."""
    options = _parse(arguments)
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        print(json.dumps({"error": f"cannot listen on {options.host}:{options.port}: {error}"}), flush=True)
        return CANNOT_LISTEN
    _die_with_parent()
    settings = Settings(
        latency_seconds=options.latency,
        requests_per_minute=options.requests_per_minute,
        error_rate=options.error_rate,
    )
    uvloop.run(_serve(listener, settings))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.gemini_simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=2.0, help="mean seconds an answer takes, 0 for none")
    parser.add_argument("--requests-per-minute", type=int, help="quota per model; without it there is none")
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of calls answered with 500 or 503")
    options = parser.parse_args(arguments)
    if options.latency < 0 or not 0 <= options.error_rate <= 1 or (options.requests_per_minute or 1) < 1:
        parser.error("latency is 0 or more, the error rate 0 to 1, requests per minute 1 or more")
    return options


def _listen(host: str, port: int) -> socket.socket:
    """Bind a loopback address; any other is an OSError, like a port that is taken."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise PermissionError("the simulator listens on loopback only")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=1024)


def _die_with_parent() -> None:
    """Ask Linux for SIGTERM when the thread that started us ends; the end of stdin covers the rest."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        # A parent that died before the request sends no signal any more.
        if os.getppid() != parent:
            sys.exit(0)


async def _serve(listener: socket.socket, settings: Settings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    _watch_stdin(loop, stopped)
    runner = web.AppRunner(
        build_app(settings),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.5,
        keepalive_timeout=75,
        read_bufsize=2**22,
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Stop at the end of stdin if it is a pipe, or the socket that asyncio uses for one."""
    mode = os.fstat(STDIN).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return

    def read() -> None:
        try:
            ended = not os.read(STDIN, 65536)
        except ConnectionResetError:
            ended = True
        if ended:
            loop.remove_reader(STDIN)
            stopped.set()

    loop.add_reader(STDIN, read)


if __name__ == "__main__":
    sys.exit(main())
