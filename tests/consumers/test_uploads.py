"""Uploads that start a job by themselves: each once, as its owner's, or told to be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from consumers.uploads import Outcome
from jobs import clock
from jobs.aws import Clients
from jobs.errors import JobDeleted, JobNotFound
from jobs.events import EventType, JobEvent
from jobs.ids import UserId
from jobs.job_table import JobTable, Tables
from jobs.model import Charge, Job, Status
from jobs.submission import Submission
from jobs.upload_events import UploadEventQueue, read_key
from tests.consumers.upload_stage import PATIENCE_SECONDS, Stage, job_id_of, key_of, open_stage
from tests.jobs import story
from tests.jobs.ground import PLENTY, Counts
from tests.jobs.test_upload_events import body_of

ONE_A_DAY = replace(PLENTY, daily=1)
ONE_AT_A_TIME = replace(PLENTY, unfinished=1)


@pytest.fixture
async def stage(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> Stage:
    """Open the stage."""
    return await open_stage(clients, tables, cloud_environment)


@pytest.fixture
def key(user: UserId) -> str:
    """Name an upload of the user's."""
    return key_of(user)


async def test_a_photo_put_into_the_real_bucket_starts_its_owners_job(
    stage: Stage, cloud_environment: Mapping[str, str], tables: Tables, user: UserId, key: str
) -> None:
    """By the notification and the queue that the template makes; whoever else listens there would do the same."""
    clients, bucket = stage.ground.clients, cloud_environment["UPLOAD_BUCKET"]
    table = JobTable(clients.dynamodb, tables, stage.ground.bus)
    queue = UploadEventQueue(
        clients.sqs, clients.receiver, url=cloud_environment["UPLOAD_EVENTS_QUEUE_URL"], bucket=bucket
    )
    async with stage.intake(Submission(table, stage.ground.queue, PLENTY), queue=queue):
        await clients.s3.put_object(Bucket=bucket, Key=key, Body=b"a photo")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await stage.ground.usage(user) != (1, 1):  # noqa: ASYNC110 - a table wakes nobody
                await asyncio.sleep(0.05)
        job = await table.get(job_id_of(key))

    assert (user, "parking-report", Charge.CHARGED) == (job.user_id, job.pipeline, job.charge)
    assert (job.input_url or "").endswith(f"/{key}")


async def test_a_photo_is_taken_in_stored_charged_sent_and_told(stage: Stage, user: UserId, key: str) -> None:
    """From S3's own event, and its message is gone."""
    async with stage.intake() as running:
        await stage.put(key)
        await running.until(Outcome.TAKEN)
    job = await stage.ground.table.get(job_id_of(key))

    assert (user, Status.QUEUED, 2) == (job.user_id, job.status, job.version)
    assert {"deviceId": "phone_1"} == job.parameters
    assert f"s3://{stage.bucket}/{key}" == job.input_url
    assert (1, 1) == await stage.ground.usage(user)
    assert Counts(1, 1) == await stage.ground.counts(user)
    assert [job.job_id] == await stage.ground.messages()
    assert ["job.queued"] == await stage.ground.events(job)
    assert 0 == await stage.left()


async def test_an_event_told_five_times_at_once_is_one_job_and_one_charge(stage: Stage, user: UserId, key: str) -> None:
    """Whatever second message that makes names the same job, which a worker claims once."""
    for _ in range(5):
        await stage.tell(key)
    async with stage.intake() as running:
        await running.until(Outcome.TAKEN)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await stage.left():  # noqa: ASYNC110 - nor does a queue
                await asyncio.sleep(0.02)

    assert (1, 1) == await stage.ground.usage(user)
    assert Counts(1, 1) == await stage.ground.counts(user)
    assert {job_id_of(key)} == set(await stage.ground.messages())
    assert 0 == await stage.left()


async def test_an_event_told_again_later_changes_nothing(stage: Stage, user: UserId, key: str) -> None:
    """Neither while its job waits for a worker nor when that is done."""
    async with stage.intake() as running:
        await stage.tell(key)
        await running.until(Outcome.TAKEN)
        await stage.tell(key)
        await running.until(Outcome.REPLAYED)
        queued = await stage.ground.table.get(job_id_of(key))
        done = await story.complete(stage.ground.table, await story.claim(stage.ground.table, queued))
        await stage.tell(key)
        await running.until(Outcome.REPLAYED, 2)

    assert done == await stage.ground.table.get(done.job_id)
    assert (1, 1) == await stage.ground.usage(user)
    assert [done.job_id] == await stage.ground.messages()
    assert ["job.queued", "job.processing", "job.completed"] == await stage.ground.events(done)


