"""Clouds that go away, refuse, hang, lie and repeat themselves, and processes that die or stand still: the books stay right."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from jobs.ids import UserId
from jobs.model import Job, Status
from tests.chaos.audit import Audit, audit
from tests.chaos.stage import LEASE_SECONDS, Service, Stage
from tests.chaos.test_kill_points import calls_gemini, writes
from tests.faults.messages import Request
from tests.faults.rules import Rule
from tests.person import Person

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

END_SECONDS = 45
IMPATIENT = {"SWEEP_SECONDS": "2"}
OUTAGE_SECONDS = 6
SLOW = "[[sim:slow=1]]"


class Customer:
    """A signed-in user with an uploaded photo, who asks as a program would and is told what the service answers."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], user_id: UserId, key: str
    ) -> None:
        self._session = session
        self._url = url
        self._headers = headers
        self._key = key
        self.user_id = user_id

    async def generate(self, prompt: str = "", wish: str = "") -> tuple[int, dict[str, str], dict[str, Any]]:
        """Ask for a picture, under an idempotency key if ``wish`` is one; returns status, headers and body of the answer."""
        body = {"fileKey": self._key, "style": "professional", "prompt": prompt}
        headers = self._headers | ({"Idempotency-Key": wish} if wish else {})
        async with self._session.post(f"{self._url}/generate", json=body, headers=headers) as answer:
            return answer.status, dict(answer.headers), await answer.json()

    async def generate_many(self, number: int, prompt: str = "") -> list[str]:
        """Ask for so many pictures at once, each with a prompt of its own; returns the jobs' ids."""
        answers = await asyncio.gather(*(self.generate(f"{prompt} {part}") for part in range(number)))
        assert [200] * number == [status for status, _, _ in answers]
        return [body["jobId"] for _, _, body in answers]


@asynccontextmanager
async def customer(service: Service, name: str, photo: bytes) -> AsyncIterator[Customer]:
    """Sign in and upload."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        async with session.post(f"{service.url}/auth/demo", json={"user": name}) as answer:
            token = (await answer.json())["idToken"]
        person = Person(session, service.url, token)
        user_id = UserId((await person.get("/user/me"))["userId"])
        headers = {"Authorization": f"Bearer {token}"}
        yield Customer(session, service.url, headers, user_id, await person.upload(photo))


async def books_once(stage: Stage, user_id: UserId, is_so: Callable[[Audit], bool]) -> Audit:
    """Read the books until they are so: the tables are asked, not the service, which may be dead."""
    async with asyncio.timeout(END_SECONDS):
        while not is_so(books := await audit(stage.clients, stage.tables, {user_id})):  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.2)
        return books


async def books_when_ended(stage: Stage, user_id: UserId) -> Audit:
    """Read the books once there are jobs and all have ended."""
    return await books_once(stage, user_id, lambda books: books.accepted > 0 and not books.unfinished)


async def dead_letters_when_empty(stage: Stage, user_id: UserId) -> int:
    """Wait until no message is left in the queue, and return how many of this user's are among the dead letters."""
    url = stage.environment["SQS_DLQ_URL"].replace(stage.aws.url, stage.queue_url.rsplit("/", 2)[0])
    async with asyncio.timeout(END_SECONDS):
        while await messages_in(stage, stage.queue_url):  # noqa: ASYNC110 - SQS tells nobody
            await asyncio.sleep(0.2)
    answer = await stage.clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return sum(user_id in message.get("Body", "") for message in answer.get("Messages", []))


async def send_message(stage: Stage, user_id: UserId, job_id: str) -> None:
    """Put a message of a job into the queue, as the service does."""
    body = json.dumps({"jobId": job_id, "userId": user_id, "pipeline": "profile-photo"})
    await stage.clients.sqs.send_message(QueueUrl=stage.queue_url, MessageBody=body, MessageGroupId=user_id)


async def messages_in(stage: Stage, url: str, *kinds: str) -> int:
    """Count the messages of a queue, hidden and delayed ones too unless ``kinds`` says which."""
    names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in kinds or ("", "NotVisible", "Delayed")]
    answer = await stage.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def assert_all_completed(books: Audit, jobs: int = 1) -> None:
    """Check that so many jobs were accepted, all were completed, and nothing is wrong."""
    assert () == books.faults
    assert (jobs, jobs, 0) == (books.accepted, books.completed, books.unfinished)


def only_job(books: Audit) -> Job:
    """Return the only job there is."""
    (job,) = books.jobs.values()
    return job


