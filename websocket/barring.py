"""Ending the connections of users who may not come any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Set
from typing import TypeAlias

from jobs.errors import CloudUnavailable, UserBlocked
from jobs.ids import UserId
from websocket.limits import SocketLimits

logger = logging.getLogger(__name__)

ReadBlocked: TypeAlias = Callable[[], Awaitable[frozenset[UserId]]]
"""Reads who is blocked now. Raises CloudUnavailable."""


async def nobody() -> frozenset[UserId]:
    """Have nobody blocked."""
    return frozenset()


class Barring:
    """Looks every few seconds whether one of the ``watched`` users has been blocked, and has their clients closed.

    One small read for all of them, whatever their number, and none while there is nobody.
    """

    def __init__(
        self,
        read_blocked: ReadBlocked,
        watched: Set[UserId],
        forbid: Callable[[UserId, str, str], None],
        limits: SocketLimits,
    ) -> None:
        self._read_blocked = read_blocked
        self._watched = watched
        self._forbid = forbid
        self._limits = limits

    async def run(self) -> None:
        """Look, until canceled."""
        while True:
            await asyncio.sleep(self._limits.blocked_seconds)
            if self._watched:
                await self._look()

    async def _look(self) -> None:
        extra = {"action": "read_blocked"}
        try:
            async with asyncio.timeout(self._limits.blocked_read_seconds):
                blocked = await self._read_blocked()
        except (CloudUnavailable, TimeoutError):
            logger.warning("It cannot be read who is blocked", extra=extra)
        except Exception:
            logger.exception("It could not be read who is blocked", extra=extra)
        else:
            for user_id in blocked & self._watched:
                self._forbid(user_id, UserBlocked.code, UserBlocked().message)
