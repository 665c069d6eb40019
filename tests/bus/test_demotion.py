"""What the bus over Redis does when its server becomes a replica."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bus.conftest import StartTask
from tests.bus.redis_server import RedisServer
from tests.bus.stage import completed, watch

one_server = pytest.mark.parametrize("server", ["redis"], indirect=True)


@contextmanager
def new_primary(server: RedisServer, folder: Path) -> Iterator[None]:
    """Make a server the replica of another one."""
    folder.mkdir()
    primary = RedisServer(folder)
    primary.start()
    try:
        server.command("REPLICAOF", "127.0.0.1", primary.port)
        yield
    finally:
        primary.kill()


@one_server
async def test_a_server_that_becomes_a_replica_counts_as_gone(
    server: RedisServer, start_task: StartTask, tmp_path: Path
) -> None:
    """It keeps its connections and takes messages, but others listen elsewhere; nobody is healed until it is itself again."""
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus)
    with new_primary(server, tmp_path / "primary"):
        there.bus.publish(completed(1))
        async with asyncio.timeout(5):
            await here.cut()
            await there.cut()
        assert [completed(1)] == there.late
        healed_before = len(here.healed)
        await asyncio.sleep(2)  # time for some attempts
        assert [True, False] == here.reports == there.reports
        assert healed_before == len(here.healed)

        server.command("REPLICAOF", "NO", "ONE")
        await here.whole()
        await there.whole()
    assert len(here.healed) > healed_before
    there.bus.publish(completed(2))
    while await ear.next() != completed(2):
        pass


@one_server
async def test_a_bus_that_is_silent_notices_a_demotion(
    server: RedisServer, start_task: StartTask, tmp_path: Path
) -> None:
    """Whoever only listens is cut as well."""
    here = await start_task()
    with new_primary(server, tmp_path / "primary"):
        async with asyncio.timeout(5):
            await here.cut()
