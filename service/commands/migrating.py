"""What ``migrate`` does: a composition root of its own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from botocore.exceptions import ClientError

from jobs import aws
from jobs.aws import Clients
from jobs.errors import CloudUnavailable
from jobs.mendings import Outcome
from jobs.migration import Migration, Pace
from jobs.table_shape import JOBS, USAGE, USERS, ShapedTable, WrongTable
from service.commands.arguments import FAILED, OK
from service.ground import Ground, open_ground
from service.log import configure_logging
from service.process import read_settings, stop_on_signals
from service.settings import Settings

logger = logging.getLogger(__name__)

_ROWS_PER_RECORD: Final = 10_000
_MEANINGS: Final = {
    Outcome.OURS: "need nothing",
    Outcome.MENDED: "have now what was missing",
    Outcome.TAKEN_OVER: "unfinished jobs of the original, to be done here",
    Outcome.ENDED: "unfinished jobs of the original that nobody will do, failed now",
    Outcome.UNFINISHED: "unfinished jobs, left to the original: run this again when its worker has stopped (--unfinished)",
    Outcome.CHANGED: "were changed at that moment and left alone: run this again",
    Outcome.UNCLEAR: "were not understood and left alone; the log says which and why",
}
_WOULD: Final = _MEANINGS | {
    Outcome.MENDED: "would get what is missing",
    Outcome.TAKEN_OVER: "unfinished jobs of the original, would be done here",
    Outcome.ENDED: "unfinished jobs of the original that nobody will do, would fail",
    Outcome.UNCLEAR: "are not understood and would be left alone; the log says which and why",
}
"""The same in a dry run."""


async def run(options: argparse.Namespace) -> int:
    """Do what the options say; returns the exit code. Raises CannotStart."""
    stop = stop_on_signals()
    settings = read_settings({})
    configure_logging(settings.log_level, settings.log_format)
    async with aws.open_clients(settings.aws_config()) as clients:
        try:
            is_done = await _run(clients, settings, options, stop)
        except (CloudUnavailable, WrongTable) as error:
            return _complain(f"Stopped: {error.message}")
        except ClientError as error:
            return _complain(f"AWS refuses: {error}")
    if stop.is_set():
        return _complain("Stopped by a signal. What is done stays done; run it again.")
    return OK if is_done else FAILED


async def _run(clients: Clients, settings: Settings, options: argparse.Namespace, stop: asyncio.Event) -> bool:
    tables = [
        ShapedTable(clients.dynamodb, settings.usage_log_table, USAGE),
        ShapedTable(clients.dynamodb, settings.users_table, USERS),
        ShapedTable(clients.dynamodb, settings.image_jobs_table, JOBS),
    ]
    for table in tables:
        await table.check()
    if options.indexes:
        for table in tables:
            await table.complete(_tell, stop)
        return True
    if options.check:
        return await _check(tables)
    async with AsyncExitStack() as stack:
        # Owners of jobs that end or are taken over are told as by any task.
        ground = await open_ground(stack, settings)
        return await _mend_rows(ground, settings, options, stop)


async def _check(tables: list[ShapedTable]) -> bool:
    lacks = {table.name: await table.lacks() for table in tables}
    for name, sentences in lacks.items():
        for sentence in sentences or ["It lacks nothing."]:
            _tell(f"{name}: {sentence}")
    return not any(lacks.values())


async def _mend_rows(ground: Ground, settings: Settings, options: argparse.Namespace, stop: asyncio.Event) -> bool:
    progress = _Progress()
    migration = Migration(
        ground.clients.dynamodb,
        settings.tables(),
        ground.table.writes,
        pace=Pace(options.writes_per_second),
        segments=options.segments,
        stop=stop,
        on_row=progress.step,
        dry_run=options.dry_run,
    )
    try:
        await migration.run(unfinished=options.unfinished)
    finally:
        progress.end()
        sys.stdout.write(_summary(migration.counts, dry_run=options.dry_run))
    return not any(counts[Outcome.UNCLEAR] for counts in migration.counts.values())


class _Progress:
    """Shows how far it is: one line that renews itself on a terminal, else a log record for many rows."""

    def __init__(self) -> None:
        self._rows = 0

    def step(self) -> None:
        """Count a row."""
        self._rows += 1
        if self._rows % _ROWS_PER_RECORD == 0:
            logger.info("Rows are being mended", extra={"action": "migrate_progress", "rows": self._rows})
        elif sys.stderr.isatty() and self._rows % 100 == 0:
            self._write(f"{self._rows:,} rows")

    def end(self) -> None:
        """Clear the line."""
        if sys.stderr.isatty():
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}\r")
        sys.stderr.flush()


def _summary(counts: Mapping[str, Counter[Outcome]], *, dry_run: bool) -> str:
    lines = ["A dry run: nothing was changed. Without --dry-run this would be:"] if dry_run else []
    meanings = _WOULD if dry_run else _MEANINGS
    for table, counted in counts.items():
        lines.append(f"{table}: {counted.total()} rows")
        lines += [
            f"  {outcome.value:<16}{counted[outcome]:>9}  {meaning}"
            for outcome, meaning in meanings.items()
            if counted[outcome]
        ]
    return "\n".join([*lines, ""])


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _complain(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return FAILED
