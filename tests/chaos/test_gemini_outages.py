"""A Gemini that hangs, is away, or throttles: no job fails for it, and no receive is burnt."""

from __future__ import annotations

import asyncio
import json

import pytest

from consumers.gemini import LONELY_SECONDS
from jobs.model import Status
from tests.chaos.audit import Audit, audit
from tests.chaos.stage import LEASE_SECONDS, Stage
from tests.chaos.test_kill_points import calls_gemini
from tests.chaos.test_outages import (
    OUTAGE_SECONDS,
    Customer,
    assert_all_completed,
    books_when_ended,
    customer,
    dead_letters_when_empty,
    only_job,
    sends_message,
)
from tests.faults.rules import Rule

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

MAX_RECEIVES = 3
RETRY_AFTER_SECONDS = 1
THROTTLED_SECONDS = (MAX_RECEIVES + 1) * LEASE_SECONDS + 1


async def test_gemini_answers_nothing(stage: Stage, photo: bytes) -> None:
    """Our own time-out ends the call; after two, while others are answered, the job waits and is done at its second try."""
    service = await stage.start_service()
    async with customer(service, "gemini-hangs", photo) as user:
        hanging = stage.gemini.when(lambda request: calls_gemini(request) and request.says("nobody"))
        hanging.blackhole().times(2)
        await user.generate("nobody")
        await hanging.reached.wait()
        await user.generate()
        books = await books_when_ended(stage, user.user_id)

    assert 2 == hanging.count
    assert_all_completed(books, 2)
    assert [1, 2] == sorted(job.attempt for job in books.jobs.values())


async def phase(stage: Stage, user: Customer, rule: Rule, seconds: float) -> Audit:
    """Submit while Gemini answers every call like this, and let it recover so long after the first call."""
    await user.generate_many(8)
    await rule.reached.wait()
    await asyncio.sleep(seconds)
    rule.lift()
    return await books_when_ended(stage, user.user_id)


def answers_bad_gateway(stage: Stage) -> Rule:
    """Let Gemini answer as a balancer does that finds nobody behind it."""
    page = b"<html><h1>502 Bad Gateway</h1></html>"
    return stage.gemini.when(calls_gemini).status(502, page, content_type="text/html")


async def test_gemini_answers_html_with_502_for_a_while(stage: Stage, photo: bytes) -> None:
    """No job fails for an outage that ends."""
    service = await stage.start_service()
    async with customer(service, "gemini-502", photo) as user:
        books = await phase(stage, user, answers_bad_gateway(stage), OUTAGE_SECONDS)

    assert_all_completed(books, 8)
    assert 0 == await dead_letters_when_empty(stage, user.user_id)


async def test_gemini_answers_html_with_502_to_a_job_that_is_alone(stage: Stage, photo: bytes) -> None:
    """Nobody else is answered, so it is taken for an outage: the job is put off, and neither fails nor burns a receive."""
    service = await stage.start_service()
    async with customer(service, "gemini-502-alone", photo) as user:
        failing = answers_bad_gateway(stage)
        await user.generate_many(1)
        delay = f'"DelaySeconds": {LONELY_SECONDS[0]}'
        putting_off = stage.aws.when(lambda request: sends_message(request) and request.says(delay)).times(1)
        await putting_off.finished.wait()
        put_off = only_job(await audit(stage.clients, stage.tables, {user.user_id}))
        failing.lift()
        is_put_off = put_off.deferred_since is not None
        assert (Status.QUEUED, True, 1, 0) == (put_off.status, is_put_off, put_off.attempt, put_off.crashes)
        books = await books_when_ended(stage, user.user_id)

    assert_all_completed(books)
    assert 2 == only_job(books).attempt
    assert 0 == await dead_letters_when_empty(stage, user.user_id)


async def test_gemini_throttles_for_a_while(stage: Stage, photo: bytes) -> None:
    """For longer than a message would take to the dead letters: no job fails or is fetched twice, for its worker holds it."""
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{RETRY_AFTER_SECONDS}s"}
    error = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [retry]}
    service = await stage.start_service()
    async with customer(service, "gemini-429", photo) as user:
        body = json.dumps({"error": error}).encode()
        throttling = stage.gemini.when(calls_gemini).status(429, body, content_type="application/json")
        books = await phase(stage, user, throttling, THROTTLED_SECONDS)

    assert_all_completed(books, 8)
    assert {(1, 0)} == {(job.attempt, job.crashes) for job in books.jobs.values()}
    assert 0 == await dead_letters_when_empty(stage, user.user_id)
