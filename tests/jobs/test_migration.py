"""Rows of the original tables are completed, once, and nothing of ours is touched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from jobs import clock, items, originals
from jobs.actions import usage_key
from jobs.aws import Clients
from jobs.errors import CloudUnavailable, JobNotFound
from jobs.event_log import Cursor, EventLog
from jobs.events import JobEvent, Notice
from jobs.ids import JobId, UserId
from jobs.job_table import JobTable, Tables
from jobs.mendings import Outcome
from jobs.migration import Pace
from jobs.model import Charge, Status
from jobs.table_shape import JOBS, ShapedTable
from tests.aws_faults import AnswersLost
from tests.jobs import original, story
from tests.jobs.ground import Counts, Ground
from tests.jobs.original import LONG_AGO_SECONDS, job, migrated, put, read, read_all


@pytest.fixture
async def theirs(clients: Clients, tables: Tables) -> Tables:
    """Make the original's tables."""
    return await original.make_tables(clients, tables.events)


@pytest.fixture
def adopted(ground: Ground, theirs: Tables) -> Ground:
    """Stand on them."""
    return replace(ground, tables=theirs, table=JobTable(ground.clients.dynamodb, theirs, ground.bus))


async def test_rows_are_read_the_same_before_and_after_they_are_mended(adopted: Ground, user: UserId) -> None:
    """A service may run all the while; the second run finds nothing to do and changes no row."""
    clients, theirs, table = adopted.clients, adopted.tables, adopted.table
    rows = [job(user, status) for status in ("completed", "failed", "completed")]
    await put(clients, theirs.jobs, *rows)
    await put(clients, theirs.users, original.user_row(user))
    await put(clients, theirs.usage, original.day(user, 4), original.day(user, 9, days_ago=1))
    ids = [JobId(row["jobId"]) for row in rows]
    before = [await table.get(job_id) for job_id in ids]
    told = await migrated(clients, theirs, table.writes)
    written = await read_all(clients, theirs.jobs, theirs.users, theirs.usage)
    again = await migrated(clients, theirs, table.writes)

    assert {
        theirs.usage: {Outcome.MENDED: 2},
        theirs.users: {Outcome.MENDED: 1},
        theirs.jobs: {Outcome.MENDED: 3},
    } == told
    assert {theirs.usage: {Outcome.OURS: 2}, theirs.users: {Outcome.OURS: 1}, theirs.jobs: {Outcome.OURS: 3}} == again
    assert written == await read_all(clients, theirs.jobs, theirs.users, theirs.usage)
    assert before == [await table.get(job_id) for job_id in ids]
    assert 6 == (await table.quota(user, 10)).remaining
    found = await table.users.get(user)
    assert ("2025-11-02T08:15:30.120Z", "2026-11-20T22:01:02.000Z", "", 41) == (
        found.created_at,
        found.last_login_at,
        found.profile_image,
        found.total_pictures,
    )


async def test_a_completed_job_is_as_ours_are(user: UserId) -> None:
    """Its picture, its model and its times are where they belong."""
    row = job(user, "completed")
    found = items.from_item(row)

    assert (Status.COMPLETED, "profile-photo", 4, Charge.CHARGED, found.created_at) == (
        found.status,
        found.pipeline,
        found.version,
        found.charge,
        clock.milliseconds(row["createdAt"] + "Z"),
    )
    assert found.output is not None
    assert (row["outputImageUrl"], "gemini-2.5-flash-image", 7912, 8123) == (
        found.output.url,
        found.output.model_name,
        found.output.generation_milliseconds,
        found.processing_milliseconds,
    )


