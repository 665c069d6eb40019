"""The pool, from the queue to the stored result, on the real wire protocols."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from PIL import Image

from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt
from consumers.heartbeat import Heartbeat
from consumers.pool import Pool
from jobs.control import Control
from jobs.errors import CloudUnavailable, QueueRefused
from jobs.events import JobProgress
from jobs.ids import UserId
from jobs.items import s3_key
from jobs.job_table import JobTable, Limits
from jobs.model import Charge, Job, Status
from jobs.submission import Request, Submission
from jobs.work_queue import Delivery, WorkQueue
from tests.aws_faults import HeldBack
from tests.consumers.house import House, Story


async def stored_picture(house: House, cloud_environment: Mapping[str, str], url: str | None) -> Image.Image:
    """Read a stored result."""
    assert url is not None
    answer = await house.clients.s3.get_object(Bucket=cloud_environment["RESULT_BUCKET"], Key=s3_key(url))
    return Image.open(io.BytesIO(await answer["Body"].read()))


async def test_a_job_becomes_a_stored_picture(
    house: House, story: Story, user: UserId, photo: bytes, cloud_environment: Mapping[str, str]
) -> None:
    """The result lies under its job's key, the unit is charged once, and the message is gone."""
    job = await house.submit(user, photo)
    async with house.pool():
        done = await story.until("job.completed")
    assert done.output is not None
    assert done.output.url is not None
    picture = await stored_picture(house, cloud_environment, done.output.url)

    assert f"generated/{user}/{job.job_id}.png" == s3_key(done.output.url)
    assert ("PNG", (done.output.facts["width"], done.output.facts["height"])) == (picture.format, picture.size)
    assert story.events == ["job.queued", "job.processing", "job.completed"]
    assert await house.usage(user) == (1, 1)
    assert await house.messages(house.queue_url) == 0


