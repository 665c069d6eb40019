"""What a transaction is made of: pure builders of DynamoDB's actions, and readers of its refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

from jobs import clock, items, standing
from jobs.events import Event, JobEvent, UserEvent
from jobs.ids import JobId, UserId
from jobs.model import Job
from jobs.moves import Transition

EVENT_LIFE_DAYS = 7
USAGE_LIFE_DAYS = 90
TOMBSTONE_LIFE_DAYS = 30
"""As long as the file lives whose event may be told again, out of the dead letters too: a deleted job must not come back."""
IDEMPOTENCY_SECONDS = 24 * 3600

NOBODY = UserId("nobody")
"""Who has deleted what went with an account."""

Action = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Names of the tables."""

    jobs: str
    events: str
    usage: str
    users: str


class Actions:
    """Builds the actions on our tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put_job(self, job: Job) -> Action:
        """Store a job that is not there yet, nor a tombstone in its place."""
        return {
            "Put": {
                "TableName": self._tables.jobs,
                "Item": items.to_item(job),
                "ConditionExpression": "attribute_not_exists(jobId)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def bury(self, job_id: JobId, by: UserId, version: object, now: int) -> Action:
        """Put a tombstone in the place of a job that still has the version that was read, or of an older tombstone.

        ``version`` is None for a row that had none.
        """
        tombstone = {
            "jobId": job_id,
            "deletedBy": by,
            "expiresAt": now // 1000 + TOMBSTONE_LIFE_DAYS * clock.DAY_SECONDS,
        }
        put: Action = {
            "TableName": self._tables.jobs,
            "Item": tombstone,
            "ConditionExpression": "attribute_not_exists(version)",
        }
        if version is not None:
            put["ConditionExpression"] = "version = :version OR attribute_exists(deletedBy)"
            put["ExpressionAttributeValues"] = {":version": version}
        return {"Put": put}

    def forestall(self, job_id: JobId, now: int) -> Action:
        """Put a tombstone that names nobody where no job is."""
        ends = now // 1000 + TOMBSTONE_LIFE_DAYS * clock.DAY_SECONDS
        return {
            "Put": {
                "TableName": self._tables.jobs,
                "Item": {"jobId": job_id, "deletedBy": NOBODY, "expiresAt": ends},
                "ConditionExpression": "attribute_not_exists(jobId)",
            }
        }

    def unburied(self, job_id: JobId) -> Action:
        """Require that no tombstone stands in the place of a job."""
        condition = "attribute_not_exists(deletedBy)"
        return {
            "ConditionCheck": {
                "TableName": self._tables.jobs,
                "Key": {"jobId": job_id},
                "ConditionExpression": condition,
            }
        }

    def log(self, event: Event) -> Action:
        """Add an event to its owner's log."""
        return {"Put": {"TableName": self._tables.events, "Item": event_item(event)}}

    def update(self, transition: Transition, write_id: str) -> Action:
        """Change what differs, if nobody else has changed what the move has seen."""
        before, after = items.to_item(transition.before), items.to_item(transition.after)
        after["writeId"] = write_id
        unchanged = ["version", "charge", "waiting", "sentAt"] + (["lease"] if transition.lease_unchanged else [])
        return {"Update": {"TableName": self._tables.jobs, **difference(before, after, unchanged)}}

    def take_units(self, job: Job, daily_limit: int) -> Action:
        """Take the job's units of the day, if so many are left; the caller has seen that the limit is no less than they are."""
        values = {":units": job.units, ":most": daily_limit - job.units}
        update = self._usage_update(job, "ADD taken :units SET", values)
        update["ConditionExpression"] = "attribute_not_exists(taken) OR taken <= :most"
        return {"Update": update}

    def use(self, transition: Transition) -> Action:
        """Change what the day's usage says is taken and charged."""
        deltas = {":taken": transition.taken_delta, ":charged": transition.charged_delta}
        return {"Update": self._usage_update(transition.before, "ADD taken :taken, #count :charged SET", deltas)}

    def _usage_update(self, job: Job, head: str, values: Mapping[str, Any]) -> Action:
        now = clock.now_milliseconds()
        names = {"#date": "date", "#ttl": "ttl"} | ({"#count": "count"} if "#count" in head else {})
        return {
            "TableName": self._tables.usage,
            "Key": {"userIdDate": usage_key(job.user_id, job.quota_day)},
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

    def count_for_user(self, transition: Transition) -> Action:
        """Change what the user's row counts."""
        update: dict[str, Any] = {
            "TableName": self._tables.users,
            "Key": {"userId": transition.before.user_id},
            "UpdateExpression": "ADD totalImagesGenerated :pictures, unfinishedJobs :unfinished, jobsInFlight :flying",
            "ExpressionAttributeValues": {
                ":pictures": transition.pictures_delta,
                ":unfinished": transition.unfinished_delta,
                ":flying": transition.in_flight_delta,
            },
        }
        if transition.most_in_flight is not None:
            update["ConditionExpression"] = "attribute_not_exists(jobsInFlight) OR jobsInFlight < :most"
            update["ExpressionAttributeValues"][":most"] = transition.most_in_flight
        return {"Update": update}

    def takes_in(self, user_id: UserId, since: int) -> Action:
        """Require that the account takes in what ``since`` allows, as in ``standing``."""
        return standing.required(self._tables.users, user_id, since)

    def count_in(self, job: Job, *, unfinished: int, in_flight: int, since: int) -> Action:
        """Count a new job among its owner's unfinished ones, and among those in flight unless it waits.

        It may fly only while none of its owner's jobs waits: those are unfinished, and not in flight. Of a user who is blocked
        or whose account is being erased nothing is counted in, from that moment on; nor for whoever was last known to be the
        user at ``since``, before it was erased.
        """
        update: dict[str, Any] = {
            "TableName": self._tables.users,
            "Key": {"userId": job.user_id},
            "UpdateExpression": "ADD unfinishedJobs :one",
            "ConditionExpression": f"attribute_not_exists(blockedAt) AND {standing.TAKES_IN}"
            " AND (attribute_not_exists(unfinishedJobs) OR unfinishedJobs < :unfinished)",
            "ExpressionAttributeValues": {":one": 1, ":unfinished": unfinished, ":since": since},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if not job.waiting:
            update["UpdateExpression"] += ", jobsInFlight :one"
            update["ConditionExpression"] += (
                " AND (attribute_not_exists(unfinishedJobs) OR unfinishedJobs <= jobsInFlight)"
                " AND (attribute_not_exists(jobsInFlight) OR jobsInFlight < :flying)"
            )
            update["ExpressionAttributeValues"][":flying"] = in_flight
        return {"Update": update}

    def claim_key(self, job: Job, record_id: str, body_hash: str, instead_of: JobId | None) -> Action:
        """Claim an idempotency key for this job, unless another's claim still lives: any but that of ``instead_of``."""
        now = clock.now_milliseconds() // 1000
        return {
            "Put": {
                "TableName": self._tables.jobs,
                "Item": {
                    "jobId": record_id,
                    "target": job.job_id,
                    "body": body_hash,
                    "expiresAt": now + IDEMPOTENCY_SECONDS,
                },
                "ConditionExpression": "attribute_not_exists(jobId) OR expiresAt < :now OR target = :free",
                "ExpressionAttributeValues": {":now": now, ":free": instead_of or ""},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }


def event_item(event: Event) -> items.Item:
    """Write an event as an item of the log."""
    return {
        "userId": event.user_id,
        "eventId": event.event_id,
        "type": str(event.type),
        "time": clock.iso(event.at),
        "ttl": event.at // 1000 + EVENT_LIFE_DAYS * clock.DAY_SECONDS,
        **_subject(event),
    }


def _subject(event: Event) -> items.Item:
    match event:
        case JobEvent(job=job):
            logged = items.to_item(replace(job, owner=None, lease_until=None, kept={}))
            return {"jobId": job.job_id, "version": job.version, "job": logged}
        case UserEvent():
            return {"about": event.about, "data": items.storable(event.data)}


def cancellation_codes(error: ClientError) -> list[str]:
    """Return why each action of a transaction was refused; "None" for those that were not."""
    return [str(reason.get("Code")) for reason in cast(Any, error.response).get("CancellationReasons", [])]


def failed_conditions(error: ClientError) -> list[items.Item | None]:
    """Return for each action None, or what stood in the way: the item as it was, empty where it is not told."""
    return [
        # Errors are not deserialised by the resource, unlike answers.
        {name: TypeDeserializer().deserialize(value) for name, value in reason.get("Item", {}).items()}
        if reason.get("Code") == "ConditionalCheckFailed"
        else None
        for reason in cast(Any, error.response).get("CancellationReasons", [])
    ]


def usage_key(user_id: UserId, day: str) -> str:
    """Return the key of a user's day."""
    return f"{user_id}#{day}"


def difference(before: items.Item, after: items.Item, unchanged: list[str]) -> Action:
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
