"""The command line: ``python -m service`` runs the service, with ``--embedded`` everything it needs beside it.

``python -m service redrive`` brings dead letters back, ``python -m service calibrate`` helps to choose a setting.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from service.process import (
    MAX_PORT,
    CannotStart,
    Stopped,
    listen,
    read_settings,
    stop_on_signals,
    unless_stopped,
    url_of,
)

OK, FAILED, BAD_USAGE = 0, 1, 2
VERSION = "0.1.0"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what is not said there comes from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Run Darkroom: REST, WebSocket and the worker pool in one process. "
        "All other settings come from the environment.",
    )
    parser.add_argument("--version", action="version", version=f"Darkroom {VERSION}")
    parser.add_argument("--host", help="address to listen on (HOST; default 127.0.0.1)")
    parser.add_argument(
        "--port", type=_number(int, 0, MAX_PORT), help="port to listen on, 0 for any free one (PORT; default 8080)"
    )
    parser.add_argument(
        "--embedded", action="store_true", help="run on this machine alone, with emulated AWS and simulated Gemini"
    )
    demo = parser.add_argument_group("with --embedded")
    demo.add_argument(
        "--data-dir", type=Path, default=Path(".darkroom"), help="where state is kept (default %(default)s)"
    )
    demo.add_argument(
        "--gemini-latency",
        type=_number(float, 0, 600),
        default=2.0,
        metavar="SECONDS",
        help="the simulator's time for a picture (default %(default)s)",
    )
    demo.add_argument(
        "--gemini-requests-per-minute",
        type=_number(int, 1, 1_000_000),
        metavar="N",
        help="the simulator's rate limit (default none)",
    )
    demo.add_argument(
        "--gemini-error-rate",
        type=_number(float, 0, 1),
        default=0.0,
        metavar="FRACTION",
        help="the share of the simulator's calls that fail (default %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="[COMMAND]")
    _add_redrive(commands.add_parser)
    _add_calibrate(commands.add_parser)
    options = parser.parse_args(arguments)
    if options.command is not None and options.embedded:
        parser.error(f"{options.command} works with what the environment names, not with --embedded")
    return options


def _add_redrive(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    redrive = add_parser(
        "redrive",
        help="bring the jobs in the dead-letter queue back",
        description="Bring the jobs in the dead-letter queue (SQS_DLQ_URL) back to the queue, one by one: a failed one is "
        "charged again if it had been given back, an unfinished one gets a message again, letters of jobs that are over "
        "are thrown away, and what is not ours is left there. It may be stopped and repeated at any time. "
        "Exit code 1 if something could not be moved.",
    )
    redrive.add_argument(
        "--limit", type=_number(int, 1, 1_000_000), metavar="N", help="settle at most N letters of ours (default all)"
    )
    redrive.add_argument("--dry-run", action="store_true", help="change nothing, and say what would happen")


def _add_calibrate(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    calibrate = add_parser(
        "calibrate",
        help="show how alike the backgrounds of your own pairs of crops are",
        description="Compare the backgrounds of pairs of crops of which you know whether they show the same place, and show "
        "what SIMILARITY_THRESHOLD would make of them. Of the settings it needs GEMINI_API_KEY, and takes GEMINI_BASE_URL "
        "and EMBEDDING_MODEL_NAME. Exit code 1 if Gemini fails, 2 for pairs that cannot be used. See docs/calibration.md.",
    )
    calibrate.add_argument(
        "pairs",
        type=Path,
        metavar="PAIRS",
        help="a CSV file: first,second,same[,first_box,second_box]; paths from its own folder, same is yes or no, "
        'a box is "x y width height" of the vehicle',
    )
    calibrate.add_argument("--json", action="store_true", help="write JSON")
    calibrate.add_argument(
        "--threshold",
        type=_number(float, 0, 1),
        default=0.8,
        metavar="N",
        help="the one to look at (default %(default)s)",
    )


def main() -> int:
    """Run until a signal; returns 0 after a clean stop, 1 when a part died, 2 for settings that do not work.

    A command ends by itself, with 1 when it could not do all of its work.
    """
    options = parse_arguments()
    commands = {"redrive": _run_redrive, "calibrate": _run_calibrate}
    run = commands.get(options.command, _run_embedded if options.embedded else _run)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return OK if runner.run(run(options)) else FAILED
    except CannotStart as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    except Stopped:
        return OK


async def _run(options: argparse.Namespace) -> bool:
    stop = stop_on_signals()
    said = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    settings = read_settings(said)
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
        on_ready=lambda: print(f"Darkroom is ready: {url_of(listener)}", flush=True),
    )
    return healthy


async def _run_embedded(options: argparse.Namespace) -> bool:
    if importlib.util.find_spec("deploy") is None:
        raise CannotStart("This installation has no embedded mode: the folder deploy is missing.")
    stop = stop_on_signals()
    healthy: bool = await importlib.import_module("service.embedded").run(options, stop)
    return healthy


async def _run_redrive(options: argparse.Namespace) -> bool:
    clean: bool = await importlib.import_module("service.redrive").run(options)
    return clean


async def _run_calibrate(options: argparse.Namespace) -> bool:
    done: bool = await importlib.import_module("service.calibrate").run(options)
    return done


def _number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    """Make an argument type that says what numbers it takes."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a number from {least:g} to {most:g}")
        return value

    return read


if __name__ == "__main__":
    sys.exit(main())