def test_a_failed_job_says_why(user: UserId) -> None:
    """In the words that the original kept, under a code that clients know."""
    found = items.from_item(job(user, "failed")).failure

    assert found is not None
    assert ("internal_error", "No image in the answer", True) == (found.code, found.message, found.retryable)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://b/generated/u/1.png", "s3://b/generated/u/1.png"),
        (
            "https://my.b.s3.ap-northeast-2.amazonaws.com/generated/u/a%20b.png?X-Amz-Signature=1",
            "s3://my.b/generated/u/a b.png",
        ),
        ("https://its-results.s3.amazonaws.com/generated/u/1.png", "s3://its-results/generated/u/1.png"),
        ("https://s3.us-east-1.amazonaws.com/b/generated/u/1.png", "s3://b/generated/u/1.png"),
        ("https://pictures.example.com/generated/u/1.png", None),
    ],
)
def test_an_address_on_the_web_is_read_as_a_file(user: UserId, url: str, address: str | None) -> None:
    """One that is none of S3's is left out, and the job is shown without a picture."""
    found = items.from_item(job(user, "completed") | {"outputImageUrl": url}).output

    assert found is not None
    assert address == found.url


@pytest.mark.parametrize(
    "strange",
    [
        {"metadata": "a text"},
        {"metadata": {}},
        {"metadata": None, "outputImageUrl": None, "processingTime": None},
        {"updatedAt": None},
        {"status": "COMPLETED"},
        {"style": None, "prompt": None, "inputImageUrl": None},
    ],
)
def test_what_is_missing_breaks_nothing(user: UserId, strange: dict[str, Any]) -> None:
    """The job can be read, and read again once it is written as ours."""
    found = items.from_item(job(user, "completed") | strange)

    assert found == items.from_item(items.to_item(found))


async def test_what_is_not_understood_is_left_alone(adopted: Ground, user: UserId) -> None:
    """It is counted, and the rows around it are mended."""
    clients, theirs = adopted.clients, adopted.tables
    strange = [
        job(user, "completed") | {"outputImageUrl": "https://pictures.example.com/1.png"},
        *not_understood(user),
    ]
    await put(clients, theirs.jobs, *strange, job(user, "completed"))
    told = await migrated(clients, theirs, adopted.table.writes)

    assert {Outcome.UNCLEAR: len(strange), Outcome.MENDED: 1} == told[theirs.jobs]
    assert strange == [await read(clients, theirs.jobs, jobId=row["jobId"]) for row in strange]


def not_understood(user: UserId) -> list[original.Row]:
    """Make rows of which no job can be made."""
    done = [job(user, "completed") for _ in range(4)]
    strange: list[dict[str, Any]] = [
        {"createdAt": "1763600000"},
        {"createdAt": "20/11/2025 09:00"},
        {"processingTime": "8.1 s"},
        {"errorCode": "X", "error": None},
    ]
    return [job(user, "paused"), job(user, "canceled"), *(row | more for row, more in zip(done, strange, strict=True))]


