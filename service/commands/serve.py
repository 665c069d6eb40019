"""``serve``: run the service, with ``--embedded`` everything it needs beside it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import importlib.util
import sys
from pathlib import Path

from service.commands.arguments import FAILED, OK, Subparsers, add_env_file, flags, number
from service.process import CannotStart, end_within, listen, read_settings, stop_on_signals, unless_stopped, url_of
from service.stopping import StopBudget


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        takes_settings=True,
        help="run the service (what happens without a command)",
        description="Run Darkroom: REST, WebSocket and the worker pool in one process, until SIGTERM or Ctrl-C. Exit code 0 "
        "after a clean stop, 1 when a part of it died, 2 for settings that do not work.",
        epilog="Example: python -m service --embedded --port 8080 --daily-limit 100",
    )
    parser.set_defaults(run=run)
    # These two are known without the model: the port is taken before anything is loaded.
    parser.add_setting("host")
    parser.add_setting("port")
    add_env_file(parser)
    parser.add_argument(
        "--embedded", action="store_true", help="run on this machine alone, with emulated AWS and simulated Gemini"
    )
    _add_embedded(parser)


def _add_embedded(parser: argparse.ArgumentParser) -> None:
    demo = parser.add_argument_group("with --embedded")
    demo.add_argument(
        "--data-dir", type=Path, default=Path(".darkroom"), help="where state is kept (default %(default)s)"
    )
    demo.add_argument(
        "--gemini-latency",
        type=number(float, 0, 600),
        default=2.0,
        metavar="SECONDS",
        help="the simulator's time for a picture (default %(default)s)",
    )
    demo.add_argument(
        "--gemini-requests-per-minute",
        type=number(int, 1, 1_000_000),
        metavar="N",
        help="the simulator's rate limit (default none)",
    )
    demo.add_argument(
        "--gemini-error-rate",
        type=number(float, 0, 1),
        default=0.0,
        metavar="FRACTION",
        help="the share of the simulator's calls that fail (default %(default)s)",
    )


async def run(options: argparse.Namespace) -> int:
    """Run until a signal. Raises CannotStart, and Stopped before it is ready."""
    # What is loaded until the service is ready stays: to look for garbage in it takes a tenth of the start. The service enables it.
    gc.disable()
    healthy = await (_run_embedded(options) if options.embedded else _run(options))
    return OK if healthy else FAILED


async def _run(options: argparse.Namespace) -> bool:
    stop = stop_on_signals()
    settings = read_settings(flags(options))
    importlib.import_module("service.log").configure_logging(settings.log_level, settings.log_format)
    listener, metrics_listener = listen(settings.host, settings.port), None
    if settings.metrics_port is not None:
        metrics_listener = listen(settings.host, settings.metrics_port, setting="METRICS_PORT")
    # With port 0 only the socket knows the address that browsers name as their origin.
    settings = settings.model_copy(update={"public_url": settings.public_url or url_of(listener)})
    app = await unless_stopped(stop, asyncio.to_thread(importlib.import_module, "service.app"))
    healthy: bool = await app.serve(
        settings,
        listener,
        metrics_listener,
        stop=stop,
        on_ready=lambda: _say(f"Darkroom is ready: {url_of(listener)}"),
        on_leaving=lambda: end_within(StopBudget.of(settings.stop_timeout_seconds).patience),
    )
    return healthy


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _run_embedded(options: argparse.Namespace) -> bool:
    if importlib.util.find_spec("deploy") is None:
        raise CannotStart("This installation has no embedded mode: the folder deploy is missing.")
    stop = stop_on_signals()
    healthy: bool = await importlib.import_module("service.embedded").run(options, stop)
    return healthy
