"""``smoke``: say whether a running service answers as it must, seen from outside."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from service.commands.arguments import Subparsers, add_caller, number


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "smoke",
        help="say whether a running service answers as it must",
        description="Ask a running service what a browser would ask: whether it lives and is ready, its page and API "
        "description, whether strangers are refused, whether sockets come through. --release waits until ten answers in a row "
        "are of that release: of all tasks, where there are no more than that. With --photo a whole job is done and deleted "
        "again; it is charged like any other. Exit code 0 if nothing failed, 1 if something did, 2 for a command line that does "
        "not work.",
        epilog="Example: python -m service smoke --url https://photos.example.com",
    )
    parser.set_defaults(run=run)
    add_caller(parser)
    parser.add_argument("--release", metavar="NAME", help="what /healthz must name: the digest of the image")
    parser.add_argument("--photo", type=Path, metavar="FILE", help="send this photo, and wait for its picture")
    parser.add_argument(
        "--within",
        type=number(float, 0, 3600),
        default=0,
        metavar="SECONDS",
        help="how long to wait for the service to be there (default %(default)s: one try)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON")


async def run(options: argparse.Namespace) -> int:
    """Ask, and write what was found to stdout. Raises CannotStart."""
    code: int = await importlib.import_module("service.commands.smoking").run(options)
    return code
