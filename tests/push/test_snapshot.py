"""How a user's jobs are, read from the embedded cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from jobs import clock, moves
from jobs.aws import Clients
from jobs.event_log import EventLog, is_moment
from jobs.events import InProcessBus, JobEvent, Notice
from jobs.files import Files
from jobs.ids import EventId, UserId, new_job_id
from jobs.job_reader import JobPage
from jobs.job_table import JobTable, Limits, Tables
from jobs.model import Charge, Job, Status
from jobs.views import JobViews
from tests.jobs import original
from tests.push.stage import confirmed
from websocket.snapshot import SnapshotReader

DAILY_LIMIT = 10


@pytest.fixture
def bus() -> InProcessBus:
    """Make a bus."""
    return InProcessBus()


@pytest.fixture
def table(clients: Clients, tables: Tables, bus: InProcessBus) -> JobTable:
    """Open the table."""
    return JobTable(clients.dynamodb, tables, bus)


@pytest.fixture
def views(clients: Clients, cloud_environment: Mapping[str, str], bus: InProcessBus) -> JobViews:
    """Make what writes jobs as JSON."""
    files = Files(
        clients.s3,
        clients.find_credentials,
        upload_bucket=cloud_environment["UPLOAD_BUCKET"],
        result_bucket=cloud_environment["RESULT_BUCKET"],
        upload_link_seconds=3600,
    )
    return JobViews(files, bus)


@pytest.fixture
def log(clients: Clients, tables: Tables) -> EventLog:
    """Open the log."""
    return EventLog(clients.dynamodb, tables.events)


def reader(table: JobTable, log: EventLog, views: JobViews, *, jobs: int = 50) -> SnapshotReader:
    """Make a reader."""
    return SnapshotReader(table, log, views, daily_limit=DAILY_LIMIT, jobs=jobs)


async def submit(table: JobTable, user: UserId, *, age_seconds: int = 0) -> Job:
    """Store a job and call it queued."""
    now = clock.now_milliseconds() - age_seconds * 1000
    job = Job(
        job_id=new_job_id(),
        user_id=user,
        pipeline="profile-photo",
        status=Status.PENDING,
        version=1,
        created_at=now,
        updated_at=now,
        charge=Charge.TAKEN,
        quota_day=clock.utc_day(clock.now_milliseconds()),
        input_url="s3://uploads/uploads/u/1.png",
    )
    await table.create(job, Limits(daily=DAILY_LIMIT))
    return await table.apply(job, moves.queued(now))


async def test_what_is_no_change_of_a_job_is_a_position_and_nothing_else(
    table: JobTable, log: EventLog, views: JobViews, user: UserId
) -> None:
    """The snapshot has jobs; whoever follows from it is told what comes after."""
    job = await submit(table, user)
    event = confirmed(user=user)
    await table.writes.write([], lambda event_id, at: replace(event, event_id=event_id, at=at))
    snapshot = await reader(table, log, views).read(user)

    assert await log.newest_id(user) == snapshot.position
    assert [job.job_id] == [view["jobId"] for view in snapshot.jobs]


async def test_somebody_without_jobs_has_an_empty_snapshot(
    table: JobTable, log: EventLog, views: JobViews, user: UserId
) -> None:
    """Its position is the moment, so that whoever has it can come back to it."""
    snapshot = await reader(table, log, views).read(user)

    assert is_moment(snapshot.position or EventId(""))
    assert snapshot.jobs == []
    assert not snapshot.has_more
    assert snapshot.quota["usedToday"] == 0


async def test_a_snapshot_has_the_newest_jobs_the_quota_and_the_position(
    table: JobTable, log: EventLog, views: JobViews, bus: InProcessBus, user: UserId
) -> None:
    """Newest first, with links, and a word that there are more."""
    heard: list[Notice] = []
    bus.subscribe(user, heard.append)
    for age_seconds in (3, 2):
        await submit(table, user, age_seconds=age_seconds)
    newest = await submit(table, user, age_seconds=1)

    snapshot = await reader(table, log, views, jobs=2).read(user)

    last = heard[-1]
    assert isinstance(last, JobEvent)
    assert snapshot.position == last.event_id
    assert [len(snapshot.jobs), snapshot.jobs[0]["jobId"], snapshot.has_more] == [2, newest.job_id, True]
    assert str(snapshot.jobs[0]["inputImageSignedUrl"]).startswith("http")
    assert snapshot.quota["remainingQuota"] == DAILY_LIMIT - 3


async def test_a_row_that_is_not_understood_does_not_keep_its_owner_out(
    table: JobTable, clients: Clients, tables: Tables, log: EventLog, views: JobViews, user: UserId
) -> None:
    """Even where a page has nothing else: what happened within the last seconds is in the snapshot all the same."""
    job = await submit(table, user, age_seconds=3_000)
    await original.put(clients, tables.jobs, original.job(user, "paused"))
    snapshot = await reader(table, log, views, jobs=1).read(user)

    assert ([job.job_id], True) == ([view["jobId"] for view in snapshot.jobs], snapshot.has_more)


async def test_an_index_that_lags_behind_the_table_does_not_hide_an_end(
    clients: Clients, tables: Tables, log: EventLog, views: JobViews, bus: InProcessBus, user: UserId
) -> None:
    """Interleaving: the job is over and its event told, the index still shows it as it was before."""

    class LaggingIndex(JobTable):
        """Reads pages as an index does that has not caught up yet."""

        async def page(self, user_id: UserId, *, limit: int, status: Status | None, cursor: str | None) -> JobPage:
            page = await super().page(user_id, limit=limit, status=status, cursor=cursor)
            return replace(page, jobs=tuple(replace(job, status=Status.PENDING, version=1) for job in page.jobs))

    table = LaggingIndex(clients.dynamodb, tables, bus)
    await submit(table, user)

    snapshot = await reader(table, log, views).read(user)

    assert [(job["status"], job["version"]) for job in snapshot.jobs] == [("queued", 2)]


async def test_a_job_that_the_index_does_not_have_yet_is_in_the_snapshot(
    clients: Clients, tables: Tables, log: EventLog, views: JobViews, bus: InProcessBus, user: UserId
) -> None:
    """Interleaving: a job begins and ends, all told to nobody, a client comes, the index has not caught up."""

    class EmptyIndex(JobTable):
        """Reads no pages yet."""

        async def page(self, user_id: UserId, *, limit: int, status: Status | None, cursor: str | None) -> JobPage:
            return JobPage(jobs=(), cursor=None)

    table = EmptyIndex(clients.dynamodb, tables, bus)
    earlier, job = [await submit(table, user, age_seconds=age_seconds) for age_seconds in (2, 1)]
    canceled = await table.apply(job, moves.canceled_if(lambda _: False, clock.now_milliseconds()))

    snapshot = await reader(table, log, views).read(user)

    assert [(job.job_id, "canceled"), (earlier.job_id, "queued")] == [
        (shown["jobId"], shown["status"]) for shown in snapshot.jobs
    ]
    assert [canceled.version, 2] == [shown["version"] for shown in snapshot.jobs]


async def test_a_deleted_job_that_the_index_still_has_is_not_in_the_snapshot(
    clients: Clients, tables: Tables, log: EventLog, views: JobViews, bus: InProcessBus, user: UserId
) -> None:
    """Interleaving: a job is deleted, which is told, a client comes, the index has not caught up."""

    class LaggingIndex(JobTable):
        """Reads a page with the job that was deleted."""

        deleted: tuple[Job, ...] = ()

        async def page(self, user_id: UserId, *, limit: int, status: Status | None, cursor: str | None) -> JobPage:
            return JobPage(jobs=self.deleted, cursor=None)

    table = LaggingIndex(clients.dynamodb, tables, bus)
    job = await submit(table, user)
    job = await table.apply(job, moves.canceled_if(lambda _: False, clock.now_milliseconds()))
    await table.delete(job)
    table.deleted = (job,)

    assert (await reader(table, log, views).read(user)).jobs == []


async def test_jobs_older_than_the_page_stay_off_it(
    table: JobTable, log: EventLog, views: JobViews, user: UserId
) -> None:
    """Although their events are of the last seconds."""
    old, *newest = [await submit(table, user, age_seconds=age_seconds) for age_seconds in (9, 5, 1)]
    await table.apply(old, moves.canceled_if(lambda _: False, clock.now_milliseconds()))

    snapshot = await reader(table, log, views, jobs=2).read(user)

    assert [job.job_id for job in reversed(newest)] == [shown["jobId"] for shown in snapshot.jobs]
