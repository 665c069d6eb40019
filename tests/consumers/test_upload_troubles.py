"""The intake of uploads, when things go wrong around it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from consumers.uploads import Outcome
from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from jobs.model import Status
from jobs.upload_events import UploadEventQueue, read_key
from tests.aws_faults import HeldBack, Refuses, RefusesCalls
from tests.consumers.upload_stage import PATIENCE_SECONDS, QUICK, Stage, job_id_of, key_of, open_stage
from tests.jobs import story
from tests.jobs.ground import PLENTY


@pytest.fixture
async def stage(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> Stage:
    """Open the stage."""
    return await open_stage(clients, tables, cloud_environment)


@pytest.fixture
def key(user: UserId) -> str:
    """Name an upload of the user's."""
    return key_of(user)


class NeverDeletes:
    """An SQS client whose deletions hang; all else is the real one's."""

    def __init__(self, client: object) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def delete_message(self, **_: object) -> None:
        """Hang."""
        await asyncio.Event().wait()


async def test_a_death_between_storing_and_deleting_costs_nothing(stage: Stage, user: UserId, key: str) -> None:
    """The message is delivered again to another, who finds the job."""
    sqs = NeverDeletes(stage.ground.clients.sqs)
    await stage.tell(key)
    async with stage.intake(queue=stage.hiding_for(4, sqs=sqs), drain_seconds=0) as dying:
        await dying.until(Outcome.TAKEN)  # stored, sent and charged; its message is still there
    async with stage.intake() as running:
        await running.until(Outcome.REPLAYED)

    assert (1, 1) == await stage.ground.usage(user)
    assert [job_id_of(key)] == await stage.ground.messages()
    assert 0 == await stage.left()


async def test_a_death_between_storing_and_sending_sends_it_once(stage: Stage, user: UserId, key: str) -> None:
    """Whoever gets the event next finds a job that was never sent."""
    upload = read_key(key)
    assert upload is not None
    job = replace(story.new_job(user), job_id=upload.job_id)
    await stage.ground.table.create(job, PLENTY)
    async with stage.intake() as running:
        await stage.tell(key)
        await running.until(Outcome.REPLAYED)

    assert [job.job_id] == await stage.ground.messages()
    assert (1, 1) == await stage.ground.usage(user)


async def test_an_outage_of_our_own_uses_up_no_receive(stage: Stage, user: UserId, key: str) -> None:
    """More refusals than the message has receives: it is taken in all the same, and nothing lies among the dead letters."""
    outage = Refuses(stage.ground.clients.dynamodb, 4 * 4)
    await stage.tell(key)
    async with stage.intake(stage.submission(dynamodb=outage)) as running:
        await running.until(Outcome.TAKEN)

    assert 4 == running.count(Outcome.PUT_OFF)
    assert (1, 1) == await stage.ground.usage(user)
    assert [job_id_of(key)] == await stage.ground.messages()


async def test_an_upload_that_can_neither_be_stored_nor_put_off_comes_again(
    stage: Stage, user: UserId, key: str
) -> None:
    """By itself, when its message is seen again."""
    outage = Refuses(stage.ground.clients.dynamodb, 4)
    sqs = RefusesCalls(stage.ground.clients.sqs, "send_message", 1)
    queue = stage.hiding_for(4, sqs=sqs)
    await stage.tell(key)
    async with stage.intake(stage.submission(dynamodb=outage), queue=queue) as running:
        await running.until(Outcome.LEFT)
        await running.until(Outcome.TAKEN)

    assert 0 == running.count(Outcome.PUT_OFF)
    assert (1, 1) == await stage.ground.usage(user)
    assert 0 == await stage.left()


async def test_a_job_that_the_queue_refuses_is_sent_later(stage: Stage, user: UserId, key: str) -> None:
    """Nobody waits for an answer, so it need not fail."""
    await stage.tell(key)
    refusing = RefusesCalls(stage.ground.clients.sqs, "send_message", 1)
    async with stage.intake(stage.submission(sqs=refusing)) as running:
        await running.until(Outcome.PUT_OFF)
        await running.until(Outcome.REPLAYED)

    assert Status.QUEUED is (await stage.ground.table.get(job_id_of(key))).status
    assert [job_id_of(key)] == await stage.ground.messages()
    assert (1, 1) == await stage.ground.usage(user)


async def test_an_upload_that_breaks_us_holds_up_nobody(stage: Stage, user: UserId, key: str) -> None:
    """After three receives it is a dead letter."""
    await stage.tell(key_of(user, device="broken"))
    await stage.tell(key)
    async with stage.intake(queue=stage.hiding_for(1)) as running:
        await running.until(Outcome.TAKEN)
        await running.until(Outcome.BROKE, 3)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await stage.dead_letters():
                pass

    assert (1, 1) == await stage.ground.usage(user)
    assert 3 == running.count(Outcome.BROKE)


async def test_a_queue_that_does_not_answer_is_asked_again(stage: Stage, user: UserId, key: str) -> None:
    """The intake lives on."""
    receiver = RefusesCalls(stage.ground.clients.receiver, "receive_message", 3)
    queue = UploadEventQueue(stage.ground.clients.sqs, cast(Any, receiver), url=stage.url, bucket=stage.bucket)
    await stage.tell(key)
    async with stage.intake(queue=queue) as running:
        await running.until(Outcome.TAKEN)

    assert (1, 1) == await stage.ground.usage(user)


async def test_a_stopped_intake_ends_what_it_has_begun(stage: Stage, user: UserId, key: str) -> None:
    """The job is stored and sent, and its message is gone."""
    slow = HeldBack(stage.ground.clients.dynamodb, only=lambda _: True)
    await stage.tell(key)
    async with stage.intake(stage.submission(dynamodb=slow)) as running:
        await slow.reached.wait()
        stopping = asyncio.create_task(running.intake.stop(10))
        await asyncio.sleep(0)
        slow.go.set()
        await stopping

    assert 1 == running.count(Outcome.TAKEN)
    assert [job_id_of(key)] == await stage.ground.messages()
    assert 0 == await stage.left()


class CountsAtOnce:
    """Counts how many transactions run at once; all else is the real client's."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._now = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Count, and write."""
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return await self._client.transact_write_items(**arguments)
        finally:
            self._now -= 1


async def test_many_uploads_are_taken_in_a_few_at_a_time(stage: Stage, user: UserId) -> None:
    """Each once, and never more than may run at once."""
    keys = [key_of(user) for _ in range(30)]
    for key in keys:
        await stage.tell(key)
    counting = CountsAtOnce(stage.ground.clients.dynamodb)
    async with stage.intake(stage.submission(dynamodb=counting), replace(QUICK, at_once=4)) as running:
        await running.until(Outcome.TAKEN, 30)

    assert (30, 30) == await stage.ground.usage(user)
    assert {job_id_of(key) for key in keys} == set(await stage.ground.messages())
    assert 1 <= counting.most <= 4
