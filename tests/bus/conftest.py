"""Fixtures of the event bus."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jobs.events import EventBus, InProcessBus
from tests.bus.redis_server import RedisServer
from tests.bus.stage import Task, new_task

StartTask = Callable[[], Awaitable[Task]]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a server that nobody harms."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a cluster of one server that nobody harms."""
    server = RedisServer(tmp_path_factory.mktemp("cluster"), is_cluster=True)
    server.start_cluster()
    yield server
    server.kill()


@pytest.fixture(params=["in-process", "redis", "cluster"])
async def buses(request: pytest.FixtureRequest) -> AsyncIterator[tuple[EventBus, EventBus]]:
    """Give the buses of two tasks; in one process they are the same."""
    if request.param == "in-process":
        bus = InProcessBus()
        yield bus, bus
        return
    server: RedisServer = request.getfixturevalue("shared_server" if request.param == "redis" else "shared_cluster")
    prefix = uuid.uuid4().hex
    async with AsyncExitStack() as stack:
        yield (await _start(stack, server, prefix)).bus, (await _start(stack, server, prefix)).bus


@pytest.fixture(params=["redis", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server for one test, to do with as it pleases."""
    server = RedisServer(tmp_path, is_cluster=request.param == "cluster")
    server.start_cluster() if server.is_cluster else server.start()
    yield server
    server.kill()


@pytest.fixture
async def start_task(server: RedisServer) -> AsyncIterator[StartTask]:
    """Start tasks on that server, as many as a test wants; they end with it."""
    async with AsyncExitStack() as stack:
        yield lambda: _start(stack, server, "test")


async def _start(stack: AsyncExitStack, server: RedisServer, prefix: str) -> Task:
    task = new_task(server.url, prefix)
    stack.push_async_callback(task.bus.stop)
    await task.bus.start()
    return task
