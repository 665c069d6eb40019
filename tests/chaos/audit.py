"""The books, read from the tables themselves: whether every job has ended once, was told of, and was charged rightly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

from jobs import aws, items
from jobs.aws import Clients
from jobs.ids import JobId, UserId
from jobs.job_table import Tables
from jobs.model import Charge, Job, Status

Told: TypeAlias = dict[JobId, dict[int, set[str]]]
"""What the log says: the kinds of a job's events by the job's version."""
FIRST_VERSION = 1
"""A job is stored under this version, with an event only if it must wait; each later version has one."""
FIRST_EVENT = "job.pending"
END_EVENTS = {f"job.{status}": status for status in Status if status.terminal}
KEPT_CODES = frozenset({"content_rejected"})
"""Failures that keep their charge."""
REFUSED_CODE = "queue_refused"
"""What a 500 says of a job that was stored and could not be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the tables say of some users. Each fault is a sentence; without faults all is well.

    ``unfinished`` is no fault: ask when nothing is under way and it must be 0. ``deleted`` are the jobs that their owners
    deleted, as the log remembers them; they are in no figure, but their units and pictures count.
    """

    jobs: Mapping[JobId, Job]
    deleted: Mapping[JobId, Job]
    wrong_charges: tuple[str, ...]
    missing_events: tuple[str, ...]
    wrong_events: tuple[str, ...]
    wrong_totals: tuple[str, ...]
    missing_results: tuple[str, ...]
    completed_twice: tuple[str, ...]

    @property
    def accepted(self) -> int:
        """How many jobs are stored."""
        return len(self.jobs)

    @property
    def completed(self) -> int:
        """How many jobs are completed."""
        return self._count(Status.COMPLETED)

    @property
    def canceled(self) -> int:
        """How many jobs are canceled."""
        return self._count(Status.CANCELED)

    @property
    def failed_by_code(self) -> dict[str, int]:
        """How many jobs failed, by the code."""
        return dict(Counter(job.failure.code for job in self.jobs.values() if job.failure is not None))

    @property
    def unfinished(self) -> int:
        """How many jobs are in no terminal state."""
        return sum(not job.terminal for job in self.jobs.values())

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that is wrong."""
        charges = self.wrong_charges + self.wrong_totals
        return charges + self.missing_events + self.wrong_events + self.missing_results + self.completed_twice

    def lost(self, accepted: Collection[JobId]) -> set[JobId]:
        """Return those of the jobs that a client was promised which are not stored or have not ended."""
        ended = {job_id for job_id, job in self.jobs.items() if job.terminal} | self.deleted.keys()
        return set(accepted) - ended

    def wrongly_refused(self, refused: Collection[JobId]) -> set[JobId]:
        """Return those of the jobs whose client was told that the queue refused them which did not fail so, or cost a unit."""
        known = {**self.jobs, **self.deleted}
        return {job_id for job_id in refused if job_id not in known or not _was_refused(known[job_id])}

    def _count(self, status: Status) -> int:
        return sum(job.status is status for job in self.jobs.values())


async def audit(
    clients: Clients, tables: Tables, users: Collection[UserId], given_back: Collection[JobId] = ()
) -> Audit:
    """Read all jobs, events, usage and users, keep what belongs to ``users``, and compare.

    ``given_back`` are the jobs whose cancel was answered so. One that was answered otherwise may still be given back later.
    """
    names = (tables.jobs, tables.events, tables.usage, tables.users)
    # Among the jobs lie tombstones and idempotency records, which name no user.
    rows = [[item for item in await _scan(clients, name) if item.get("userId") in users] for name in names]
    job_rows, event_rows, usage_rows, user_rows = rows
    jobs = {job.job_id: job for job in map(items.from_item, job_rows)}
    deleted = {job_id: job for job_id, job in _deleted(event_rows) if job_id not in jobs}
    known, told = {**jobs, **deleted}, _by_job(event_rows)
    return Audit(
        jobs=jobs,
        deleted=deleted,
        wrong_charges=(*_wrong_charges_of_jobs(known, told, given_back), *_wrong_usage(known, usage_rows)),
        missing_events=tuple(_missing_events(known, told)),
        wrong_events=tuple(_wrong_events(jobs, told)),
        wrong_totals=(
            *_wrong_totals(known, user_rows, users),
            *_wrong_counters(job_rows, user_rows, users, jobs),
        ),
        missing_results=tuple([fault async for fault in _missing_results(clients, jobs)]),
        completed_twice=tuple(_completed_twice(told)),
    )


async def _scan(clients: Clients, table: str) -> list[dict[str, Any]]:
    pages = clients.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [dict(item) async for page in pages for item in page["Items"]]


def _deleted(events: list[dict[str, Any]]) -> Iterator[tuple[JobId, Job]]:
    for event in events:
        if event["type"] == "job.deleted":
            yield JobId(event["jobId"]), items.from_item(event["job"])


def _by_job(events: list[dict[str, Any]]) -> Told:
    """Group what was told by job and version: the same event under several ids is one."""
    told: Told = defaultdict(lambda: defaultdict(set))
    for event in events:
        told[JobId(event["jobId"])][int(event["version"])].add(event["type"])
    return told


def _wrong_charges_of_jobs(jobs: Mapping[JobId, Job], told: Told, given_back: Collection[JobId]) -> Iterator[str]:
    for job in jobs.values():
        if job.charge not in _right_charges(job, told[job.job_id]):
            yield f"{job.job_id} is {job.status} and its unit is {job.charge}"
        if job.job_id in given_back and job.charge is not Charge.RETURNED:
            yield f"{job.job_id} was said to be given back and its unit is {job.charge}"


