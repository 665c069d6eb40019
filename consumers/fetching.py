"""How a queue's messages are fetched, and how that ends: a receive that is under way is not hung up on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Generic, TypeVar

from jobs.errors import CloudUnavailable

logger = logging.getLogger(__name__)

Message = TypeVar("Message")
_MAX_BACKOFF_SECONDS: Final = 10.0


class Fetching(Generic[Message]):
    """Receives as many messages as there is room for, again and again.

    ``room`` waits until there is some and says how much; ``receive`` waits for messages, at most so many, and raises
    CloudUnavailable; ``begin`` takes them in hand. ``action`` stands in the log when the queue does not answer.
    """

    def __init__(
        self,
        room: Callable[[], Awaitable[int]],
        receive: Callable[[int], Awaitable[Sequence[Message]]],
        begin: Callable[[Sequence[Message]], Awaitable[None]],
        *,
        action: str,
    ) -> None:
        self._room = room
        self._receive = receive
        self._begin = begin
        self._action = action
        self._task: asyncio.Task[None] | None = None
        self._goes_on = True
        self._is_receiving = False

    def start(self, name: str) -> asyncio.Task[None]:
        """Begin; returns the task, which never ends by itself but with an error."""
        self._task = asyncio.create_task(self._run(), name=name)
        return self._task

    async def end(
        self, in_hand: Collection[asyncio.Task[None]], seconds: float, *, last_receive_seconds: float
    ) -> None:
        """Fetch no more, and let what is in hand end, for so long. Of that, a receive that is under way gets its own share.

        A queue does not notice that a long poll was dropped: what comes in while it would have lasted is handed to nobody, and
        hidden from everybody until its visibility time-out is over.
        """
        if self._task is None:
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        self._goes_on = False
        if self._is_receiving:
            await asyncio.wait([self._task], timeout=last_receive_seconds)
        self._task.cancel()
        await asyncio.wait([self._task])
        await let_end(in_hand, max(0, deadline - clock()))

    async def _run(self) -> None:
        failures = 0
        while self._goes_on:
            room = await self._room()
            try:
                messages = await self._receive_marked(room)
            except CloudUnavailable:
                failures = min(failures + 1, 6)
                delay = random.uniform(0, min(_MAX_BACKOFF_SECONDS, 0.2 * 2**failures))  # noqa: S311 - jitter is no secret
                logger.warning("A queue does not answer", extra={"action": self._action, "failures": failures})
                await asyncio.sleep(delay)
            else:
                failures = 0
                await self._begin(messages)

    async def _receive_marked(self, most: int) -> Sequence[Message]:
        self._is_receiving = True
        try:
            return await self._receive(most)
        finally:
            self._is_receiving = False


async def let_end(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Wait until all have ended, for so long at most."""
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


async def cancel_all(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Cancel all at once and wait until they have ended, for so long at most."""
    late = tuple(tasks)
    for task in late:
        task.cancel()
    await let_end(late, seconds)
