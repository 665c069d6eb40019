"""Jobs as they stand in DynamoDB: one by its id, and many by an index, which lags behind what was written."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from jobs import aws, clock, items, originals
from jobs.actions import Tables, usage_key
from jobs.errors import InvalidRequest, JobDeleted, JobNotFound
from jobs.ids import JobId, UserId
from jobs.model import Job, Quota, Status
from jobs.user_table import UserTable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

_CURSOR_CHARACTERS = 200
_FILTERED_READ = 100
_PAGE_QUERIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A row among a user's jobs that is not understood; ``version`` is what it says of it, None where it says nothing."""

    job_id: JobId
    version: object


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Jobs of one user, newest first; ``cursor`` leads to the next page and is absent on the last.

    ``unread`` are rows in between that are not understood: nobody is shown them, and only an erasure needs to know.
    """

    jobs: tuple[Job, ...]
    cursor: str | None
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A row of the index of unfinished jobs: enough to decide whether to look at the job itself."""

    job_id: JobId
    user_id: UserId
    waiting: bool
    updated_at: int
    sent_at: int | None


class JobReader:
    """Reads jobs, and what their owners have used. Every method raises CloudUnavailable.

    ``users`` are their owners.
    """

    def __init__(self, client: DynamoDBClient, tables: Tables) -> None:
        self._client = client
        self._tables = tables
        self.users = UserTable(client, tables.users)

    async def get(self, job_id: JobId) -> Job:
        """Read a job as it is now. Raises JobNotFound; JobDeleted where there was one a few days ago.

        A row of the original that is not understood is no job; one of ours raises ValueError, for a newer release may know it.
        """
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._tables.jobs, Key={"jobId": job_id}, ConsistentRead=True)
        )
        item = response.get("Item", {})
        if "deletedBy" in item:
            raise JobDeleted
        if "userId" not in item:
            raise JobNotFound
        if (job := _read(item)) is not None:
            return job
        if originals.is_original(item):
            raise JobNotFound
        raise ValueError("A row of ours is not understood")

    async def page(self, user_id: UserId, *, limit: int, status: Status | None, cursor: str | None) -> JobPage:
        """Read a user's jobs, newest first, and leave out what is not understood.

        Raises InvalidRequest for a cursor that is not ours.
        """
        query: dict[str, Any] = {
            "TableName": self._tables.jobs,
            "IndexName": "UserIdCreatedAtIndex",
            "KeyConditionExpression": "userId = :user",
            "ExpressionAttributeValues": {":user": user_id},
            "ScanIndexForward": False,
        }
        if status is not None:
            query["FilterExpression"] = "#status = :status"
            query["ExpressionAttributeNames"] = {"#status": "status"}
            query["ExpressionAttributeValues"][":status"] = status.value
        rows: list[Mapping[str, Any]] = []
        start: Mapping[str, Any] | None = _read_cursor(cursor, user_id) if cursor else None
        # With a filter DynamoDB limits what it reads, not what it keeps; a page may then end early, with a cursor.
        for _ in range(_PAGE_QUERIES):
            if start:
                query["ExclusiveStartKey"] = start
            query["Limit"] = _FILTERED_READ if status is not None else limit - len(rows)
            response = await aws.retrying(lambda: self._client.query(**query))
            rows += response["Items"]
            start = response.get("LastEvaluatedKey")
            if not start or len(rows) >= limit:
                break
        if len(rows) > limit:
            rows = rows[:limit]
            start = rows[-1]
        return _page(rows, _write_cursor(start) if start else None)

    async def waiting(self, user_id: UserId, most_in_flight: int, newest: Job | None = None) -> tuple[list[Job], bool]:
        """Read those of the user's waiting jobs that may fly now, oldest first, and whether any may wait at all.

        ``newest`` was stored just now: the index may not have it yet.
        """
        unfinished, in_flight = await self._counts(user_id)
        some_wait = unfinished > in_flight
        if in_flight >= most_in_flight:
            return [], some_wait
        query = {
            "TableName": self._tables.jobs,
            "IndexName": "WaitingIndex",
            "KeyConditionExpression": "waitingUser = :user",
            "ExpressionAttributeValues": {":user": user_id},
            "Limit": most_in_flight,
        }
        response = await aws.retrying(lambda: self._client.query(**cast(Any, query)))
        ids = [JobId(str(item["jobId"])) for item in response["Items"]]
        if newest is not None and newest.job_id not in ids and len(ids) < most_in_flight:
            ids.append(newest.job_id)
        # The index lags behind: what is decided is decided on the job itself.
        jobs = [await self._get_or_none(job_id) for job_id in ids]
        return [job for job in jobs if job is not None and job.waiting], some_wait or bool(ids)

    async def _counts(self, user_id: UserId) -> tuple[int, int]:
        """Read from the user's row, which does not lag, how many jobs are unfinished, and how many of those are in flight."""
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._tables.users, Key={"userId": user_id}, ConsistentRead=True)
        )
        row: Mapping[str, Any] = response.get("Item", {})
        return int(row.get("unfinishedJobs", 0)), int(row.get("jobsInFlight", 0))

    async def _get_or_none(self, job_id: JobId) -> Job | None:
        try:
            return await self.get(job_id)
        except JobNotFound:
            return None

    async def unfinished_before(
        self, status: Status, shard: int, updated_before: int, *, at_a_time: int | None = None
    ) -> AsyncIterator[Unfinished]:
        """Walk through the unfinished jobs of one status and shard that nothing has changed since then, oldest first.

        They are read ``at_a_time`` so many, for those who will not need all; a megabyte of them takes long to understand.
        """
        query: dict[str, Any] = {
            "TableName": self._tables.jobs,
            "IndexName": "StatusIndex",
            "KeyConditionExpression": "statusShard = :key AND updatedAt < :before",
            "ExpressionAttributeValues": {
                ":key": items.status_shard(status, shard),
                ":before": clock.iso(updated_before),
            },
        }
        if at_a_time is not None:
            query["Limit"] = at_a_time
        while True:
            response = await aws.retrying(lambda: self._client.query(**query))
            for item in cast(Any, response["Items"]):
                yield Unfinished(
                    job_id=JobId(item["jobId"]),
                    user_id=UserId(item["userId"]),
                    waiting=item.get("waiting", False),
                    updated_at=clock.milliseconds(item["updatedAt"]),
                    sent_at=int(item["sentAt"]) if "sentAt" in item else None,
                )
            if "LastEvaluatedKey" not in response:
                return
            query["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    async def quota(self, user_id: UserId, daily_limit: int) -> Quota:
        """Read what the user has taken of today's units: so many as ``daily_limit``, unless the user has a limit of their own."""
        own = await self.users.own_limit(user_id)
        now = clock.now_milliseconds()
        key = {"userIdDate": usage_key(user_id, clock.utc_day(now))}
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._tables.usage, Key=key, ConsistentRead=True)
        )
        used = max(0, int(cast(Any, response.get("Item", {}).get("taken", 0))))
        most = daily_limit if own is None else own
        return Quota(daily_limit=most, used=used, resets_at=clock.next_utc_midnight(now))