def _right_charges(job: Job, told: Mapping[int, set[str]]) -> set[Charge]:
    match job.status:
        case Status.COMPLETED:
            return {Charge.CHARGED}
        case Status.FAILED:
            is_kept = job.failure is not None and job.failure.code in KEPT_CODES
            return {Charge.CHARGED} if is_kept else {Charge.RETURNED}
        case Status.CANCELED:
            # Only one that was at work may cost something: it depends on whether Gemini was called.
            return {Charge.CHARGED, Charge.RETURNED} if _was_at_work(told) else {Charge.RETURNED}
        case Status.PENDING | Status.QUEUED | Status.PROCESSING:
            return {Charge.TAKEN, Charge.CHARGED}


def _was_at_work(told: Mapping[int, set[str]]) -> bool:
    """Tell whether a canceled job was being worked on until then."""
    canceled_at = next((version for version, kinds in told.items() if "job.canceled" in kinds), 0)
    return "job.processing" in told.get(canceled_at - 1, ())


def _was_refused(job: Job) -> bool:
    code = job.failure.code if job.failure is not None else None
    return (job.status, code, job.charge) == (Status.FAILED, REFUSED_CODE, Charge.RETURNED)


def _wrong_usage(jobs: Mapping[JobId, Job], usage: list[dict[str, Any]]) -> Iterator[str]:
    """Compare each day's row with what its jobs say of their units."""
    taken = Counter(_day_of(job) for job in jobs.values() if job.charge is not Charge.RETURNED)
    charged = Counter(_day_of(job) for job in jobs.values() if job.charge is Charge.CHARGED)
    rows = {row["userIdDate"]: (int(row.get("taken", 0)), int(row.get("count", 0))) for row in usage}
    for day in rows.keys() | taken.keys():
        right, found = (taken[day], charged[day]), rows.get(day, (0, 0))
        if right != found:
            yield f"{day}: taken and charged are {found}, its jobs say {right}"


def _day_of(job: Job) -> str:
    return f"{job.user_id}#{job.quota_day}"


def _missing_events(jobs: Mapping[JobId, Job], told: Mapping[JobId, Mapping[int, set[str]]]) -> Iterator[str]:
    for job_id, job in jobs.items():
        first = FIRST_VERSION if job.waiting else FIRST_VERSION + 1
        for version in range(first, job.version + 1):
            if version not in told.get(job_id, {}):
                yield f"{job_id} has no event for version {version} of {job.version}"


def _wrong_events(jobs: Mapping[JobId, Job], told: Mapping[JobId, Mapping[int, set[str]]]) -> Iterator[str]:
    for job_id, versions in told.items():
        for version, types in versions.items():
            if len(types) > 1:
                yield f"{job_id} has two different events for version {version}: {sorted(types)}"
            if (version == FIRST_VERSION) != (FIRST_EVENT in types):
                yield f"{job_id} has {sorted(types)} as events for version {version}"
        job = jobs.get(job_id)
        if job is None or not versions:
            continue
        if max(versions) > job.version:
            yield f"{job_id} has an event for version {max(versions)} and is at {job.version}"
        last = {END_EVENTS[type_] for type_ in versions.get(job.version, ()) if type_ in END_EVENTS}
        if job.terminal and job.version in versions and last != {job.status}:
            yield f"{job_id} is {job.status} and its last event says {sorted(last) or 'no end'}"


def _completed_twice(told: Mapping[JobId, Mapping[int, set[str]]]) -> Iterator[str]:
    for job_id, versions in told.items():
        ends = sorted(version for version, types in versions.items() if "job.completed" in types)
        if len(ends) > 1:
            yield f"{job_id} was completed at the versions {ends}"


def _wrong_totals(jobs: Mapping[JobId, Job], rows: list[dict[str, Any]], users: Collection[UserId]) -> Iterator[str]:
    completed = Counter(job.user_id for job in jobs.values() if job.status is Status.COMPLETED)
    counted = {row["userId"]: int(row.get("totalImagesGenerated", 0)) for row in rows}
    for user_id in users:
        if counted.get(user_id, 0) != completed[user_id]:
            yield f"{user_id} has {completed[user_id]} completed jobs and a total of {counted.get(user_id, 0)}"


def _wrong_counters(
    job_rows: list[dict[str, Any]],
    user_rows: list[dict[str, Any]],
    users: Collection[UserId],
    jobs: Mapping[JobId, Job],
) -> Iterator[str]:
    """Compare what a user's row counts of unfinished jobs, and of those not held back, with the jobs."""
    unfinished = [row for row in job_rows if not jobs[row["jobId"]].terminal]
    right = {
        "unfinishedJobs": Counter(row["userId"] for row in unfinished),
        "jobsInFlight": Counter(row["userId"] for row in unfinished if not row.get("waiting")),
    }
    rows = {row["userId"]: row for row in user_rows}
    for user_id in users:
        for name, counter in right.items():
            found = int(rows.get(user_id, {}).get(name, 0))
            if found != counter[user_id]:
                yield f"{user_id}: {name} is {found}, its jobs say {counter[user_id]}"


async def _missing_results(clients: Clients, jobs: Mapping[JobId, Job]) -> AsyncIterator[str]:
    for job in jobs.values():
        if job.status is Status.COMPLETED and not await _has_result(clients, job):
            yield f"{job.job_id} is completed and its result is not there"


async def _has_result(clients: Clients, job: Job) -> bool:
    if job.output is None:
        return False
    if job.output.url is None:
        return True  # it has made no file
    bucket, _, key = job.output.url.removeprefix("s3://").partition("/")
    try:
        head = await clients.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if aws.error_code(error) in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return head["ContentLength"] > 0