def sends_message(request: Request) -> bool:
    """Choose what puts a job into the queue."""
    return request.action == "SendMessage"


def asks_dynamodb(request: Request) -> bool:
    """Choose everything that goes to the tables."""
    return request.headers.get("x-amz-target", "").startswith("DynamoDB")


def is_transaction(request: Request) -> bool:
    """Choose every change of a job."""
    return request.action == "TransactWriteItems"


async def test_aws_is_gone_for_a_while(stage: Stage, photo: bytes) -> None:
    """Requests are told 503 and when to come again; the jobs in hand are done afterwards."""
    service = await stage.start_service(IMPATIENT)
    async with customer(service, "aws-gone", photo) as user:
        await user.generate_many(6, SLOW)
        await stage.aws.down()
        began = asyncio.get_running_loop().time()
        status, headers, body = await user.generate()
        await asyncio.sleep(began + OUTAGE_SECONDS - asyncio.get_running_loop().time())
        await stage.aws.up()

        assert (503, "unavailable") == (status, body["code"])
        assert int(headers["Retry-After"]) > 0
        assert_all_completed(await books_when_ended(stage, user.user_id), 6)
        assert 200 == (await user.generate())[0]
    assert_all_completed(await books_when_ended(stage, user.user_id), 7)


async def submit_and_die(
    stage: Stage, photo: bytes, name: str, point: Callable[[Request], bool], *, is_carried_out: bool
) -> UserId:
    """Submit one job to a service that is killed when this request comes by, and start the next service."""
    service = await stage.start_service()
    rule = stage.aws.when(point).times(1)

    async def kill() -> None:
        await stage.kill(service)

    rule.after(kill).cut_after() if is_carried_out else rule.before(kill).cut()
    async with customer(service, name, photo) as user:
        with pytest.raises(aiohttp.ClientError):
            await user.generate()
    await rule.finished.wait()
    await stage.start_service(IMPATIENT)
    return user.user_id


SUBMISSION_POINTS: dict[str, tuple[Callable[[Request], bool], bool]] = {
    "after-storing": (lambda request: request.action == "TransactWriteItems" and request.says('"pending"'), True),
    "before-sending": (sends_message, False),
    "after-sending": (sends_message, True),
    "before-the-charge": (writes("job.queued"), False),
    "after-the-charge": (writes("job.queued"), True),
}


@pytest.mark.parametrize("name", SUBMISSION_POINTS)
async def test_a_job_survives_kill_9_while_it_is_submitted(name: str, stage: Stage, photo: bytes) -> None:
    """The client never had an answer, and still the job is done once and charged once."""
    point, is_carried_out = SUBMISSION_POINTS[name]
    user_id = await submit_and_die(stage, photo, name, point, is_carried_out=is_carried_out)

    assert_all_completed(await books_when_ended(stage, user_id))
    assert 0 == await dead_letters_when_empty(stage, user_id)


async def test_the_queue_refuses(stage: Stage, photo: bytes) -> None:
    """The client is told 500 with the job's id; the job has failed and nothing is charged."""
    service = await stage.start_service()
    async with customer(service, "queue-refuses", photo) as user:
        stage.aws.when(sends_message).status(500)
        status, _, body = await user.generate()
    books = await books_when_ended(stage, user.user_id)
    job = only_job(books)

    assert (500, "queue_refused", job.job_id) == (status, body["code"], body["jobId"])
    assert ((), set()) == (books.faults, books.wrongly_refused({body["jobId"]}))


async def test_the_queue_takes_a_message_and_its_answer_is_lost(stage: Stage, photo: bytes) -> None:
    """The send is repeated, so there are two messages: one job, one call of Gemini."""
    await stage.reset_simulator_stats()
    service = await stage.start_service()
    async with customer(service, "answer-lost", photo) as user:
        stage.aws.when(sends_message).cut_after().times(1)
        status, _, _ = await user.generate(SLOW)
    books = await books_when_ended(stage, user.user_id)

    assert 200 == status
    assert_all_completed(books)
    assert 0 == await dead_letters_when_empty(stage, user.user_id)
    assert 1 == (await stage.simulator_stats())["calls"]


async def test_the_queue_takes_messages_and_every_answer_is_lost(stage: Stage, photo: bytes) -> None:
    """The client is told how it is, whoever was faster: the worker, or the service that gave the job up."""
    service = await stage.start_service()
    async with customer(service, "answers-lost", photo) as user:
        stage.aws.when(sends_message).cut_after()
        status, _, body = await user.generate(SLOW)
        books = await books_when_ended(stage, user.user_id)

    assert () == books.faults
    assert {200: Status.COMPLETED, 500: Status.FAILED}[status] == only_job(books).status
    assert set() == books.wrongly_refused({body["jobId"]} if status == 500 else set())
    assert 0 == await dead_letters_when_empty(stage, user.user_id)


