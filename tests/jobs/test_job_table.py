"""Jobs, events and usage in DynamoDB."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobs import clock, items, moves
from jobs.aws import Clients
from jobs.errors import InvalidRequest, JobEnded, JobNotFound, LostClaim, QuotaExceeded
from jobs.event_log import Cursor, EventLog
from jobs.events import EventType, InProcessBus, JobEvent, Notice
from jobs.ids import JobId, UserId
from jobs.job_table import JobTable, Tables
from jobs.model import JSON, Charge, Job, Output, Status
from tests.jobs.story import FAILURE, LIMIT, LIMITS, claim, events, new_job, output_of, stored, usage


async def test_a_job_reads_back_as_it_was_written(table: JobTable, user: UserId) -> None:
    """Every attribute survives the table, nested results included."""
    job = await claim(table, await stored(table, user))
    done = await table.apply(job, moves.completed("me", output_of(job), clock.now_milliseconds()))

    assert done == await table.get(job.job_id)


async def test_numbers_that_are_not_whole_read_back_as_they_were(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """In what a job was asked and in what came of it, from the table and from the log; a job may have made no file."""
    asked: dict[str, JSON] = {"threshold": 0.1, "latitude": -33.86882, "deep": [{"tiny": 1e-9, "whole": 3, "is": True}]}
    found: dict[str, JSON] = {"confidence": 0.85, "boxes": [{"x": 12, "confidence": 1 / 3}], "none": None}
    job = await table.create(replace(new_job(user), parameters=asked), LIMITS)
    output = Output(url=None, model_name="a-model", generation_milliseconds=12, facts=found, pictures=0)
    done = await table.apply(await claim(table, job), moves.completed("me", output, clock.now_milliseconds()))
    log = EventLog(clients.dynamodb, tables.events)
    logged = [event async for event in log.since(user, Cursor.at(0))]

    assert (asked, output) == (done.parameters, done.output)
    assert done == await table.get(job.job_id)
    assert [done] == [
        event.job for event in logged if event.type is EventType.COMPLETED and isinstance(event, JobEvent)
    ]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_what_is_no_number_is_not_stored(table: JobTable, user: UserId, number: float) -> None:
    """DynamoDB has none for it, and JSON neither."""
    with pytest.raises(ValueError, match="no such number"):
        await table.create(replace(new_job(user), parameters={"deep": [number]}), LIMITS)


async def test_an_unknown_job_is_not_found(table: JobTable) -> None:
    """There is nothing under this id."""
    with pytest.raises(JobNotFound):
        await table.get(JobId("job_none"))


async def test_parallel_submissions_never_pass_the_limit(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """Thirty requests race for ten units."""
    results = await asyncio.gather(*(table.create(new_job(user), LIMITS) for _ in range(30)), return_exceptions=True)

    assert sum(isinstance(result, QuotaExceeded) for result in results) == 20
    assert await usage(clients, tables, user) == (LIMIT, 0)
    assert len((await table.page(user, limit=100, status=None, cursor=None)).jobs) == LIMIT


async def test_storing_a_job_again_after_a_lost_answer_takes_no_second_unit(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """The second attempt finds the first one's job."""
    job = new_job(user)
    await table.create(job, LIMITS)
    await table.create(job, LIMITS)

    assert await usage(clients, tables, user) == (1, 0)


async def test_each_visible_change_is_logged_and_published_once(
    table: JobTable, clients: Clients, tables: Tables, bus: InProcessBus, user: UserId
) -> None:
    """The log and the bus tell the same story in the same order."""
    seen: list[Notice] = []
    bus.subscribe(user, seen.append)
    job = await claim(table, await stored(table, user))
    await table.apply(job, moves.completed("me", output_of(job), clock.now_milliseconds()))
    story = [(EventType.QUEUED, 2), (EventType.PROCESSING, 3), (EventType.COMPLETED, 4)]

    assert story == [(event.type, event.job.version) for event in seen if isinstance(event, JobEvent)]
    assert [(kind.value, version) for kind, version in story] == await events(clients, tables, user)


