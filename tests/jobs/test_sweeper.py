"""What a death has left behind is brought back, or to an end, and nothing else is touched."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace

import pytest

from jobs import clock, items, moves
from jobs.errors import CloudUnavailable, LostClaim
from jobs.ids import JobId, UserId
from jobs.items import STATUS_SHARDS
from jobs.job_table import Limits
from jobs.model import Charge, Failure, Job, Status
from jobs.sweeper import SweepTimes
from jobs.work_queue import WorkQueue
from tests.jobs.ground import PLENTY, Counts, Ground, request_of
from tests.jobs.mishaps import held_back, overtaken
from tests.jobs.story import LIMITS, claim, complete, new_job, stored

DAY_SECONDS = clock.DAY_SECONDS
LONG_SECONDS = 1_000
"""Older than every age at which a job counts as left behind, and younger than a message may grow."""
NOW = SweepTimes(unsent=0, lease=0, unclaimed=0)


async def unsent(ground: Ground, user: UserId) -> Job:
    """Store a job whose submitter died before it could send it."""
    return await ground.table.create(new_job(user, age_seconds=LONG_SECONDS), LIMITS)


async def abandoned(ground: Ground, user: UserId) -> Job:
    """Store a job whose worker vanished long ago."""
    job = await stored(ground.table, user, age_seconds=LONG_SECONDS)
    return await claim(ground.table, job, "ghost", age_seconds=LONG_SECONDS)


async def test_a_job_that_was_stored_and_never_sent_is_sent_and_charged_once(ground: Ground, user: UserId) -> None:
    """Its submitter died between the two; a second sweep finds nothing to do."""
    job = await unsent(ground, user)
    await ground.sweeper().sweep()
    await ground.sweeper().sweep()
    after = await ground.table.get(job.job_id)

    assert (Status.QUEUED, Charge.CHARGED, 2) == (after.status, after.charge, after.version)
    assert [job.job_id] == await ground.messages()
    assert ["job.queued"] == await ground.events(job)
    assert (1, 1) == await ground.usage(user, job.quota_day)
    assert Counts(1, 1) == await ground.counts(user)


async def test_a_job_whose_worker_vanished_is_brought_back(ground: Ground, user: UserId) -> None:
    """One crash older, with an event; whoever comes next may claim it at once."""
    job = await abandoned(ground, user)
    await ground.sweeper().sweep()
    after = await ground.table.get(job.job_id)
    held = await claim(ground.table, after, "next")

    assert (Status.QUEUED, 1, None, None) == (after.status, after.crashes, after.owner, after.lease_until)
    assert ["job.queued", "job.processing", "job.retrying", "job.processing"] == await ground.events(job)
    assert [job.job_id] == await ground.messages()
    assert (2, 1) == (held.attempt, held.crashes)
    assert (1, 1) == await ground.usage(user, job.quota_day)
    assert Counts(1, 1) == await ground.counts(user)


async def test_a_vanished_worker_that_comes_back_is_fenced_off(ground: Ground, user: UserId) -> None:
    """It slept through its lease and the sweep."""
    job = await abandoned(ground, user)
    await ground.sweeper().sweep()
    renewed = await ground.table.renew_lease(job.job_id, "ghost", clock.now_milliseconds() + 60_000)

    assert not renewed
    with pytest.raises(LostClaim):
        await complete(ground.table, job, "ghost")


async def test_the_third_worker_that_vanishes_ends_the_job(ground: Ground, user: UserId) -> None:
    """Two are brought back; the third time the job fails and its unit is given back."""
    job = await abandoned(ground, user)
    for crash in (1, 2):
        await ground.sweeper().sweep()
        job = await ground.table.get(job.job_id)
        assert (Status.QUEUED, crash) == (job.status, job.crashes)
        job = await claim(ground.table, job, f"ghost {crash}", age_seconds=LONG_SECONDS)
    await ground.sweeper().sweep()
    after = await ground.table.get(job.job_id)

    assert (Status.FAILED, Charge.RETURNED) == (after.status, after.charge)
    assert ("worker_lost", True) == (after.failure and (after.failure.code, after.failure.retryable))
    assert ["job.failed"] == await ground.terminal_events(job)
    assert (0, 0) == await ground.usage(user, job.quota_day)
    assert Counts(0, 0) == await ground.counts(user)


async def test_crashes_that_the_queue_noticed_count_too(ground: Ground, user: UserId) -> None:
    """Two workers vanished and SQS delivered the job again each time; the third one's end is the sweeper's to find."""
    job = await abandoned(ground, user)
    for ghost in ("second", "third"):
        job = await claim(ground.table, job, ghost, age_seconds=LONG_SECONDS / 2, lease=-1)
    await ground.sweeper().sweep()
    after = await ground.table.get(job.job_id)

    assert "worker_lost" == (after.failure and after.failure.code)
    assert [] == await ground.messages()


async def test_a_job_that_nobody_claims_gets_one_more_message(ground: Ground, user: UserId) -> None:
    """One per quarter of an hour; nothing visible changes."""
    job = await stored(ground.table, user, age_seconds=LONG_SECONDS)
    await ground.sweeper().sweep()
    first = await ground.messages()
    await ground.sweeper().sweep()
    second = await ground.messages()
    after = await ground.table.get(job.job_id)

    assert ([job.job_id], []) == (first, second)
    assert job == replace(after, sent_at=None)
    assert ["job.queued"] == await ground.events(job)


@pytest.mark.parametrize(("sent_seconds_ago", "is_sent"), [(1000, False), (1400, False), (2100, True)])
async def test_a_job_that_nobody_fetches_is_sent_ever_more_rarely(
    ground: Ground, user: UserId, sent_seconds_ago: int, *, is_sent: bool
) -> None:
    """Each wait is as long as all before it: an outage of days must not fill the queue."""
    job = await stored(ground.table, user, age_seconds=3000)
    await ground.table.apply(job, moves.sent_again(clock.now_milliseconds() - sent_seconds_ago * 1000))
    await ground.sweeper().sweep()

    assert is_sent == ([job.job_id] == await ground.messages())


async def test_a_job_that_waited_longer_than_its_message_lives_is_lost(ground: Ground, user: UserId) -> None:
    """It fails with a code of its own, and the day that was charged gets its unit back."""
    job = await stored(ground.table, user, age_seconds=5 * DAY_SECONDS)
    await ground.sweeper().sweep()
    after = await ground.table.get(job.job_id)

    assert (Status.FAILED, Charge.RETURNED) == (after.status, after.charge)
    assert ("message_lost", True) == (after.failure and (after.failure.code, after.failure.retryable))
    assert (0, 0) == await ground.usage(user, job.quota_day)
    assert Counts(0, 0) == await ground.counts(user)
    assert [] == await ground.messages()


async def test_an_old_job_that_an_operator_has_just_brought_back_is_not_lost(ground: Ground, user: UserId) -> None:
    """Its message is new, however old the job."""
    job = await stored(ground.table, user, age_seconds=5 * DAY_SECONDS)
    failure = Failure(code="provider_failure", message="It failed.", retryable=True)
    await ground.table.apply(job, moves.failed(failure, job.created_at, owner=None, keeps_charge=False))
    then = clock.now_milliseconds() - LONG_SECONDS * 1000
    back = await ground.table.apply(await ground.table.get(job.job_id), moves.brought_back(then))
    await ground.sweeper().sweep()

    assert Status.QUEUED == (await ground.table.get(back.job_id)).status


async def test_two_sweepers_at_once_do_each_thing_once(ground: Ground, user: UserId) -> None:
    """Two processes, or one that is too slow for its own interval."""
    jobs = [await unsent(ground, user), await abandoned(ground, user), await abandoned(ground, user)]
    lost = await stored(ground.table, user, age_seconds=5 * DAY_SECONDS)
    await asyncio.gather(*(ground.sweeper().sweep() for _ in range(3)))

    assert ["job.queued"] == await ground.events(jobs[0])
    assert ["job.queued", "job.processing", "job.retrying"] == await ground.events(jobs[1])
    assert ["job.failed"] == await ground.terminal_events(lost)
    assert [1, 1] == [(await ground.table.get(job.job_id)).crashes for job in jobs[1:]]
    assert (3, 3) == await ground.usage(user, jobs[0].quota_day)
    assert (0, 0) == await ground.usage(user, lost.quota_day)
    assert Counts(3, 3) == await ground.counts(user)


async def test_a_sweep_leaves_a_normal_life_alone(ground: Ground, user: UserId) -> None:
    """Just stored, just queued, just claimed, waiting, and done; even long work is no dead work while its lease runs."""
    submission = ground.submission(Limits(daily=100, in_flight=5))
    fresh = await ground.table.create(new_job(user), LIMITS)
    queued = await stored(ground.table, user)
    held = await claim(ground.table, await stored(ground.table, user))
    long = await claim(
        ground.table, await stored(ground.table, user, age_seconds=LONG_SECONDS), lease=2_000_000, age_seconds=900
    )
    done = await complete(ground.table, await claim(ground.table, await stored(ground.table, user)))
    flying = (await submission.submit(request_of(user))).job
    waiting = (await submission.submit(request_of(user))).job
    before = [fresh, queued, held, long, done, flying, waiting]
    await ground.messages()
    for _ in range(2):
        await ground.sweeper(limits=Limits(daily=100, in_flight=5)).sweep()

    assert waiting.waiting
    assert before == [await ground.table.get(job.job_id) for job in before]
    assert [] == await ground.messages()


async def test_a_running_lease_is_respected_however_impatient_the_sweeper(ground: Ground, user: UserId) -> None:
    """No age is too young for it; the lease alone protects."""
    held = await claim(ground.table, await stored(ground.table, user))
    await ground.sweeper(NOW).sweep()

    assert held == await ground.table.get(held.job_id)


async def test_a_lease_that_has_just_ended_is_left_to_the_queue(ground: Ground, user: UserId) -> None:
    """Its message becomes visible at about the same time: for two leases the queue is trusted."""
    job = await stored(ground.table, user, age_seconds=LONG_SECONDS)
    held = await claim(ground.table, job, lease=120_000, age_seconds=350)
    await ground.sweeper().sweep()

    assert held == await ground.table.get(held.job_id)


async def test_a_sweep_without_the_queue_says_so_and_the_next_one_mends(
    ground: Ground, user: UserId, unreachable_queue: WorkQueue
) -> None:
    """The job is charged when it is sent, not before."""
    job = await unsent(ground, user)
    with pytest.raises(CloudUnavailable):
        await replace(ground, queue=unreachable_queue).sweeper().sweep()
    between = await ground.usage(user, job.quota_day)
    await ground.sweeper().sweep()

    assert ((1, 0), (1, 1)) == (between, await ground.usage(user, job.quota_day))
    assert [job.job_id] == await ground.messages()


async def test_a_job_that_could_not_be_sent_back_is_sent_later(
    ground: Ground, user: UserId, unreachable_queue: WorkQueue
) -> None:
    """It was taken from the dead, then the queue was gone; it counts one crash all the same."""
    job = await abandoned(ground, user)
    with pytest.raises(CloudUnavailable):
        await replace(ground, queue=unreachable_queue).sweeper().sweep()
    await ground.sweeper(replace(NOW, unsent=30)).sweep()

    assert [job.job_id] == await ground.messages()
    assert 1 == (await ground.table.get(job.job_id)).crashes
    assert 1 == (await ground.events(job)).count("job.retrying")


async def test_a_job_that_its_slow_worker_hands_back_meanwhile_is_not_lost(ground: Ground, user: UserId) -> None:
    """The sweeper has given it up for the third time; before it writes, the worker shows that it lives."""
    job = await abandoned(ground, user)
    for owner, age_seconds in (("second", 900), ("slow", 800)):
        job = await claim(ground.table, job, owner, age_seconds=age_seconds)
    slow, release = held_back(ground), moves.released("slow", clock.now_milliseconds())
    result = await overtaken(slow, ground.on(slow).sweeper().sweep(), ground.table.apply(job, release))

    assert result is None
    assert Status.QUEUED == (await ground.table.get(job.job_id)).status


async def test_many_waiting_jobs_do_not_hide_one_that_was_never_sent(
    ground: Ground, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are older, in the same part of the index, and as many as a sweep reads of it; none of them can move."""
    full = Limits(daily=100, in_flight=1)
    others = UserId(f"{user}-with-many-jobs")
    await ground.table.create(new_job(others), full)
    for _ in range(3):
        waiting = replace(new_job(others, age_seconds=LONG_SECONDS + 100), job_id=job_id_in_shard_zero())
        assert (await ground.table.create(waiting, full)).waiting
    job = replace(new_job(user, age_seconds=LONG_SECONDS), job_id=job_id_in_shard_zero())
    await ground.table.create(job, PLENTY)
    await ground.sweeper(limits=full).sweep()

    assert [job.job_id] == await ground.messages()


