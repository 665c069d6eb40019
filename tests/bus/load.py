"""Two tasks of which one publishes without pause, and what the other must have noted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.events import JobEvent
from jobs.ids import UserId
from tests.bus.conftest import StartTask
from tests.bus.stage import Task, completed

USERS = [UserId(f"user_{number}") for number in range(20)]


class Load:
    """Publishes for all users, over and over, numbered; the witness takes down how far it is."""

    def __init__(self, task: Task, witness: Task) -> None:
        self.number = 0
        self._task = task
        self._witness = witness

    async def run(self) -> None:
        """Publish a round of notices every few milliseconds."""
        while True:
            self.number += 1
            self._witness.told.append(("round", self.number))
            for user in USERS:
                self._task.bus.publish(completed(self.number, user))
            await asyncio.sleep(0.005)


@contextmanager
def load_on(task: Task, *, witness: Task | None = None) -> Iterator[Load]:
    """Keep a task publishing."""
    load = Load(task, witness or task)
    running = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        running.cancel()


def numbers(task: Task, user: UserId) -> list[int]:
    """Return the numbers of what a user was told, in order."""
    return [what.job.version for _, what in task.told if isinstance(what, JobEvent) and what.job.user_id == user]


def has_noted_every_gap(witness: Task, user: UserId) -> bool:
    """Tell whether a gap was noted after whatever is missing was published, and before anything later was told."""
    published = noted = newest = 0
    for kind, what in witness.told:
        if kind == "round":
            published = int(str(what))
        elif (kind, what) == ("heal", user):
            noted = published
        elif isinstance(what, JobEvent) and what.job.user_id == user:
            if what.job.version > max(newest, noted) + 1:
                return False
            newest = max(newest, what.job.version)
    return True


async def watched(start_task: StartTask) -> tuple[Task, Task]:
    """Start two tasks, all users watched at the first."""
    here, there = await start_task(), await start_task()
    for user in USERS:
        here.watch(user)
    for user in USERS:
        await here.bus.listening(user)
    return here, there
