"""``calibrate``: help to choose SIMILARITY_THRESHOLD."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from service.commands.arguments import FAILED, OK, Subparsers, add_env_file, number


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "calibrate",
        help="show how alike the backgrounds of your own pairs of crops are",
        description="Compare the backgrounds of pairs of crops of which you know whether they show the same place, and show "
        "what SIMILARITY_THRESHOLD would make of them. Of the settings it needs GEMINI_API_KEY, and takes GEMINI_BASE_URL "
        "and EMBEDDING_MODEL_NAME. Exit code 1 if Gemini fails, 2 for pairs that cannot be used. See docs/calibration.md.",
        epilog="Example: python -m service calibrate pairs.csv --threshold 0.85",
    )
    parser.set_defaults(run=run)
    add_env_file(parser)
    parser.add_argument(
        "pairs",
        type=Path,
        metavar="PAIRS",
        help="a CSV file: first,second,same[,first_box,second_box]; paths from its own folder, same is yes or no, "
        'a box is "x y width height" of the vehicle',
    )
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.add_argument(
        "--threshold",
        type=number(float, 0, 1),
        default=0.8,
        metavar="N",
        help="the one to look at (default %(default)s)",
    )


async def run(options: argparse.Namespace) -> int:
    """Compare. Raises CannotStart."""
    return OK if await importlib.import_module("service.calibrate").run(options) else FAILED
