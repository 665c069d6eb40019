"""``config``: show the settings as they are, and what there is to set."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from service.commands.arguments import OK, Subparsers, add_env_file, flags
from service.process import read_settings

if TYPE_CHECKING:
    from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting as it is; ``source`` is flag, file, environment or default."""

    variable: str
    value: str
    source: str


def add(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "config",
        takes_settings=True,
        help="show the settings as they are, secrets masked",
        description="Show each setting as the service would have it, where it comes from (flag, file, environment, default), "
        "secrets masked. Exit code 2 for settings that do not work: each mistake is one line.",
        epilog="Example: python -m service config --env-file production.env --json",
    )
    parser.set_defaults(run=run)
    add_env_file(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write JSON")
    form.add_argument("--table", action="store_true", help="write what there is to set, as tables in Markdown")
    form.add_argument("--env-example", action="store_true", help="write an example for --env-file")


async def run(options: argparse.Namespace) -> int:
    """Write to stdout. Raises CannotStart."""
    sys.stdout.write(_written(options))
    return OK


def _written(options: argparse.Namespace) -> str:
    catalogue = importlib.import_module("service.catalogue")
    if options.table:
        return str(catalogue.as_table())
    if options.env_example:
        return str(catalogue.as_env_example())
    rows = _rows(read_settings(flags(options)), options)
    return _as_json(rows) if options.json else _as_text(rows)


def _rows(settings: Settings, options: argparse.Namespace) -> list[Row]:
    catalogue, flagged = importlib.import_module("service.catalogue"), flags(options)
    said = {name.lower() for name, value in os.environ.items() if value}
    from_file = {name.lower() for name in options.from_file}

    def source_of(name: str) -> str:
        names = catalogue.spellings(name)
        if name in flagged:
            return "flag"
        if not said.isdisjoint(names):
            return "environment" if from_file.isdisjoint(names) else "file"
        return "default"

    return [
        Row(
            variable=entry.variable,
            value=catalogue.shown(entry.name, getattr(settings, entry.name)),
            source=source_of(entry.name),
        )
        for entry in catalogue.entries()
    ]


def _as_json(rows: list[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n"


def _as_text(rows: list[Row]) -> str:
    width = max(len(row.variable) for row in rows)
    return "".join(f"{row.variable:<{width}}  {row.source:<11}  {row.value}".rstrip() + "\n" for row in rows)
