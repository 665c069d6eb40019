"""Tells ends of jobs again that not everybody could be told of when they were written."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from jobs.errors import CloudUnavailable, JobNotFound
from jobs.events import Event, JobEvent, UserEvent
from jobs.ids import UserId
from jobs.job_table import JobTable

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
_KEPT_EVENTS: Final = 10_000


class Whole(Protocol):
    """What this needs of a bus."""

    @property
    def is_whole(self) -> bool:
        """Tell whether other tasks are heard, and so most likely hear."""


class Retelling:
    """While this task alone was cut off from the bus, the clients of others have gone on: their cursors may lie behind an end
    that they were never told. So it is told once more, under a fresh id, as soon as they can be told. So is an end that could not
    be offered to the webhooks, and whatever is no change of a job.

    ``failed`` is done when it died by itself: the process must stop then.
    """

    def __init__(self, table: JobTable, bus: Whole) -> None:
        self._table = table
        self._bus = bus
        self._untold: dict[tuple[UserId, str], Event] = {}
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, event: Event) -> None:
        """Take note of an event that was not told; of a job's only ends matter, for every later change tells all of it anew."""
        if isinstance(event, JobEvent) and not event.job.terminal:
            return
        name = event.user_id, event.about
        known = self._untold.get(name)
        if (
            known is None or known.event_id < event.event_id
        ):  # what waited for the line is noted after what found no room
            self._untold[name] = event
        if len(self._untold) > _KEPT_EVENTS:
            del self._untold[next(iter(self._untold))]

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
            while self._untold and self._bus.is_whole:
                if not await self._tell_next_again():
                    break

    async def _tell_next_again(self) -> bool:
        """Tell of one event; returns whether that has worked."""
        name = next(iter(self._untold))
        event = self._untold.pop(name)  # before, not after: it may be missed again meanwhile
        extra = {"user_id": event.user_id, "about": event.about}
        try:
            await self._tell_again(event)
        except CloudUnavailable:
            self._untold.setdefault(name, event)
            logger.warning("An event could not be told again", extra=extra | {"action": "retell_later"})
            return False
        except Exception:
            logger.exception("An event cannot be told again", extra=extra | {"action": "retell_broke"})
        return True

    async def _tell_again(self, event: Event) -> None:
        match event:
            case UserEvent():
                await self._table.writes.tell_for_certain(lambda event_id, at: replace(event, event_id=event_id, at=at))
            case JobEvent():
                with suppress(JobNotFound):
                    job = await self._table.get(event.job.job_id)
                    if job.terminal:
                        await self._table.tell_end_again(job)

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The retelling died", exc_info=error, extra={"action": "retelling_died"})
            self.failed.set_result(None)
