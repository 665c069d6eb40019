"""A queue's messages, each handled in a task of its own, so many at once."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from consumers.fetching import Fetching, cancel_all

logger = logging.getLogger(__name__)

Message = TypeVar("Message")
_CANCEL_SECONDS: Final = 1.0


class QueueRunner(ABC, Generic[Message]):
    """Takes as many messages as it has free places. ``failed`` is done when it died by itself: the process must stop then.

    ``receive`` waits for messages, at most so many, and raises CloudUnavailable. ``name`` stands in the log.
    """

    def __init__(self, name: str, receive: Callable[[int], Awaitable[Sequence[Message]]], *, at_once: int) -> None:
        self._name = name
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()
        self._place_freed = asyncio.Event()
        self._fetching = Fetching(self._free_places, receive, self._begin, action=f"{name}_receive_failed")
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to fetch."""
        self._fetching.start(f"{self._name}-fetcher").add_done_callback(self._note_death)

    async def stop(self, budget_seconds: float, *, last_receive_seconds: float = 0) -> None:
        """Fetch no more and let what is in hand end; what does not in that time is handled anew by another task.

        Of the budget, a receive that is under way gets ``last_receive_seconds``.
        """
        await self._fetching.end(self._running, budget_seconds, last_receive_seconds=last_receive_seconds)
        await cancel_all(self._running, _CANCEL_SECONDS)

    @abstractmethod
    async def _handle(self, message: Message) -> None:
        """Do what the message asks for; where this raises, it comes back by itself."""

    @abstractmethod
    def _note_broken(self) -> None:
        """Count a message whose handling raised."""

    async def _free_places(self) -> int:
        while len(self._running) >= self._at_once:
            self._place_freed.clear()
            await self._place_freed.wait()
        return self._at_once - len(self._running)

    async def _begin(self, messages: Sequence[Message]) -> None:
        for message in messages:
            task = asyncio.create_task(self._handle(message), name=self._name)
            self._running.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._place_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note_broken()
            logger.error("A message could not be handled", exc_info=error, extra={"action": f"{self._name}_broke"})

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("A worker died", exc_info=error, extra={"action": f"{self._name}_died"})
            self.failed.set_result(None)