async def test_a_deleted_job_does_not_come_back(stage: Stage, user: UserId, key: str) -> None:
    """Its tombstone stands for as long as an event about its file can be told."""
    async with stage.intake() as running:
        await stage.tell(key)
        await running.until(Outcome.TAKEN)
        job = await stage.ground.table.get(job_id_of(key))
        await stage.ground.control().delete(job)
        await stage.ground.messages()
        await stage.tell(key)
        await running.until(Outcome.REPLAYED)

    with pytest.raises(JobDeleted):
        await stage.ground.table.get(job.job_id)
    assert (0, 0) == await stage.ground.usage(user)
    assert [] == await stage.ground.messages()
    assert 0 == await stage.left()


async def test_a_deleted_job_does_not_come_back_as_a_failed_one(stage: Stage, user: UserId, key: str) -> None:
    """Nor when its owner's day is full meanwhile."""
    async with stage.intake() as running:
        await stage.tell(key)
        await running.until(Outcome.TAKEN)
        await stage.ground.control().delete(await stage.ground.table.get(job_id_of(key)))
    async with stage.intake(stage.submission(replace(PLENTY, daily=0))) as running:
        await stage.tell(key)
        await running.until(Outcome.REPLAYED)

    with pytest.raises(JobDeleted):
        await stage.ground.table.get(job_id_of(key))


async def test_names_that_s3_encodes_are_read_as_they_were_written(stage: Stage, user: UserId) -> None:
    """The owner is whom the decoded key names; a Korean file name is none that we hand out."""
    owner = UserId(f"google|{user}+a@b")
    async with stage.intake() as running:
        await stage.put(key_of(owner))
        await stage.put(f"reports/{user}/phone_1/사진 1.jpg")
        await stage.put(f"reports/{user}%2Fphone_1/{key_of(user).rpartition('/')[2]}")
        await running.until(Outcome.TAKEN)
        await running.until(Outcome.FOREIGN, 2)

    assert (1, 1) == await stage.ground.usage(owner)
    assert (0, 0) == await stage.ground.usage(user)
    assert 0 == await stage.left()


@pytest.mark.parametrize("body", ["not json", "{}", "[" * 10_000, body_of(key_of("u"), bucket="somebody-elses")])
async def test_what_is_not_ours_is_set_aside_and_hurts_nobody(stage: Stage, user: UserId, key: str, body: str) -> None:
    """It lies among the dead letters as it came, where an alarm tells of it."""
    await stage.send(body)
    await stage.tell(key)
    async with stage.intake() as running:
        await running.until(Outcome.FOREIGN)
        await running.until(Outcome.TAKEN)

    assert [body] == await stage.dead_letters()
    assert (1, 1) == await stage.ground.usage(user)
    assert 0 == await stage.left()


async def test_what_is_ours_in_a_foreign_message_is_taken_in(stage: Stage, user: UserId, key: str) -> None:
    """Before the whole of it is set aside."""
    await stage.tell("reports/README", key)
    async with stage.intake() as running:
        await running.until(Outcome.FOREIGN)

    assert (1, 1) == await stage.ground.usage(user)
    assert 1 == len(await stage.dead_letters())


async def test_the_test_event_goes_unsaid(stage: Stage, key: str) -> None:
    """It is no upload and nothing foreign."""
    await stage.send('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"}')
    async with stage.intake() as running:
        await stage.tell(key)
        await running.until(Outcome.TAKEN)

    assert 0 == running.count(Outcome.FOREIGN)
    assert 0 == await stage.left()


async def refused_for_its_quota(stage: Stage, user: UserId) -> Job:
    """Use up the user's day, and upload once more."""
    first, second = key_of(user), key_of(user)
    async with stage.intake(stage.submission(ONE_A_DAY)) as running:
        await stage.put(first)
        await running.until(Outcome.TAKEN)
        await stage.put(second)
        await running.until(Outcome.REFUSED)
    return await stage.ground.table.get(job_id_of(second))


async def test_an_upload_beyond_the_quota_is_told_to_its_owner_as_a_failed_job(stage: Stage, user: UserId) -> None:
    """In the log and at once; nothing is taken or counted for it."""
    told: list[JobEvent] = []
    stage.ground.bus.subscribe(user, lambda notice: told.append(notice) if isinstance(notice, JobEvent) else None)
    job = await refused_for_its_quota(stage, user)

    assert job.failure is not None
    assert (Status.FAILED, "quota_exceeded", True) == (job.status, job.failure.code, job.failure.retryable)
    assert [(EventType.FAILED, job)] == [(event.type, event.job) for event in told[1:]]
    assert ["job.failed"] == await stage.ground.events(job)
    assert (1, 1) == await stage.ground.usage(user)
    assert Counts(1, 1) == await stage.ground.counts(user)
    assert 0 == await stage.left()


