"""What the rows of the original tables lack, as conditional writes: whatever changed meanwhile is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from jobs import clock, items, originals
from jobs.actions import Action, Tables
from jobs.errors import MessageLost, QueueRefused
from jobs.events import EventType
from jobs.model import Charge, Failure, Job, Status

QUIET_SECONDS: Final = 900
"""An unfinished job that nobody has changed for so long is in nobody's hands: no run of a Lambda function lasts longer."""
LOST_SECONDS: Final = 4 * clock.DAY_SECONDS
"""One as old as this has no message any more, and nobody waits for it."""
_TEXTS: Final = ("email", "displayName", "profileImage", "provider")
_TIMES: Final = ("createdAt", "lastLoginAt")


class Outcome(StrEnum):
    """What became of a row."""

    OURS = "as ours"
    MENDED = "mended"
    TAKEN_OVER = "taken over"
    ENDED = "ended"
    UNFINISHED = "unfinished"
    CHANGED = "changed"
    UNCLEAR = "not understood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A visible change of a job, which then is as ``job`` says: its owner is told."""

    event: EventType
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """What is to be written, all or nothing: ``actions``, each with its condition; none where nothing is to be done.

    ``change`` is absent where the row says what it said before.
    """

    outcome: Outcome
    actions: tuple[Action, ...] = ()
    change: Change | None = None


class Mendings:
    """Builds what mends a row. Every method raises ValueError or TypeError for a row that is not understood."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of_day(self, row: Mapping[str, Any]) -> Mending:
        """Let no day have fewer units taken than are charged: the original kept what is charged alone."""
        charged, taken = row.get("count", Decimal(0)), row.get("taken")
        if charged <= (taken or 0):
            return Mending(outcome=Outcome.OURS)
        # A unit of ours that is taken and not charged yet is not in it; once it is charged, another run adds it.
        return self._change(self._tables.usage, "userIdDate", row, {"taken": charged}, ("count", "taken"))

    def of_user(self, row: Mapping[str, Any]) -> Mending:
        """Take away what is null, and write times as ours are."""
        changes: dict[str, Any] = {name: None for name in _TEXTS if name in row and row[name] is None}
        for name in _TIMES:
            if row.get(name) is not None:
                changes[name] = originals.time_of(row[name])
            elif name in row:
                changes[name] = None
        pictures = row.get("totalImagesGenerated", Decimal(0))
        if not isinstance(pictures, Decimal):
            # Nothing can be added to it: each job's end would be refused.
            changes["totalImagesGenerated"] = Decimal(int(pictures or 0))
        changes = {name: value for name, value in changes.items() if value is None or value != row[name]}
        return self._change(self._tables.users, "userId", row, changes, tuple(changes))

    def of_job(self, row: Mapping[str, Any], *, unfinished: bool) -> Mending:
        """Complete a job that has ended; one that has not is taken over where ``unfinished`` says so, and nobody has it in hand."""
        if not originals.is_original(row):
            return Mending(outcome=Outcome.OURS)
        job, whole = items.from_item(row), originals.as_ours(row)
        lost = [name for name in originals.FILES if row.get(name) is not None and name not in whole]
        if lost:
            raise ValueError(f"{' and '.join(lost)} is no address of a file in S3")
        if job.terminal:
            return self._change_job(row, whole)
        now = clock.now_milliseconds()
        if not unfinished or now - job.updated_at < QUIET_SECONDS * 1000:
            return Mending(outcome=Outcome.UNFINISHED)
        return self._take_over(row, job, now)

    def _take_over(self, row: Mapping[str, Any], job: Job, now: int) -> Mending:
        """End what came to nothing, and let the sweeper send the rest: it looks for jobs that were queued so long ago."""
        ended = replace(job, status=Status.FAILED, version=job.version + 1, updated_at=now)
        if job.status is Status.PENDING:
            # Its caller was told that the queue had refused it, or nothing at all, and nothing was charged.
            failure = Failure.of(QueueRefused(job.job_id), retryable=True)
            return self._end(row, replace(ended, failure=failure, charge=Charge.RETURNED))
        if now - job.updated_at > LOST_SECONDS * 1000:
            return self._end(row, replace(ended, failure=Failure.of(MessageLost(), retryable=True)))
        queued = replace(job, status=Status.QUEUED, version=job.version + 1, attempt=0)
        return Mending(
            outcome=Outcome.TAKEN_OVER,
            actions=(*self._change_job(row, items.to_item(queued)).actions, self._count_in(job)),
            change=Change(event=EventType.QUEUED, job=queued),
        )

    def _end(self, row: Mapping[str, Any], ended: Job) -> Mending:
        mending = self._change_job(row, items.to_item(ended))
        return replace(mending, outcome=Outcome.ENDED, change=Change(event=EventType.FAILED, job=ended))

    def _change_job(self, row: Mapping[str, Any], whole: Mapping[str, Any]) -> Mending:
        changes = {name: value for name, value in whole.items() if value != row.get(name)}
        # What its worker writes at last changes one of these.
        unchanged = ("version", "status", "updatedAt", "createdAt")
        return self._change(self._tables.jobs, "jobId", row, changes, unchanged)

    def _count_in(self, job: Job) -> Action:
        """Count it among its owner's jobs: its end will take it out."""
        return {
            "Update": {
                "TableName": self._tables.users,
                "Key": {"userId": job.user_id},
                "UpdateExpression": "ADD unfinishedJobs :one, jobsInFlight :one",
                "ExpressionAttributeValues": {":one": 1},
            }
        }

    def _change(
        self, table: str, key: str, row: Mapping[str, Any], changes: Mapping[str, Any], unchanged: tuple[str, ...]
    ) -> Mending:
        """Build the update of a row whose ``unchanged`` attributes are as they were read; a change to None takes one away."""
        if not changes:
            return Mending(outcome=Outcome.OURS)
        sets = [f"#{name} = :{name}" for name, value in changes.items() if value is not None]
        removes = [f"#{name}" for name, value in changes.items() if value is None]
        conditions = [
            f"#{name} = :was_{name}" if name in row else f"attribute_not_exists(#{name})" for name in unchanged
        ]
        expressions = [f"{verb} {', '.join(words)}" for verb, words in (("SET", sets), ("REMOVE", removes)) if words]
        update: Action = {
            "TableName": table,
            "Key": {key: row[key]},
            "UpdateExpression": " ".join(expressions),
            # Nobody may bring back what was deleted meanwhile.
            "ConditionExpression": " AND ".join([f"attribute_exists({key})", *conditions]),
            "ExpressionAttributeNames": {f"#{name}": name for name in {*changes, *unchanged}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        values = {f":{name}": value for name, value in changes.items() if value is not None}
        values |= {f":was_{name}": row[name] for name in unchanged if name in row}
        return Mending(
            outcome=Outcome.MENDED,
            actions=({"Update": update | ({"ExpressionAttributeValues": values} if values else {})},),
        )
