"""What ``check`` does: all looks at once, told in their order."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Final, TextIO

import aiohttp

from jobs import aws
from service.commands.arguments import FAILED, OK, flags
from service.commands.checks import buckets, identity, outside, queues, tables
from service.commands.checks.finding import Finding, Look, State, take
from service.log import configure_logging
from service.process import CannotStart, read_settings
from service.settings import Settings

_COLORS: Final = {State.OK: "32", State.WARNING: "33", State.FAILED: "1;31"}
_PART_WIDTH: Final = 31
_WHENCE: Final = (
    "They come from the environment, from flags, or from a file named by --env-file: see docs/configuration.md."
)


async def run(options: argparse.Namespace) -> int:
    """Look at the deployment; returns the exit code. Raises CannotStart."""
    settings = _settings(options)
    configure_logging("CRITICAL", "auto")  # what the parts would log is told as findings
    found: list[Finding] = []
    async for finding in findings(settings):
        found.append(finding)
        if not options.json:
            tell(sys.stdout, finding)
    return sum_up(found, as_json=options.json)


def _settings(options: argparse.Namespace) -> Settings:
    try:
        return read_settings(flags(options))
    except CannotStart as error:
        raise CannotStart(f"{error}\n{_WHENCE}") from error


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found of each part, in the order of the parts."""
    yield Finding(part="settings", state=State.OK, message="They are complete; python -m service config shows them.")
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(aws.open_clients(settings.aws_config()))
        sts = await stack.enter_async_context(aws.client(settings.aws_config(), "sts"))
        first = [await take(look) for look in identity.looks(sts, clients.dynamodb, settings)]
        for finding in first:
            yield finding
        looks = [*tables.looks(clients.dynamodb, settings), *buckets.looks(clients.s3, settings)]
        looks += queues.looks(clients.sqs, settings)
        if any(finding.state is State.FAILED for finding in first):
            looks = []  # each would fail for the same reason
            yield Finding(part="tables, buckets, queues", state=State.WARNING, message="Not looked at.")
        session = await stack.enter_async_context(aiohttp.ClientSession())
        line = await stack.enter_async_context(outside.open_line(session, settings))
        looks += outside.looks(session, line, settings)
        async for finding in _in_order(looks):
            yield finding


async def _in_order(looks: Sequence[Look]) -> AsyncIterator[Finding]:
    """Take all at once, and yield what was found in their order."""
    taken = [asyncio.create_task(take(look), name=look.part) for look in looks]
    try:
        for each in taken:
            yield await each
    finally:
        for each in taken:
            each.cancel()


def sum_up(found: Sequence[Finding], *, as_json: bool) -> int:
    """Write how many looks came to what, or all of it as JSON; returns the exit code."""
    counts = {state: sum(1 for finding in found if finding.state is state) for state in State}
    if as_json:
        told = {"ok": not counts[State.FAILED], "findings": [asdict(finding) for finding in found]}
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n" + ", ".join(f"{count} {state.value}" for state, count in counts.items()) + "\n")
    return FAILED if counts[State.FAILED] else OK


def tell(stream: TextIO, finding: Finding) -> None:
    """Write what one look found."""
    word = finding.state.upper() if finding.state is State.FAILED else finding.state.value
    shown = f"{word:<7}"
    if stream.isatty() and "NO_COLOR" not in os.environ:
        shown = f"\x1b[{_COLORS[finding.state]}m{shown}\x1b[0m"
    stream.write(f"{shown}  {finding.part:<{_PART_WIDTH}}  {finding.message}\n")
    if finding.advice:
        stream.write(f"{'':<{_PART_WIDTH + 9}}  → {finding.advice}\n")
    stream.flush()
