"""An owner cancels a job or wants it once more: each twice, each against whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

import pytest

from jobs import clock, moves
from jobs.control import Canceled, CancelOutcome, Control
from jobs.errors import JobEnded, JobNotEnded, LostClaim, QuotaExceeded, UploadNotFound
from jobs.events import Stage
from jobs.ids import UserId
from jobs.items import s3_key
from jobs.job_table import IdempotencyKey, Limits
from jobs.model import Charge, Status
from tests.aws_faults import AnswersLost
from tests.jobs.ground import Counts, Ground
from tests.jobs.mishaps import held_back, overtaken
from tests.jobs.story import FAILURE, LIMITS, claim, complete, new_job, output_of, stored

T = TypeVar("T")


async def test_a_queued_job_is_canceled_before_it_starts(ground: Ground, user: UserId) -> None:
    """Its unit comes back, and no worker will have it."""
    job = await stored(ground.table, user)
    canceled = await ground.control().cancel(job)

    assert (CancelOutcome.BEFORE_START, True) == (canceled.outcome, canceled.given_back)
    assert canceled.job == await ground.table.get(job.job_id)
    assert (0, 0) == await ground.usage(user)
    assert Counts(0, 0) == await ground.counts(user)
    assert ["job.canceled"] == await ground.terminal_events(job)
    with pytest.raises(JobEnded):
        await claim(ground.table, job)


async def test_a_job_that_is_canceled_before_it_was_charged_is_never_charged(ground: Ground, user: UserId) -> None:
    """The submitter comes with the charge when all is over."""
    job = await ground.table.create(new_job(user), LIMITS)
    await ground.control().cancel(job)

    with pytest.raises(LostClaim):
        await ground.table.apply(job, moves.queued(clock.now_milliseconds()))
    assert (0, 0) == await ground.usage(user)


async def test_a_job_that_waits_for_another_try_is_canceled_before_it_starts(ground: Ground, user: UserId) -> None:
    """Nobody works on it just now."""
    job = await ground.running(user)
    released = await ground.table.apply(job, moves.released("me", clock.now_milliseconds()))
    canceled = await ground.control().cancel(released)

    assert (CancelOutcome.BEFORE_START, True) == (canceled.outcome, canceled.given_back)


@pytest.mark.parametrize(
    ("stage", "charge"),
    [
        (Stage.DOWNLOADING, Charge.RETURNED),
        (Stage.PREPARING, Charge.RETURNED),
        (Stage.GENERATING, Charge.CHARGED),
        (Stage.STORING, Charge.CHARGED),
        (None, Charge.CHARGED),
    ],
)
async def test_a_running_job_costs_its_unit_from_the_gemini_call_on(
    ground: Ground, user: UserId, stage: Stage | None, charge: Charge
) -> None:
    """And where nobody can say how far it is."""
    job = await ground.running(user, stage)
    canceled = await ground.control().cancel(job)
    kept = int(charge is Charge.CHARGED)

    assert (CancelOutcome.WHILE_RUNNING, charge) == (canceled.outcome, canceled.job.charge)
    assert (kept, kept) == await ground.usage(user)
    assert Counts(0, 0) == await ground.counts(user)
    assert ["job.canceled"] == await ground.terminal_events(job)


async def test_a_job_whose_worker_is_gone_costs_nothing(ground: Ground, user: UserId) -> None:
    """Its lease is over: nobody is in a call."""
    job = await claim(ground.table, await stored(ground.table, user), lease=-1)
    canceled = await ground.control().cancel(job)

    assert canceled.given_back
    assert (0, 0) == await ground.usage(user)


@pytest.mark.parametrize("stage", [Stage.DOWNLOADING, Stage.GENERATING])
async def test_canceling_twice_is_the_same_as_once(ground: Ground, user: UserId, stage: Stage) -> None:
    """The second answer says the same about the unit, from whichever state of the job the wish came."""
    job = await ground.running(user, stage)
    first = await ground.control().cancel(job)
    for seen in (job, first.job):
        again = await ground.control().cancel(seen)
        assert CancelOutcome.ALREADY_CANCELED == again.outcome
        assert (first.job, first.given_back) == (again.job, again.given_back)
    assert 1 == len(await ground.terminal_events(job))


async def test_a_cancel_whose_answer_was_lost_is_no_second_one(ground: Ground, user: UserId) -> None:
    """The second attempt finds the first one's write."""
    job = await stored(ground.table, user)
    canceled = await ground.on(AnswersLost(ground.clients.dynamodb, 1)).control().cancel(job)

    assert (CancelOutcome.BEFORE_START, True) == (canceled.outcome, canceled.given_back)
    assert (0, 0) == await ground.usage(user)
    assert Counts(0, 0) == await ground.counts(user)