async def test_a_refused_upload_stays_refused_when_its_event_is_told_again(stage: Stage, user: UserId) -> None:
    """Its owner is told once more, in case whoever refused it died before; and may have it done when there is room."""
    job = await refused_for_its_quota(stage, user)
    async with stage.intake() as running:
        await stage.tell((job.input_url or "").split("/", 3)[3])
        await running.until(Outcome.REPLAYED)

    assert job == await stage.ground.table.get(job.job_id)
    assert ["job.failed"] * 2 == await stage.ground.events(job)
    assert (1, 1) == await stage.ground.usage(user)
    retried = await stage.ground.control().retry(job)
    assert (Status.QUEUED, job.input_url) == (retried.job.status, retried.job.input_url)


async def test_an_upload_of_a_user_with_too_many_jobs_is_taken_in_later(stage: Stage, user: UserId) -> None:
    """Copies wait for it, so that no receive is used up."""
    first, second = key_of(user), key_of(user)
    async with stage.intake(stage.submission(ONE_AT_A_TIME)) as running:
        await stage.tell(first)
        await running.until(Outcome.TAKEN)
        await stage.tell(second)
        await running.until(Outcome.PUT_OFF, 4)
        job = await stage.ground.table.get(job_id_of(first))
        await story.complete(stage.ground.table, await story.claim(stage.ground.table, job))
        await running.until(Outcome.TAKEN, 2)

    assert [job.job_id, job_id_of(second)] == await stage.ground.messages()
    assert (2, 2) == await stage.ground.usage(user)
    assert 0 == await stage.left()


async def test_an_upload_that_has_waited_for_a_day_is_told_as_a_failed_job(stage: Stage, user: UserId) -> None:
    """It must not wait until its message expires."""
    first, second = key_of(user), key_of(user)
    upload, yesterday = read_key(second), clock.now_milliseconds() - clock.DAY_SECONDS * 1000
    assert upload is not None
    async with stage.intake(stage.submission(ONE_AT_A_TIME)) as running:
        await stage.tell(first)
        await running.until(Outcome.TAKEN)
        await stage.queue.put_off(upload, delay_seconds=0, times_put_off=90, waits_since=yesterday)
        await running.until(Outcome.REFUSED)
    job = await stage.ground.table.get(upload.job_id)

    assert job.failure is not None
    assert ("too_many_jobs", True) == (job.failure.code, job.failure.retryable)
    assert (1, 1) == await stage.ground.usage(user)


async def test_whose_jobs_fill_the_flight_has_the_next_one_watched(stage: Stage, user: UserId) -> None:
    """It is stored and told to wait; whoever admits jobs follows the ends of the others."""
    first, second = key_of(user), key_of(user)
    async with stage.intake(stage.submission(replace(PLENTY, in_flight=1))) as running:
        await stage.tell(first)
        await running.until(Outcome.TAKEN)
        await stage.tell(second)
        await running.until(Outcome.TAKEN, 2)

    assert [user] == running.watched
    assert [job_id_of(first)] == await stage.ground.messages()
    assert (await stage.ground.table.get(job_id_of(second))).waiting


@pytest.mark.parametrize("word", ["none", "blocked", "no units"])
async def test_a_link_signed_before_an_erasure_brings_nothing_afterwards(
    stage: Stage, user: UserId, key: str, word: str
) -> None:
    """The photo is taken away and nobody is told, whatever an operator has said; a link signed afterwards is as good as any."""
    users = stage.ground.table.users
    if word == "no units":
        await users.set_daily_limit(user, 0)
    await users.set_blocked(user, word == "blocked")
    await users.begin_erasing(user)
    await users.erase(user)
    await stage.put(key)
    async with stage.intake() as running:
        await running.until(Outcome.REFUSED)
        await users.set_blocked(user, False)
        await users.set_daily_limit(user, None)
        later = key_of(user)
        await stage.put(later)
        await running.until(Outcome.TAKEN)

    with pytest.raises(JobNotFound):
        await stage.ground.table.get(job_id_of(key))
    listed = await stage.ground.clients.s3.list_objects_v2(Bucket=stage.bucket, Prefix=f"reports/{user}/")
    assert [later] == [found["Key"] for found in listed["Contents"]]
    assert {job_id_of(later)} == {
        job_id for job_id, *_ in await story.log_of(stage.ground.clients, stage.ground.tables, user)
    }


async def test_a_photo_that_arrives_during_an_erasure_goes_with_the_account(
    stage: Stage, user: UserId, key: str
) -> None:
    """The erasure may have looked through the files already."""
    await stage.ground.table.users.begin_erasing(user)
    await stage.put(key)
    async with stage.intake() as running:
        await running.until(Outcome.REFUSED)

    listed = await stage.ground.clients.s3.list_objects_v2(Bucket=stage.bucket, Prefix=f"reports/{user}/")
    assert 0 == listed["KeyCount"]
    assert [] == await story.log_of(stage.ground.clients, stage.ground.tables, user)
