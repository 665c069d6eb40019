"""``migrate``: give the tables of ProfilePhotoAI what this service needs of them."""

from __future__ import annotations

import argparse
import importlib

from service.commands.arguments import Subparsers, add_env_file, number


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "migrate",
        help="take over the tables of ProfilePhotoAI",
        description="Give the rows of existing tables (USERS_TABLE, USAGE_LOG_TABLE, IMAGE_JOBS_TABLE) the attributes that "
        "this service needs. Every write is conditional and adds to what is there; both systems may run meanwhile. It may be "
        "stopped and repeated at any time: what is done is not done again. docs/migration.md has the whole way. "
        "Exit code 1 if something is lacking or was not understood, 2 for settings that do not work.",
        epilog="Example: python -m service migrate --env-file production.env --dry-run",
    )
    parser.set_defaults(run=run)
    add_env_file(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="say what the tables lack, and change nothing")
    what.add_argument(
        "--indexes",
        action="store_true",
        help="add what the tables lack: indexes, expiry, recovery to a point in time; an index with other keys is replaced",
    )
    what.add_argument(
        "--dry-run", action="store_true", help="change nothing, and count what would be done with the rows"
    )
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="take over the jobs that have not ended, too: the original's worker must have stopped 15 minutes ago",
    )
    parser.add_argument(
        "--writes-per-second", type=number(float, 0.1, 10_000), default=100, metavar="N", help="default %(default)s"
    )
    parser.add_argument(
        "--segments",
        type=number(int, 1, 64),
        default=4,
        metavar="N",
        help="scan so many parts at once (default %(default)s)",
    )


async def run(options: argparse.Namespace) -> int:
    """Do it. Raises CannotStart."""
    code: int = await importlib.import_module("service.commands.migrating").run(options)
    return code
