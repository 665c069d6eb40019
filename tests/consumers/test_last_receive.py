"""A receive that is under way when its worker stops: what it brings is not left hidden."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from jobs.ids import UserId
from jobs.work_queue import Delivery, WorkQueue
from tests.consumers.house import House, Story


class Slow(WorkQueue):
    """A queue that answers when it is told to."""

    def prepare(self) -> None:
        """Wait for the first question."""
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def receive(self, most: int) -> list[Delivery]:
        """Take what is there at that moment."""
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().receive(most)


def slow_queue(house: House) -> Slow:
    """Make one of the house's own."""
    queue = Slow(house.clients.sqs, house.clients.receiver, url=house.queue_url, visibility_seconds=20)
    queue.prepare()
    return queue


async def test_what_it_brings_is_done(house: House, story: Story, user: UserId, photo: bytes) -> None:
    """It comes when the pool is stopping already; otherwise it would be hidden for the whole lease."""
    queue = slow_queue(house)
    await house.submit(user, photo)
    async with replace(house, queue=queue).pool() as pool:
        await queue.is_asked.wait()
        stopping = asyncio.create_task(pool.stop(20, last_receive_seconds=20))
        await asyncio.sleep(0)
        queue.may_answer.set()
        await stopping

    assert "job.completed" == story.events[-1]
    assert 0 == await house.messages(house.queue_url)


async def test_it_does_not_hold_up_the_stop(house: House) -> None:
    """A queue may say nothing for very long."""
    queue = slow_queue(house)
    async with replace(house, queue=queue).pool() as pool:
        await queue.is_asked.wait()
        async with asyncio.timeout(5):
            await pool.stop(20, last_receive_seconds=0.05)

    assert not queue.may_answer.is_set()
