"""Finds the jobs that a death has left behind, and brings them back or to an end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from jobs import clock, moves
from jobs.errors import CloudUnavailable, JobNotFound, LostClaim
from jobs.ids import JobId, UserId
from jobs.items import STATUS_SHARDS
from jobs.job_table import JobTable
from jobs.model import Job, Status
from jobs.submission import Submission

logger = logging.getLogger(__name__)

_MAX_REFUSALS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTimes:
    """When a job counts as left behind, all in seconds.

    ``unsent``: stored, but its message may never have been sent. ``lease``: how long a lease is; two of them after its end
    the queue should have brought the job back. ``unclaimed``: queued for so long that its message may be gone; it is then
    sent once more, and again after twice that time, and so on.
    ``retention``: as long as the queue keeps a message.
    """

    every: float = 30
    unsent: float = 30
    lease: float = 120
    unclaimed: float = 900
    retention: float = 4 * clock.DAY_SECONDS


class _Queued(Protocol):
    @property
    def updated_at(self) -> int: ...
    @property
    def sent_at(self) -> int | None: ...


class Sweeper:
    """Looks through the unfinished jobs every half minute. Any number of processes may sweep: every step is a move.

    ``watch`` is told of users whose jobs still wait, so that the ends of their jobs are followed from now on.
    ``failed`` is done when it died by itself: the process must stop then.
    """

    def __init__(
        self, table: JobTable, submission: Submission, times: SweepTimes, watch: Callable[[UserId], None]
    ) -> None:
        self._table = table
        self._submission = submission
        self._times = times
        self._watch = watch
        self._refusals = 0
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.create_task(self._run(), name="sweeper")
        self._task.add_done_callback(self._note_death)

    async def stop(self) -> None:
        """Stop sweeping; a sweep cut short is no harm."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> None:
        """Look through all unfinished jobs once. Raises CloudUnavailable when some could not be mended, after a few at once."""
        self._refusals = 0
        users: dict[UserId, None] = {}
        for status, seconds in (
            (Status.PENDING, self._times.unsent),
            (Status.PROCESSING, self._times.lease),
            (Status.QUEUED, self._times.unclaimed),
        ):
            for shard in range(STATUS_SHARDS):
                before = clock.now_milliseconds() - round(seconds * 1000)
                async for row in self._table.unfinished_before(status, shard, before):
                    if row.waiting:
                        users[row.user_id] = None
                    elif status is not Status.QUEUED or self._is_due(row):
                        await self._guarded(self._mend(row.job_id), {"action": "sweep_broke", "job_id": row.job_id})
        for user_id in users:
            await self._guarded(self._admit(user_id), {"action": "admit_broke", "user_id": user_id})
        if self._refusals:
            raise CloudUnavailable

    async def _run(self) -> None:
        while True:
            # Processes that start together must not sweep together.
            await asyncio.sleep(self._times.every * random.uniform(0.5, 1.5))  # noqa: S311 - jitter is no secret
            try:
                await self.sweep()
            except CloudUnavailable:
                logger.warning("A sweep was cut short", extra={"action": "sweep_later"})
            except Exception:
                # What breaks a sweep would break that of every process, one after the other.
                logger.exception("A sweep broke", extra={"action": "sweep_broke"})

    async def _guarded(self, step: Awaitable[None], extra: dict[str, object]) -> None:
        """Take a step; one that is refused or that breaks, as on a row of a newer release, must not keep us from the others."""
        try:
            await step
        except CloudUnavailable:
            # A cloud that is gone must not be asked for each.
            self._refusals += 1
            if self._refusals >= _MAX_REFUSALS:
                raise
        except Exception:
            logger.exception("A step of a sweep broke", extra=extra)

    async def _admit(self, user_id: UserId) -> None:
        if await self._submission.admit(user_id):
            self._watch(user_id)

    async def _mend(self, job_id: JobId) -> None:
        try:
            job = await self._table.get(job_id)
            match job.status:
                case Status.PENDING if not job.waiting:
                    await self._submission.send_again(job)
                    logger.warning("A stored job was sent", extra=_extra("sent_unsent", job))
                case Status.PROCESSING:
                    await self._bring_back(job)
                case Status.QUEUED:
                    await self._send_unclaimed(job)
                case _:
                    return  # it has ended since the index was read
        except (LostClaim, JobNotFound):
            return  # somebody else was faster

    def _is_due(self, job: _Queued) -> bool:
        """Each wait is as long as all before it: what nobody fetches must not fill the queue."""
        last = max(job.sent_at or 0, job.updated_at)
        wait = max(self._times.unclaimed * 1000, last - job.updated_at)
        return clock.now_milliseconds() - last > wait

    async def _bring_back(self, job: Job) -> None:
        """Two leases after its end the queue would have delivered the job again, had it still had it."""
        now, patience = clock.now_milliseconds(), round(2 * self._times.lease * 1000)
        job = await self._table.apply(job, moves.taken_from_the_dead(now, patience_milliseconds=patience))
        if job.terminal:
            logger.error("A job took its worker with it time and again", extra=_extra("worker_lost", job))
            return
        await self._submission.send_again(job)
        logger.warning("A job was taken from a dead worker", extra=_extra("taken_back", job))

    async def _send_unclaimed(self, job: Job) -> None:
        """A message may be gone; a second one is harmless. After the queue's retention the job is told to be lost."""
        now = clock.now_milliseconds()
        if now - job.updated_at > self._times.retention * 1000:
            await self._table.apply(job, moves.expired(now))
            logger.error("A job's message expired", extra=_extra("message_lost", job))
            return
        if not self._is_due(job):
            return
        await self._submission.send_again(await self._table.apply(job, moves.sent_again(now)))
        logger.warning("A queued job was sent once more", extra=_extra("sent_again", job))

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The sweeper died", exc_info=error, extra={"action": "sweeper_died"})
            self.failed.set_result(None)


def _extra(action: str, job: Job) -> dict[str, object]:
    return {"action": action, "job_id": job.job_id, "user_id": job.user_id}
