"""The audit sees what is wrong: one that finds nothing proves nothing unless it would have found something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from jobs import items
from jobs.aws import Clients
from jobs.ids import UserId, new_job_id
from jobs.job_table import Tables
from jobs.model import Charge, Job, Output, Status
from tests.chaos.audit import Audit, audit
from tests.jobs.story import FAILURE, new_job

TOLD = {2: "job.queued", 3: "job.processing", 4: "job.completed"}


class Books:
    """The rows of one user with one completed job, written by hand; ``put`` and ``tell`` falsify them."""

    def __init__(self, clients: Clients, tables: Tables, user: UserId, bucket: str) -> None:
        self.clients = clients
        self.tables = tables
        self.user = user
        self.bucket = bucket
        self.job = _completed_job(user, bucket)
        self.day = f"{user}#{self.job.quota_day}"

    async def write(self) -> None:
        """Write what a job leaves that ended well."""
        await self.put(self.tables.jobs, items.to_item(self.job))
        await self.put(self.tables.usage, {"userIdDate": self.day, "userId": self.user, "taken": 1, "count": 1})
        await self.put(self.tables.users, {"userId": self.user, "totalImagesGenerated": 1})
        for version, kind in TOLD.items():
            await self.tell(version, kind)
        await self.clients.s3.put_object(Bucket=self.bucket, Key=self.key, Body=b"picture")

    @property
    def key(self) -> str:
        """The result's key."""
        return f"generated/{self.user}/{self.job.job_id}.png"

    async def tell(self, version: int, kind: str, event_id: str = "") -> None:
        """Put an event into the log."""
        job = items.to_item(replace(self.job, version=version))
        event = {"userId": self.user, "eventId": event_id or f"event-{version}", "type": kind}
        await self.put(self.tables.events, event | {"jobId": self.job.job_id, "version": version, "job": job})

    async def put(self, table: str, row: Mapping[str, Any]) -> None:
        """Write a row."""
        await self.clients.dynamodb.put_item(TableName=table, Item=row)

    async def audit(self) -> Audit:
        """Read the user's books."""
        return await audit(self.clients, self.tables, {self.user})


def _completed_job(user: UserId, bucket: str) -> Job:
    job = new_job(user)
    output = Output(
        url=f"s3://{bucket}/generated/{user}/{job.job_id}.png", model_name="a-model", generation_milliseconds=1
    )
    return replace(job, status=Status.COMPLETED, version=4, charge=Charge.CHARGED, output=output)


@pytest.fixture
async def books(clients: Clients, tables: Tables, user: UserId, cloud_environment: Mapping[str, str]) -> Books:
    """Write books without a fault."""
    written = Books(clients, tables, user, cloud_environment["RESULT_BUCKET"])
    await written.write()
    return written


async def test_a_job_that_ended_well_has_no_fault(books: Books) -> None:
    """Also when one of its events was told twice, and beside records that are no jobs."""
    await books.tell(4, TOLD[4], "again")
    await books.put(books.tables.jobs, {"jobId": f"idempotency#{books.user}#1", "target": books.job.job_id})
    found, unknown = await books.audit(), new_job_id()

    assert () == found.faults
    assert (1, 1, 0, 0, {}) == (found.accepted, found.completed, found.canceled, found.unfinished, found.failed_by_code)
    assert {unknown} == found.lost({books.job.job_id, unknown})


async def test_a_lost_event_and_a_lost_result_are_seen(books: Books) -> None:
    """The completion was not told, and the picture is gone."""
    key = {"userId": books.user, "eventId": "event-4"}
    await books.clients.dynamodb.delete_item(TableName=books.tables.events, Key=key)
    await books.clients.s3.delete_object(Bucket=books.bucket, Key=books.key)
    found, job_id = await books.audit(), books.job.job_id

    assert (f"{job_id} has no event for version 4 of 4",) == found.missing_events
    assert (f"{job_id} is completed and its result is not there",) == found.missing_results


async def test_a_job_that_waited_is_told_under_its_first_version(books: Books) -> None:
    """It may be: whether a job that ended well had to wait, its row does not say."""
    await books.tell(1, "job.pending")

    assert () == (await books.audit()).faults


async def test_a_job_that_waits_and_was_not_told_is_seen(books: Books) -> None:
    """Also once it is canceled: nobody has admitted it."""
    for status in (Status.PENDING, Status.CANCELED):
        await books.put(books.tables.jobs, items.to_item(replace(books.job, status=status, output=None, waiting=True)))
        found = await books.audit()

        assert (f"{books.job.job_id} has no event for version 1 of 4",) == found.missing_events


async def test_a_first_or_later_version_that_is_told_as_the_other_is_seen(books: Books) -> None:
    """To wait is how a life may begin, and nothing else is."""
    await books.tell(1, "job.queued")
    await books.tell(3, "job.pending", "late")
    found, job_id = await books.audit(), books.job.job_id

    assert {
        f"{job_id} has ['job.queued'] as events for version 1",
        f"{job_id} has ['job.pending', 'job.processing'] as events for version 3",
    } < set(found.wrong_events)


