"""Holds what is in hand: one beat for every message and one for every lease, at a third of their life."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from jobs import clock
from jobs.errors import CloudUnavailable
from jobs.ids import JobId
from jobs.job_table import JobTable
from jobs.work_queue import MAX_BATCH, WorkQueue

logger = logging.getLogger(__name__)
T = TypeVar("T")

BEATS_PER_LEASE: Final = 3
_CALLS_AT_ONCE: Final = 16
_MAX_RENEWAL_SECONDS: Final = 3.0
"""What takes longer keeps others waiting; the next beat comes before the lease is over."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Hold:
    receipt: str
    job_id: JobId
    owner: str
    lose: Callable[[], None]


class Heartbeat:
    """Renews visibility and leases. A job it could not hold is lost: its work is told to stop, before another's begins."""

    def __init__(self, table: JobTable, queue: WorkQueue) -> None:
        self._table = table
        self._queue = queue
        self._visibility_seconds = queue.visibility_seconds
        self._beat_seconds = queue.visibility_seconds / BEATS_PER_LEASE
        self._lease_ends: dict[_Hold, asyncio.TimerHandle] = {}
        self._hiding = asyncio.Lock()

    @contextmanager
    def holding(
        self, receipt: str, job_id: JobId, owner: str, lose: Callable[[], None], *, lease_until: int
    ) -> Iterator[None]:
        """Hold a message and its job for the length of the block; ``lose`` is called as soon as that has failed.

        ``lease_until`` is what the claim wrote, in milliseconds since the epoch.
        """
        hold = _Hold(receipt=receipt, job_id=job_id, owner=owner, lose=lose)
        # Looked at once, and never believed beyond a whole lease: the wall clock may step.
        left = min(lease_until - clock.now_milliseconds(), self._queue.lease_milliseconds)
        self._keep(hold, asyncio.get_running_loop().time() + left / 1000)
        try:
            yield
        finally:
            self._let_go(hold)

    async def settled(self) -> None:
        """Wait for the messages' beat under way, if there is one: it may still hide a message that is held no more."""
        async with self._hiding:
            pass

    async def run(self) -> None:
        """Beat until cancelled; messages and leases each in a rhythm of their own, lest a table that hangs lets messages go."""
        async with asyncio.TaskGroup() as rhythms:
            rhythms.create_task(self._repeat(self._hide_all))
            rhythms.create_task(self._repeat(self._renew_all))

    async def _repeat(self, beat: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            next_beat = loop.time() + self._beat_seconds
            await beat()
            await asyncio.sleep(next_beat - loop.time())

    async def _renew_all(self) -> None:
        await _few_at_once(self._renew, list(self._lease_ends))

    async def _hide_all(self) -> None:
        async with self._hiding:
            await _few_at_once(self._hide, _batches(list(self._lease_ends)))

    async def _renew(self, hold: _Hold) -> None:
        if hold not in self._lease_ends:
            return  # over while others were renewed
        lease_end = asyncio.get_running_loop().time() + self._queue.lease_milliseconds / 1000
        lease_until = clock.now_milliseconds() + self._queue.lease_milliseconds
        try:
            async with asyncio.timeout(min(_MAX_RENEWAL_SECONDS, self._beat_seconds)):
                is_ours = await self._table.renew_lease(hold.job_id, hold.owner, lease_until)
        except (CloudUnavailable, TimeoutError):
            logger.warning("A lease was not renewed", extra={"action": "renew_failed", "job_id": hold.job_id})
        except Exception:
            # One job's trouble must not stop the heart of all others; its own lease ends in time.
            logger.exception("A renewal broke", extra={"action": "renew_broke", "job_id": hold.job_id})
        else:
            if not is_ours:
                self._lose(hold, "lease_taken")
            elif hold in self._lease_ends:
                self._keep(hold, lease_end)

    async def _hide(self, batch: list[_Hold]) -> None:
        try:
            refused = await self._queue.hide([hold.receipt for hold in batch], self._visibility_seconds)
        except CloudUnavailable:
            logger.warning("Messages were not held", extra={"action": "hide_failed", "messages": len(batch)})
            return
        except Exception:
            # As above: at the worst these messages come again, and their leases keep them from being worked on twice.
            logger.exception("Holding messages broke", extra={"action": "hide_broke", "messages": len(batch)})
            return
        for hold in batch:
            # The lease decides who may work; a message that is gone means only that it may come again.
            if hold.receipt in refused and hold in self._lease_ends:
                logger.warning(
                    "A message is not ours any more", extra={"action": "hide_refused", "job_id": hold.job_id}
                )

    def _keep(self, hold: _Hold, lease_end: float) -> None:
        """Hold until then, by the loop's clock. A timer watches it, for a beat may take longer than the lease lasts."""
        self._let_go(hold)
        self._lease_ends[hold] = asyncio.get_running_loop().call_at(lease_end, self._lose, hold, "lease_over")

    def _let_go(self, hold: _Hold) -> bool:
        """Hold it no more; returns whether it was held."""
        timer = self._lease_ends.pop(hold, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _lose(self, hold: _Hold, reason: str) -> None:
        if self._let_go(hold):
            logger.warning("A job was lost", extra={"action": reason, "job_id": hold.job_id})
            hold.lose()


def _batches(holds: list[_Hold]) -> Iterator[list[_Hold]]:
    rest = iter(holds)
    while batch := list(itertools.islice(rest, MAX_BATCH)):
        yield batch


async def _few_at_once(action: Callable[[T], Awaitable[None]], things: Iterable[T]) -> None:
    room = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def one(thing: T) -> None:
        async with room:
            await action(thing)

    async with asyncio.TaskGroup() as group:
        for thing in things:
            group.create_task(one(thing))
