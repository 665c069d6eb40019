"""Waiting for a job's end: told by the bus, not asked for over and over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jobs.errors import CloudUnavailable, JobDeleted, JobNotFound
from jobs.events import EventBus, EventType, JobEvent, Notice
from jobs.ids import UserId
from jobs.job_reader import JobReader
from jobs.model import Job

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
READ_SECONDS: Final = 3.0
MOST_AT_ONCE: Final = 2000
READS_AT_ONCE: Final = 16


def _never() -> bool:
    return False


class _Vigil:
    """One caller who waits; ``job`` is the newest that is known of it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_deleted = False
        self.must_read = True
        self.news = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Tell whether there is nothing more to wait for."""
        return self.is_deleted or self.job.terminal

    def hear(self, notice: Notice) -> None:
        """Take in what the bus tells of the owner's jobs."""
        if not isinstance(notice, JobEvent) or notice.job.job_id != self.job.job_id:
            return
        if notice.type is EventType.DELETED:
            self.is_deleted = True
        self.learn(notice.job)

    def learn(self, job: Job) -> None:
        """Take in how the job is, unless something newer is known: events may be told twice."""
        if job.version >= self.job.version:
            self.job = job
        if self.is_over:
            self.news.set()

    def doubt(self) -> None:
        """Read the job: something may have been missed."""
        self.must_read = True
        self.news.set()


class Waiting:
    """Lets callers wait for the ends of jobs. The table is read once at first, once at last, and where the bus may miss something.

    While so many wait already, further callers get their answer at once.
    """

    def __init__(
        self,
        table: JobReader,
        bus: EventBus,
        *,
        look_seconds: float = LOOK_SECONDS,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._table = table
        self._bus = bus
        self._look_seconds = look_seconds
        self._most_at_once = most_at_once
        self._vigils: dict[UserId, list[_Vigil]] = {}
        self._count = 0
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._is_closed = False
        bus.on_gap(self._note_gap)

    @property
    def count(self) -> int:
        """How many wait now."""
        return self._count

    async def ended(self, job: Job, seconds: float, *, is_gone: Callable[[], bool] = _never) -> Job:
        """Return the job as soon as it has ended; or as it is after so many seconds, or at the close, or when nobody waits.

        ``is_gone`` tells whether the caller has left. Raises JobNotFound when the job is deleted. A table that cannot be read
        raises nothing: the job was taken in, and an error here would make its owner send it once more.
        """
        if job.terminal or seconds <= 0 or self._is_closed or self._count >= self._most_at_once:
            return job
        vigil = _Vigil(job)
        unsubscribe = self._bus.subscribe(job.user_id, vigil.hear)
        self._vigils.setdefault(job.user_id, []).append(vigil)
        self._count += 1
        try:
            await self._keep(vigil, asyncio.get_running_loop().time() + seconds, is_gone)
        finally:
            self._forget(vigil)
            unsubscribe()
        if vigil.is_deleted:
            raise JobDeleted
        return vigil.job

    def close(self) -> None:
        """Let everybody go who waits, and hold nobody from now on."""
        self._is_closed = True
        for vigils in self._vigils.values():
            for vigil in vigils:
                vigil.news.set()

    async def _keep(self, vigil: _Vigil, deadline: float, is_gone: Callable[[], bool]) -> None:
        time = asyncio.get_running_loop().time
        await self._bus.listening(vigil.job.user_id)  # then read: from then on nothing is missed
        while not (vigil.is_over or self._is_closed or is_gone()):
            is_late = time() >= deadline
            if vigil.must_read or is_late or not self._bus.is_whole:
                await self._read(vigil)
            if is_late or vigil.is_over:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(deadline, time() + self._look_seconds)):
                    await vigil.news.wait()
            vigil.news.clear()

    async def _read(self, vigil: _Vigil) -> None:
        vigil.must_read = False
        try:
            async with asyncio.timeout(READ_SECONDS), self._reading:
                vigil.learn(await self._table.get(vigil.job.job_id))
        except JobNotFound:
            vigil.is_deleted = True
        except (CloudUnavailable, TimeoutError):
            vigil.must_read = True
            logger.warning("A job cannot be read", extra={"action": "wait_read", "job_id": vigil.job.job_id})

    def _note_gap(self, user_id: UserId) -> None:
        for vigil in self._vigils.get(user_id, ()):
            vigil.doubt()

    def _forget(self, vigil: _Vigil) -> None:
        self._count -= 1
        of_user = self._vigils[vigil.job.user_id]
        of_user.remove(vigil)
        if not of_user:
            del self._vigils[vigil.job.user_id]
