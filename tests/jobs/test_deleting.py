"""An owner deletes a job: once, twice, and against whatever happens meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs import clock, moves
from jobs.errors import JobNotFound, LostClaim, UploadNotFound
from jobs.ids import UserId
from jobs.model import Job
from tests.jobs.ground import Counts, Ground, request_of
from tests.jobs.mishaps import held_back, overtaken
from tests.jobs.story import FAILURE, claim, complete, output_of, stored


async def delivered(ground: Ground, user: UserId) -> Job:
    """Have a job done, with a result in S3."""
    job = await ground.running(user)
    url = await ground.files.write_result(user, job.job_id, b"a picture", content_type="image/png", extension=".png")
    output = replace(output_of(job), url=url)
    return await ground.table.apply(job, moves.completed("me", output, clock.now_milliseconds()))


async def test_a_deleted_job_and_its_result_are_gone(ground: Ground, user: UserId) -> None:
    """The log tells of it once more, with a newer version; what was used stays used."""
    done = await delivered(ground, user)
    assert done.output is not None
    assert done.output.url is not None
    await ground.control().delete(done)

    with pytest.raises(JobNotFound):
        await ground.table.get(done.job_id)
    with pytest.raises(UploadNotFound):
        await ground.files.check_exists(done.output.url)
    assert ["job.completed", "job.deleted"] == (await ground.events(done))[-2:]
    assert () == (await ground.table.page(user, limit=10, status=None, cursor=None)).jobs
    assert (1, 1) == await ground.usage(user)
    assert Counts(0, 0, 1) == await ground.counts(user)


async def test_deleting_twice_is_the_same_as_once(ground: Ground, user: UserId) -> None:
    """The second wish may have read the job before the first one was done."""
    done = await delivered(ground, user)
    await ground.control().delete(done)
    await ground.control().delete(done)

    assert Counts(0, 0, 1) == await ground.counts(user)
    assert {"job.deleted"} == set((await ground.events(done))[3:])


@pytest.mark.parametrize("is_claimed", [False, True])
async def test_an_unfinished_job_is_canceled_and_then_deleted(
    ground: Ground, user: UserId, *, is_claimed: bool
) -> None:
    """Its worker finds nothing to write to."""
    job = await stored(ground.table, user)
    held = await claim(ground.table, job) if is_claimed else job
    await ground.control().delete(held)

    with pytest.raises(JobNotFound):
        await ground.table.get(job.job_id)
    with pytest.raises(LostClaim):
        await complete(ground.table, held)
    assert ["job.canceled", "job.deleted"] == (await ground.events(job))[-2:]
    assert Counts(0, 0) == await ground.counts(user)


async def test_a_job_that_completes_while_it_is_deleted_leaves_no_result(ground: Ground, user: UserId) -> None:
    """The wish came while it ran; the completion was faster than the cancel."""
    job = await ground.running(user)
    url = await ground.files.write_result(user, job.job_id, b"a", content_type="image/png", extension=".png")
    move = moves.completed("me", replace(output_of(job), url=url), clock.now_milliseconds())
    slow = held_back(ground)
    await overtaken(slow, ground.on(slow).control().delete(job), ground.table.apply(job, move))

    with pytest.raises(JobNotFound):
        await ground.table.get(job.job_id)
    with pytest.raises(UploadNotFound):
        await ground.files.check_exists(url)


async def test_the_message_of_a_deleted_job_hurts_nobody(ground: Ground, user: UserId) -> None:
    """Whatever is still under way finds that the job is over, and makes no new one."""
    job = (await ground.submission().submit(request_of(user))).job
    await ground.control().delete(job)
    now = clock.now_milliseconds()
    for move in (
        moves.claimed("you", now + 60_000, now),
        moves.queued(now),
        moves.sent_again(now),
        moves.brought_back(now),
        moves.expired(now),
    ):
        with pytest.raises(LostClaim):
            await ground.table.apply(job, move)

    with pytest.raises(JobNotFound):
        await ground.table.get(job.job_id)
    assert (0, 0) == await ground.usage(user)
    assert Counts(0, 0) == await ground.counts(user)


async def test_a_delete_that_a_redrive_overtakes_leaves_the_counts_right(ground: Ground, user: UserId) -> None:
    """The owner saw a failed job; before the wish is written an operator has brought the job back."""
    job = await ground.running(user)
    now = clock.now_milliseconds()
    failed = await ground.table.apply(job, moves.failed(FAILURE, now, owner="me", keeps_charge=False))
    await ground.table.apply(failed, moves.brought_back(now))
    await ground.control().delete(failed)

    assert Counts(0, 0) == await ground.counts(user)
