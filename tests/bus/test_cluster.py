"""Clusters of more than one server, whose channels move from one to another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.crc import key_slot

from jobs.ids import UserId
from jobs.redis_bus import HANG_UP_SECONDS
from tests.bus.redis_server import SLOTS, RedisServer, cluster, self_signed
from tests.bus.stage import Task, completed, new_task

USERS = [UserId(f"user_{number}") for number in range(20)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """Run two servers with half of the slots each."""
    with cluster(tmp_path, 2) as (one, two):
        yield one, two


async def test_users_of_all_servers_are_heard_wherever_their_slots_move(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    """When a slot moves, its users are healed; what is published from then on arrives or is healed again."""
    one, two = servers
    here, there = new_task(one.url, "test"), new_task(two.url, "test")
    async with AsyncExitStack() as stack:
        for task in (here, there):
            stack.push_async_callback(task.bus.stop)
            await task.bus.start()
        for user in USERS:
            here.watch(user)
            await here.bus.listening(user)
            there.bus.publish(completed(1, user))
        await here.until(lambda: all(has_heard(here, user, 1) for user in USERS))

        moved = next(user for user in USERS if slot(user) < SLOTS // 2)
        owner = two.command("CLUSTER", "MYID")
        for server in (two, one):
            await asyncio.to_thread(server.command, "CLUSTER", "SETSLOT", slot(moved), "NODE", owner)
        await here.until(lambda: moved in here.healed)
        await here.whole()
        # The sender learns only now that the slot has moved.
        there.bus.publish(completed(2, moved))
        await here.until(lambda: has_heard(here, moved, 2) or here.healed.count(moved) > 1)
        await there.whole()
        there.bus.publish(completed(3, moved))
        await here.until(lambda: has_heard(here, moved, 3))


async def test_a_stop_while_a_whole_cluster_hangs_ends_soon(tmp_path: Path) -> None:
    """Over TLS each server would be waited for until it has said goodbye, too; that must not add up."""
    with cluster(tmp_path, 5, certificate=self_signed(tmp_path)) as servers:
        task = new_task(servers[0].url, "test")
        await task.bus.start()
        await task.whole()
        for server in servers:
            server.hang()

        async with asyncio.timeout(HANG_UP_SECONDS):
            await task.bus.stop()

    left = [other.get_name() for other in asyncio.all_tasks() if other is not asyncio.current_task()]
    assert not [name for name in left if "redis" in name or "event bus" in name]


def has_heard(task: Task, user: UserId, number: int) -> bool:
    """Tell whether a user has been told of an event."""
    return ("notice", completed(number, user)) in task.told


def slot(user: UserId) -> int:
    """Return the slot of a user's channel."""
    return key_slot(f"test:u:{user}".encode())
