"""What waits in the queues, for all tasks together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs import aws, clock
from jobs.errors import CloudUnavailable
from jobs.items import STATUS_SHARDS
from jobs.job_reader import JobReader
from jobs.model import Status

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

_ATTRIBUTES: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """About how many messages of a queue may be received, are in somebody's hands, and are yet to be seen."""

    waiting: int
    in_flight: int
    delayed: int


class Backlog:
    """Reads how long the queues are, and how long their jobs wait."""

    def __init__(self, client: SQSClient, queues: Mapping[str, str], table: JobReader) -> None:
        self._client = client
        self._queues = dict(queues)
        self._table = table

    @property
    def queues(self) -> frozenset[str]:
        """The names of the queues."""
        return frozenset(self._queues)

    async def depths(self) -> dict[str, Depth]:
        """Read all queues, by the names they were given; one that does not answer, or may not be looked at, is left out."""
        depths = await asyncio.gather(*(self._depth(url) for url in self._queues.values()), return_exceptions=True)
        known: dict[str, Depth] = {}
        for name, depth in zip(self._queues, depths, strict=True):
            if isinstance(depth, Depth):
                known[name] = depth
            elif not isinstance(depth, CloudUnavailable):
                raise depth
        return known

    async def oldest_queued_seconds(self) -> float:
        """Return for how long the job that was queued first has waited; 0 when none does.

        SQS tells the age of a message to CloudWatch alone, so this is read from the jobs: an index, half a second old at most
        as a rule. A job that was put off or handed back counts from then. Raises CloudUnavailable.
        """
        since = await asyncio.gather(*(self._oldest_of(shard) for shard in range(STATUS_SHARDS)))
        first = min((moment for moment in since if moment is not None), default=None)
        return 0.0 if first is None else max(0, clock.now_milliseconds() - first) / 1000

    async def _depth(self, url: str) -> Depth:
        with aws.unavailable_whatever_it_says():
            answer = await self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_ATTRIBUTES))
        waiting, in_flight, delayed = (int(answer["Attributes"].get(name, "0")) for name in _ATTRIBUTES)
        return Depth(waiting=waiting, in_flight=in_flight, delayed=delayed)

    async def _oldest_of(self, shard: int) -> int | None:
        # Other tasks' clocks may be ahead of ours.
        before = clock.now_milliseconds() + clock.DAY_SECONDS * 1000
        rows = self._table.unfinished_before(Status.QUEUED, shard, before, at_a_time=1)
        with aws.unavailable_whatever_it_says():
            row = await anext(rows, None)
        return None if row is None else row.updated_at
