"""What stands around the service in its process: settings, the listening socket, and the signals that stop it.

Only light modules are imported here: the embedded cloud boots while the heavy ones load.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from service.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")
MAX_PORT = 65535
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
VERSION = "0.1.0"


class CannotStart(Exception):
    """The service cannot start; the message is what a person needs to know."""


class Stopped(Exception):
    """A signal came before the service was ready."""


def stop_on_signals() -> asyncio.Event:
    """Return the event that the first SIGINT or SIGTERM sets; a second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_first() -> None:
        # The event cannot tell that it is the first: an operator's drain sets it too, and then ECS says SIGTERM, once.
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, os._exit, 128 + number)
        stop.set()
        if sys.stderr.isatty():
            sys.stderr.write("\nStopping: work in hand is finished or handed back. Ctrl-C again ends at once.\n")

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_first)
    return stop


@contextlib.asynccontextmanager
async def on_stop(stop: asyncio.Event, call: Callable[[], None]) -> AsyncIterator[None]:
    """Call once as soon as ``stop`` is set, if that is before the block ends."""

    async def wait_and_call() -> None:
        await stop.wait()
        call()

    task = asyncio.create_task(wait_and_call(), name="watch for the stop")
    try:
        yield
    finally:
        task.cancel()


async def unless_stopped(stop: asyncio.Event, work: Awaitable[T]) -> T:
    """Await the work, or cancel it and raise Stopped when ``stop`` is set first."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait(), name="wait for stop")
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if task.done():
        return task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    raise Stopped


def read_port(variable: str, said: str | None, default: int) -> int:
    """Read a port where it is needed before all settings can be read. Raises CannotStart."""
    try:
        port = int(said or default)
    except ValueError:
        port = -1
    if not 0 <= port <= MAX_PORT:
        raise CannotStart(f"{variable} must be a number from 0 to {MAX_PORT}.")
    return port


def listen(host: str, port: int, *, setting: str = "--port") -> socket.socket:
    """Take the port now, so that a taken one is said before anything is started. Raises CannotStart, naming the setting.

    Who connects before the service is ready waits: a socket that is only bound would leave the port to others.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with {setting}."
        ) from error
    return listener


def end_within(seconds: float) -> None:
    """End the process by force if it is still there then, and say so: a thread that hangs would keep it until it is killed.

    A thread keeps the time, for the loop may be what hangs.
    """

    def end() -> None:
        logger.critical("The process had to be ended by force", extra={"action": "end_forced"})
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def task_name() -> str:
    """Return what to call this process among all that serve the same queues: on ECS the id of its task."""
    # The last part of the address is <task id>-<container>, on Fargate.
    metadata = os.environ.get("ECS_CONTAINER_METADATA_URI_V4", "").rstrip("/").rpartition("/")[2]
    return metadata.partition("-")[0] or f"{socket.gethostname()}-{os.getpid()}"


def ecs_agent_url() -> str:
    """Return where a container asks ECS about its own task; nothing elsewhere than on ECS."""
    return os.environ.get("ECS_AGENT_URI", "")


def url_of(listener: socket.socket) -> str:
    """Return the address a browser opens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_settings(overrides: dict[str, object]) -> Settings:
    """Read the settings from the environment, ``overrides`` first. Raises CannotStart with a line for each mistake."""
    module = importlib.import_module("service.settings")
    pydantic = importlib.import_module("pydantic")
    try:
        settings: Settings = module.Settings(**overrides)
    except pydantic.ValidationError as error:
        raise CannotStart("\n".join(["The settings are not complete:", *module.explain(error)])) from error
    return settings
