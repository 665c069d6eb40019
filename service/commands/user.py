"""``user``: what an operator may do with one user."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from service.commands.arguments import CommandParser, Subparsers, add_env_file, number


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "user",
        help="show, limit, block, export or delete one user",
        description="Do something with one user of the deployment that the settings name. The service need not run. Exit code "
        "1 if it could not be done, 2 for a command line or settings that do not work.",
        epilog="Example: python -m service user limit 0b9c2d1e-1111-2222-3333-444455556666 50",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, title="actions", parser_class=CommandParser)
    show = _add_action(actions, "show", "show what is known of the user, and what is left of the day")
    show.add_argument("--json", action="store_true", help="write JSON")
    limit = _add_action(actions, "limit", "give the user a daily limit of their own")
    limit.add_argument("limit", metavar="N", type=_limit, help="pictures a UTC day; default for DAILY_LIMIT again")
    _add_action(actions, "block", "refuse the user everything from now on")
    _add_action(actions, "unblock", "let the user in again")
    export = _add_action(actions, "export", "save all that is the user's as a ZIP archive")
    export.add_argument("--output", type=Path, metavar="FILE", help="where to save it (default USER_ID.zip)")
    export.add_argument("--force", action="store_true", help="overwrite that file")
    delete = _add_action(actions, "delete", "erase the user's jobs, pictures, events and row, for ever")
    delete.add_argument("--yes", action="store_true", help="that is really meant")


def _add_action(actions: Subparsers, name: str, explanation: str) -> CommandParser:
    parser = actions.add_parser(name, help=explanation, description=f"{explanation[:1].upper()}{explanation[1:]}.")
    parser.set_defaults(run=run, action=name)
    parser.add_argument("user_id", metavar="USER_ID", help="the id: `sub` of the user's tokens, `userId` of the jobs")
    add_env_file(parser)
    return parser


def _limit(text: str) -> int | None:
    return None if text == "default" else int(number(int, 0, 1_000_000)(text))


async def run(options: argparse.Namespace) -> int:
    """Do it. Raises CannotStart."""
    code: int = await importlib.import_module("service.commands.one_user").run(options)
    return code