async def test_many_jobs_that_were_sent_again_do_not_hide_another_one(
    ground: Ground, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long outage of Gemini: more jobs are queued for a quarter of an hour than a sweep reads."""
    jobs = []
    for number in range(4):
        job = replace(new_job(user, age_seconds=LONG_SECONDS - number), job_id=job_id_in_shard_zero())
        await ground.table.create(job, LIMITS)
        jobs.append(await ground.table.apply(job, moves.queued(job.created_at)))
    for _ in range(3):
        await ground.sweeper().sweep()

    assert sorted(job.job_id for job in jobs) == sorted(await ground.messages())


async def unreadable(ground: Ground, user: UserId, *, waiting: bool = False) -> None:
    """Store what this release cannot read, where a sweep meets it before anything else."""
    job = replace(new_job(user, age_seconds=2 * LONG_SECONDS), job_id=job_id_in_shard_zero(), waiting=waiting)
    row = items.to_item(job)
    row["status"] = "of a newer release"
    await ground.clients.dynamodb.put_item(TableName=ground.tables.jobs, Item=row)


async def test_a_row_that_cannot_be_read_does_not_keep_a_sweep_from_the_others(ground: Ground, user: UserId) -> None:
    """A newer release may have written it; every later sweep would end at it too."""
    await unreadable(ground, user)
    jobs = [await unsent(ground, user), await abandoned(ground, user)]
    await ground.sweeper().sweep()

    assert sorted(job.job_id for job in jobs) == sorted(await ground.messages())


async def test_a_waiting_row_that_cannot_be_read_does_not_keep_other_users_waiting(
    ground: Ground, user: UserId
) -> None:
    """Its owner's jobs cannot be admitted; everybody else's are."""
    limits = Limits(daily=10, in_flight=1)
    flying = (await ground.submission(limits).submit(request_of(user))).job
    waiting = (await ground.submission(limits).submit(request_of(user))).job
    await ground.control().cancel(flying)
    await ground.messages()
    await unreadable(ground, UserId(f"{user}-of-a-newer-release"), waiting=True)
    await ground.sweeper(SweepTimes(unsent=0), limits).sweep()

    assert waiting.waiting
    assert [waiting.job_id] == await ground.messages()


async def test_a_user_whose_jobs_still_wait_is_watched_from_now_on(ground: Ground, user: UserId) -> None:
    """After a restart nobody else would send the rest at the end of each job; a user with nothing left is let go."""
    limits = Limits(daily=10, in_flight=1)
    for _ in range(3):
        await ground.submission(limits).submit(request_of(user))
    watched: list[UserId] = []
    await ground.sweeper(SweepTimes(unsent=0), limits, watched.append).sweep()

    assert [user] == watched


async def test_a_deleted_job_is_not_swept(ground: Ground, user: UserId) -> None:
    """Neither while its entry in the index lags behind nor later."""
    job = await abandoned(ground, user)
    ended = (await ground.control().cancel(job)).job
    await ground.table.delete(ended)
    await ground.sweeper(NOW).sweep()

    assert [] == await ground.messages()
    assert Counts(0, 0) == await ground.counts(user)


async def test_a_started_sweeper_sweeps_by_itself(ground: Ground, user: UserId) -> None:
    """And stops when it is told to."""
    told = asyncio.Event()
    job = await unsent(ground, user)
    ground.bus.subscribe(user, lambda _: told.set())
    running = ground.sweeper(SweepTimes(every=0.01))
    running.start()
    async with asyncio.timeout(5):
        await told.wait()
    await running.stop()

    assert not running.failed.done()
    assert Status.QUEUED == (await ground.table.get(job.job_id)).status


def job_id_in_shard_zero() -> JobId:
    """Make an id whose job lies in the first part of the index."""
    while True:
        job_id = new_job(UserId("")).job_id
        if zlib.crc32(job_id.encode()) % STATUS_SHARDS == 0:
            return job_id
