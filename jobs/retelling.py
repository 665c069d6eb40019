"""Tells ends of jobs again that not everybody could be told of when they were written."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from jobs.errors import CloudUnavailable, JobNotFound
from jobs.events import JobEvent
from jobs.ids import JobId
from jobs.job_table import JobTable

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
_KEPT_ENDS: Final = 10_000


class Whole(Protocol):
    """What this needs of a bus."""

    @property
    def is_whole(self) -> bool:
        """Tell whether other tasks are heard, and so most likely hear."""


class Retelling:
    """While this task alone was cut off from the bus, the clients of others have gone on: their cursors may lie behind an end
    that they were never told. So it is told once more, under a fresh id, as soon as they can be told. So is an end that could not
    be offered to the webhooks.

    ``failed`` is done when it died by itself: the process must stop then.
    """

    def __init__(self, table: JobTable, bus: Whole) -> None:
        self._table = table
        self._bus = bus
        self._ends: dict[JobId, None] = {}
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, event: JobEvent) -> None:
        """Take note of an event that was not told; only ends matter, for every later change tells the whole job anew."""
        if event.job.terminal:
            self._ends[event.job.job_id] = None
            if len(self._ends) > _KEPT_ENDS:
                del self._ends[next(iter(self._ends))]

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="retelling")
        self._task.add_done_callback(self._note_death)

    async def stop(self) -> None:
        """Stop; what was not told again is in the log under its first id."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            while self._ends and self._bus.is_whole:
                if not await self._tell_again(next(iter(self._ends))):
                    break

    async def _tell_again(self, job_id: JobId) -> bool:
        """Tell of one end; returns whether that has worked."""
        try:
            job = await self._table.get(job_id)
            self._ends.pop(job_id, None)  # before, not after: it may be missed again meanwhile
            if job.terminal:
                await self._table.tell_end_again(job)
        except JobNotFound:
            self._ends.pop(job_id, None)
        except CloudUnavailable:
            self._ends[job_id] = None
            logger.warning("An end could not be told again", extra={"action": "retell_later", "job_id": job_id})
            return False
        except Exception:
            logger.exception("An end cannot be told again", extra={"action": "retell_broke", "job_id": job_id})
        return True

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The retelling died", exc_info=error, extra={"action": "retelling_died"})
            self.failed.set_result(None)
