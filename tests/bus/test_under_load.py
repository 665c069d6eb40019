"""What the bus over Redis loses, and says that it has lost, when it is cut while much is said."""

from __future__ import annotations

import asyncio

import pytest

from tests.bus.conftest import StartTask
from tests.bus.load import USERS, has_noted_every_gap, load_on, numbers, watched
from tests.bus.redis_server import RedisServer

one_server = pytest.mark.parametrize("server", ["redis"], indirect=True)


async def test_a_server_that_dies_under_load_costs_no_more_than_noted_gaps(
    server: RedisServer, start_task: StartTask
) -> None:
    """Every watched user is healed before the bus is whole; what is published from then on arrives."""
    here, there = await watched(start_task)
    with load_on(there, witness=here) as load:
        await here.until(lambda: len(here.told) > 500)
        server.kill()
        await here.cut()
        await there.cut()
        cut_at = len(here.told)
        await asyncio.to_thread(server.start)
        await there.whole()
        await here.whole()
        whole_at = here.told.index(("report", True), cut_at)
        published = load.number + 1
        await here.until(lambda: all(published + 50 in numbers(here, user) for user in USERS))

    healed = {what for kind, what in here.told[cut_at:whole_at] if kind == "heal"}
    assert set(USERS) == healed
    for user in USERS:
        assert has_noted_every_gap(here, user)
        assert {*range(published, published + 50)} <= set(numbers(here, user))
    assert [True, False, True] == here.reports


async def test_a_server_that_is_away_for_long_costs_no_more_than_noted_gaps(
    server: RedisServer, start_task: StartTask
) -> None:
    """More was published than can wait; what was dropped is noted before what came after it."""
    here, there = await watched(start_task)
    with load_on(there, witness=here) as load:
        server.kill()
        await there.until(lambda: there.count("event_bus_dropped_total") > 20 * len(USERS))
        await asyncio.to_thread(server.start)
        await there.whole()
        await here.whole()
        published = load.number + 1
        # Not that very one: a busy machine may have more to drop before it has caught up.
        await here.until(lambda: all(max(numbers(here, user), default=0) >= published for user in USERS))

    for user in USERS:
        assert {*range(1, published)} - set(numbers(here, user))
        assert has_noted_every_gap(here, user)


@one_server
async def test_a_server_that_hangs_is_noticed_and_keeps_nobody_waiting(
    server: RedisServer, start_task: StartTask
) -> None:
    """Local watchers are told as ever, the loop goes round, and all users are healed after it goes on."""
    here, there = await watched(start_task)
    turns = 0
    with load_on(here) as load:
        server.hang()
        while here.bus.is_whole or there.bus.is_whole:
            turns += 1
            await asyncio.sleep(0.005)
        noticed_at = load.number
        healed_before = len(here.healed)
        server.resume()
        await here.whole()
        await there.whole()

    assert turns > 100  # of some 600 in three seconds
    assert noticed_at > 100
    assert [*range(1, noticed_at)] == numbers(here, USERS[0])[: noticed_at - 1]
    assert set(USERS) <= set(here.healed[healed_before:])


@one_server
async def test_a_connection_that_is_cut_loses_nothing_that_is_not_noted(
    server: RedisServer, start_task: StartTask
) -> None:
    """Those that speak are cut again and again while they do."""
    here, there = await watched(start_task)
    with load_on(there, witness=here) as load:
        for _ in range(10):
            server.command("CLIENT", "KILL", "TYPE", "normal")
            await asyncio.sleep(0.05)
        await there.whole()
        await here.whole()
        published = load.number + 1
        await here.until(lambda: all(published in numbers(here, user) for user in USERS))

    assert all(has_noted_every_gap(here, user) for user in USERS)
