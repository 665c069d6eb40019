"""What an operator may do: have this task leave, and bring dead letters back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from jobs import clock
from jobs.dead_letters import DeadLetters
from jobs.job_table import JobTable
from jobs.work_queue import WorkQueue
from service.errors import NoDeadLetters, OtherTask, RedriveUnderWay
from service.ops.sampler import Sampler
from service.redrive import Outcome, Redrive

REDRIVE_SECONDS: Final = 20.0
"""What is not settled by then stays where it is, for the next time: nobody waits for an answer as long as for a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A running container of the service; ``started_at`` is milliseconds since the epoch."""

    name: str
    version: str
    started_at: int

    @classmethod
    def beginning(cls, name: str, version: str) -> Task:
        """Say which task begins now."""
        return cls(name=name, version=version, started_at=clock.now_milliseconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What became of how many letters, and whether the walk ended because there were no more."""

    counts: Mapping[Outcome, int]
    is_whole: bool


class OperatorDesk:
    """The operator's eyes on this task and hand on it, and on the dead letters of all. ``leave`` must not wait."""

    def __init__(
        self,
        task: Task,
        sampler: Sampler,
        leave: Callable[[], None],
        table: JobTable,
        queue: WorkQueue,
        letters: DeadLetters | None,
    ) -> None:
        self.task = task
        self.sampler = sampler
        self._leave = leave
        self._table = table
        self._queue = queue
        self._letters = letters
        self._is_redriving = False

    def drain(self, task_name: str) -> None:
        """Have this task leave as on SIGTERM. Raises OtherTask when another is meant: a load balancer may have chosen us."""
        if task_name != self.task.name:
            raise OtherTask(f"The request has reached the task {self.task.name}, not {task_name}")
        self._leave()

    async def redrive(self, limit: int | None, *, dry_run: bool) -> Redriven:
        """Settle dead letters, at most ``limit`` of ours, within ``REDRIVE_SECONDS``.

        Raises NoDeadLetters, RedriveUnderWay and CloudUnavailable.
        """
        if self._letters is None:
            raise NoDeadLetters
        if self._is_redriving:
            raise RedriveUnderWay
        walk, time_is_up = Redrive(self._letters, self._table, self._queue, dry_run=dry_run), asyncio.Event()
        timer = asyncio.get_running_loop().call_later(REDRIVE_SECONDS, time_is_up.set)
        self._is_redriving = True
        try:
            await walk.run(limit, time_is_up, _note_nothing)
        finally:
            timer.cancel()
            self._is_redriving = False
        settled = walk.counts.total() - walk.counts[Outcome.NOT_OURS]
        return Redriven(
            counts=dict(walk.counts), is_whole=not time_is_up.is_set() and (limit is None or settled < limit)
        )


def _note_nothing() -> None:
    """Show no progress."""