async def test_progress_passes_through_the_stages_in_order(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """Each stage is told once, further along than the one before, and forgotten at the end."""
    job = await house.submit(user, photo)
    async with house.pool():
        await story.until("job.completed")
    progress = [notice for notice in story.notices if isinstance(notice, JobProgress)]

    assert [notice.stage.value for notice in progress] == ["downloading", "preparing", "generating", "storing"]
    assert sorted(notice.fraction for notice in progress) == [notice.fraction for notice in progress]
    assert house.bus.progress_of(job.job_id) is None


async def test_a_result_is_stored_as_what_it_is(
    house: House, story: Story, user: UserId, photo: bytes, cloud_environment: Mapping[str, str]
) -> None:
    """The model answers JPEG although PNG is usual."""
    await house.submit(user, photo, "[[sim:jpeg]]")
    async with house.pool():
        done = await story.until("job.completed")
    assert done.output is not None
    assert done.output.url is not None

    assert done.output.url.endswith(".jpg")
    assert done.output.facts["contentType"] == "image/jpeg"
    assert (await stored_picture(house, cloud_environment, done.output.url)).format == "JPEG"


async def test_rejected_content_fails_at_once_and_keeps_its_charge(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """There is no retry."""
    await house.submit(user, photo, "[[sim:safety]]")
    async with house.pool():
        job = await story.until("job.failed")
    assert job.failure is not None

    assert (job.failure.code, job.failure.retryable, job.attempt) == ("content_rejected", False, 1)
    assert await house.usage(user) == (1, 1)
    assert await house.messages(house.queue_url) == 0


@pytest.mark.parametrize(("marker", "has_trace"), [("[[sim:safety]]", False), ("[[sim:text]]", True)])
async def test_a_failure_is_traced_unless_its_owner_brought_it_about(
    house: House,
    story: Story,
    user: UserId,
    photo: bytes,
    caplog: pytest.LogCaptureFixture,
    marker: str,
    has_trace: bool,
) -> None:
    """Twenty lines for each refused photo would hide what is ours to mend."""
    await house.submit(user, photo, marker)
    async with house.pool():
        await story.until("job.failed")

    [record] = [record for record in caplog.records if vars(record).get("action") == "job_failed"]
    assert has_trace == (record.exc_info is not None)


def png_header(width: int, height: int) -> bytes:
    """Write the start of a PNG that promises so many pixels, and nothing after it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize(
    ("upload", "what"),
    [
        (b"just a text file, named .jpg", "text"),
        (b"", "empty"),
        (b"%PDF-1.7 ...", "pdf"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "gif"),
        (None, "truncated"),
        (png_header(30_000, 30_000), "bomb"),
        (png_header(33, 30_000), "sliver"),
        (png_header(8, 8), "tiny"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_upload_that_is_no_photo_fails_the_job_and_gives_the_unit_back(
    house: House, story: Story, user: UserId, photo: bytes, upload: bytes | None, what: str
) -> None:
    """The worker alone can see it; Gemini is never called."""
    await house.reset_simulator()
    await house.submit(user, photo[: len(photo) // 2] if upload is None else upload, what)
    async with house.pool():
        job = await story.until("job.failed")
    assert job.failure is not None

    assert (job.failure.code, job.failure.retryable, job.charge) == ("invalid_image", False, Charge.RETURNED)
    assert await house.usage(user) == (0, 0)
    assert (await house.simulator_stats())["calls"] == 0


async def test_an_upload_that_vanished_fails_the_job(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """It was there at submission and is gone at work."""
    url = await house.upload(user, photo)
    await house.clients.s3.delete_object(Bucket=house.upload_bucket, Key=s3_key(url))
    job = await house.submit(user, photo)
    async with house.pool():
        await story.until("job.completed", job.job_id)
    other = await house.submit(user, photo)
    assert other.input_url is not None
    await house.clients.s3.delete_object(Bucket=house.upload_bucket, Key=s3_key(other.input_url))
    async with house.pool():
        failed = await story.until("job.failed", other.job_id)
    assert failed.failure is not None

    assert failed.failure.code == "invalid_image"


async def test_a_passing_failure_is_tried_again(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """The first call fails, the second gives the picture: the same attempt, no receive burnt, charged once."""
    await house.submit(user, photo, f"[[sim:500-once]] {user}")
    async with house.pool():
        done = await story.until("job.completed")

    assert ["job.queued", "job.processing", "job.completed"] == story.events
    assert 1 == done.attempt
    assert (1, 1) == await house.usage(user)
    assert (1, 1) == (done.use.calls, done.use.pictures)


@pytest.mark.parametrize("marker", ["[[sim:text]]", "[[sim:no-image]]"])
async def test_an_answer_without_a_picture_fails_after_some_tries(
    house: House, story: Story, user: UserId, photo: bytes, marker: str
) -> None:
    """The dice may fall better another time, but not for ever; the unit is given back."""
    await house.reset_simulator()
    await house.submit(user, photo, marker)
    async with house.pool():
        job = await story.until("job.failed")
    assert job.failure is not None

    assert ("unusable_answer", True, 1) == (job.failure.code, job.failure.retryable, job.attempt)
    assert 3 == (await house.simulator_stats())["calls"]
    assert (0, 0) == await house.usage(user)
    assert (3, 0) == (job.use.calls, job.use.pictures)
    assert 0 < job.use.tokens["prompt"]


async def test_a_message_delivered_twice_at_once_calls_gemini_once(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The queue holds the job's message twice; one delivery claims it, the other leaves it alone."""
    await house.reset_simulator()
    job = await house.submit(user, photo)
    await house.queue.send(job)
    async with house.pool():
        await story.until("job.completed")

    assert (await house.simulator_stats())["calls"] == 1
    assert story.events.count("job.completed") == 1
    assert await house.usage(user) == (1, 1)


async def test_foreign_messages_hurt_nobody(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """Text, other JSON and a job that never was lie before the real one: all are set aside."""
    for body in ("not json", '{"hello": 1}', '{"jobId": "job_unknown"}', '{"jobId": 7}'):
        await house.clients.sqs.send_message(QueueUrl=house.queue_url, MessageBody=body)
    await house.submit(user, photo)
    async with house.pool():
        await story.until("job.completed")

    assert 4 == await house.messages(house.dead_letters_url)
    assert 0 == await house.messages(house.queue_url)


async def test_the_message_of_a_deleted_job_is_silently_removed(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """It is no foreign one: no operator needs to look at it."""
    deleted = await house.submit(user, photo)
    await Control(house.table, house.files, house.submission, house.bus).delete(deleted)
    healthy = await house.submit(user, photo)
    async with house.pool() as pool:
        await story.until("job.completed", healthy.job_id)
        await pool.stop(20)

    assert 0 == await house.messages(house.queue_url)
    assert 0 == await house.messages(house.dead_letters_url)


async def test_a_stopped_pool_hands_its_job_back_and_the_next_completes_it(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """Four deployments with no grace: more than a message has receives. The job is completed by the fifth pool, charged once."""
    job = await house.submit(user, photo, "[[sim:slow=2]]")
    for number in range(1, 5):
        async with house.pool() as pool:
            await story.until("job.processing", times=number)
            await pool.stop(0)
    handed_back = await house.table.get(job.job_id)
    async with house.pool():
        await story.until("job.completed")

    assert (Status.QUEUED, None) == (handed_back.status, handed_back.owner)
    assert (1, 1) == await house.usage(user)
    assert 0 == await house.messages(house.dead_letters_url)


async def test_a_result_that_is_being_written_when_the_pool_stops_is_written(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The process goes away between Gemini's answer and the last transaction: nobody pays Gemini twice."""
    await house.reset_simulator()
    held_back = HeldBack(house.clients.dynamodb, only=lambda actions: "completed" in repr(actions))
    table = JobTable(cast(Any, held_back), house.tables, house.bus)
    await house.submit(user, photo)
    async with replace(house, workshop=replace(house.workshop, table=table)).pool() as pool:
        await held_back.reached.wait()
        stopping = asyncio.create_task(pool.stop(0))
        await asyncio.sleep(0)
        held_back.go.set()
        await stopping

    assert "job.completed" == story.events[-1]
    assert 1 == (await house.simulator_stats())["calls"]
    assert 0 == await house.messages(house.queue_url)


async def test_a_stopping_pool_lets_the_job_in_hand_end(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """The grace is longer than the job."""
    await house.submit(user, photo, "[[sim:slow=1]]")
    async with house.pool() as pool:
        await story.until("job.processing")
        await pool.stop(20)

    assert story.events[-1] == "job.completed"


async def test_no_more_jobs_run_than_there_are_slots(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """Eight jobs, three slots."""
    await house.reset_simulator()
    jobs = [await house.submit(user, photo, f"[[sim:slow=0.3]] {number}") for number in range(8)]
    async with house.pool(slots=3):
        for job in jobs:
            await story.until("job.completed", job.job_id)

    assert (await house.simulator_stats())["peakInFlight"] == 3


async def test_a_refusing_queue_fails_the_job_and_charges_nothing(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The caller learns the job's id."""
    nowhere = WorkQueue(house.clients.sqs, house.clients.receiver, url=f"{house.queue_url}-gone", visibility_seconds=20)
    request_url = await house.upload(user, photo)
    job = await house.submit(user, photo)

    with pytest.raises(QueueRefused) as caught:
        await Submission(house.table, nowhere, Limits(daily=100)).submit(
            Request(user_id=user, pipeline="profile-photo", style="professional", input_url=request_url)
        )
    refused = await house.table.get(caught.value.job_id)  # type: ignore[arg-type]

    assert job.job_id != refused.job_id
    assert (refused.status, refused.charge) == (Status.FAILED, Charge.RETURNED)
    assert await house.usage(user) == (1, 1)


async def test_a_pool_whose_fetcher_dies_says_so(house: House) -> None:
    """An error that is no outage must stop the process, not leave it silent."""

    class Broken(WorkQueue):
        async def receive(self, most: int) -> list[Delivery]:
            raise RuntimeError(most)

    queue = Broken(house.clients.sqs, house.clients.receiver, url=house.queue_url, visibility_seconds=5)

    acknowledger = Acknowledger(queue)
    pool = Pool(
        queue,
        lambda delivery: Attempt(house.workshop, delivery),
        house.gates,
        Heartbeat(house.table, queue),
        acknowledger,
        house.workshop.meters,
        slots=1,
    )
    pool.start()
    async with asyncio.timeout(5):
        await pool.failed
    await pool.stop(0)


async def test_a_queue_that_took_the_message_but_whose_answer_was_lost_makes_no_second_job(
    house: House, story: Story, user: UserId, photo: bytes
) -> None:
    """The worker has done the job before the submitter gives up waiting: it is charged and answered like any other."""

    class AnswerLost(WorkQueue):
        async def send(self, job: Job, *, delay_seconds: int = 0) -> None:
            await super().send(job, delay_seconds=delay_seconds)
            await story.until("job.completed")
            raise CloudUnavailable

    queue = AnswerLost(house.clients.sqs, house.clients.receiver, url=house.queue_url, visibility_seconds=20)
    request = Request(
        user_id=user, pipeline="profile-photo", style="professional", input_url=await house.upload(user, photo)
    )
    async with house.pool():
        job = (await Submission(house.table, queue, Limits(daily=100)).submit(request)).job
    done = await house.table.get(job.job_id)

    assert (Status.COMPLETED, Charge.CHARGED) == (done.status, done.charge)
    assert (1, 1) == await house.usage(user)


async def test_a_poison_body_hurts_nobody(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """JSON that nests deeper than Python can follow."""
    await house.clients.sqs.send_message(QueueUrl=house.queue_url, MessageBody="[" * 100_000)
    await house.submit(user, photo)
    async with house.pool() as pool:
        await story.until("job.completed")

    assert not pool.failed.done()
