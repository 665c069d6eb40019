"""Holds what is in hand: one beat for every message and every lease, at a third of their life."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from jobs import clock
from jobs.errors import CloudUnavailable
from jobs.ids import JobId
from jobs.job_table import JobTable
from jobs.work_queue import MAX_BATCH, WorkQueue

logger = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3
_CALLS_AT_ONCE: Final = 16


@dataclass(slots=True, kw_only=True, eq=False)
class _Hold:
    receipt: str
    job_id: JobId
    owner: str
    lose: Callable[[], None]
    until: float
    """When the lease ends, by our monotonic clock."""


class Heartbeat:
    """Renews visibility and leases. A job it could not hold is lost: its work is told to stop, before another's begins."""

    def __init__(self, table: JobTable, queue: WorkQueue) -> None:
        self._table = table
        self._queue = queue
        self._visibility_seconds = queue.visibility_seconds
        self._holds: set[_Hold] = set()
        self._beating = asyncio.Lock()

    @contextmanager
    def holding(self, receipt: str, job_id: JobId, owner: str, lose: Callable[[], None]) -> Iterator[None]:
        """Hold a message and its job, claimed just now, for the length of the block; ``lose`` is called when that failed."""
        until = time.monotonic() + self._queue.lease_milliseconds / 1000
        hold = _Hold(receipt=receipt, job_id=job_id, owner=owner, lose=lose, until=until)
        self._holds.add(hold)
        try:
            yield
        finally:
            self._holds.discard(hold)

    async def settled(self) -> None:
        """Wait for the beat under way, if there is one: it may still change a message that is held no more."""
        async with self._beating:
            pass

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(self._visibility_seconds / BEATS_PER_LEASE)
            await self.beat()

    async def beat(self) -> None:
        """Renew everything in hand once."""
        async with self._beating:
            holds = list(self._holds)
            calls = [self._renew(hold) for hold in holds]
            calls += [self._hide(batch) for batch in _batches(holds)]
            await _few_at_once(calls)
            for hold in holds:
                if time.monotonic() > hold.until:
                    self._lose(hold, "lease_over")

    async def _renew(self, hold: _Hold) -> None:
        until = time.monotonic() + self._queue.lease_milliseconds / 1000
        lease_until = clock.now_milliseconds() + self._queue.lease_milliseconds
        try:
            is_ours = await self._table.renew_lease(hold.job_id, hold.owner, lease_until)
        except CloudUnavailable:
            logger.warning("A lease was not renewed", extra={"action": "renew_failed", "job_id": hold.job_id})
            return
        if is_ours:
            hold.until = until
        else:
            self._lose(hold, "lease_taken")

    async def _hide(self, batch: list[_Hold]) -> None:
        try:
            refused = await self._queue.hide([hold.receipt for hold in batch], self._visibility_seconds)
        except CloudUnavailable:
            logger.warning("Messages were not held", extra={"action": "hide_failed", "messages": len(batch)})
            return
        for hold in batch:
            # The lease decides who may work; a message that is gone means only that it may come again.
            if hold.receipt in refused and hold in self._holds:
                logger.warning(
                    "A message is not ours any more", extra={"action": "hide_refused", "job_id": hold.job_id}
                )

    def _lose(self, hold: _Hold, reason: str) -> None:
        if hold in self._holds:
            self._holds.discard(hold)
            logger.warning("A job was lost", extra={"action": reason, "job_id": hold.job_id})
            hold.lose()


def _batches(holds: list[_Hold]) -> Iterator[list[_Hold]]:
    rest = iter(holds)
    while batch := list(itertools.islice(rest, MAX_BATCH)):
        yield batch


async def _few_at_once(calls: list[Coroutine[Any, Any, None]]) -> None:
    room = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def one(call: Coroutine[Any, Any, None]) -> None:
        async with room:
            await call

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(one(call))
