"""Sends a user's waiting jobs as that user's earlier ones end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from jobs.errors import CloudUnavailable
from jobs.events import EventBus, JobEvent, Notice
from jobs.ids import UserId
from jobs.submission import Submission

logger = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class Admission:
    """Watches the users whose jobs wait, and admits the next ones at each end of one. What it misses, the sweeper finds.

    ``failed`` is done when it died by itself: the process must stop then.
    """

    def __init__(self, submission: Submission, bus: EventBus) -> None:
        self._submission = submission
        self._bus = bus
        self._watched: dict[UserId, Callable[[], None]] = {}
        self._due: dict[UserId, None] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to admit."""
        self._task = asyncio.create_task(self._run(), name="admission")
        self._task.add_done_callback(self._note_death)

    async def stop(self) -> None:
        """Stop admitting; what waits is sent by another process, or by the next one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for unsubscribe in self._watched.values():
            unsubscribe()
        self._watched.clear()

    def watch(self, user_id: UserId) -> None:
        """Admit this user's waiting jobs from now on. Bounded by the users who have some."""
        if user_id not in self._watched:
            self._watched[user_id] = self._bus.subscribe(user_id, self._note)
        # A job may have ended between the count and this moment; and whoever is just found to have nothing waiting now has.
        self._note_due(user_id)

    def _note(self, notice: Notice) -> None:
        if isinstance(notice, JobEvent) and notice.job.terminal:
            self._note_due(notice.job.user_id)

    def _note_due(self, user_id: UserId) -> None:
        self._due[user_id] = None
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            due, self._due = self._due, {}
            for user_id in due:
                await self._admit(user_id)

    async def _admit(self, user_id: UserId) -> None:
        try:
            if not await self._submission.admit(user_id) and user_id not in self._due:
                self._forget(user_id)
        except CloudUnavailable:
            logger.warning("Waiting jobs could not be sent", extra={"action": "admit_later", "user_id": user_id})
            await asyncio.sleep(_RETRY_SECONDS)
            self._note_due(user_id)
        except Exception:
            logger.exception("Waiting jobs could not be admitted", extra={"action": "admit_broke", "user_id": user_id})

    def _forget(self, user_id: UserId) -> None:
        unsubscribe = self._watched.pop(user_id, None)
        if unsubscribe is not None:
            unsubscribe()

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("Admission died", exc_info=error, extra={"action": "admission_died"})
            self.failed.set_result(None)
