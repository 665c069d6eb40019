"""What every event bus keeps to, between two tasks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.events import EventBus, EventType, JobEvent, Notice
from jobs.ids import EventId, JobId, UserId
from jobs.model import Failure, ModelUse, Output, Status
from tests.bus.stage import ALICE, BOB, Ear, completed, confirmed, job, progress, watch

Buses = tuple[EventBus, EventBus]

RICH_JOB = replace(
    job(status=Status.COMPLETED),
    style="professional",
    prompt="안녕 & <b>\n\u2028 😀",
    parameters={"threshold": 0.1, "deep": [{"latitude": -33.86882, "none": None}]},
    units=2,
    input_url="s3://uploads/uploads/u/1.png",
    crashes=1,
    sent_at=5,
    retry_of=JobId("job_0"),
    owner="me",
    lease_until=6,
    started_at=7,
    use=ModelUse(calls=2, pictures=1, tokens={"text": 5}),
    output=Output(
        url="s3://results/generated/u/1.png",
        model_name="a-model",
        generation_milliseconds=12,
        facts={"width": 512, "deep": [{"ratio": 2, "third": 1 / 3, "none": None, "is": True}]},
        pictures=3,
    ),
    processing_milliseconds=8,
)
FAILED_JOB = replace(
    job(status=Status.FAILED), failure=Failure(code="lost", message="It is lost.", retryable=True), deferred_since=3
)
NOTICES = [
    progress(0.25),
    replace(progress(0.5), partial={"sentiment": {"score": 0.9}, "keywords": ["바다"]}),
    confirmed(7),
    JobEvent(event_id=EventId("1"), type=EventType.COMPLETED, at=1_700_000_000_789, job=RICH_JOB),
    JobEvent(event_id=EventId("2"), type=EventType.FAILED, at=2, job=FAILED_JOB),
    JobEvent(
        event_id=EventId("3"), type=EventType.QUEUED, at=3, job=replace(job(), status=Status.QUEUED, waiting=True)
    ),
]


@pytest.mark.parametrize("notice", NOTICES, ids=["progress", "partial", "confirmed", "completed", "failed", "queued"])
async def test_a_watcher_hears_what_another_task_publishes(buses: Buses, notice: Notice) -> None:
    """It is told the very same."""
    here, there = buses
    ear, _ = await watch(here)

    there.publish(notice)

    assert notice == await ear.next()


async def test_a_watcher_hears_its_own_task_once_and_at_once(buses: Buses) -> None:
    """What comes back from the server is not told again."""
    here, there = buses
    ear, _ = await watch(here)

    here.publish(completed(1))
    assert not ear.is_empty

    here.publish(completed(2))
    assert [completed(1), completed(2)] == await ear.take(2)

    there.publish(completed(3))
    assert completed(3) == await ear.next()
    assert ear.is_empty


async def test_a_user_hears_in_the_order_of_publishing(buses: Buses) -> None:
    """A thousand at once arrive, each in its place."""
    here, there = buses
    ear, _ = await watch(here)

    for number in range(1000):
        there.publish(completed(number))

    assert [completed(number) for number in range(1000)] == await ear.take(1000)


async def test_a_cancel_reaches_the_task_that_runs_the_job(buses: Buses) -> None:
    """It travels like every other event."""
    here, there = buses
    ear, _ = await watch(here)
    canceled = JobEvent(
        event_id=EventId("9"), type=EventType.CANCELED, at=9, job=job(status=Status.CANCELED, version=2)
    )

    there.publish(canceled)

    assert canceled == await ear.next()


async def test_a_watcher_hears_of_its_own_user_only(buses: Buses) -> None:
    """Bob's jobs are none of Alice's business."""
    here, there = buses
    alice, _ = await watch(here)
    bob, _ = await watch(here, BOB)

    there.publish(completed(1, BOB))
    there.publish(completed(2))

    assert completed(1, BOB) == await bob.next()
    assert completed(2) == await alice.next()
    assert alice.is_empty
    assert bob.is_empty


async def test_users_may_have_any_name(buses: Buses) -> None:
    """A channel's name has no syntax."""
    here, there = buses
    odd = UserId("{a}:u:b 가*")
    ear, _ = await watch(here, odd)

    there.publish(completed(1, odd))

    assert completed(1, odd) == await ear.next()


async def test_one_watcher_goes_and_the_other_stays(buses: Buses) -> None:
    """The user is heard until the last has gone."""
    here, there = buses
    first, end_first = await watch(here)
    second, end_second = await watch(here)

    there.publish(completed(1))
    assert completed(1) == await first.next() == await second.next()

    end_first()
    there.publish(completed(2))
    assert completed(2) == await second.next()

    end_second()
    end_second()
    bob, _ = await watch(here, BOB)
    there.publish(completed(3))
    there.publish(completed(4, BOB))
    assert completed(4, BOB) == await bob.next()
    assert first.is_empty
    assert second.is_empty


async def test_a_user_who_comes_back_is_heard_again(buses: Buses) -> None:
    """However often and fast: the newest wish counts."""
    here, there = buses
    for _ in range(50):
        here.subscribe(ALICE, Ear().deliver)()
    ear, _ = await watch(here)

    there.publish(completed(1))

    assert completed(1) == await ear.next()


async def test_a_watcher_that_fails_harms_nobody(buses: Buses) -> None:
    """The others are told all the same, and so is it, the next time."""
    here, there = buses
    failures: list[Notice] = []

    def fail(notice: Notice) -> None:
        failures.append(notice)
        raise ValueError

    here.subscribe(ALICE, fail)
    ear, _ = await watch(here)

    for number in (1, 2):
        there.publish(completed(number))

    assert [completed(1), completed(2)] == await ear.take(2)
    assert [completed(1), completed(2)] == failures


async def test_nobody_is_waited_for_who_is_not_watched(buses: Buses) -> None:
    """Listening is for those whom somebody watches."""
    here, _ = buses

    await here.listening(UserId("nobody"))

    assert here.is_whole


async def test_progress_is_known_wherever_the_user_is_watched(buses: Buses) -> None:
    """Only the newest, and only until the job's next event."""
    here, there = buses
    ear, _ = await watch(here)

    there.publish(progress(0.1))
    there.publish(progress(0.6))
    await ear.take(2)
    assert progress(0.6) == here.progress_of(JobId("job_1")) == there.progress_of(JobId("job_1"))

    there.publish(completed(1))
    await ear.next()
    assert here.progress_of(JobId("job_1")) is None
    assert there.progress_of(JobId("job_1")) is None


async def test_what_is_no_change_of_a_job_leaves_its_progress_alone(buses: Buses) -> None:
    """Here and there."""
    here, there = buses
    ear, _ = await watch(here)

    there.publish(progress(0.6))
    there.publish(confirmed(1))
    await ear.take(2)

    assert progress(0.6) == here.progress_of(JobId("job_1")) == there.progress_of(JobId("job_1"))


async def test_progress_is_forgotten_when_told_so(buses: Buses) -> None:
    """A run that ends without an event leaves nothing behind."""
    here, _ = buses
    here.publish(progress(0.1))

    here.forget_progress(JobId("job_1"))

    assert here.progress_of(JobId("job_1")) is None
