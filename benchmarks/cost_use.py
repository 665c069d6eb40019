"""What one job writes to DynamoDB, counted by having the service's own code write it to a client that only takes note."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

from deploy.provision import read_resources
from jobs import items, moves
from jobs.actions import Tables
from jobs.events import InProcessBus
from jobs.ids import JobId, UserId
from jobs.job_table import IdempotencyKey, JobTable, Limits
from jobs.model import Charge, Job, ModelUse, Output, Status

KIB: Final = 1024
TRANSACTION_FACTOR: Final = 2
"""A write in a transaction costs twice; what it changes in an index costs once."""
_TABLES: Final = Tables(jobs="ImageJobsTable", events="JobEventsTable", usage="UsageLogTable", users="UsersTable")
_NOW: Final = 1_795_000_000_000
_SMALL_ROWS: Final = 400
"""Bytes of a user's row and of a day's, which stand in for what an update leaves behind."""
USUAL_JOB: Final = Job(
    job_id=JobId("job_" + "0" * 28),
    user_id=UserId("00000000-0000-0000-0000-000000000000"),
    pipeline="profile-photo",
    status=Status.PENDING,
    version=1,
    created_at=_NOW,
    updated_at=_NOW,
    charge=Charge.TAKEN,
    quota_day="2026-11-18",
    style="professional",
    prompt="A wish of some eighty characters, as people write it below the style they chose.",
    input_url=f"s3://darkroom-uploads-111122223333/uploads/{'0' * 36}/1795000000000_{'0' * 32}.jpg",
    request_id="0" * 24,
)
_USUAL_OUTPUT: Final = Output(
    url=f"s3://darkroom-results-111122223333/generated/{'0' * 36}/job_{'0' * 28}.png",
    model_name="gemini-nano-banana-2.1",
    generation_milliseconds=12_000,
)
_USUAL_USE: Final = ModelUse(calls=1, pictures=1, tokens={"output": 1298, "prompt": 1200, "thoughts": 120})


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One row of a transaction, in units of 1 KiB that are billed, and what it changes in each index of its table."""

    step: str
    table: str
    bytes: int
    units: int
    indexes: Mapping[str, int]

    @property
    def all_units(self) -> int:
        """With the indexes."""
        return self.units + sum(self.indexes.values())


class _Notebook:
    """Stands in for DynamoDB's client: notes every transaction, and has nothing to tell."""

    def __init__(self) -> None:
        self.actions: list[Mapping[str, Any]] = []

    async def transact_write_items(self, *, TransactItems: list[Mapping[str, Any]]) -> dict[str, Any]:
        self.actions += TransactItems
        return {}

    async def get_item(self, **_: object) -> dict[str, Any]:
        return {}


@cache
def writes_of_a_job() -> tuple[Write, ...]:
    """Have a job stored, queued, claimed and completed, and return what each of these writes."""
    return tuple(asyncio.run(_write_a_job()))


async def _write_a_job() -> list[Write]:
    notebook = _Notebook()
    table = JobTable(cast(Any, notebook), _TABLES, InProcessBus())
    job = await table.create(USUAL_JOB, Limits(daily=10), IdempotencyKey(text="0" * 32, body_hash="0" * 64))
    found = _noted("store", notebook, None, job)
    for step, move in (
        ("queue", moves.queued(_NOW + 50)),
        ("claim", moves.claimed("0" * 16, _NOW + 108_000, _NOW + 200)),
        ("complete", moves.having_used(_USUAL_USE, {}, moves.completed("0" * 16, _USUAL_OUTPUT, _NOW + 13_000))),
    ):
        before, job = job, await table.apply(job, move)
        found += _noted(step, notebook, before, job)
    return found


def _noted(step: str, notebook: _Notebook, before: Job | None, after: Job) -> list[Write]:
    actions, notebook.actions = notebook.actions, []
    rows = [(action, *_rows(action, before, after)) for action in actions]
    return [_write(step, next(iter(action.values()))["TableName"], was, will) for action, was, will in rows]


def _rows(action: Mapping[str, Any], before: Job | None, after: Job) -> tuple[items.Item | None, items.Item]:
    """Return a row as it was and as it will be; of small rows that are added to, only about how large they are."""
    if "Put" in action:
        return None, action["Put"]["Item"]
    update = action["Update"]
    if update["TableName"] == _TABLES.jobs and before is not None:
        return items.to_item(before), items.to_item(after) | {"writeId": "0" * 28}
    row = {**update["Key"], "userId": after.user_id, "rest": "0" * _SMALL_ROWS}
    return row, row | {"rest": "1" * _SMALL_ROWS}


def _write(step: str, table: str, before: items.Item | None, after: items.Item) -> Write:
    size = row_bytes(after)
    return Write(
        step=step,
        table=table,
        bytes=size,
        units=TRANSACTION_FACTOR * units_of(size),
        indexes={name: _index_units(index, before, after) for name, index in _indexes(table).items()},
    )


@cache
def _indexes(table: str) -> dict[str, Mapping[str, Any]]:
    properties = read_resources()[table]["Properties"]
    return {index["IndexName"]: index for index in properties.get("GlobalSecondaryIndexes", [])}


def _index_units(index: Mapping[str, Any], before: items.Item | None, after: items.Item) -> int:
    """A row that comes, goes or changes is one write; one whose key changes goes and comes."""
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    was, will = _projected(index, keys, before), _projected(index, keys, after)
    if was == will:
        return 0
    if was and will and [was[key] for key in keys] == [will[key] for key in keys]:
        return units_of(max(row_bytes(was), row_bytes(will)))
    return sum(units_of(row_bytes(row)) for row in (was, will) if row)


def _projected(index: Mapping[str, Any], keys: Iterable[str], row: items.Item | None) -> items.Item:
    if row is None or not all(key in row for key in keys):
        return {}
    if index["Projection"]["ProjectionType"] == "ALL":
        return row
    names = {*keys, "jobId", *index["Projection"].get("NonKeyAttributes", ())}
    return {name: row[name] for name in names if name in row}


def units_of(size_bytes: int) -> int:
    """Return how many units of a KiB a write of so many bytes costs."""
    return max(1, math.ceil(size_bytes / KIB))


def row_bytes(value: Any) -> int:
    """Return how large DynamoDB counts a value: names and contents, three bytes a list or map and one for each of its parts."""
    match value:
        case str():
            return len(value.encode())
        case bool() | None:
            return 1
        case int() | float() | Decimal():
            return len(str(value)) // 2 + 2
        case Mapping():
            return sum(len(name.encode()) + _part_bytes(part) for name, part in value.items())
        case _:
            return 3 + sum(1 + row_bytes(part) for part in value)


def _part_bytes(part: Any) -> int:
    return row_bytes(part) + (3 + len(part) if isinstance(part, Mapping) else 0)
