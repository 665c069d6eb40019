"""Jobs, their event log and the day's usage in DynamoDB: every visible change and its event are one transaction."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

from jobs import aws, clock, items
from jobs.errors import CloudUnavailable, InvalidRequest, JobNotFound, QuotaExceeded
from jobs.events import InProcessBus, JobEvent
from jobs.ids import EventId, EventIds, JobId, UserId
from jobs.model import Job, Quota, Status
from jobs.moves import Move, Transition

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

EVENT_LIFE_DAYS = 7
USAGE_LIFE_DAYS = 90
LATE_COMMIT_SECONDS = 4.0
"""A commit slower than this may land behind a reader that has passed its id; its event is put once more, under a fresh one."""
_CONFLICT_TRIES = 8
_CURSOR_CHARACTERS = 200
_FILTERED_READ = 100
_PAGE_QUERIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Names of the tables."""

    jobs: str
    events: str
    usage: str
    users: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Jobs of one user, newest first; ``cursor`` leads to the next page and is absent on the last."""

    jobs: tuple[Job, ...]
    cursor: str | None


class _Conflict(Exception):
    """The job changed between reading and writing it; ``job`` is what it is now."""

    def __init__(self, job: Job, write_id: str | None) -> None:
        super().__init__()
        self.job = job
        self.write_id = write_id


class JobTable:
    """Reads jobs, and writes each move with all that belongs to it, then publishes the event."""

    def __init__(self, client: DynamoDBClient, tables: Tables, bus: InProcessBus) -> None:
        self._client = client
        self._tables = tables
        self._bus = bus
        self._event_ids = EventIds()

    async def create(self, job: Job, daily_limit: int) -> None:
        """Store a new job and take one unit of its owner's day. Raises QuotaExceeded when none is left."""
        put = {
            "Put": {
                "TableName": self._tables.jobs,
                "Item": items.to_item(job),
                "ConditionExpression": "attribute_not_exists(jobId)",
            }
        }
        try:
            await aws.retrying(lambda: self._transact([put, self._take_unit(job, daily_limit)]))
        except ClientError as error:
            reasons = _cancellation_codes(error)
            if reasons[:1] == ["ConditionalCheckFailed"]:
                return  # an earlier attempt of ours, whose answer was lost, has landed
            if reasons[1:] == ["ConditionalCheckFailed"]:
                raise QuotaExceeded(daily_limit) from error
            raise

    async def get(self, job_id: JobId) -> Job:
        """Read a job as it is now. Raises JobNotFound."""
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._tables.jobs, Key={"jobId": job_id}, ConsistentRead=True)
        )
        if "Item" not in response:
            raise JobNotFound
        return items.from_item(response["Item"])

    async def apply(self, job: Job, move: Move, *, patience_seconds: float = 0) -> Job:
        """Make the move and return the job after it, deciding anew when the job changed meanwhile.

        Raises what the move raises (LostClaim, JobEnded), and CloudUnavailable when even ``patience_seconds`` of trying
        did not help.
        """
        write_id = self._event_ids.next()
        for _ in range(_CONFLICT_TRIES):
            transition = move(job)
            try:
                event = await self._commit_retrying(transition, write_id, patience_seconds)
            except _Conflict as conflict:
                if conflict.write_id != write_id:
                    job = conflict.job
                    continue
                # An attempt whose answer was lost has landed, at an unknown time: its event may lie behind a reader.
                event = await self._log_again(transition)
            if event is not None:
                self._bus.publish(event)
            return transition.after
        raise CloudUnavailable

    async def page(self, user_id: UserId, *, limit: int, status: Status | None, cursor: str | None) -> JobPage:
        """Read a user's jobs, newest first. Raises InvalidRequest for a cursor that is not ours."""
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
        found: list[Job] = []
        start = _read_cursor(cursor, user_id) if cursor else None
        # With a filter DynamoDB limits what it reads, not what it keeps; a page may then end early, with a cursor.
        for _ in range(_PAGE_QUERIES):
            if start:
                query["ExclusiveStartKey"] = start
            query["Limit"] = _FILTERED_READ if status is not None else limit - len(found)
            response = await aws.retrying(lambda: self._client.query(**query))
            found += [items.from_item(item) for item in response["Items"]]
            start = response.get("LastEvaluatedKey")
            if not start or len(found) >= limit:
                break
        if len(found) > limit:
            found = found[:limit]
            start = items.to_item(found[-1])
        return JobPage(jobs=tuple(found), cursor=_write_cursor(start) if start else None)

    async def quota(self, user_id: UserId, daily_limit: int) -> Quota:
        """Read what the user has taken of today's units."""
        now = clock.now_milliseconds()
        key = {"userIdDate": _usage_key(user_id, clock.utc_day(now))}
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._tables.usage, Key=key, ConsistentRead=True)
        )
        used = max(0, int(cast(Any, response.get("Item", {}).get("taken", 0))))
        return Quota(daily_limit=daily_limit, used=used, resets_at=clock.next_utc_midnight(now))

    async def newest_event_id(self, user_id: UserId) -> EventId | None:
        """Return the id of the newest event in the user's log."""
        response = await aws.retrying(
            lambda: self._client.query(
                TableName=self._tables.events,
                KeyConditionExpression="userId = :user",
                ExpressionAttributeValues={":user": user_id},
                ProjectionExpression="eventId",
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=1,
            )
        )
        return next((EventId(str(item["eventId"])) for item in response["Items"]), None)

    async def _commit_retrying(self, transition: Transition, write_id: str, patience_seconds: float) -> JobEvent | None:
        return await aws.retrying(lambda: self._commit(transition, write_id), patience_seconds=patience_seconds)

    async def _commit(self, transition: Transition, write_id: str) -> JobEvent | None:
        """Write a transition once. The event's id is made here, right before the attempt (see LATE_COMMIT_SECONDS)."""
        event = self._event_of(transition)
        actions = [self._update(transition, write_id)]
        if event is not None:
            actions.append({"Put": {"TableName": self._tables.events, "Item": _event_item(event)}})
        if transition.taken_delta or transition.charged_delta:
            actions.append(self._use(transition))
        if transition.pictures_delta:
            actions.append(self._count_pictures(transition))
        started = time.monotonic()
        try:
            await self._transact(actions)
        except ClientError as error:
            raise _conflict_of(error) or error from error
        if event is not None and time.monotonic() - started > LATE_COMMIT_SECONDS:
            return await self._log_again(transition)
        return event

    async def _log_again(self, transition: Transition) -> JobEvent | None:
        event = self._event_of(transition)
        if event is not None:
            item = _event_item(event)
            await aws.retrying(lambda: self._client.put_item(TableName=self._tables.events, Item=item))
        return event

    async def _transact(self, actions: list[dict[str, Any]]) -> None:
        try:
            await self._client.transact_write_items(TransactItems=cast(Any, actions))
        except ClientError as error:
            if "TransactionConflict" in _cancellation_codes(error):
                raise CloudUnavailable from error
            raise

    def _event_of(self, transition: Transition) -> JobEvent | None:
        if transition.event is None:
            return None
        return JobEvent(
            event_id=self._event_ids.next(), type=transition.event, at=clock.now_milliseconds(), job=transition.after
        )

    def _update(self, transition: Transition, write_id: str) -> dict[str, Any]:
        before, after = items.to_item(transition.before), items.to_item(transition.after)
        after["writeId"] = write_id
        unchanged = ["version", "charge"] + (["lease"] if transition.lease_unchanged else [])
        return {"Update": {"TableName": self._tables.jobs, **_difference(before, after, unchanged)}}

    def _take_unit(self, job: Job, daily_limit: int) -> dict[str, Any]:
        update = self._usage_update(job, "ADD taken :one SET", {":one": 1, ":limit": daily_limit})
        update["ConditionExpression"] = "attribute_not_exists(taken) OR taken < :limit"
        return {"Update": update}

    def _use(self, transition: Transition) -> dict[str, Any]:
        deltas = {":taken": transition.taken_delta, ":charged": transition.charged_delta}
        return {"Update": self._usage_update(transition.before, "ADD taken :taken, #count :charged SET", deltas)}

    def _usage_update(self, job: Job, head: str, values: Mapping[str, Any]) -> dict[str, Any]:
        now = clock.now_milliseconds()
        names = {"#date": "date", "#ttl": "ttl"} | ({"#count": "count"} if "#count" in head else {})
        return {
            "TableName": self._tables.usage,
            "Key": {"userIdDate": _usage_key(job.user_id, job.quota_day)},
            "UpdateExpression": f"{head} userId = :user, #date = :day, lastUpdated = :now, #ttl = :end",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {
                **values,
                ":user": job.user_id,
                ":day": job.quota_day,
                ":now": clock.iso(now),
                ":end": now // 1000 + USAGE_LIFE_DAYS * clock.DAY_SECONDS,
            },
        }

    def _count_pictures(self, transition: Transition) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._tables.users,
                "Key": {"userId": transition.before.user_id},
                "UpdateExpression": "ADD totalImagesGenerated :more",
                "ExpressionAttributeValues": {":more": transition.pictures_delta},
            }
        }


