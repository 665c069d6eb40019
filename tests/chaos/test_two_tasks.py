"""Two services on one cloud and one Redis: whoever submits to one, runs on another and listens to a third hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.bus.redis_server import RedisServer
from tests.chaos.stage import Service, Stage
from tests.chaos.test_kill_points import calls_gemini
from tests.person import Person, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

Message = dict[str, Any]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a server."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """Two services, and the same person at each of them."""

    one: Service
    other: Service
    at_one: Person
    at_other: Person


@pytest_asyncio.fixture(loop_scope="module")
async def two(stage: Stage, redis: RedisServer) -> AsyncIterator[Two]:
    """Start both on the same bus."""
    settings = {"EVENT_BUS_URL": redis.url, "SWEEP_SECONDS": "2"}
    one, other = await asyncio.gather(stage.start_service(settings), stage.start_service(settings))
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        name = f"two-tasks-{id(stack)}"
        at_one = await Person.sign_in(session, one.url, name)
        at_other = await Person.sign_in(session, other.url, name)
        yield Two(one=one, other=other, at_one=at_one, at_other=at_other)


class Ear:
    """Keeps what one socket is told."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._news = asyncio.Event()

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Listen until canceled."""
        async for message in socket:
            self.heard.append(message.json())
            self._news.set()

    async def hears(self, wanted: Callable[[Message], bool], *, after: int = 0) -> None:
        """Wait until such a message has come."""
        async with asyncio.timeout(30):
            while not any(wanted(message) for message in self.heard[after:]):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def ear(person: Person) -> AsyncIterator[Ear]:
    """Listen to a socket of the person."""
    listener = Ear()
    async with person.socket() as socket:
        listening = asyncio.create_task(listener.listen(socket))
        try:
            yield listener
        finally:
            listening.cancel()


async def test_a_completion_reaches_the_sockets_at_every_task(two: Two, photo: bytes) -> None:
    """Wherever it was submitted and whoever ran it; as often as once to each."""
    async with two.at_one.socket() as here, two.at_other.socket() as there:
        job_id = await two.at_one.generate(photo)
        ends = await asyncio.gather(until(here, "job.completed"), until(there, "job.completed"))

    assert [job_id, job_id] == [end["job"]["jobId"] for end in ends]
    assert ends[0]["id"] == ends[1]["id"]


async def test_progress_is_seen_at_every_task(two: Two, photo: bytes) -> None:
    """Also at the one that does not work on the job."""
    async with two.at_one.socket() as here, two.at_other.socket() as there:
        await two.at_one.generate(photo, "[[sim:slow=1]]")
        stages = await asyncio.gather(until(here, "job.progress"), until(there, "job.progress"))

    assert [None, None] != [message["data"]["stage"] for message in stages]


async def test_a_cancel_at_one_task_drops_the_call_at_the_other(stage: Stage, two: Two, photo: bytes) -> None:
    """Within a blink, not at the next beat of its heart; asked at both, one of them does not work on it."""
    calls = stage.gemini.when(calls_gemini)
    job_ids = [await two.at_one.generate(photo, f"[[sim:slow=30]] {number}") for number in range(2)]
    async with asyncio.timeout(20):
        await calls.reached.wait()
        while (await stage.simulator_stats())["inFlight"] < 2:  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.1)
    for person, job_id in zip((two.at_one, two.at_other), job_ids, strict=True):
        await person.post(f"/jobs/{job_id}/cancel", {})
    async with asyncio.timeout(2):
        while (await stage.simulator_stats())["inFlight"] > 0:  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.05)


async def test_a_job_of_a_killed_task_is_told_by_the_other(stage: Stage, two: Two, photo: bytes) -> None:
    """The client waits at the survivor; the message comes back to it."""
    calls = stage.gemini.when(calls_gemini)
    async with two.at_other.socket() as socket:
        job_ids = {await two.at_one.generate(photo, f"[[sim:slow=2]] {number}") for number in range(4)}
        async with asyncio.timeout(20):
            await calls.reached.wait()
        await stage.kill(two.one)
        ended = {(await until(socket, "job.completed"))["job"]["jobId"] for _ in range(4)}

    assert job_ids == ended


async def test_without_redis_the_log_tells_it_within_seconds(two: Two, redis: RedisServer, photo: bytes) -> None:
    """And everybody is told that updates are late; afterwards that they are not."""
    async with ear(two.at_one) as here, ear(two.at_other) as there:
        redis.kill()
        await here.hears(lambda message: ["events"] == parts_of(message))
        job_id = await two.at_one.generate(photo)
        for one in (here, there):
            await one.hears(lambda message: message["type"] == "job.completed" and message["job"]["jobId"] == job_id)
        redis.start()
        await here.hears(lambda message: [] == parts_of(message), after=len(here.heard))


def parts_of(message: dict[str, Any]) -> list[str] | None:
    """Return what a message says is wrong; None if it does not say."""
    return [part["part"] for part in message["data"]["parts"]] if message["type"] == "system.degraded" else None