async def test_a_row_that_is_not_understood_hides_itself_alone(
    adopted: Ground, user: UserId, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner's pages go on past it, whatever it says of its time; by its id there is no such job; the log names it."""
    clients, theirs, table = adopted.clients, adopted.tables, adopted.table
    known, strange = [job(user, "completed"), job(user, "failed", age_seconds=2_000)], not_understood(user)
    await put(clients, theirs.jobs, *known, *strange)
    found: list[str] = []
    unread: list[str] = []
    cursor = None
    while found == [] or cursor is not None:
        page = await table.page(user, limit=1, status=None, cursor=cursor)
        found += [one.job_id for one in page.jobs]
        unread += [row.job_id for row in page.unread]
        cursor = page.cursor
    with pytest.raises(JobNotFound):
        await table.get(JobId(strange[0]["jobId"]))

    assert [row["jobId"] for row in known] == found
    assert sorted(row["jobId"] for row in strange) == sorted(unread)
    told = [vars(record) for record in caplog.records if getattr(record, "action", "") == "row_not_understood"]
    assert (strange[0]["jobId"], "'paused' is not a valid Status") == (told[-1]["job_id"], told[-1]["reason"])


async def test_a_row_that_the_database_refuses_ends_no_run(adopted: Ground, user: UserId) -> None:
    """Of an owner whose counts are no numbers, nothing can be taken over; all others are."""
    clients, theirs = adopted.clients, adopted.tables
    await put(clients, theirs.users, {"userId": "somebody", "unfinishedJobs": "many"})
    await put(clients, theirs.jobs, job(UserId("somebody"), "queued"), job(user, "queued"))
    told = await migrated(clients, theirs, adopted.table.writes, unfinished=True)

    assert {Outcome.UNCLEAR: 1, Outcome.TAKEN_OVER: 1} == told[theirs.jobs]


async def test_a_dry_run_changes_nothing(adopted: Ground, user: UserId) -> None:
    """And counts as the real one would."""
    clients, theirs = adopted.clients, adopted.tables
    await put(clients, theirs.jobs, job(user, "completed"), job(user, "queued"))
    before = await read_all(clients, theirs.jobs)
    told = await migrated(clients, theirs, adopted.table.writes, unfinished=True, dry_run=True)

    assert {Outcome.MENDED: 1, Outcome.TAKEN_OVER: 1} == told[theirs.jobs]
    assert before == await read_all(clients, theirs.jobs)


async def test_what_is_ours_is_never_touched(adopted: Ground, user: UserId) -> None:
    """A job that goes on here, a tombstone, an idempotency record, who is blocked, what was spent: all stand as they were."""
    clients, theirs, table = adopted.clients, adopted.tables, adopted.table
    going_on = await story.claim(table, await story.stored(table, user))
    ended = await story.complete(table, await story.claim(table, await story.stored(table, user)))
    await table.delete(ended)
    await table.users.set_blocked(user, blocked=True)
    await put(clients, theirs.usage, {"userIdDate": "spend#2026-11-21", "microdollars": Decimal(5)})
    record: dict[str, Any] = {"jobId": f"idempotency#{user}#1", "target": going_on.job_id, "body": "x"}
    await put(clients, theirs.jobs, record)
    before = await read_all(clients, theirs.jobs, theirs.users, theirs.usage)
    told = await migrated(clients, theirs, table.writes, unfinished=True)

    assert {Outcome.OURS} == {outcome for counts in told.values() for outcome in counts}
    assert before == await read_all(clients, theirs.jobs, theirs.users, theirs.usage)


async def test_what_changes_while_it_is_mended_is_left_alone(adopted: Ground, user: UserId) -> None:
    """The original's worker ends a job between our read and our write: the next run completes what it wrote."""
    clients, theirs = adopted.clients, adopted.tables
    row = job(user, "queued")
    await put(clients, theirs.jobs, row)
    ended = job(user, "completed") | {"jobId": row["jobId"]}
    stale = replace_scan(clients, row)
    await put(clients, theirs.jobs, ended)
    told = await migrated(stale, theirs, adopted.table.writes, unfinished=True)
    as_it_was = await read(clients, theirs.jobs, jobId=row["jobId"])
    await migrated(clients, theirs, adopted.table.writes)

    assert {Outcome.CHANGED: 1} == told[theirs.jobs]
    assert ended == as_it_was
    assert Status.COMPLETED is (await adopted.table.get(JobId(row["jobId"]))).status
    assert Counts(0, 0) == await adopted.counts(user)


def replace_scan(clients: Clients, row: original.Row) -> Clients:
    """Let scans of the jobs find this row, once, whatever has become of it."""
    return replace(clients, dynamodb=StaleScans(clients.dynamodb, row))  # type: ignore[arg-type]


class StaleScans:
    """A client whose scans of jobs are behind."""

    def __init__(self, client: Any, row: original.Row) -> None:
        self._client = client
        self._row = row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def scan(self, **request: Any) -> Any:
        """Answer with the row, in the first part."""
        if not request["TableName"].endswith("ImageJobs"):
            return await self._client.scan(**request)
        return {"Items": [self._row] if request["Segment"] == 0 else []}


async def test_writes_are_spread_over_time() -> None:
    """Of all who write, however many at once."""
    pace, loop = Pace(100), asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(pace.wait() for _ in range(6)))

    assert 0.05 <= loop.time() - began


