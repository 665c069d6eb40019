"""The consumer pool: takes as many messages as it has free slots and runs each as a task it owns."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt
from consumers.fetching import Fetching, cancel_all, let_end
from consumers.gates import Gates
from consumers.heartbeat import Heartbeat
from consumers.metrics import PoolMetrics
from jobs.errors import CloudUnavailable
from jobs.work_queue import Delivery, WorkQueue

logger = logging.getLogger(__name__)

Begin: TypeAlias = Callable[[Delivery], Attempt]
HoldUp: TypeAlias = Callable[[Delivery], float]
_SETTLING_SECONDS = 10.0
_HAND_BACK_SHARE, _DELETE_SHARE, _CANCEL_SHARE = 0.6, 0.3, 0.1
"""Of the settling: handing back, deleting what is done while what hangs is canceled, and canceling the helpers."""
_PUT_OFF_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 1.0


def _never(_: Delivery) -> float:
    return 0


class Pool:
    """Runs up to ``slots`` deliveries at once. ``failed`` is done when the pool died by itself: the process must stop then.

    ``hold_up`` tells for how many seconds a delivery should make way for others, because its model is shut and theirs is not.
    """

    def __init__(
        self,
        queue: WorkQueue,
        begin: Begin,
        gates: Gates,
        heartbeat: Heartbeat,
        acknowledger: Acknowledger,
        meters: PoolMetrics,
        *,
        slots: int,
        hold_up: HoldUp = _never,
    ) -> None:
        self._queue = queue
        self._hold_up = hold_up
        self._begin = begin
        self._gates = gates
        self._heartbeat = heartbeat
        self._acknowledger = acknowledger
        self._meters = meters
        self._slots = slots
        self._running: dict[asyncio.Task[None], Attempt] = {}
        self._slot_freed = asyncio.Event()
        self._fetching = Fetching(self._room, queue.receive, self._begin_or_put_off, action="receive_failed")
        self._helpers: tuple[asyncio.Task[None], ...] = ()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to fetch."""
        self._helpers = (
            asyncio.create_task(self._heartbeat.run(), name="pool-heartbeat"),
            asyncio.create_task(self._acknowledger.run(), name="pool-deleter"),
        )
        for task in (self._fetching.start("pool-fetcher"), *self._helpers):
            task.add_done_callback(self._note_death)

    async def stop(
        self, grace_seconds: float, settling_seconds: float = _SETTLING_SECONDS, *, last_receive_seconds: float = 0
    ) -> None:
        """Stop fetching and let the jobs in hand end, for so long; then hand the rest back to the queue and delete what is done.

        That takes ``settling_seconds`` at most. Of the grace, a receive that is under way gets ``last_receive_seconds``.
        """
        if not self._helpers:
            return
        await self._fetching.end(self._running, grace_seconds, last_receive_seconds=last_receive_seconds)
        for attempt in tuple(self._running.values()):
            attempt.give_up()
        await let_end(self._running, _HAND_BACK_SHARE * settling_seconds)
        self._acknowledger.close()
        _, deleter = self._helpers
        await asyncio.gather(
            let_end([deleter], _DELETE_SHARE * settling_seconds),
            cancel_all(self._running, _DELETE_SHARE * settling_seconds),
        )
        await cancel_all(self._helpers, _CANCEL_SHARE * settling_seconds)

    @property
    def busy(self) -> int:
        """How many jobs are in hand."""
        return len(self._running)

    async def _room(self) -> int:
        """Take a slot first, then as many messages as there are slots: none waits here while its time runs."""
        free = await self._free_slots()
        # A message fetched while the model takes nothing would only wait here, its receive used up.
        await self._gates.wait_until_fetching_makes_sense()
        return 1 if self._gates.only_probes else free  # one probe is enough to find out

    async def _begin_or_put_off(self, deliveries: Sequence[Delivery]) -> None:
        """Begin what can go on. The others make way unclaimed: it costs them no receive, no slot and no event."""
        held_up = [(delivery, seconds) for delivery in deliveries if (seconds := self._hold_up(delivery))]
        held = {delivery.receipt for delivery, _ in held_up}
        for delivery in deliveries:
            if delivery.receipt not in held:
                self._start(delivery)
        await asyncio.gather(*(self._put_off(delivery, seconds) for delivery, seconds in held_up))
        if held_up and len(held_up) == len(deliveries):
            await asyncio.sleep(_PUT_OFF_PAUSE_SECONDS)  # perhaps there is nothing else in the queue

    async def _put_off(self, delivery: Delivery, seconds: float) -> None:
        try:
            await self._queue.put_off(delivery, math.ceil(seconds * random.uniform(1, 1.25)))  # noqa: S311 - as below
        except CloudUnavailable:
            # It comes back by itself.
            logger.warning("A message could not be put off", extra={"action": "put_off_failed"})
            return
        self._acknowledger.add(delivery.receipt)
        self._meters.held_up.inc()

    async def _free_slots(self) -> int:
        """Wait for slots and count them. Jobs that wait for a shut model need none, until there are as many again."""
        while (free := self._count_free()) <= 0:
            self._slot_freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):  # nothing tells that jobs have begun to wait
                    await self._slot_freed.wait()
        return free

    def _count_free(self) -> int:
        running = len(self._running)
        waiting = self._gates.held_up if self._gates.are_split else 0
        return min(self._slots - running + waiting, 2 * self._slots - running)

    def _start(self, delivery: Delivery) -> None:
        attempt = self._begin(delivery)
        task = asyncio.create_task(attempt.run(), name=f"job-{delivery.job_id}")
        self._running[task] = attempt
        self._meters.received.inc()
        self._meters.slots_busy.set(len(self._running))
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._meters.slots_busy.set(len(self._running))
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A job's task broke", exc_info=error, extra={"action": "task_broke", "task": task.get_name()})

    def _note_death(self, task: asyncio.Task[None]) -> None:
        # Silence is not health: a pool that no longer fetches must take the process down with it.
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The pool died", exc_info=error, extra={"action": "pool_died"})
            self.failed.set_result(None)
