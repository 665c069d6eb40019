"""A service's wall clock steps, or differs from its neighbour's: jobs end once, and are told in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.ids import JobId, UserId
from tests.chaos.audit import audit
from tests.chaos.stage import Stage
from tests.chaos.test_kill_points import calls_gemini, writes
from tests.chaos.test_outages import assert_all_completed, books_when_ended, customer, only_job, results_of
from tests.faults.clock import WallClock
from tests.faults.messages import Request

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

HOUR_SECONDS = 3600
# A call that is held up must not time out by itself.
PATIENT = {"SWEEP_SECONDS": "3600", "GEMINI_TIMEOUT_SECONDS": "60"}
RESTLESS = PATIENT | {"SWEEP_SECONDS": "0.2"}
# A worker whose renewals hang gives its job up after a lease: longer than another needs to claim the job and call Gemini.
LONG_LEASE = {"LEASE_SECONDS": "40"}


def renews_lease(request: Request) -> bool:
    """Choose what a worker holds its job with."""
    return request.action == "UpdateItem" and request.says('"SET lease')


async def log_of(stage: Stage, user_id: UserId) -> list[tuple[JobId, int]]:
    """Read the user's events in the log's order: each one's job, and its version."""
    answer = await stage.clients.dynamodb.query(
        TableName=stage.tables.events,
        KeyConditionExpression="userId = :user",
        ExpressionAttributeValues={":user": user_id},
        ConsistentRead=True,
    )
    return [(JobId(str(event["jobId"])), int(str(event["version"]))) for event in answer["Items"]]


async def test_the_clock_steps_an_hour_ahead_and_two_hours_back(stage: Stage, photo: bytes, tmp_path: Path) -> None:
    """Each time while a job is with Gemini, whose lease is renewed by the new clock; another follows, and all is told in order."""
    await stage.reset_simulator_stats()
    clock = WallClock(tmp_path / "clock")
    service = await stage.start_service(PATIENT | clock.environment)
    job_ids: list[JobId] = []
    async with customer(service, "stepping", photo) as user:
        for seconds_ahead in (HOUR_SECONDS, -HOUR_SECONDS):
            calling = stage.gemini.when(calls_gemini).blackhole().times(1)
            job_ids += map(JobId, await user.generate_many(1))
            await calling.reached.wait()
            clock.set(seconds_ahead)
            renewing = stage.aws.when(renews_lease).times(1)
            await renewing.finished.wait()
            calling.lift()
            assert_all_completed(await books_when_ended(stage, user.user_id), len(job_ids))
        job_ids += map(JobId, await user.generate_many(1))
        books = await books_when_ended(stage, user.user_id)
        assert 0 == await stage.stop(service)

    assert_all_completed(books, 3)
    assert 3 == (await stage.simulator_stats())["calls"]
    log = await log_of(stage, user.user_id)
    assert sorted(log, key=lambda event: (job_ids.index(event[0]), event[1])) == log
    first, second, third = (books.jobs[job_id] for job_id in job_ids)
    # The clock did step: a library that cannot be loaded is only warned of.
    assert first.updated_at - first.created_at > HOUR_SECONDS * 1000
    assert second.created_at - third.created_at > 1.9 * HOUR_SECONDS * 1000


async def test_the_clock_steps_ahead_and_the_sweep_comes_before_the_heart_beats(
    stage: Stage, photo: bytes, tmp_path: Path
) -> None:
    """The lease seems over, so the job is taken from its own live worker, which notices it: completed once all the same."""
    clock = WallClock(tmp_path / "clock")
    service = await stage.start_service(RESTLESS | clock.environment)
    async with customer(service, "swept", photo) as user:
        first = stage.gemini.when(calls_gemini).blackhole().times(1)
        await user.generate()
        await first.reached.wait()
        renewing = stage.aws.when(renews_lease).blackhole()
        clock.set(HOUR_SECONDS)
        books = await books_when_ended(stage, user.user_id)
        renewing.lift()
        # Taken away, and not held any longer: the call for the lost job is hung up.
        await first.finished.wait()
        assert 0 == await stage.stop(service)

    assert_all_completed(books)
    assert only_job(books).attempt > 1
    assert only_job(books) == only_job(await audit(stage.clients, stage.tables, {user.user_id}))


async def test_a_neighbour_whose_clock_is_fast_takes_a_job_too_early(
    stage: Stage, photo: bytes, tmp_path: Path
) -> None:
    """It sees a lease that runs as over and claims the job; the first worker may not write its result, and the second does."""
    # With its only slot taken, the first one does not fetch the job's new message as well.
    first = await stage.start_service(PATIENT | LONG_LEASE | {"WORKER_SLOTS": "1"})
    async with customer(first, "fast-neighbour", photo) as user:
        calling = stage.gemini.when(calls_gemini).blackhole().times(1)
        await user.generate()
        await calling.reached.wait()
    clock = WallClock(tmp_path / "clock")
    neighbour = await stage.start_service(RESTLESS | LONG_LEASE | clock.environment)
    renewing = stage.aws.when(renews_lease).blackhole()
    calling_again = stage.gemini.when(calls_gemini).blackhole().times(1)
    clock.set(HOUR_SECONDS)
    await calling_again.reached.wait()
    writing = stage.aws.when(writes("job.completed")).times(1)
    calling.lift()
    await writing.finished.wait()
    renewing.lift()
    # A stop lets what is in hand come to its end first.
    assert 0 == await stage.stop(first)
    assert 0 == (await audit(stage.clients, stage.tables, {user.user_id})).completed
    calling_again.lift()
    books = await books_when_ended(stage, user.user_id)
    assert 0 == await stage.stop(neighbour)

    assert_all_completed(books)
    assert only_job(books).attempt > 1
    assert 1 == len(await results_of(stage, user.user_id))
