"""Deletes finished messages from the queue, ten at a time."""

from __future__ import annotations

import asyncio
import logging

from jobs.errors import CloudUnavailable
from jobs.work_queue import MAX_BATCH, WorkQueue

logger = logging.getLogger(__name__)
_FLUSH_SECONDS = 0.2
_TRIES = 3


class Acknowledger:
    """Collects receipts and deletes them in batches. One that is lost is harmless: its job is known to be over."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._receipts: list[str] = []
        self._wanted = asyncio.Event()
        self._closing = False

    def add(self, receipt: str) -> None:
        """Delete this message soon. Bounded by the jobs in hand: each adds one receipt."""
        self._receipts.append(receipt)
        self._wanted.set()

    async def run(self) -> None:
        """Delete batches until ``close``."""
        while not self._closing or self._receipts:
            await self._wanted.wait()
            if len(self._receipts) < MAX_BATCH and not self._closing:
                await asyncio.sleep(_FLUSH_SECONDS)
            batch, self._receipts = self._receipts[:MAX_BATCH], self._receipts[MAX_BATCH:]
            if batch:
                await self._delete(batch)
            if not self._receipts and not self._closing:
                self._wanted.clear()

    def close(self) -> None:
        """Let ``run`` end after what it holds."""
        self._closing = True
        self._wanted.set()

    async def _delete(self, batch: list[str]) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await self._queue.delete(batch)
            except CloudUnavailable:
                logger.warning("Messages could not be deleted", extra={"action": "delete_failed", "attempt": attempt})
                await asyncio.sleep(0.2 * attempt)
            else:
                return