async def test_units_of_both_systems_count_together(adopted: Ground, user: UserId) -> None:
    """Both charge on one day, in any order; whoever is charged by the original finds less left here after each run."""
    clients, theirs, table = adopted.clients, adopted.tables, adopted.table
    await put(clients, theirs.usage, original.day(user, 3))
    key = {"userIdDate": usage_key(user, clock.utc_day(clock.now_milliseconds()))}
    await story.stored(table, user)
    await migrated(clients, theirs, table.writes)
    first = (await table.quota(user, 10)).remaining
    await clients.dynamodb.update_item(
        TableName=theirs.usage,
        Key=key,
        UpdateExpression="ADD #count :two",
        ExpressionAttributeNames={"#count": "count"},
        ExpressionAttributeValues={":two": 2},
    )
    await migrated(clients, theirs, table.writes)

    assert (6, 4) == (first, (await table.quota(user, 10)).remaining)
    assert (6, 6) == await adopted.usage(user)


async def test_what_is_still_the_original_s_cannot_be_moved_here(adopted: Ground, user: UserId) -> None:
    """A message of its that comes here is put off, and its owner's cancel is told to come again: its worker may have the job."""
    row = job(user, "queued")
    await put(adopted.clients, adopted.tables.jobs, row)
    found = await adopted.table.get(JobId(row["jobId"]))
    with pytest.raises(CloudUnavailable):
        await story.claim(adopted.table, found)

    assert row == await read(adopted.clients, adopted.tables.jobs, jobId=row["jobId"])


async def test_an_unfinished_job_is_left_to_the_original_until_that_has_stopped(adopted: Ground, user: UserId) -> None:
    """Its rows can be read all the while; what was changed a moment ago may be in its worker's hands even then."""
    clients, theirs = adopted.clients, adopted.tables
    rows = [job(user, "processing"), job(user, "queued", age_seconds=10)]
    await put(clients, theirs.jobs, *rows)
    first = await migrated(clients, theirs, adopted.table.writes)
    shown = [(await adopted.table.get(JobId(row["jobId"]))).status for row in rows]
    second = await migrated(clients, theirs, adopted.table.writes, unfinished=True)

    assert {Outcome.UNFINISHED: 2} == first[theirs.jobs]
    assert [Status.PROCESSING, Status.QUEUED] == shown
    assert {Outcome.TAKEN_OVER: 1, Outcome.UNFINISHED: 1} == second[theirs.jobs]


@pytest.mark.parametrize("status", ["queued", "processing"])
async def test_a_job_that_is_taken_over_is_sent_and_done_and_charged_once(
    adopted: Ground, user: UserId, status: str
) -> None:
    """The sweeper sends it at once; the original has charged it, and its owner's row counts it until it ends."""
    clients, theirs, table = adopted.clients, adopted.tables, adopted.table
    await ShapedTable(clients.dynamodb, theirs.jobs, JOBS).complete(lambda _: None, asyncio.Event())
    row = job(user, status)
    await put(clients, theirs.jobs, row)
    await put(clients, theirs.users, original.user_row(user))
    await put(clients, theirs.usage, original.day(user, 1))
    before = await table.get(JobId(row["jobId"]))
    await original.migrated(clients, theirs, table.writes, unfinished=True)
    taken = await table.get(before.job_id)
    counted = await adopted.counts(user)
    await adopted.sweeper().sweep()
    sent = await table.get(before.job_id)
    done = await story.complete(table, await story.claim(table, sent))

    assert (Status.QUEUED, Charge.CHARGED) == (taken.status, taken.charge)
    assert before.version < taken.version
    assert Counts(1, 1, 41) == counted
    assert [before.job_id] == await adopted.messages()
    assert ["job.queued", "job.processing", "job.completed"] == await adopted.events(done)
    assert (Status.COMPLETED, Counts(0, 0, 42)) == (done.status, await adopted.counts(user))
    assert (1, 1) == await adopted.usage(user)


