"""The process is killed -9 at one named point of a job's life: the job is completed once, charged once, told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import aiohttp
import pytest

from jobs.ids import UserId
from tests.chaos.audit import Audit, audit
from tests.chaos.stage import Stage
from tests.faults.messages import Request
from tests.faults.proxy import FaultProxy
from tests.person import Person

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

RECOVERY_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where the process dies: when this request comes by, and whether the cloud has carried it out by then.

    ``attempts`` is how often the job is claimed in all, ``calls`` how often Gemini answers for it.
    """

    request: Callable[[Request], bool]
    is_carried_out: bool
    attempts: int
    calls: int
    at_gemini: bool = False


def writes(event: str) -> Callable[[Request], bool]:
    """Choose the transaction that makes this change of a job."""
    return lambda request: request.action == "TransactWriteItems" and request.says(f'"{event}"')


def stores_result(request: Request) -> bool:
    """Choose the upload of a result."""
    return request.method == "PUT" and "/generated/" in request.path


def calls_gemini(request: Request) -> bool:
    """Choose the call that makes the picture."""
    return ":generateContent" in request.path


def deletes_message(request: Request) -> bool:
    """Choose the removal of a message from the queue."""
    return request.action == "DeleteMessageBatch"


CLAIM = Point(request=writes("job.processing"), is_carried_out=False, attempts=1, calls=1)
GEMINI = Point(request=calls_gemini, is_carried_out=True, attempts=2, calls=2, at_gemini=True)
STORE = Point(request=stores_result, is_carried_out=False, attempts=2, calls=2)
COMPLETION = Point(request=writes("job.completed"), is_carried_out=False, attempts=2, calls=2)
POINTS = {
    "before-the-claim": CLAIM,
    "after-the-claim": replace(CLAIM, is_carried_out=True, attempts=2),
    "when-gemini-is-called": replace(GEMINI, is_carried_out=False, calls=1),
    "when-gemini-answers": GEMINI,
    "before-the-result-is-stored": STORE,
    "after-the-result-is-stored": replace(STORE, is_carried_out=True),
    "before-the-completion": COMPLETION,
    "after-the-completion": replace(COMPLETION, is_carried_out=True, attempts=1, calls=1),
}


@pytest.mark.parametrize("name", POINTS)
async def test_a_job_survives_kill_9(name: str, stage: Stage, photo: bytes) -> None:
    """After a restart the job is completed, its message gone, and the books are right."""
    point = POINTS[name]
    await stage.reset_simulator_stats()
    user_id = await submit_and_die(stage, point, photo, name)
    deleting = stage.aws.when(deletes_message).times(1)
    await stage.start_service()
    async with asyncio.timeout(RECOVERY_SECONDS):
        await deleting.finished.wait()
    books = await audit(stage.clients, stage.tables, {user_id})
    stats = await stage.simulator_stats()

    assert_completed_once(books)
    assert point.attempts == next(iter(books.jobs.values())).attempt
    assert point.calls == stats["calls"]


async def submit_and_die(stage: Stage, point: Point, photo: bytes, user: str) -> UserId:
    """Submit one job to a service that is killed at the point, though not before the submission has been answered."""
    submitted = asyncio.Event()
    service = await stage.start_service()

    async def kill() -> None:
        await submitted.wait()
        await stage.kill(service)

    proxy: FaultProxy = stage.gemini if point.at_gemini else stage.aws
    rule = proxy.when(point.request).times(1)
    rule.after(kill).cut_after() if point.is_carried_out else rule.before(kill).cut()
    async with aiohttp.ClientSession() as session:
        person = await Person.sign_in(session, service.url, user)
        user_id = UserId((await person.get("/user/me"))["userId"])
        await person.generate(photo)
        submitted.set()
        async with asyncio.timeout(RECOVERY_SECONDS):
            await rule.finished.wait()
    return user_id


def assert_completed_once(books: Audit) -> None:
    """Check the books of one user with one job."""
    assert () == books.faults
    assert (1, 1, 0) == (books.accepted, books.completed, books.unfinished)
