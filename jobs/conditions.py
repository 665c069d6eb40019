"""What is wrong with the house at this moment, and who is told of it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from jobs import clock
from jobs.model import JSON

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What is wrong with one part, and since when, in milliseconds since the epoch; ``reason`` is a sentence for a person.

    ``retry_after_seconds`` is None where nobody knows; 0 means that the part is being tried.
    """

    part: str
    condition: str
    reason: str
    retry_after_seconds: float | None = None
    since: int = field(default_factory=clock.now_milliseconds)


def view(degradation: Degradation) -> dict[str, JSON]:
    """Write a degradation as JSON."""
    written: dict[str, JSON] = {
        "part": degradation.part,
        "condition": degradation.condition,
        "reason": degradation.reason,
    }
    if degradation.retry_after_seconds is not None:
        written["retryAfterSeconds"] = math.ceil(degradation.retry_after_seconds)
    return written


class Timekeeper(Protocol):
    """What those who wait need of an event loop, so that a test can let time pass."""

    def time(self) -> float:
        """Return monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.Handle:
        """Call back at that time."""


@dataclass(frozen=True, slots=True)
class _Held:
    degradation: Degradation
    reported_at: float


class Conditions:
    """What is wrong, by part. Those who know report it, those who tell the outside watch it; neither knows the other.

    Under a steady rate limit a part is well and unwell by turns within seconds, so a recovery counts only once it has held
    for ``recovery_seconds``. A new trouble is told at once, a mere change of when to retry every ``spacing_seconds`` at most.
    Make it inside the running loop.
    """

    def __init__(
        self, *, recovery_seconds: float = 5, spacing_seconds: float = 3, timekeeper: Timekeeper | None = None
    ) -> None:
        self._recovery_seconds = recovery_seconds
        self._spacing_seconds = spacing_seconds
        self._time: Timekeeper = timekeeper or asyncio.get_running_loop()
        self._held: dict[str, _Held] = {}
        self._recoveries: dict[str, asyncio.Handle] = {}
        self._watchers: set[Callable[[], None]] = set()
        self._telling: asyncio.Handle | None = None
        self._told_at = 0.0
        self._is_closed = False

    def report(self, part: str, degradation: Degradation | None) -> None:
        """Take in what is wrong with the part, or that nothing is; never waits and never raises."""
        if self._is_closed:
            return
        if degradation is None:
            self._begin_recovery(part)
        else:
            self._take_in(part, degradation)

    def current(self) -> tuple[Degradation, ...]:
        """Return what is wrong now, what was first reported first; empty when all is well."""
        return tuple(map(self._aged, self._held.values()))

    def subscribe(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher``, which must not wait, whenever ``current`` has changed; returns the function that ends it."""
        self._watchers.add(watcher)
        return partial(self._watchers.discard, watcher)

    def close(self) -> None:
        """Tell nothing more."""
        self._is_closed = True
        for timer in (*self._recoveries.values(), self._telling):
            if timer is not None:
                timer.cancel()

    def _take_in(self, part: str, degradation: Degradation) -> None:
        recovery = self._recoveries.pop(part, None)
        if recovery is not None:
            recovery.cancel()
        held = self._held.get(part)
        earlier = None if held is None else self._aged(held)
        if earlier is not None and _are_alike(degradation, earlier):
            return
        since = degradation.since if earlier is None else earlier.since
        self._held[part] = _Held(replace(degradation, since=since), self._time.time())
        if earlier is None or (earlier.condition, earlier.reason) != (degradation.condition, degradation.reason):
            self._tell()
        else:
            self._tell_before_long()

    def _aged(self, held: _Held) -> Degradation:
        wait = held.degradation.retry_after_seconds
        if wait is None:
            return held.degradation
        left = max(held.reported_at + wait - self._time.time(), 0)
        return replace(held.degradation, retry_after_seconds=left)

    def _begin_recovery(self, part: str) -> None:
        if part in self._held and part not in self._recoveries:
            moment = self._time.time() + self._recovery_seconds
            self._recoveries[part] = self._time.call_at(moment, partial(self._recover, part))

    def _recover(self, part: str) -> None:
        del self._recoveries[part], self._held[part]
        self._tell()

    def _tell_before_long(self) -> None:
        if self._telling is None:
            self._telling = self._time.call_at(self._told_at + self._spacing_seconds, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._told_at = self._time.time()
        for watcher in tuple(self._watchers):
            try:
                watcher()
            except Exception:
                logger.exception("A watcher failed", extra={"action": "tell_conditions"})


def _are_alike(one: Degradation, other: Degradation) -> bool:
    """Tell whether nobody would care for the difference."""
    if (one.condition, one.reason) != (other.condition, other.reason):
        return False
    if one.retry_after_seconds is None or other.retry_after_seconds is None:
        return one.retry_after_seconds == other.retry_after_seconds
    return abs(one.retry_after_seconds - other.retry_after_seconds) < 1
