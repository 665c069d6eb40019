"""What is left of a user's day, told to the user's clients soon after it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from itertools import islice
from typing import Final, TypeAlias

from jobs.errors import CloudUnavailable
from jobs.events import Event, EventType, UserEvent
from jobs.ids import UserId
from jobs.model import Charge, Quota
from websocket import messages
from websocket.limits import SocketLimits
from websocket.messages import Frame

logger = logging.getLogger(__name__)

ReadQuota: TypeAlias = Callable[[UserId], Awaitable[Quota | None]]
"""Reads a user's figures; None where nobody is to be told any. Raises CloudUnavailable."""
_FIRST_TOLD_VERSION: Final = 2
"""Version 1 is stored, takes its unit, and is told if the job waits; else the next is, as queued or as what overtook that."""


async def no_quota(_: UserId) -> None:
    """Have nothing to tell."""


def moves_quota(event: Event) -> bool:
    """Tell whether the day's figures may be others than before.

    A canceled job's unit counts although it is kept: its worker may give it back a moment later, without an event.
    """
    if isinstance(event, UserEvent):
        return False
    job = event.job
    return (
        job.version <= _FIRST_TOLD_VERSION
        or event.type in (EventType.QUEUED, EventType.CANCELED)
        or job.charge is Charge.RETURNED
    )


class QuotaTeller:
    """Reads the figures of users whose jobs have moved them, and tells them.

    Each user's are read once a second at most, and only while the user is among ``watched``. They are told although they may
    be those told last: a client may have learnt others meanwhile, from a snapshot or the answer to a request. What cannot be
    read is told with the next change.
    """

    def __init__(
        self,
        read: ReadQuota,
        watched: Container[UserId],
        tell: Callable[[UserId, Frame], None],
        limits: SocketLimits,
    ) -> None:
        self._read = read
        self._watched = watched
        self._tell = tell
        self._limits = limits
        self._due: set[UserId] = set()
        self._is_due = asyncio.Event()

    def note(self, event: Event) -> None:
        """Look at the figures soon, if the event may have moved them; never waits."""
        if moves_quota(event):
            self.tell_soon(event.user_id)

    def tell_soon(self, user_id: UserId) -> None:
        """Tell the user's clients the figures; never waits."""
        if user_id in self._watched:
            self._due.add(user_id)
            self._is_due.set()

    async def run(self) -> None:
        """Tell, until canceled."""
        while True:
            await self._is_due.wait()
            # Before it looks: what happens together is read once, and what follows a cancel is in it.
            await asyncio.sleep(self._limits.quota_seconds)
            self._is_due.clear()
            due, self._due = iter([user_id for user_id in self._due if user_id in self._watched]), set()
            while users := list(islice(due, self._limits.quota_reads_at_once)):
                await asyncio.gather(*map(self._tell_figures, users))

    async def _tell_figures(self, user_id: UserId) -> None:
        extra = {"action": "read_quota", "user_id": user_id}
        try:
            async with asyncio.timeout(self._limits.quota_read_seconds):
                quota = await self._read(user_id)
        except (CloudUnavailable, TimeoutError):
            logger.warning("The day's figures cannot be read", extra=extra)
        except Exception:
            logger.exception("The day's figures could not be read", extra=extra)
        else:
            if quota is not None:
                self._tell(user_id, messages.quota(quota))
