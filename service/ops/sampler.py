"""The hour behind an operator: figures taken every ten seconds, and more often while somebody looks on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from prometheus_client import CollectorRegistry

from jobs import clock
from jobs.backlog import Backlog, Depth
from jobs.errors import CloudUnavailable
from service.metrics import TaskMetrics
from service.ops.figures import Counted, Figures, Registered, count, figures

logger = logging.getLogger(__name__)

KEPT_SECONDS: Final = 10
HISTORY_SECONDS: Final = 3600
RATE_SECONDS: Final = 60
PERCENTILE_SECONDS: Final = 300
MOST_WATCHERS: Final = 20
_READ_SECONDS: Final = 8.0
_LAG_SECONDS: Final = 0.5


class Sampler:
    """Takes the figures every ``kept_seconds`` and keeps an hour of them; takes them every ``tick_seconds`` while it is watched.

    What it cannot do is logged and no more: a chart is no reason to end a task that works.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        backlog: Backlog,
        meters: TaskMetrics,
        *,
        kept_seconds: float = KEPT_SECONDS,
        tick_seconds: float = 2,
    ) -> None:
        self._registry = registry
        self._backlog = backlog
        self._meters = meters
        self._kept_seconds = kept_seconds
        self._tick_seconds = tick_seconds
        self._counted: deque[Counted] = deque(maxlen=round(PERCENTILE_SECONDS / kept_seconds) + 1)
        self._kept: deque[Figures] = deque(maxlen=round(HISTORY_SECONDS / kept_seconds))
        self._latest: Figures | None = None
        self._watchers = 0
        self._changed = asyncio.Condition()
        self._is_stopped = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Begin."""
        self.take()
        works: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (self._sample, self._look_back, self._feel_lag)
        self._tasks = tuple(asyncio.create_task(work(), name=f"sampler {work.__name__}") for work in works)
        for task in self._tasks:
            task.add_done_callback(self._note_death)

    async def stop(self) -> None:
        """Stop, and let go of whoever watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._is_stopped = True
        async with self._changed:
            self._changed.notify_all()

    @property
    def latest(self) -> Figures:
        """The newest figures."""
        return self._latest or self.take()

    @property
    def history(self) -> tuple[Figures, ...]:
        """The figures of the last hour, oldest first."""
        return tuple(self._kept)

    @property
    def has_room(self) -> bool:
        """Tell whether one more may watch."""
        return self._watchers < MOST_WATCHERS

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have figures taken more often."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    async def newer(self, than: Figures) -> Figures | None:
        """Wait for newer figures; None says that there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_stopped or self._latest is not than)
        return None if self._is_stopped else self._latest

    def take(self) -> Figures:
        """Take the figures now, and keep them when it is time."""
        registered = Registered(self._registry, time.monotonic())
        now = count(registered)
        span = (self._counted_before(now, PERCENTILE_SECONDS), now)
        taken = figures(registered, (self._counted_before(now, RATE_SECONDS), now), span, clock.now_milliseconds())
        if self._is_due(now.at):
            self._counted.append(now)
            self._kept.append(taken)
        self._latest = taken
        return taken

    def _is_due(self, at: float) -> bool:
        # A timer may come a moment early, and the next one would be a whole tick late.
        return not self._counted or at - self._counted[-1].at > self._kept_seconds - self._tick_seconds / 2

    def _counted_before(self, now: Counted, seconds: float) -> Counted:
        """Return what was counted so long ago, or as long ago as is known."""
        old = [counted for counted in self._counted if now.at - counted.at >= seconds - self._tick_seconds]
        return old[-1] if old else (self._counted[0] if self._counted else now)

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            if not self._watchers and not self._is_due(time.monotonic()):
                continue
            try:
                self.take()
            except Exception:
                # A figure that cannot be made is no reason to end a task that does its work.
                logger.exception("The figures cannot be taken", extra={"action": "sample_broke"})
            async with self._changed:
                self._changed.notify_all()

    async def _look_back(self) -> None:
        """Read the queues; what cannot be read is shown as not known, and said once."""
        unknown: frozenset[str] = frozenset()
        while True:
            was_unknown, unknown = unknown, await self._measure_backlog()
            if unknown and unknown != was_unknown:
                extra = {"action": "backlog_unknown", "unknown": ", ".join(sorted(unknown))}
                logger.warning("Not all of the backlog can be measured", extra=extra)
            await asyncio.sleep(self._kept_seconds)

    async def _measure_backlog(self) -> frozenset[str]:
        """Show what waits; returns the names of what is not known."""
        depths: dict[str, Depth] = {}
        oldest: float | None = None
        try:
            async with asyncio.timeout(_READ_SECONDS):
                depths = await self._backlog.depths()
                oldest = await self._backlog.oldest_queued_seconds()
        except (CloudUnavailable, TimeoutError):
            logger.debug("The backlog does not answer", extra={"action": "backlog_later"})
        except Exception:
            logger.exception("The backlog cannot be read", extra={"action": "backlog_broke"})
        self._meters.show_backlog(depths, oldest)
        return (self._backlog.queues - depths.keys()) | ({"oldest"} if oldest is None else frozenset())

    async def _feel_lag(self) -> None:
        while True:
            due = time.monotonic() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            self._meters.loop_lag.observe(max(0.0, time.monotonic() - due))

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The sampler died", exc_info=error, extra={"action": "sampler_died"})
