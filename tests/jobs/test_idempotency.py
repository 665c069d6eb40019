"""One key, one job: whatever is sent twice, at once, or again after a lost answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from jobs import clock
from jobs.errors import JobNotFound, KeyReused, QueueRefused, QuotaExceeded, TooManyJobs
from jobs.ids import UserId
from jobs.job_table import IdempotencyKey, Limits
from jobs.work_queue import WorkQueue
from tests.aws_faults import AnswersLost
from tests.jobs.ground import Counts, Ground, request_of

KEY = IdempotencyKey(text="a key of the caller's 🔑", body_hash="one")
OTHER_BODY = replace(KEY, body_hash="two")


async def test_the_same_request_twice_is_one_job_and_one_unit(ground: Ground, user: UserId) -> None:
    """The second one gets the first one's job, as it is now."""
    submission = ground.submission()
    first = await submission.submit(request_of(user), KEY)
    second = await submission.submit(request_of(user), KEY)

    assert (False, True) == (first.replayed, second.replayed)
    assert first.job == second.job
    assert (1, 1) == await ground.usage(user)
    assert Counts(1, 1) == await ground.counts(user)
    assert [first.job.job_id] == await ground.messages()


async def test_ten_requests_at_once_are_one_job(ground: Ground, user: UserId) -> None:
    """One makes it, nine find it."""
    results = await asyncio.gather(*(ground.submission().submit(request_of(user), KEY) for _ in range(10)))

    assert 1 == len({result.job.job_id for result in results})
    assert 9 == sum(result.replayed for result in results)
    assert (1, 1) == await ground.usage(user)
    assert Counts(1, 1) == await ground.counts(user)
    assert [results[0].job.job_id] == await ground.messages()


async def test_another_request_under_a_used_key_is_refused(ground: Ground, user: UserId) -> None:
    """Nothing is taken for it."""
    await ground.submission().submit(request_of(user), KEY)
    with pytest.raises(KeyReused):
        await ground.submission().submit(request_of(user), OTHER_BODY)

    assert (1, 1) == await ground.usage(user)


async def test_two_users_may_choose_the_same_key(ground: Ground, user: UserId) -> None:
    """A key is its user's own."""
    mine = await ground.submission().submit(request_of(user), KEY)
    yours = await ground.submission().submit(request_of(UserId(f"{user}-2")), OTHER_BODY)

    assert mine.job.job_id != yours.job.job_id
    assert not yours.replayed


async def test_a_key_may_be_used_anew_after_a_day(ground: Ground, user: UserId) -> None:
    """DynamoDB removes expired records days late; one that is still there does not count."""
    record: Any = {
        "jobId": KEY.record_id(user),
        "target": "job_of_yesterday",
        "body": "another",
        "expiresAt": clock.now_milliseconds() // 1000 - 1,
    }
    await ground.clients.dynamodb.put_item(TableName=ground.tables.jobs, Item=record)
    first = await ground.submission().submit(request_of(user), KEY)
    second = await ground.submission().submit(request_of(user), KEY)

    assert not first.replayed
    assert second.replayed
    assert first.job.job_id == second.job.job_id


async def test_a_lost_answer_makes_no_stranger_of_ones_own_job(ground: Ground, user: UserId) -> None:
    """The second attempt finds both the job and the key; they are its own."""
    submission = ground.on(AnswersLost(ground.clients.dynamodb, 1)).submission()
    submitted = await submission.submit(request_of(user), KEY)

    assert not submitted.replayed
    assert (1, 1) == await ground.usage(user)
    assert Counts(1, 1) == await ground.counts(user)
    assert [submitted.job.job_id] == await ground.messages()


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [(Limits(daily=1), QuotaExceeded), (Limits(daily=9, unfinished=1), TooManyJobs)],
)
async def test_a_refused_request_does_not_use_up_its_key(
    ground: Ground, user: UserId, limits: Limits, refusal: type[Exception]
) -> None:
    """The key goes with the job, or not at all."""
    await ground.submission().submit(request_of(user))
    with pytest.raises(refusal):
        await ground.submission(limits).submit(request_of(user), KEY)
    later = await ground.submission().submit(request_of(user), OTHER_BODY)

    assert not later.replayed
    assert (2, 2) == await ground.usage(user)


async def test_a_repeated_request_is_answered_although_nothing_more_is_allowed(ground: Ground, user: UserId) -> None:
    """The last unit, the last place, and the same request once more."""
    submission = ground.submission(Limits(daily=1, unfinished=1, in_flight=1))
    first = await submission.submit(request_of(user), KEY)
    second = await submission.submit(request_of(user), KEY)

    assert second.replayed
    assert first.job == second.job


async def test_a_waiting_job_is_found_by_its_key(ground: Ground, user: UserId) -> None:
    """It is stored twice over: refused once for want of room, then as a waiting one, with one key."""
    submission = ground.submission(Limits(daily=9, in_flight=1))
    await submission.submit(request_of(user))
    first = await submission.submit(request_of(user), KEY)
    second = await submission.submit(request_of(user), KEY)

    assert first.job.waiting
    assert (False, True) == (first.replayed, second.replayed)
    assert first.job == second.job
    assert (2, 1) == await ground.usage(user)


@pytest.mark.parametrize("key", [KEY, OTHER_BODY])
async def test_the_key_of_a_request_that_the_queue_refused_is_free(
    ground: Ground, user: UserId, unreachable_queue: WorkQueue, key: IdempotencyKey
) -> None:
    """The caller may try the very same request again, or another; that one then has the key."""
    with pytest.raises(QueueRefused) as caught:
        await replace(ground, queue=unreachable_queue).submission().submit(request_of(user), KEY)
    again = await ground.submission().submit(request_of(user), key)
    replayed = await ground.submission().submit(request_of(user), key)

    assert caught.value.job_id != again.job.job_id
    assert (False, True) == (again.replayed, replayed.replayed)
    assert again.job.job_id == replayed.job.job_id
    assert (1, 1) == await ground.usage(user)
    assert Counts(1, 1) == await ground.counts(user)


async def test_the_key_of_a_refused_request_is_given_to_one_of_ten(
    ground: Ground, user: UserId, unreachable_queue: WorkQueue
) -> None:
    """Even when they all come at once."""
    with pytest.raises(QueueRefused):
        await replace(ground, queue=unreachable_queue).submission().submit(request_of(user), KEY)
    submitted = await asyncio.gather(*(ground.submission().submit(request_of(user), KEY) for _ in range(10)))

    assert 1 == len({one.job.job_id for one in submitted})
    assert 1 == sum(not one.replayed for one in submitted)
    assert Counts(1, 1) == await ground.counts(user)


async def test_the_record_of_a_key_is_no_job(ground: Ground, user: UserId) -> None:
    """It lies among the jobs, and is none of them."""
    submitted = await ground.submission().submit(request_of(user), KEY)

    with pytest.raises(JobNotFound):
        await ground.table.get(type(submitted.job.job_id)(KEY.record_id(user)))
    assert (submitted.job,) == (await ground.table.page(user, limit=10, status=None, cursor=None)).jobs
