"""Gives the rows of the original tables what ours have: every write is conditional, so both systems may run meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError

from jobs import aws
from jobs.actions import Action, Tables, cancellation_codes
from jobs.mendings import Mending, Mendings, Outcome

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

_PAGE_ROWS: Final = 250
_PATIENCE_SECONDS: Final = 60.0
_FAILED: Final = frozenset({"ConditionalCheckFailedException", "ConditionalCheckFailed"})
_Mend: TypeAlias = Callable[[Mapping[str, Any]], Mending]
_Transact: TypeAlias = Callable[[Sequence[Action]], Awaitable[None]]


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
    ``transact`` is that of ``ToldWrites``. A dry run counts what would be done. Every method raises CloudUnavailable.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        tables: Tables,
        transact: _Transact,
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
        self._transact = transact
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
                mending = mend(row)
            except (ValueError, TypeError) as error:
                extra = {"action": "row_not_understood", "table": table, "row": str(row[key]), "reason": str(error)}
                logger.warning("A row was not understood", extra=extra)
                mending = Mending(outcome=Outcome.UNCLEAR)
            counts[await self._write(mending)] += 1
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
        if self._dry_run or not mending.actions:
            return mending.outcome
        await self._pace.wait()
        try:
            await _patiently(lambda: self._commit(mending.actions))
        except ClientError as error:
            if not _FAILED.intersection((aws.error_code(error), *cancellation_codes(error))):
                raise
            return Outcome.CHANGED
        return mending.outcome

    async def _commit(self, actions: Sequence[Action]) -> None:
        if len(actions) == 1:
            # Half the price of a transaction.
            await self._client.update_item(**actions[0]["Update"])
        else:
            await self._transact(list(actions))


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    return await aws.retrying(call, patience_seconds=_PATIENCE_SECONDS)