@pytest.mark.parametrize(
    ("status", "age_seconds", "code", "charge"),
    [
        ("pending", LONG_AGO_SECONDS, "queue_refused", Charge.RETURNED),
        ("processing", 5 * clock.DAY_SECONDS, "message_lost", Charge.CHARGED),
    ],
)
async def test_what_nobody_will_do_is_ended(
    adopted: Ground, user: UserId, status: str, age_seconds: float, code: str, charge: Charge
) -> None:
    """What the queue never took, and what has stood for days since its worker died; its owner is told."""
    heard: list[Notice] = []
    adopted.bus.subscribe(user, heard.append)
    row = job(user, status, age_seconds=age_seconds)
    await put(adopted.clients, adopted.tables.jobs, row)
    told = await migrated(adopted.clients, adopted.tables, adopted.table.writes, unfinished=True)
    ended = await adopted.table.get(JobId(row["jobId"]))

    assert {Outcome.ENDED: 1} == told[adopted.tables.jobs]
    assert ended.failure is not None
    assert (Status.FAILED, code, charge) == (ended.status, ended.failure.code, ended.charge)
    assert Counts(0, 0) == await adopted.counts(user)
    log = EventLog(adopted.clients.dynamodb, adopted.tables.events)
    logged = [event async for event in log.since(user, Cursor.at(0))]
    assert [ended] == [event.job for event in logged if isinstance(event, JobEvent)]
    assert logged == heard


async def test_an_end_whose_answer_was_lost_is_told_once_more(adopted: Ground, user: UserId) -> None:
    """It landed at an unknown time, so readers may have passed its first event."""
    clients, theirs = adopted.clients, adopted.tables
    row = job(user, "pending")
    await put(clients, theirs.jobs, row)
    losing = adopted.on(AnswersLost(clients.dynamodb, 1)).table
    told = await migrated(clients, theirs, losing.writes, unfinished=True)

    assert {Outcome.ENDED: 1} == told[theirs.jobs]
    ended = await adopted.table.get(JobId(row["jobId"]))
    assert ["job.failed", "job.failed"] == await adopted.events(ended)


async def test_the_original_can_read_what_was_written_here(adopted: Ground, user: UserId) -> None:
    """The way back: each attribute that it knows has the kind of value that it wrote itself."""
    clients, theirs, table = adopted.clients, adopted.tables, adopted.table
    theirs_row = job(user, "completed")
    await put(clients, theirs.jobs, theirs_row)
    await migrated(clients, theirs, table.writes)
    ours = await story.complete(table, await story.claim(table, await story.stored(table, user)))
    rows = [await read(clients, theirs.jobs, jobId=job_id) for job_id in (theirs_row["jobId"], ours.job_id)]

    known = {name: type(value) for name, value in theirs_row.items() if value is not None}
    for row in rows:
        assert known == {name: type(row[name]) for name in known}
        assert {"generationTime", "modelName", "outputKey"} <= row["metadata"].keys()
    mended = rows[0]
    changed = {name for name, value in theirs_row.items() if mended[name] != value}
    assert {"createdAt", "updatedAt", "metadata"} == changed
    usage = await read(clients, theirs.usage, userIdDate=usage_key(user, ours.quota_day))
    assert Decimal(1) == usage["count"]


def test_only_a_job_without_a_version_is_the_original_s(user: UserId) -> None:
    """Neither a job of ours, nor a tombstone, nor a record of a key."""
    ours = items.to_item(story.new_job(user))

    assert [True, False, False, False] == [
        originals.is_original(row)
        for row in (job(user, "queued"), ours, {"jobId": "job_1", "deletedBy": user}, {"jobId": "idempotency#1"})
    ]
