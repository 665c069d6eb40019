"""The heartbeat, while AWS hangs or lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any, cast

import pytest

from consumers.heartbeat import Heartbeat
from jobs import clock, moves
from jobs.aws import Clients
from jobs.ids import UserId, new_job_id
from jobs.job_table import JobTable, Tables
from jobs.work_queue import WorkQueue
from tests.aws_faults import RefusesCalls
from tests.consumers.house import House, open_house

SLOTS = 64
"""Four rounds of renewals, as many as a process has jobs in hand by default."""


class Hanging:
    """A DynamoDB client that takes updates and never answers."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def update_item(self, **_: Any) -> Any:
        """Hang."""
        self.reached.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def beating(heartbeat: Heartbeat) -> AsyncIterator[None]:
    """Let the heart beat for the length of the block; it must not have stopped before."""
    task = asyncio.create_task(heartbeat.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


def table_of(house: House, client: Any) -> JobTable:
    """Open the job table with a client that misbehaves."""
    return JobTable(cast(Any, client), house.tables, house.bus)


async def test_a_table_that_hangs_costs_the_leases_in_time_and_no_message(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId, photo: bytes
) -> None:
    """The renewals take longer than the lease; each job is lost when it ends, and the message is hidden all the while."""
    lost_at: list[int] = []
    all_lost = asyncio.Event()

    def lose() -> None:
        lost_at.append(clock.now_milliseconds())
        if len(lost_at) == SLOTS:
            all_lost.set()

    async with open_house(clients, tables, cloud_environment, visibility_seconds=3) as house:
        job = await house.submit(user, photo)
        heartbeat = Heartbeat(table_of(house, Hanging()), house.queue)
        [delivery] = await house.queue.receive(1)
        lease_until = delivery.received_at + house.queue.lease_milliseconds
        with ExitStack() as holds:
            for _ in range(SLOTS):
                hold = heartbeat.holding(delivery.receipt, job.job_id, "me", lose, lease_until=lease_until)
                holds.enter_context(hold)
            async with beating(heartbeat), asyncio.timeout(8):
                await all_lost.wait()
        # Longer than it would be hidden if nobody had held it.
        seen = await clients.sqs.receive_message(QueueUrl=house.queue_url, WaitTimeSeconds=1)

    assert min(lost_at) >= lease_until - 5  # the loop's clock is not the wall clock
    assert max(lost_at) < delivery.received_at + 3000
    assert "Messages" not in seen


@pytest.mark.parametrize(("left", "believed"), [(400, 400), (3_600_000, 900), (-3_600_000, 0)])
async def test_a_lease_counts_from_when_it_was_written_and_never_for_longer_than_a_whole_one(
    house: House, left: int, believed: int
) -> None:
    """The claim took its time, or the wall clock stepped by an hour."""
    queue = WorkQueue(house.clients.sqs, house.clients.receiver, url=house.queue_url, visibility_seconds=1)
    lost, loop = asyncio.Event(), asyncio.get_running_loop()
    began = loop.time()
    lease_until = clock.now_milliseconds() + left
    with Heartbeat(house.table, queue).holding("receipt", new_job_id(), "me", lost.set, lease_until=lease_until):
        async with asyncio.timeout(5):
            await lost.wait()

    assert pytest.approx(believed / 1000, abs=0.3) == loop.time() - began


async def test_a_renewal_that_breaks_stops_neither_the_heart_nor_the_job(
    clients: Clients,
    tables: Tables,
    cloud_environment: Mapping[str, str],
    user: UserId,
    photo: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """DynamoDB refuses for a reason nobody thought of; the next beat comes before the lease is over."""
    async with open_house(clients, tables, cloud_environment, visibility_seconds=3) as house:
        refusing = RefusesCalls(clients.dynamodb, "update_item", 1)
        heartbeat = Heartbeat(table_of(house, refusing), house.queue)
        submitted = await house.submit(user, photo)
        [delivery] = await house.queue.receive(1)
        lease_until = delivery.received_at + house.queue.lease_milliseconds
        job = await house.table.apply(submitted, moves.claimed("me", lease_until, clock.now_milliseconds()))
        lost = asyncio.Event()
        with heartbeat.holding(delivery.receipt, job.job_id, "me", lost.set, lease_until=lease_until):
            async with beating(heartbeat):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(lost.wait(), 3.2)  # longer than the lease
        held = await house.table.get(job.job_id)

    assert held.lease_until is not None
    assert held.lease_until > clock.now_milliseconds()
    assert "renew_broke" == next(
        vars(record)["action"] for record in caplog.records if record.name == "consumers.heartbeat"
    )


async def test_hiding_that_breaks_does_not_stop_the_heart(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """An answer nobody can read costs no more than a beat."""
    read = asyncio.Event()

    class Garbled(WorkQueue):
        async def hide(self, receipts: list[str], seconds: int) -> set[str]:
            read.set()
            raise KeyError("Id")

    queue = Garbled(house.clients.sqs, house.clients.receiver, url=house.queue_url, visibility_seconds=1)
    heartbeat = Heartbeat(table_of(house, Hanging()), queue)
    lease_until = clock.now_milliseconds() + 900
    with heartbeat.holding("receipt", new_job_id(), "me", lambda: None, lease_until=lease_until):
        async with beating(heartbeat), asyncio.timeout(5):
            await read.wait()
            read.clear()
            await read.wait()  # at the next beat

    assert "hide_broke" in [vars(record).get("action") for record in caplog.records]


async def test_a_message_is_settled_while_the_table_hangs(house: House) -> None:
    """A job that is to be tried again waits for the messages' beat alone."""
    table = Hanging()
    heartbeat = Heartbeat(table_of(house, table), house.queue)
    lease_until = clock.now_milliseconds() + house.queue.lease_milliseconds
    with heartbeat.holding("receipt", new_job_id(), "me", lambda: None, lease_until=lease_until):
        async with beating(heartbeat), asyncio.timeout(2):
            await table.reached.wait()
            await heartbeat.settled()
