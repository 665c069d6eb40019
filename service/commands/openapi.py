"""``openapi``: write the description of the API."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from service.commands.arguments import OK, Subparsers, add_env_file, flags
from service.process import read_settings


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "openapi",
        takes_settings=True,
        help="write the description of the API (OpenAPI 3.1)",
        description="Write what GET /openapi.json answers: the service as it is under its settings. Exit code 2 for settings "
        "that do not work.",
        epilog="Example: python -m service openapi --env-file .env.example --gemini-api-key-secret-arn none > openapi.json",
    )
    parser.set_defaults(run=run)
    add_env_file(parser)


async def run(options: argparse.Namespace) -> int:
    """Write to stdout. Raises CannotStart."""
    settings = read_settings(flags(options))
    document = importlib.import_module("service.openapi.of_settings").document(settings.page_origins[0], settings)
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return OK
