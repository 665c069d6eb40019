"""``redrive``: bring dead letters back."""

from __future__ import annotations

import argparse
import importlib

from service.commands.arguments import FAILED, OK, Subparsers, add_env_file, number


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "redrive",
        help="bring the jobs in the dead-letter queue back",
        description="Bring the jobs in the dead-letter queue (SQS_DLQ_URL) back to the queue, one by one: a failed one is "
        "charged again if it had been given back, an unfinished one gets a message again, letters of jobs that are over "
        "are thrown away, and what is not ours is left there. It may be stopped and repeated at any time. "
        "Exit code 1 if something could not be moved, 2 for settings that do not work.",
        epilog="Example: python -m service redrive --dry-run",
    )
    parser.set_defaults(run=run)
    add_env_file(parser)
    parser.add_argument(
        "--limit", type=number(int, 1, 1_000_000), metavar="N", help="settle at most N letters of ours (default all)"
    )
    parser.add_argument("--dry-run", action="store_true", help="change nothing, and say what would happen")


async def run(options: argparse.Namespace) -> int:
    """Move what is there. Raises CannotStart."""
    return OK if await importlib.import_module("service.redrive").run(options) else FAILED