async def test_wrong_sums_are_seen(books: Books) -> None:
    """A unit charged twice, a picture counted twice, and a job that ended and is counted as unfinished."""
    await books.put(books.tables.usage, {"userIdDate": books.day, "userId": books.user, "taken": 1, "count": 2})
    await books.put(books.tables.users, {"userId": books.user, "totalImagesGenerated": 2, "unfinishedJobs": 1})
    found = await books.audit()

    assert (f"{books.day}: taken and charged are (1, 2), its jobs say (1, 1)",) == found.wrong_charges
    assert (
        f"{books.user} has 1 completed jobs and a total of 2",
        f"{books.user}: unfinishedJobs is 1, its jobs say 0",
    ) == found.wrong_totals


async def test_a_job_that_ends_twice_is_seen(books: Books) -> None:
    """Completed under two versions, and failed under the last of them too."""
    await books.tell(3, "job.completed", "early")
    await books.tell(4, "job.failed", "other")
    found = await books.audit()

    assert (f"{books.job.job_id} was completed at the versions [3, 4]",) == found.completed_twice
    assert len(found.wrong_events) == 3


async def test_a_failure_that_kept_its_charge_is_seen(books: Books) -> None:
    """Only rejected content keeps it."""
    failed = replace(books.job, status=Status.FAILED, output=None, failure=FAILURE)
    await books.put(books.tables.jobs, items.to_item(failed))
    found = await books.audit()

    assert {"provider_failure": 1} == found.failed_by_code
    assert (f"{failed.job_id} is failed and its unit is charged",) == found.wrong_charges


async def test_a_job_that_its_client_was_told_to_be_refused_and_is_not_is_seen(books: Books) -> None:
    """It is completed; it failed for another reason; it kept its unit; it is not there. One that was refused is no fault."""
    refused = replace(
        books.job,
        status=Status.FAILED,
        output=None,
        failure=replace(FAILURE, code="queue_refused"),
        charge=Charge.RETURNED,
    )
    falsified = [books.job, replace(refused, failure=FAILURE), replace(refused, charge=Charge.CHARGED)]
    job_id, unknown = books.job.job_id, new_job_id()

    for job in falsified:
        await books.put(books.tables.jobs, items.to_item(job))
        assert {job_id} == (await books.audit()).wrongly_refused({job_id})
    await books.put(books.tables.jobs, items.to_item(refused))
    assert {unknown} == (await books.audit()).wrongly_refused({job_id, unknown})


async def test_an_unfinished_job_is_lost_until_it_ends(books: Books) -> None:
    """A client was promised an end."""
    await books.put(books.tables.jobs, items.to_item(replace(books.job, status=Status.QUEUED, output=None)))
    found = await books.audit()

    assert (1, {books.job.job_id}) == (found.unfinished, found.lost({books.job.job_id}))


async def test_a_deleted_job_still_counts(books: Books) -> None:
    """Its tombstone tells nothing; the log remembers its unit and its picture."""
    await books.put(books.tables.jobs, {"jobId": books.job.job_id, "deletedBy": books.user})
    await books.tell(5, "job.deleted")
    found = await books.audit()

    assert () == found.faults
    assert (0, set()) == (found.accepted, found.lost({books.job.job_id}))


async def canceled(books: Books, before: str, charge: Charge) -> Job:
    """Rewrite the completed job as one that was canceled after the event ``before``; its sums are then wrong, its charge may be."""
    job = replace(books.job, status=Status.CANCELED, output=None, charge=charge)
    await books.put(books.tables.jobs, items.to_item(job))
    await books.tell(3, before)
    await books.tell(4, "job.canceled")
    return job


@pytest.mark.parametrize("before", ["job.queued", "job.retrying"])
async def test_a_canceled_job_that_was_not_at_work_must_be_given_back(books: Books, before: str) -> None:
    """Nobody can have called Gemini just then."""
    job = await canceled(books, before, Charge.CHARGED)
    kept = await books.audit()
    await canceled(books, before, Charge.RETURNED)
    returned = await books.audit()

    assert (f"{job.job_id} is canceled and its unit is charged",) == kept.wrong_charges
    assert (f"{books.day}: taken and charged are (1, 1), its jobs say (0, 0)",) == returned.wrong_charges


async def test_a_job_canceled_at_work_costs_what_its_owner_was_told_or_less(books: Books) -> None:
    """Whoever was told that the unit is back must have it back; it may be kept only from others."""
    job = await canceled(books, "job.processing", Charge.CHARGED)
    found = await audit(books.clients, books.tables, {books.user}, {job.job_id})

    assert () == (await books.audit()).wrong_charges
    assert (f"{job.job_id} was said to be given back and its unit is charged",) == found.wrong_charges


async def test_counts_that_were_never_written_are_seen(books: Books) -> None:
    """A job is unfinished and in flight, and its user's row counts neither."""
    await books.put(books.tables.jobs, items.to_item(replace(books.job, status=Status.QUEUED, output=None)))
    found = await books.audit()

    assert {
        f"{books.user}: unfinishedJobs is 0, its jobs say 1",
        f"{books.user}: jobsInFlight is 0, its jobs say 1",
    } < set(found.wrong_totals)


async def test_a_deleted_job_that_cost_too_much_is_seen(books: Books) -> None:
    """Deleting does not hide it."""
    books.job = replace(books.job, status=Status.FAILED, output=None, failure=FAILURE)
    await books.put(books.tables.jobs, {"jobId": books.job.job_id, "deletedBy": books.user})
    await books.tell(5, "job.deleted")
    found = await books.audit()

    assert (f"{books.job.job_id} is failed and its unit is charged",) == found.wrong_charges
