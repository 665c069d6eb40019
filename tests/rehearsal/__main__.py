"""Rehearses a deployment on this machine and says whether anybody noticed: ``python -m tests.rehearsal``."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks import tables
from service.process import STOP_SIGNALS
from tests.rehearsal.play import rehearse


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/rehearse",
        description="Run two tasks of the image behind HAProxy on an emulated cloud, put load on, roll a new release over, roll a "
        "bad one back, let a task leave by itself, and print what the users have noticed. Exit code 1 if that is anything.",
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long there is load, at least (%(default)g)")
    parser.add_argument("--users", type=int, default=20, help="people with a socket each (%(default)s)")
    parser.add_argument("--plain", action="store_true", help="run this checkout instead of the image; needs no root")
    parser.add_argument(
        "--kill",
        action="store_true",
        help="kill a task instead, which users do notice: what a bad deployment looks like",
    )
    return parser.parse_args(arguments)


async def main() -> int:
    """Rehearse and print the table; returns 1 when something happened that must not, 130 or 143 when a signal came."""
    options, signals = parse(), list[int]()
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    playing = asyncio.create_task(rehearse(options, folder), name="rehearsal")

    def interrupt(number: int) -> None:
        signals.append(number)
        playing.cancel()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    await asyncio.wait([playing])
    if signals:
        # Ctrl-C ends the load balancer and the bus too, so the play may have broken before it was canceled.
        _ = playing.cancelled() or playing.exception()
        shutil.rmtree(folder)
        print("Interrupted. Nothing of it is left.", file=sys.stderr)
        return 128 + signals[0]
    report = playing.result()
    return tables.conclude(report.rows(), report.zeros, report.explanations(), folder)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
