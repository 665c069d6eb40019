"""``watch``: follow jobs live."""

from __future__ import annotations

import argparse
import importlib

from service.commands.arguments import Subparsers, add_caller, add_saving


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "watch",
        help="follow a job, or all of yours, live",
        description="Follow one job to its end and save its picture, or show each change of all your jobs: until all of them "
        "have ended, or with --all until Ctrl-C. Exit code 0 when it is done, 1 when the one job failed, 130 for Ctrl-C, 143 for "
        "SIGTERM.",
        epilog="Example: python -m service watch --all --json",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "job_id", nargs="?", metavar="JOB_ID", help="the job to follow (default: all that have not ended)"
    )
    parser.add_argument("--all", action="store_true", help="go on when all have ended")
    add_saving(parser)
    parser.add_argument("--json", action="store_true", help="write each change as a line of JSON, and save nothing")
    add_caller(parser)


async def run(options: argparse.Namespace) -> int:
    """Follow. Raises CannotStart."""
    code: int = await importlib.import_module("service.commands.watching").run(options)
    return code