async def test_a_completed_job_adds_one_to_its_users_total(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """The total is part of the same transaction."""
    job = await claim(table, await stored(table, user))
    await table.apply(job, moves.completed("me", output_of(job), clock.now_milliseconds()))
    row = await clients.dynamodb.get_item(TableName=tables.users, Key={"userId": user})

    assert "1" == str(row["Item"]["totalImagesGenerated"])


async def test_two_workers_race_for_a_job_and_one_gets_it(table: JobTable, user: UserId) -> None:
    """Both read the job before either writes."""
    job = await stored(table, user)
    results = await asyncio.gather(*(claim(table, job, owner) for owner in ("a", "b", "c")), return_exceptions=True)

    assert sum(isinstance(result, Job) for result in results) == 1
    assert sum(isinstance(result, LostClaim) for result in results) == 2


async def test_a_worker_whose_lease_was_taken_over_cannot_write_its_result(table: JobTable, user: UserId) -> None:
    """The first worker slept past its lease; the second holds the job."""
    late = await claim(table, await stored(table, user), "late", lease=-1)
    await claim(table, late, "quick")

    with pytest.raises(LostClaim):
        await table.apply(late, moves.completed("late", output_of(late), clock.now_milliseconds()))


async def test_a_worker_faster_than_the_charge_does_not_stop_it(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """The job is claimed and completed from `pending`, then the submitter's second transaction arrives."""
    job = new_job(user)
    await table.create(job, LIMITS)
    held = await claim(table, job)
    charged = await table.apply(job, moves.queued(clock.now_milliseconds()))
    done = await table.apply(held, moves.completed("me", output_of(job), clock.now_milliseconds()))

    assert (charged.status, charged.charge) == (Status.PROCESSING, Charge.CHARGED)
    assert (done.status, done.charge) == (Status.COMPLETED, Charge.CHARGED)
    assert await usage(clients, tables, user) == (1, 1)


async def test_a_failure_gives_its_unit_back_once(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """Failing it twice returns one unit."""
    job = await claim(table, await stored(table, user))
    move = moves.failed(FAILURE, clock.now_milliseconds(), owner="me", keeps_charge=False)
    await table.apply(job, move)
    with pytest.raises(JobEnded):
        await table.apply(job, move)

    assert await usage(clients, tables, user) == (0, 0)


async def test_unfinished_jobs_alone_are_in_the_status_index(
    table: JobTable, clients: Clients, tables: Tables, user: UserId
) -> None:
    """The index is sparse: a finished job leaves it."""
    job = await stored(table, user)
    item = (await clients.dynamodb.get_item(TableName=tables.jobs, Key={"jobId": job.job_id}))["Item"]
    held = await claim(table, job)
    await table.apply(held, moves.completed("me", output_of(job), clock.now_milliseconds()))
    after = (await clients.dynamodb.get_item(TableName=tables.jobs, Key={"jobId": job.job_id}))["Item"]

    assert str(item["statusShard"]).startswith("queued#")
    assert "statusShard" not in after
    assert "lease" not in after


async def test_pages_lead_through_all_jobs_newest_first(table: JobTable, user: UserId) -> None:
    """Three pages of two, two and one."""
    made = [await stored(table, user) for _ in range(5)]
    seen: list[JobId] = []
    cursor: str | None = None
    for _ in range(3):
        page = await table.page(user, limit=2, status=None, cursor=cursor)
        seen += [job.job_id for job in page.jobs]
        cursor = page.cursor

    assert [job.job_id for job in reversed(made)] == seen
    assert cursor is None


async def test_a_page_of_one_status_is_full_although_others_lie_between(table: JobTable, user: UserId) -> None:
    """The filter does not shorten the page."""
    wanted = []
    for number in range(6):
        job = await stored(table, user)
        if number % 2:
            wanted.append((await claim(table, job)).job_id)
    page = await table.page(user, limit=3, status=Status.PROCESSING, cursor=None)

    assert wanted[::-1] == [job.job_id for job in page.jobs]


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "bnVsbA", "🙂", "W1s" * 50_000, "WyIiLCIyMDI2LTExLTIwVDA5OjAwOjAwLjAwMFoiXQ"]
)
async def test_a_foreign_cursor_is_bad_input(table: JobTable, user: UserId, cursor: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidRequest) as caught:
        await table.page(user, limit=2, status=None, cursor=cursor)

    assert caught.value.field == "cursor"


def test_an_item_holds_no_empty_attribute(user: UserId) -> None:
    """DynamoDB's sparse index depends on absence."""
    assert None not in items.to_item(new_job(user)).values()
