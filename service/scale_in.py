"""Scale-in protection: ECS is asked to take other tasks than this one while jobs are in hand."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import aiohttp

logger = logging.getLogger(__name__)

_PATH: Final = "/task-protection/v1/state"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionTimes:
    """Seconds. ``idle``: how long no job may be in hand before the protection goes, lest every pause costs two calls.

    ``expires``, in whole minutes: when it goes by itself, so that a task that hangs is not kept for ever; a busy one renews it
    at half of that.
    """

    look: float = 1
    idle: float = 60
    expires: float = 600
    call: float = 2
    after_failure: float = 30


class ScaleInProtection:
    """Holds the protection while ``is_busy``; what the agent of ECS at ``agent_url`` answers never harms the service."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        agent_url: str,
        is_busy: Callable[[], bool],
        times: ProtectionTimes | None = None,
    ) -> None:
        self._session = session
        self._url = agent_url.rstrip("/") + _PATH
        self._is_busy = is_busy
        self._times = times or ProtectionTimes()
        self._task: asyncio.Task[None] | None = None
        self._is_on = False
        self._renew_at = 0.0
        self._busy_at = 0.0

    def start(self) -> None:
        """Begin to look whether jobs are in hand."""
        self._task = asyncio.create_task(self._run(), name="scale-in protection")

    async def stop(self, seconds: float = math.inf) -> None:
        """Stop looking, and give the protection back, in so long at most; call it when no job is in hand any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._is_on:
            await self._ask(enabled=False, seconds=min(seconds, self._times.call))

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            wanted = self._wanted(clock())
            done = wanted is None or await self._ask(enabled=wanted, seconds=self._times.call)
            await asyncio.sleep(self._times.look if done else self._times.after_failure)

    def _wanted(self, now: float) -> bool | None:
        """Return what to ask for; None when all is as it should be."""
        if self._is_busy():
            self._busy_at = now
            return True if not self._is_on or now >= self._renew_at else None
        return False if self._is_on and now - self._busy_at >= self._times.idle else None

    async def _ask(self, *, enabled: bool, seconds: float) -> bool:
        """Return whether it was granted."""
        body: dict[str, bool | int] = {"ProtectionEnabled": enabled}
        if enabled:
            body["ExpiresInMinutes"] = max(1, round(self._times.expires / 60))
        # Without an answer it may be on; to ask twice that it be off does no harm.
        self._is_on = self._is_on or enabled
        try:
            async with asyncio.timeout(seconds), self._session.put(self._url, json=body) as answer:
                said = await answer.json(content_type=None)
                granted = answer.ok and isinstance(said, dict) and "protection" in said
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            said, granted = type(error).__name__, False
        # Only what is surely on can wait to be renewed: whatever else was said, a busy task asks again.
        is_sure = granted and enabled
        self._renew_at = asyncio.get_running_loop().time() + self._times.expires / 2 if is_sure else 0.0
        if granted:
            self._is_on = enabled
        else:
            extra = {"action": "scale_in_protection", "enabled": enabled, "answer": said}
            logger.warning("The scale-in protection could not be set", extra=extra)
        return granted


async def open_protection(
    stack: AsyncExitStack, agent_url: str, is_busy: Callable[[], bool]
) -> ScaleInProtection | None:
    """Make what holds the protection; None, with a word in the log, where there is no agent of ECS."""
    if not agent_url:
        logger.warning("There is no agent of ECS to ask", extra={"action": "scale_in_protection"})
        return None
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return ScaleInProtection(session, agent_url, is_busy)