def _difference(before: items.Item, after: items.Item, unchanged: list[str]) -> dict[str, Any]:
    """Build the update that makes ``after`` of ``before``, on the condition that the ``unchanged`` attributes still are."""
    names = {f"#{name}": name for name in after.keys() | before.keys() if before.get(name) != after.get(name)}
    sets = [f"{alias} = :{name}" for alias, name in names.items() if name in after]
    removes = [alias for alias, name in names.items() if name not in after]
    values = {f":{name}": after[name] for name in names.values() if name in after}
    conditions = []
    for name in unchanged:
        names[f"#{name}"] = name
        if name in before:
            values[f":was_{name}"] = before[name]
            conditions.append(f"#{name} = :was_{name}")
        else:
            conditions.append(f"attribute_not_exists(#{name})")
    return {
        "Key": {"jobId": before["jobId"]},
        "UpdateExpression": "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(removes) if removes else ""),
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _event_item(event: JobEvent) -> items.Item:
    return {
        "userId": event.job.user_id,
        "eventId": event.event_id,
        "type": event.type.value,
        "jobId": event.job.job_id,
        "version": event.job.version,
        "time": clock.iso(event.at),
        "job": items.to_item(replace(event.job, owner=None, lease_until=None)),
        "ttl": event.at // 1000 + EVENT_LIFE_DAYS * clock.DAY_SECONDS,
    }


def _cancellation_codes(error: ClientError) -> list[str]:
    return [str(reason.get("Code")) for reason in cast(Any, error.response).get("CancellationReasons", [])]


def _conflict_of(error: ClientError) -> _Conflict | None:
    for reason in cast(Any, error.response).get("CancellationReasons", []):
        if reason.get("Code") == "ConditionalCheckFailed" and "Item" in reason:
            # Errors are not deserialised by the resource, unlike answers.
            item = {name: TypeDeserializer().deserialize(value) for name, value in reason["Item"].items()}
            return _Conflict(items.from_item(item), item.get("writeId"))
    return None


def _usage_key(user_id: UserId, day: str) -> str:
    return f"{user_id}#{day}"


def _write_cursor(key: Mapping[str, Any]) -> str:
    text = json.dumps([key["jobId"], key["createdAt"]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, user_id: UserId) -> dict[str, Any]:
    try:
        # The length comes first: JSON can nest deeper than Python can follow.
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if len(cursor) <= _CURSOR_CHARACTERS else b""
        job_id, created_at = json.loads(text)
        clock.milliseconds(created_at)
    except (ValueError, TypeError) as error:
        raise InvalidRequest("The cursor is not one of ours", field="cursor") from error
    if not (isinstance(job_id, str) and job_id):
        raise InvalidRequest("The cursor is not one of ours", field="cursor")
    return {"jobId": job_id, "userId": user_id, "createdAt": created_at}
