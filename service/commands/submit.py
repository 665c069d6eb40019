"""``submit``: send a photo, watch its job live, and save the picture."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from service.commands.arguments import Subparsers, add_caller, add_saving


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "submit",
        help="send a photo, watch its job live, and save the picture",
        description="Send a photo to a running service, show live how far it is, and save the picture. How far it is goes to "
        "stderr: one line that renews itself on a terminal, plain lines elsewhere and under NO_COLOR. Where the picture is "
        "goes to stdout. Exit code 0 when it is done, 1 when it failed, 2 for a command line that does not work, 130 for "
        "Ctrl-C and 143 for SIGTERM, after which the job goes on.",
        epilog="Example: python -m service submit photo.jpg --style formal_interview",
    )
    parser.set_defaults(run=run)
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="a JPEG, PNG or WebP file")
    parser.add_argument("--style", help="how the picture shall look; GET /styles lists the styles")
    parser.add_argument("--prompt", metavar="TEXT", help="how it shall look, in your own words")
    parser.add_argument(
        "--pipeline",
        choices=("profile-photo", "crack-detection"),
        default="profile-photo",
        help="what shall be done with the photo (default %(default)s)",
    )
    add_saving(parser)
    parser.add_argument("--no-wait", action="store_true", help="print the job's id and leave")
    parser.add_argument(
        "--cancel-on-interrupt", action="store_true", help="let Ctrl-C and SIGTERM cancel the job as well"
    )
    parser.add_argument("--json", action="store_true", help="write the finished job as JSON")
    add_caller(parser)


async def run(options: argparse.Namespace) -> int:
    """Submit and wait. Raises CannotStart."""
    code: int = await importlib.import_module("service.commands.submitting").run(options)
    return code
