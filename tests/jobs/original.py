"""ProfilePhotoAI's tables in their own shape, with rows as its functions wrote them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from jobs import clock
from jobs.actions import usage_key
from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from jobs.mendings import Outcome
from jobs.migration import Migration, Pace
from jobs.told_writes import ToldWrites

Row = dict[str, Any]
LONG_AGO_SECONDS = 1_000
"""Longer than any run of its worker, and not so long that the message is gone."""


async def make_tables(clients: Clients, events: str) -> Tables:
    """Make the three tables; the event log is ours."""
    name = f"ProfilePhotoAI-{secrets.token_hex(4)}"
    tables = Tables(jobs=f"{name}-ImageJobs", events=events, usage=f"{name}-UsageLog", users=f"{name}-Users")
    await _make(clients, tables.users, "userId")
    await _make(clients, tables.usage, "userIdDate", UserIdIndex=("userId",))
    await _make(clients, tables.jobs, "jobId", UserIdCreatedAtIndex=("userId", "createdAt"), StatusIndex=("status",))
    return tables


async def _make(clients: Clients, name: str, key: str, **indexes: tuple[str, ...]) -> None:
    attributes = {key, *(each for keys in indexes.values() for each in keys)}
    made = [
        {"IndexName": index, "KeySchema": _schema(*keys), "Projection": {"ProjectionType": "ALL"}}
        for index, keys in indexes.items()
    ]
    table: dict[str, Any] = {
        "TableName": name,
        "KeySchema": _schema(key),
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in sorted(attributes)],
        "BillingMode": "PAY_PER_REQUEST",
    }
    extra: dict[str, Any] = {"GlobalSecondaryIndexes": made} if made else {}
    await clients.dynamodb.create_table(**table, **extra)


def _schema(*keys: str) -> list[dict[str, str]]:
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def time_ago(seconds: float) -> str:
    """Write a time as Python does: microseconds, and no zone."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def job(user: UserId, status: str, *, age_seconds: float = LONG_AGO_SECONDS, bucket: str = "its-results") -> Row:
    """Make a job of so long ago, which has null where it has nothing."""
    job_id = f"job_{secrets.token_hex(8)}"
    return {
        "jobId": job_id,
        "userId": user,
        "status": status,
        "style": "formal_interview",
        "prompt": "정장 & a quiet smile",
        "inputImageUrl": f"s3://its-uploads/uploads/{user}/1763600000_{job_id}.jpg",
        "outputImageUrl": None,
        "error": None,
        "createdAt": time_ago(age_seconds + 10),
        "updatedAt": time_ago(age_seconds),
    } | _end(user, job_id, status, bucket)


def _end(user: UserId, job_id: str, status: str, bucket: str) -> Row:
    key = f"generated/{user}/{job_id}.png"
    if status == "completed":
        metadata = {"generationTime": Decimal("7912.4"), "modelName": "gemini-2.5-flash-image", "outputKey": key}
        return {"outputImageUrl": f"s3://{bucket}/{key}", "processingTime": Decimal(8123), "metadata": metadata}
    return {"error": "No image in the answer"} if status == "failed" else {}


def user_row(user: UserId) -> Row:
    """Make a user who had no picture in the token."""
    return {
        "userId": user,
        "email": "kim@example.com",
        "provider": "Google",
        "displayName": "김하나",
        "profileImage": None,
        "totalImagesGenerated": Decimal(41),
        "createdAt": "2025-11-02T08:15:30.120000",
        "lastLoginAt": "2026-11-20T22:01:02.000000+00:00",
    }


def day(user: UserId, charged: int, *, days_ago: int = 0) -> Row:
    """Make a day's usage."""
    now = clock.now_milliseconds() - days_ago * clock.DAY_SECONDS * 1000
    date = clock.utc_day(now)
    return {
        "userIdDate": usage_key(user, date),
        "userId": user,
        "date": date,
        "count": Decimal(charged),
        "lastUpdated": time_ago(0),
        "ttl": now // 1000 + 90 * clock.DAY_SECONDS,
    }


async def put(clients: Clients, table: str, *rows: Row) -> None:
    """Write rows as they are."""
    for row in rows:
        await clients.dynamodb.put_item(TableName=table, Item=row)


async def read_all(clients: Clients, *tables: str) -> dict[str, list[Mapping[str, Any]]]:
    """Read whole tables, in the order of their keys."""
    found = {}
    for table in tables:
        rows: Any = (await clients.dynamodb.scan(TableName=table, ConsistentRead=True))["Items"]
        found[table] = sorted(
            rows, key=lambda row: str(next(row[key] for key in ("jobId", "userIdDate", "userId") if key in row))
        )
    return found


async def read(clients: Clients, table: str, **key: str) -> Mapping[str, Any]:
    """Read one row."""
    return (await clients.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True))["Item"]


async def migrated(
    clients: Clients, tables: Tables, writes: ToldWrites, *, unfinished: bool = False, dry_run: bool = False
) -> dict[str, dict[Outcome, int]]:
    """Run the migration to its end, and return what became of the rows, by table."""
    migration = Migration(
        clients.dynamodb,
        tables,
        writes,
        pace=Pace(10_000),
        segments=2,
        stop=asyncio.Event(),
        on_row=lambda: None,
        dry_run=dry_run,
    )
    await migration.run(unfinished=unfinished)
    return {table: dict(counts) for table, counts in migration.counts.items()}
