"""Gives the rows of the original tables what ours have: every write is conditional, so both systems may run meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError

from jobs import aws
from jobs.actions import Tables, cancellation_codes, failed_conditions
from jobs.mendings import Change, Mending, Mendings, Outcome
from jobs.told_writes import ToldWrites, news_of

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

_PAGE_ROWS: Final = 250
_PATIENCE_SECONDS: Final = 60.0
_FAILED: Final = frozenset({"ConditionalCheckFailedException", "ConditionalCheckFailed"})
_NOT_TAKEN: Final = frozenset({"ValidationException", "ValidationError"})
_Mend: TypeAlias = Callable[[Mapping[str, Any]], Mending]


class Pace:
    """Lets so many writes a second pass, of all who ask together."""

    def __init__(self, per_second: float) -> None:
        self._spacing_seconds = 1 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Return when the next write may begin."""
        loop = asyncio.get_running_loop()
        self._next = max(self._next, loop.time()) + self._spacing_seconds
        await asyncio.sleep(self._next - self._spacing_seconds - loop.time())


class Migration:
    """Walks through the three original tables, each in so many ``segments`` at once; ``counts`` says what became of the rows.

    It may be stopped, killed and repeated at any time: what is mended is not touched again. ``on_row`` is called after each row;
    by ``writes`` owners are told of jobs that end or are taken over. A dry run counts what would be done. Every method raises
    CloudUnavailable.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        tables: Tables,
        writes: ToldWrites,
        *,
        pace: Pace,
        segments: int,
        stop: asyncio.Event,
        on_row: Callable[[], None],
        dry_run: bool = False,
    ) -> None:
        self._client = client
        self._tables = tables
        self._mendings = Mendings(tables)
        self._writes = writes
        self._pace = pace
        self._segments = segments
        self._stop = stop
        self._on_row = on_row
        self._dry_run = dry_run
        self.counts: dict[str, Counter[Outcome]] = {}

    async def run(self, *, unfinished: bool) -> None:
        """Walk through all; jobs that have not ended are taken over only where ``unfinished`` says so.

        The original's worker must have stopped by then: it asks nobody before it writes.
        """
        # What a day has used decides about the next request.
        await self._walk(self._tables.usage, "userIdDate", self._mendings.of_day)
        await self._walk(self._tables.users, "userId", self._mendings.of_user)
        await self._walk(self._tables.jobs, "jobId", lambda row: self._mendings.of_job(row, unfinished=unfinished))

    async def _walk(self, table: str, key: str, mend: _Mend) -> None:
        counts = self.counts[table] = Counter()
        try:
            async with asyncio.TaskGroup() as group:
                for segment in range(self._segments):
                    group.create_task(self._walk_segment(table, segment, key, mend, counts), name=f"{table} {segment}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _walk_segment(self, table: str, segment: int, key: str, mend: _Mend, counts: Counter[Outcome]) -> None:
        async for row in self._rows(table, segment):
            if self._stop.is_set():
                return
            try:
                outcome = await self._write(mend(row))
            except (ValueError, TypeError) as error:
                extra = {"action": "row_not_understood", "table": table, "row": str(row[key]), "reason": str(error)}
                logger.warning("A row was not understood", extra=extra)
                outcome = Outcome.UNCLEAR
            counts[outcome] += 1
            self._on_row()

    async def _rows(self, table: str, segment: int) -> AsyncIterator[Mapping[str, Any]]:
        scan: dict[str, Any] = {
            "TableName": table,
            "Segment": segment,
            "TotalSegments": self._segments,
            "Limit": _PAGE_ROWS,
        }
        while True:
            page = await _patiently(lambda: self._client.scan(**scan))
            for row in page["Items"]:
                yield row
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def _write(self, mending: Mending) -> Outcome:
        """Write what is to be written, and return what became of it. Raises ValueError for what DynamoDB does not take."""
        if self._dry_run or not mending.actions:
            return mending.outcome
        await self._pace.wait()
        try:
            await _patiently(lambda: self._commit(mending))
        except ClientError as error:
            return await self._refused(mending, error)
        return mending.outcome

    async def _refused(self, mending: Mending, error: ClientError) -> Outcome:
        codes = {aws.error_code(error), *cancellation_codes(error)}
        if codes & _NOT_TAKEN:
            raise ValueError(str(error)) from error
        if not codes & _FAILED:
            raise error
        if mending.change is None or not _has_landed(mending.change, error):
            return Outcome.CHANGED
        # An attempt whose answer was lost has landed, at an unknown time: its event may lie behind a reader.
        await self._writes.tell_once_more(news_of(mending.change.event, mending.change.job))
        return mending.outcome

    async def _commit(self, mending: Mending) -> None:
        if mending.change is not None:
            await self._writes.write(mending.actions, news_of(mending.change.event, mending.change.job))
            return
        for action in mending.actions:  # one: half the price of a transaction
            await self._client.update_item(**action["Update"])


def _has_landed(change: Change, error: ClientError) -> bool:
    found = [*failed_conditions(error), None][0] or {}
    return bool(found.get("version") == change.job.version)


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    return await aws.retrying(call, patience_seconds=_PATIENCE_SECONDS)
