"""``check``: say what is wrong with a deployment."""

from __future__ import annotations

import argparse
import importlib

from service.commands.arguments import Subparsers, add_env_file


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        takes_settings=True,
        help="say line by line what is wrong with a deployment",
        description="Look at everything that the settings name: AWS credentials and clock, tables, buckets, queues, the "
        "Gemini key and models, the token keys, the event bus. Nothing is changed. Each line is ok, warning (it works, or "
        "nobody may look) or FAILED with what to do. Exit code 0 if nothing failed, 1 if something did, 2 for settings that "
        "do not work.",
        epilog="Example: python -m service check --env-file production.env",
    )
    parser.set_defaults(run=run)
    add_env_file(parser)
    parser.add_argument("--json", action="store_true", help="write JSON")


async def run(options: argparse.Namespace) -> int:
    """Look, and write what was found to stdout. Raises CannotStart."""
    code: int = await importlib.import_module("service.commands.checking").run(options)
    return code
