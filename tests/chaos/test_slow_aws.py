"""An AWS that is there and not well: slow, cutting its connections, refusing some writes, or gone for one of two services."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from jobs.ids import JobId
from tests.chaos.audit import audit
from tests.chaos.stage import LEASE_SECONDS, Stage
from tests.chaos.test_clock import renews_lease
from tests.chaos.test_kill_points import calls_gemini
from tests.chaos.test_outages import (
    IMPATIENT,
    OUTAGE_SECONDS,
    SLOW,
    Customer,
    asks_dynamodb,
    assert_all_completed,
    books_when_ended,
    customer,
    dead_letters_when_empty,
    only_job,
)
from tests.faults.proxy import FaultProxy

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

SLOW_SECONDS = 0.3
RESET_SHARE = 0.2
RESET_SEED = 20
WISHES = 12
# A call that is held up must not time out by itself; a worker with its only slot taken does not fetch the job's new message.
PATIENT = {"GEMINI_TIMEOUT_SECONDS": "60", "WORKER_SLOTS": "1"}


async def test_every_call_of_aws_is_slow(stage: Stage, photo: bytes) -> None:
    """From the start on: the jobs are done all the same, each in one call of Gemini."""
    await stage.reset_simulator_stats()
    slow = stage.aws.when(lambda _request: True).latency(SLOW_SECONDS)
    service = await stage.start_service()
    async with customer(service, "slow-aws", photo) as user:
        await user.generate_many(6, SLOW)
        books = await books_when_ended(stage, user.user_id)
    slow.lift()

    assert_all_completed(books, 6)
    assert {1} == {job.attempt for job in books.jobs.values()}
    assert 0 == await dead_letters_when_empty(stage, user.user_id)
    stats = await stage.simulator_stats()
    assert (6, 1) == (stats["calls"], stats["mostCallsPerPrompt"])


class Insistent:
    """Asks for one picture after the other, each under its own key until it is promised, and notes every other answer."""

    def __init__(self, user: Customer) -> None:
        self._user = user
        self.promised: set[JobId] = set()
        self.refused: set[JobId] = set()
        self.statuses: set[int] = set()

    async def insist(self, wish: int) -> None:
        """Ask until there is a promise."""
        while not await self._ask(wish):  # noqa: ASYNC110 - it asks, it is not told
            await asyncio.sleep(0.2)

    async def _ask(self, wish: int) -> bool:
        status, _, body = await self._user.generate(f"wish {wish}", f"wish-{wish}")
        self.statuses.add(status)
        if status == 500:
            self._note_refusal(body)
        if status == 200:
            self.promised.add(JobId(body["jobId"]))
        return status == 200

    def _note_refusal(self, body: dict[str, Any]) -> None:
        assert "queue_refused" == body["code"]
        self.refused.add(JobId(body["jobId"]))


async def test_connections_to_aws_are_reset_at_random_for_a_while(stage: Stage, photo: bytes) -> None:
    """Before a request is carried out or after it: clients are told so or promised a job, and each promise is kept once."""
    chance = random.Random(RESET_SEED)
    service = await stage.start_service(IMPATIENT)
    async with customer(service, "reset-connections", photo) as user:
        rules = (
            stage.aws.when(lambda _request: chance.random() < RESET_SHARE).reset(),
            # Not of what was received: a message whose answer is lost three times goes to the dead letters by SQS's own rule.
            stage.aws.when(
                lambda request: request.action != "ReceiveMessage" and chance.random() < RESET_SHARE
            ).cut_after(),
        )
        client, ends_at = Insistent(user), asyncio.get_running_loop().time() + OUTAGE_SECONDS
        for wish in range(WISHES):
            await client.insist(wish)
        await asyncio.sleep(ends_at - asyncio.get_running_loop().time())
        for rule in rules:
            rule.lift()
        books = await books_when_ended(stage, user.user_id)

    assert all(rule.count > WISHES for rule in rules)
    assert client.statuses <= {200, 500, 503}
    assert () == books.faults
    assert WISHES == len(client.promised) == books.completed
    assert client.promised | client.refused == books.jobs.keys()
    assert set() == books.wrongly_refused(client.refused)
    assert 0 == await dead_letters_when_empty(stage, user.user_id)


async def test_dynamodb_answers_one_of_two_services_nothing(stage: Stage, photo: bytes) -> None:
    """The one that is cut off stops its work when its lease is over, before the other begins it; the job is done once."""
    await stage.reset_simulator_stats()
    loop = asyncio.get_running_loop()
    async with FaultProxy(stage.aws.url) as own_aws:
        cut_off = await stage.start_service(PATIENT | {"AWS_ENDPOINT_URL": own_aws.url})
        async with customer(cut_off, "cut-off", photo) as user:
            first = stage.gemini.when(calls_gemini).blackhole().times(1)
            await user.generate()
            await first.reached.wait()
            silent = own_aws.when(asks_dynamodb).blackhole()
            began, second = loop.time(), stage.gemini.when(calls_gemini)
            await stage.start_service(IMPATIENT)
            await first.finished.wait()
            seconds = loop.time() - began
            assert not second.reached.is_set()
            completed = await books_when_ended(stage, user.user_id)
        assert silent.count > 0
        silent.lift()
        # A stop lets what is in hand come to its end first.
        assert 0 == await stage.stop(cut_off)

    books = await audit(stage.clients, stage.tables, {user.user_id})
    assert '"lease_over"' in cut_off.log.read_text()
    assert seconds < 1.5 * LEASE_SECONDS
    assert_all_completed(books)
    assert only_job(completed) == only_job(books)
    assert (2, 1) == (only_job(books).attempt, (await stage.simulator_stats())["calls"])
    assert 0 == await dead_letters_when_empty(stage, user.user_id)


async def test_renewals_of_a_lease_meet_a_transaction_for_a_while(stage: Stage, photo: bytes) -> None:
    """They are tried again: the job stays with its worker for longer than a lease."""
    service = await stage.start_service(PATIENT)
    async with customer(service, "conflicting-renewals", photo) as user:
        calling = stage.gemini.when(calls_gemini).blackhole().times(1)
        conflicting = stage.aws.when(renews_lease).conflict_with_transaction().times(4)
        renewed = stage.aws.when(renews_lease)
        await user.generate()
        await renewed.finished.wait()
        await asyncio.sleep(LEASE_SECONDS)
        calling.lift()
        books = await books_when_ended(stage, user.user_id)

    assert 4 == conflicting.count
    assert_all_completed(books)
    assert 1 == only_job(books).attempt
    # A refusal that is not known as one for now would be logged so, and tried at the next beat only.
    assert "renew_broke" not in service.log.read_text()
    assert 0 == await stage.stop(service)
    assert 0 == await dead_letters_when_empty(stage, user.user_id)
