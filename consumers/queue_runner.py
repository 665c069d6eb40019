"""A queue's messages, each handled in a task of its own, so many at once."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from consumers.fetching import Fetching
from jobs.errors import CloudUnavailable

logger = logging.getLogger(__name__)

Message = TypeVar("Message")
_MAX_BACKOFF_SECONDS: Final = 10.0


class QueueRunner(ABC, Generic[Message]):
    """Takes as many messages as it has free places. ``failed`` is done when it died by itself: the process must stop then.

    ``receive`` waits for messages, at most so many, and raises CloudUnavailable. ``name`` stands in the log.
    """

    def __init__(self, name: str, receive: Callable[[int], Awaitable[Sequence[Message]]], *, at_once: int) -> None:
        self._name = name
        self._receive = receive
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()
        self._place_freed = asyncio.Event()
        self._fetching = Fetching()
        self._fetcher: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to fetch."""
        self._fetcher = asyncio.create_task(self._fetch(), name=f"{self._name}-fetcher")
        self._fetcher.add_done_callback(self._note_death)

    async def stop(self, budget_seconds: float, *, last_receive_seconds: float = 0) -> None:
        """Fetch no more and let what is in hand end; what does not in that time is handled anew by another task.

        Of the budget, a receive that is under way gets ``last_receive_seconds``.
        """
        if self._fetcher is None:
            return
        clock = asyncio.get_running_loop().time
        ends = clock() + budget_seconds
        await self._fetching.end(self._fetcher, last_receive_seconds)
        if self._running:
            await asyncio.wait(self._running, timeout=max(0, ends - clock()))
        late = tuple(self._running)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    @abstractmethod
    async def _handle(self, message: Message) -> None:
        """Do what the message asks for; where this raises, it comes back by itself."""

    @abstractmethod
    def _note_broken(self) -> None:
        """Count a message whose handling raised."""

    async def _fetch(self) -> None:
        failures = 0
        while self._fetching.goes_on:
            free = await self._free_places()
            try:
                with self._fetching.receiving():
                    messages = await self._receive(free)
            except CloudUnavailable:
                failures = min(failures + 1, 6)
                logger.warning("A queue does not answer", extra={"action": f"{self._name}_receive_failed"})
                await asyncio.sleep(random.uniform(0, min(_MAX_BACKOFF_SECONDS, 0.2 * 2**failures)))  # noqa: S311
                continue
            failures = 0
            for message in messages:
                self._begin(message)

    async def _free_places(self) -> int:
        while len(self._running) >= self._at_once:
            self._place_freed.clear()
            await self._place_freed.wait()
        return self._at_once - len(self._running)

    def _begin(self, message: Message) -> None:
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
