"""Jobs in a worker's hand, brought there one by one and watched."""

from __future__ import annotations

import asyncio

from consumers.attempt import Attempt, Workshop
from consumers.failures import FailureClass
from consumers.heartbeat import Heartbeat
from jobs.events import JobProgress, Stage
from jobs.work_queue import Delivery
from tests.consumers.house import House, Story


async def reaches(story: Story, stage: Stage) -> None:
    """Wait until a job is so far."""
    async with asyncio.timeout(20):
        while not any(isinstance(note, JobProgress) and note.stage is stage for note in story.notices):
            story.news.clear()
            await story.news.wait()


class ToldOfItsLoss(Attempt):
    """Says when it has heard that the job is not its own any more."""

    def __init__(self, workshop: Workshop, delivery: Delivery) -> None:
        super().__init__(workshop, delivery)
        self.is_told = asyncio.Event()

    def lose(self) -> None:
        """Stop, and say so."""
        super().lose()
        self.is_told.set()


async def is_told_of_its_loss(attempt: ToldOfItsLoss, heartbeat: Heartbeat) -> None:
    """Let the heart beat until the attempt has heard of it."""
    beating = asyncio.create_task(heartbeat.run())
    try:
        async with asyncio.timeout(20):
            await attempt.is_told.wait()
    finally:
        beating.cancel()
        await asyncio.wait([beating])


async def shut_gate(house: House, seconds: float) -> None:
    """Have Gemini throttle us for so long."""
    async with house.gate.admit(5) as permit:
        permit.failed(FailureClass.THROTTLED, seconds)


async def only_delivery(house: House) -> Delivery:
    """Receive the one message there is."""
    [delivery] = await house.queue.receive(1)
    return delivery