def _page(rows: Iterable[Mapping[str, Any]], cursor: str | None) -> JobPage:
    jobs: list[Job] = []
    unread: list[Unread] = []
    for row in rows:
        if (job := _read(row)) is not None:
            jobs.append(job)
        else:
            unread.append(Unread(job_id=JobId(row["jobId"]), version=row.get("version")))
    return JobPage(jobs=tuple(jobs), cursor=cursor, unread=tuple(unread))


def _read(row: Mapping[str, Any]) -> Job | None:
    """Read a row; None for one that is not understood, which must not keep its owner from all others."""
    try:
        return items.from_item(row)
    except ValueError as error:
        extra = {"action": "row_not_understood", "job_id": row["jobId"], "user_id": row["userId"], "reason": str(error)}
        logger.warning("A job's row was not understood", extra=extra)
        return None


def _write_cursor(key: Mapping[str, Any]) -> str:
    text = json.dumps([key["jobId"], key["createdAt"]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, user_id: UserId) -> dict[str, Any]:
    try:
        # The length comes first: JSON can nest deeper than Python can follow.
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if len(cursor) <= _CURSOR_CHARACTERS else b""
        job_id, created_at = json.loads(text)
    except (ValueError, TypeError) as error:
        raise InvalidRequest("The cursor is not one of ours", field="cursor") from error
    # Any time: the index has that of the original's rows as it was written, were it none.
    if not (isinstance(job_id, str) and job_id and isinstance(created_at, str) and created_at):
        raise InvalidRequest("The cursor is not one of ours", field="cursor")
    return {"jobId": job_id, "userId": user_id, "createdAt": created_at}
