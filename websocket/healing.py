"""When to read from the log what the bus has missed, and for whom first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from itertools import chain, islice

from jobs.errors import CloudUnavailable
from jobs.events import EventBus
from jobs.ids import UserId
from websocket.limits import SocketLimits

logger = logging.getLogger(__name__)


class Healer:
    """Has users' gaps healed: known ones at once, and while the bus is down everybody's among ``watched``, over and over.

    Everybody's, because a job that nobody here knows of may be open: it may have been submitted to another task.
    ``heal`` raises CloudUnavailable and TimeoutError; the user stays due then.
    """

    def __init__(
        self,
        bus: EventBus,
        watched: Collection[UserId],
        heal: Callable[[UserId], Awaitable[None]],
        limits: SocketLimits,
    ) -> None:
        self._bus = bus
        self._watched = watched
        self._heal = heal
        self._limits = limits
        self._gaps: dict[UserId, int] = {}
        self._tried: set[UserId] = set()
        self._gap_noted = asyncio.Event()
        bus.on_gap(self._note)

    def is_whole(self, user_id: UserId) -> bool:
        """Tell whether nothing of the user's can have been missed."""
        return self._bus.is_whole and user_id not in self._gaps

    async def run(self) -> None:
        """Heal, round after round, until canceled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.healing_seconds):
                    await self._gap_noted.wait()
            self._gap_noted.clear()
            self._tried.clear()
            others = iter(tuple(self._watched))
            while users := self._next(others):
                self._tried.update(users)
                await asyncio.gather(*map(self._try, users))
                await asyncio.sleep(len(users) / self._limits.healing_reads_per_second)

    def _next(self, others: Iterator[UserId]) -> list[UserId]:
        """Choose whose turn it is: a gap that is noted in the midst of a round does not wait for its end."""
        known = (user_id for user_id in self._gaps if user_id not in self._tried)
        rest = () if self._bus.is_whole else (user_id for user_id in others if user_id not in self._tried)
        return list(dict.fromkeys(islice(chain(known, rest), self._limits.healing_reads_at_once)))

    async def _try(self, user_id: UserId) -> None:
        gaps = self._gaps.get(user_id)
        try:
            await self._heal(user_id)
        except (CloudUnavailable, TimeoutError):
            logger.warning("The log cannot be read", extra={"action": "heal_later", "user_id": user_id})
            self._gaps.setdefault(user_id, 1)
        else:
            if gaps is not None and self._gaps.get(user_id) == gaps:
                del self._gaps[user_id]

    def _note(self, user_id: UserId) -> None:
        if user_id in self._watched:
            self._gaps[user_id] = self._gaps.get(user_id, 0) + 1
            self._tried.discard(user_id)
            self._gap_noted.set()