async def meet_throttling(stage: Stage, user: Customer, begin: Callable[[], Rule]) -> None:
    """Let the tables throttle for a lease's time with six jobs in hand: who asks meanwhile is told 503, all six are done."""
    await user.generate_many(6, SLOW)
    rule = begin()
    status, headers, _ = await user.generate()
    await asyncio.sleep(LEASE_SECONDS)
    rule.lift()

    assert (503, True) == (status, "Retry-After" in headers)
    assert_all_completed(await books_when_ended(stage, user.user_id), 6)


async def test_dynamodb_throttles_for_a_while(stage: Stage, photo: bytes) -> None:
    """Requests are told 503; the jobs in hand are done afterwards."""
    service = await stage.start_service(IMPATIENT)
    async with customer(service, "throttled-tables", photo) as user:
        await meet_throttling(stage, user, lambda: stage.aws.when(asks_dynamodb).throttle())


async def test_transactions_are_throttled_for_a_while(stage: Stage, photo: bytes) -> None:
    """Requests are told 503; the table can be read, so jobs are worked on, and their ends are written afterwards."""
    service = await stage.start_service(IMPATIENT)
    async with customer(service, "throttled-transactions", photo) as user:
        await meet_throttling(stage, user, lambda: stage.aws.when(is_transaction).throttle_transaction())
        assert 0 == await dead_letters_when_empty(stage, user.user_id)
        assert 200 == (await user.generate())[0]
    assert_all_completed(await books_when_ended(stage, user.user_id), 7)


async def test_messages_come_twice_and_in_another_order(stage: Stage, photo: bytes) -> None:
    """Each job's message is in the queue three times, the last ones first: one call of Gemini for each job."""
    await stage.reset_simulator_stats()
    service = await stage.start_service({"WORKER_SLOTS": "2"})
    async with customer(service, "duplicates", photo) as user:
        job_ids = await user.generate_many(5, SLOW)
        for job_id in reversed(job_ids * 2):
            await send_message(stage, user.user_id, job_id)
        books = await books_when_ended(stage, user.user_id)

    assert_all_completed(books, 5)
    assert 0 == await dead_letters_when_empty(stage, user.user_id)
    stats = await stage.simulator_stats()
    assert (5, 1) == (stats["calls"], stats["mostCallsPerPrompt"])


async def test_a_worker_stands_still_for_longer_than_its_lease(stage: Stage, photo: bytes) -> None:
    """Another process takes the job over and completes it; the first one wakes up, and what it has in hand is worth nothing."""
    sleeper = await stage.start_service()

    async def stop() -> None:
        os.kill(sleeper.process.pid, signal.SIGSTOP)

    async with customer(sleeper, "sleeper", photo) as user:
        stopped = stage.gemini.when(calls_gemini).before(stop).times(1)
        await user.generate()
        await stopped.reached.wait()
    await stage.start_service()
    completed = await books_when_ended(stage, user.user_id)
    os.kill(sleeper.process.pid, signal.SIGCONT)
    # A stop lets what is in hand come to its end first.
    assert 0 == await stage.stop(sleeper)

    books = await audit(stage.clients, stage.tables, {user.user_id})
    assert_all_completed(books)
    assert only_job(completed) == only_job(books)
    assert 1 == len(await results_of(stage, user.user_id))
    assert 0 == await dead_letters_when_empty(stage, user.user_id)


async def results_of(stage: Stage, user_id: UserId) -> list[str]:
    """List a user's stored results."""
    listed = await stage.clients.s3.list_objects_v2(
        Bucket=stage.environment["RESULT_BUCKET"], Prefix=f"generated/{user_id}/"
    )
    return [item["Key"] for item in listed.get("Contents", [])]


async def test_one_of_two_services_is_killed(stage: Stage, photo: bytes) -> None:
    """Both work on one queue; what the dead one had in hand the other one does."""
    survivor, victim = await asyncio.gather(stage.start_service(), stage.start_service())
    async with customer(survivor, "two-services", photo) as user:
        claims = stage.aws.when(writes("job.processing"))
        await user.generate_many(12, SLOW)
        await claims.reached.wait()
        await stage.kill(victim)
        books = await books_when_ended(stage, user.user_id)

    assert_all_completed(books, 12)
    assert 0 == await dead_letters_when_empty(stage, user.user_id)
