"""Who is to blame for calls that fail: a job that fails while others are served, or nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from consumers import gemini
from consumers.attempt import Attempt
from consumers.gate_state import NotNow
from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from jobs.model import Status
from tests.consumers.house import House, Story, open_house

SLOWLY = "[[sim:slow=0.5]]"
"""So that another job is answered between the first and the last try of one that fails."""


@asynccontextmanager
async def others_being_served(house: House, user: UserId, photo: bytes) -> AsyncIterator[None]:
    """Have healthy jobs of another user done, one after the other, for the length of the block."""
    other = UserId(f"{user}-beside")
    story = Story(house.bus, other)

    async def serve() -> None:
        while True:
            job = await house.submit(other, photo)
            await story.until("job.completed", job.job_id)

    serving = asyncio.create_task(serve())
    try:
        yield
        assert not serving.done()
    finally:
        serving.cancel()
        await asyncio.wait([serving])


@pytest.mark.parametrize(("waited", "delay"), [(0, 5), (5, 5), (40, 40), (2000, 900)])
def test_where_nobody_knows_how_long_each_wait_is_as_long_as_all_before(waited: float, delay: float) -> None:
    """Up to a bound."""
    assert delay == NotNow(5, "Away.", at_most_seconds=900).delay_seconds(waited)


def test_a_wait_that_the_provider_names_stays_what_it_is() -> None:
    """It knows better."""
    assert 58.9 == NotNow(58.9, "Busy.").delay_seconds(2000)


async def test_a_job_that_fails_alone_burns_no_receive_however_often(
    house: House, user: UserId, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell it from an outage: four times it is put off, once more than a message has receives."""
    monkeypatch.setattr(gemini, "LONELY_SECONDS", (0, 0))
    job = await house.submit(user, photo, "[[sim:503]]")
    receives = []
    for _ in range(4):
        [delivery] = await house.queue.receive(1)
        receives.append(delivery.receives)
        await Attempt(house.workshop, delivery).run()
    after = await house.table.get(job.job_id)

    assert [1, 1, 1, 1] == receives
    assert (Status.QUEUED, 4) == (after.status, after.attempt)
    assert after.deferred_since is not None
    assert (1, 1) == await house.usage(user)


async def test_a_job_that_fails_alone_waits_for_a_minute(house: House, user: UserId, photo: bytes) -> None:
    """At once it would only fail again."""
    await house.submit(user, photo, "[[sim:503]]")
    [delivery] = await house.queue.receive(1)
    await Attempt(house.workshop, delivery).run()
    answer = await house.clients.sqs.get_queue_attributes(
        QueueUrl=house.queue_url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )

    assert "1" == answer["Attributes"]["ApproximateNumberOfMessagesDelayed"]


@pytest.mark.parametrize("marker", ["[[sim:503]]", "[[sim:html-502]]", "[[sim:bad-json]]"])
async def test_a_lasting_failure_ends_after_the_third_receive_in_the_dead_letter_queue(
    house: House, story: Story, user: UserId, photo: bytes, marker: str
) -> None:
    """Others are served meanwhile, so it is the job's own: it is `failed` only then, and the unit is given back."""
    await house.submit(user, photo, f"{SLOWLY} {marker}")
    async with house.pool(), others_being_served(house, user, photo):
        job = await story.until("job.failed")
        await house.dead_letter()
    assert job.failure is not None

    assert ("provider_failure", True, 3) == (job.failure.code, job.failure.retryable, job.attempt)
    assert 2 == story.events.count("job.retrying")
    assert (0, 0) == await house.usage(user)


async def test_a_call_that_never_answers_is_given_up(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId, photo: bytes
) -> None:
    """Our own time-out ends it, and its slot is free again."""
    async with open_house(clients, tables, cloud_environment, gemini_timeout_seconds=1) as house:
        story = Story(house.bus, user)
        await house.submit(user, photo, "[[sim:hang]]")
        async with house.pool(slots=2) as pool:
            async with others_being_served(house, user, photo):
                job = await story.until("job.failed")
            await pool.stop(5)
            busy = pool.busy
    assert job.failure is not None

    assert ("provider_failure", 3) == (job.failure.code, job.attempt)
    assert 0 == busy
