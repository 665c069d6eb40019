"""A job's life in a few words: what tests do to a job, and what they read of it."""

from __future__ import annotations

from typing import Any

from jobs import aws, clock, moves
from jobs.aws import Clients
from jobs.ids import UserId, new_job_id
from jobs.job_table import JobTable, Limits, Tables
from jobs.model import Charge, Failure, Job, Output, Status

LIMIT = 10
LIMITS = Limits(daily=LIMIT, in_flight=100)
FAILURE = Failure(code="provider_failure", message="It failed.", retryable=True)


def new_job(user: UserId, *, age_seconds: float = 0) -> Job:
    """Make a job that is not stored yet, created so long ago."""
    then = clock.now_milliseconds() - round(age_seconds * 1000)
    return Job(
        job_id=new_job_id(),
        user_id=user,
        pipeline="profile-photo",
        status=Status.PENDING,
        version=1,
        created_at=then,
        updated_at=then,
        charge=Charge.TAKEN,
        quota_day=clock.utc_day(then),
        style="professional",
        prompt="안녕 & <b>",
        input_url="s3://uploads/uploads/u/1.png",
    )


def output_of(job: Job) -> Output:
    """Make an output."""
    return Output(
        url=f"s3://results/generated/{job.user_id}/{job.job_id}.png",
        model_name="a-model",
        generation_milliseconds=12,
        facts={"width": 512, "deep": [{"ratio": 2}]},
    )


async def stored(table: JobTable, user: UserId, *, age_seconds: float = 0) -> Job:
    """Store a job and charge it, so long ago."""
    job = new_job(user, age_seconds=age_seconds)
    await table.create(job, LIMITS)
    return await table.apply(job, moves.queued(job.created_at))


async def claim(table: JobTable, job: Job, owner: str = "me", lease: int = 60_000, *, age_seconds: float = 0) -> Job:
    """Claim a job for so many milliseconds, so long ago."""
    then = clock.now_milliseconds() - round(age_seconds * 1000)
    return await table.apply(job, moves.claimed(owner, then + lease, then))


async def complete(table: JobTable, job: Job, owner: str = "me") -> Job:
    """Write a result down."""
    return await table.apply(job, moves.completed(owner, output_of(job), clock.now_milliseconds()))


async def usage(clients: Clients, tables: Tables, user: UserId, day: str | None = None) -> tuple[int, int]:
    """Read what is taken and charged on a day, today unless told."""
    key = {"userIdDate": f"{user}#{day or clock.utc_day(clock.now_milliseconds())}"}
    answer = await aws.retrying(lambda: clients.dynamodb.get_item(TableName=tables.usage, Key=key, ConsistentRead=True))
    item: dict[str, Any] = answer.get("Item", {})
    return int(item.get("taken", 0)), int(item.get("count", 0))


async def events(clients: Clients, tables: Tables, user: UserId) -> list[tuple[str, int]]:
    """Read the user's log as type and version."""
    return [(kind, version) for _, kind, version in await log_of(clients, tables, user)]


async def log_of(clients: Clients, tables: Tables, user: UserId) -> list[tuple[str, str, int]]:
    """Read the user's log as job, type and version."""
    answer = await clients.dynamodb.query(
        TableName=tables.events,
        KeyConditionExpression="userId = :user",
        ExpressionAttributeValues={":user": user},
        ConsistentRead=True,
    )
    return [(str(item["jobId"]), str(item["type"]), int(str(item["version"]))) for item in answer["Items"]]