async def test_a_completed_job_is_not_canceled(ground: Ground, user: UserId) -> None:
    """It says so, and nothing changes."""
    job = await ground.running(user)
    done = await complete(ground.table, job)
    canceled = await ground.control().cancel(job)

    assert Canceled(job=done, outcome=CancelOutcome.TOO_LATE) == canceled
    assert not canceled.given_back
    assert (1, 1) == await ground.usage(user)


async def test_a_failed_job_is_not_canceled_though_its_unit_is_back(ground: Ground, user: UserId) -> None:
    """Too late, and it costs nothing either."""
    job = await ground.running(user)
    await ground.table.apply(job, moves.failed(FAILURE, clock.now_milliseconds(), owner="me", keeps_charge=False))
    canceled = await ground.control().cancel(job)

    assert (CancelOutcome.TOO_LATE, True) == (canceled.outcome, canceled.given_back)


async def test_a_claim_that_a_cancel_overtakes_does_not_run(ground: Ground, user: UserId) -> None:
    """The worker has read a queued job; by the time it writes the job is over."""
    job = await stored(ground.table, user)
    slow = held_back(ground)
    claiming = claim(ground.on(slow).table, job)
    result = await overtaken(slow, claiming, ground.control().cancel(job))

    assert isinstance(result, JobEnded)
    assert ["job.queued", "job.canceled"] == await ground.events(job)
    assert (0, 0) == await ground.usage(user)
    assert Counts(0, 0) == await ground.counts(user)


async def test_a_cancel_that_a_claim_overtakes_cancels_a_running_job(ground: Ground, user: UserId) -> None:
    """What it costs is decided anew: nobody here can say how far the worker is."""
    job = await stored(ground.table, user)
    slow = held_back(ground)
    canceling = ground.on(slow).control().cancel(job)
    result = await overtaken(slow, canceling, claim(ground.table, job))

    assert isinstance(result, Canceled)
    assert (CancelOutcome.WHILE_RUNNING, False) == (result.outcome, result.given_back)
    assert ["job.queued", "job.processing", "job.canceled"] == await ground.events(job)
    assert (1, 1) == await ground.usage(user)
    assert Counts(0, 0) == await ground.counts(user)


async def test_a_completion_that_a_cancel_overtakes_counts_no_picture(ground: Ground, user: UserId) -> None:
    """The call was made, so the unit is kept."""
    job = await ground.running(user, Stage.STORING)
    slow = held_back(ground)
    completing = complete(ground.on(slow).table, job)
    result = await overtaken(slow, completing, ground.control().cancel(job))

    assert isinstance(result, JobEnded)
    assert Status.CANCELED == (await ground.table.get(job.job_id)).status
    assert ["job.canceled"] == await ground.terminal_events(job)
    assert (1, 1) == await ground.usage(user)
    assert Counts(0, 0, 0) == await ground.counts(user)


async def test_a_cancel_that_a_completion_overtakes_is_too_late(ground: Ground, user: UserId) -> None:
    """The picture is delivered, and charged."""
    job = await ground.running(user, Stage.DOWNLOADING)
    slow = held_back(ground)
    canceling = ground.on(slow).control().cancel(job)
    result = await overtaken(slow, canceling, complete(ground.table, job))

    assert isinstance(result, Canceled)
    assert (CancelOutcome.TOO_LATE, False) == (result.outcome, result.given_back)
    assert ["job.completed"] == await ground.terminal_events(job)
    assert (1, 1) == await ground.usage(user)
    assert Counts(0, 0, 1) == await ground.counts(user)


async def test_whoever_is_first_there_is_one_end(ground: Ground, user: UserId) -> None:
    """Three cancels, a completion and a failure at once."""
    job = await ground.running(user)
    now = clock.now_milliseconds()
    await asyncio.gather(
        *(ground.control().cancel(job) for _ in range(3)),
        complete(ground.table, job),
        ground.table.apply(job, moves.failed(FAILURE, now, owner="me", keeps_charge=False)),
        return_exceptions=True,
    )
    after = await ground.table.get(job.job_id)
    kept = int(after.charge is Charge.CHARGED)

    assert [f"job.{after.status}"] == await ground.terminal_events(job)
    assert (kept, kept) == await ground.usage(user)
    assert Counts(0, 0, int(after.status is Status.COMPLETED)) == await ground.counts(user)


async def test_the_worker_of_a_canceled_job_writes_nothing_more(ground: Ground, user: UserId) -> None:
    """Neither a result nor a failure, nor does it hand the job back."""
    job = await ground.running(user)
    canceled = (await ground.control().cancel(job)).job
    now = clock.now_milliseconds()
    for move in (
        moves.completed("me", output_of(job), now),
        moves.failed(FAILURE, now, owner="me", keeps_charge=False),
        moves.released("me", now),
    ):
        with pytest.raises(JobEnded):
            await ground.table.apply(job, move)

    assert canceled == await ground.table.get(job.job_id)


async def test_a_retry_is_a_new_job_of_the_same_input(ground: Ground, user: UserId) -> None:
    """Charged like any other; the old one stays what it is."""
    url = await ground.upload(user)
    job = replace(new_job(user), input_url=url)
    await ground.table.create(job, LIMITS)
    ended = (await ground.control().cancel(job)).job
    again = (await ground.control().retry(ended)).job

    assert (job.job_id, url) == (again.retry_of, again.input_url)
    assert (job.style, job.prompt, job.pipeline) == (again.style, again.prompt, again.pipeline)
    assert again == await ground.table.get(again.job_id)
    assert ended == await ground.table.get(job.job_id)
    assert [again.job_id] == await ground.messages()
    assert (1, 1) == await ground.usage(user)


async def test_a_retry_is_repeated_by_its_key(ground: Ground, user: UserId) -> None:
    """One key, one job, here too."""
    key = IdempotencyKey(text="again", body_hash="of the retry")
    job = replace(new_job(user), input_url=None)
    await ground.table.create(job, LIMITS)
    ended = (await ground.control().cancel(job)).job
    first, second = [await ground.control().retry(ended, key) for _ in range(2)]

    assert (False, True) == (first.replayed, second.replayed)
    assert first.job == second.job


async def test_a_retry_without_a_unit_left_is_refused(ground: Ground, user: UserId) -> None:
    """The quota knows no exception."""
    job = await ground.running(user)
    done = await complete(ground.table, job)
    control = Control(ground.table, ground.files, ground.submission(Limits(daily=1)), ground.bus)

    with pytest.raises(QuotaExceeded):
        await control.retry(replace(done, input_url=None))


async def test_an_unfinished_job_is_not_retried(ground: Ground, user: UserId) -> None:
    """It may still succeed."""
    job = await stored(ground.table, user)

    with pytest.raises(JobNotEnded):
        await ground.control().retry(job)
    assert (1, 1) == await ground.usage(user)


async def test_a_job_whose_upload_is_gone_is_not_retried(ground: Ground, user: UserId) -> None:
    """Uploads are kept for a month; nothing is charged for finding that out."""
    url = await ground.upload(user)
    job = replace(new_job(user), input_url=url)
    await ground.table.create(job, LIMITS)
    ended = (await ground.control().cancel(job)).job
    await ground.clients.s3.delete_object(Bucket=ground.upload_bucket, Key=s3_key(url))

    with pytest.raises(UploadNotFound):
        await ground.control().retry(ended)
    assert (0, 0) == await ground.usage(user)
