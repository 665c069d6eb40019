"""The gate before a model: how many calls may run at once, when none may start, and what the outside is told about it.

Three things can shut it. *Throttling* holds every call until the time the provider names and cuts the number of calls. The
*circuit breaker* opens when calls keep failing, and lets one probe through from time to time. *close_until* is an order, such
as that of a used-up budget. All run in one event loop, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from consumers.failures import POLICIES, FailureClass, Policy, daily_quota_reset
from consumers.gate_state import Condition, GateMetrics, GateState, NotNow
from consumers.limits import AdaptiveLimit, Breaker, BreakerState
from jobs.conditions import Timekeeper

logger = logging.getLogger(__name__)

_LEAST_DAILY_WAIT_SECONDS: Final = 60.0
"""A daily quota's 429 names delays of seconds, which cannot be meant."""
_QUEUE_SECONDS: Final = 5.0
_SHORT_SECONDS: Final = 1.0
"""For a pause this short it is not worth to stop fetching."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """``most`` calls at once, ``start`` in the beginning; after so many failures in a row the breaker opens."""

    most: int
    start: int = 32
    max_waiting: int = 1024
    failures_to_open: int = 5


@dataclass(slots=True, kw_only=True, eq=False)
class Permit:
    """The right to make one call; say once how it went. Without a word it counts as neither good nor bad."""

    gate: Gate
    round: int
    is_probe: bool
    is_reported: bool = False

    def succeeded(self) -> None:
        """Tell that the model answered."""
        self.gate.note(self, None, None)

    def failed(self, failure: FailureClass, retry_after_seconds: float | None = None) -> None:
        """Tell what went wrong, and how long the provider said to wait."""
        self.gate.note(self, failure, retry_after_seconds)


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiter:
    deadline: float
    admitted: asyncio.Future[Permit] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Gate:
    """Admits the calls of one model, first come first served. ``on_change`` hears every visible change and must not raise."""

    def __init__(
        self,
        model: str,
        config: GateConfig,
        meters: GateMetrics,
        on_change: Callable[[GateState], None],
        *,
        timekeeper: Timekeeper | None = None,
        wall_clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        self._model = model
        self._max_waiting = config.max_waiting
        self._meters = meters
        self._on_change = on_change
        self._time: Timekeeper = timekeeper or asyncio.get_running_loop()
        self._wall_clock = wall_clock
        self._chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._limit = AdaptiveLimit(start=config.start, most=config.most, chance=self._chance)
        self._breaker = Breaker(config.failures_to_open, self._chance)
        self._waiters: deque[_Waiter] = deque()
        self._in_use = 0
        self._answered_at = -math.inf
        self._closed_until = 0.0
        self._closed_reason = ""
        self._timer: asyncio.Handle | None = None
        self._is_ended = False
        self._fetching = asyncio.Event()
        self._published: tuple[Condition, str, int] = (Condition.OK, "", 0)
        meters.watch(model, lambda: self.state)
        self._update()

    @asynccontextmanager
    async def admit(self, patience_seconds: float) -> AsyncIterator[Permit]:
        """Wait for a place and hold it. Raises NotNow as soon as it is certain that the wait is longer than the patience."""
        permit = await self._enter(patience_seconds)
        try:
            yield permit
        finally:
            self._leave(permit)

    @property
    def is_open_for_fetching(self) -> bool:
        """Whether a job fetched now could make its call before long."""
        return self._fetching.is_set()

    async def wait_until_fetching_makes_sense(self) -> None:
        """Return when ``is_open_for_fetching``."""
        await self._fetching.wait()

    @property
    def state(self) -> GateState:
        """How the gate stands now."""
        condition, reason, until = self._condition()
        return GateState(
            model=self._model,
            condition=condition,
            reason=reason,
            retry_after_seconds=None if condition is Condition.OK else max(until - self._time.time(), 0),
            limit=self._limit.value,
            in_use=self._in_use,
            waiting=len(self._waiters),
            breaker=self._breaker.state,
        )

    def has_answered_since(self, moment: float) -> bool:
        """Tell whether any call was answered since then, in the timekeeper's time: an outage spares nobody."""
        return self._answered_at >= moment

    def now(self) -> float:
        """Return the timekeeper's time."""
        return self._time.time()

    def close_until(self, moment_seconds: float, reason: str) -> None:
        """Let no call start before that moment, in seconds since the epoch."""
        until = self._time.time() + moment_seconds - self._wall_clock()
        if until > self._closed_until:
            self._closed_until, self._closed_reason = until, reason
        self._update()

    def close(self) -> None:
        """End the gate: who waits is refused, and so is who comes."""
        self._is_ended = True
        self._update()

    def note(self, permit: Permit, failure: FailureClass | None, retry_after_seconds: float | None) -> None:
        """Take in how a call went; ``Permit`` calls it."""
        if permit.is_reported:
            return
        permit.is_reported = True
        self._take_in(permit, POLICIES[failure] if failure else None, retry_after_seconds)
        if failure is FailureClass.DAILY_QUOTA:
            self._close_for_the_day(retry_after_seconds)
        self._update()

    def _take_in(self, permit: Permit, policy: Policy | None, retry_after_seconds: float | None) -> None:
        now = self._time.time()
        if policy and policy.counts_against_breaker:
            self._breaker.failed(policy, now, is_probe=permit.is_probe)
            return
        # A refusal is an answer too: the provider is there.
        self._answered_at = now
        self._breaker.answered(is_probe=permit.is_probe)
        if policy and policy.counts_as_throttling:
            self._meters.throttled.labels(self._model).inc()
            self._limit.throttled(permit.round, now, retry_after_seconds)
        else:
            self._limit.answered(permit.round, self._in_use)

    async def _enter(self, patience_seconds: float) -> Permit:
        if len(self._waiters) >= self._max_waiting or self._is_ended:
            raise self._not_now()
        waiter = _Waiter(deadline=self._time.time() + patience_seconds)
        self._waiters.append(waiter)
        self._update()
        timer = self._time.call_at(waiter.deadline, partial(self._refuse, waiter))
        try:
            return await waiter.admitted
        except asyncio.CancelledError:
            self._forget(waiter)
            raise
        finally:
            timer.cancel()

    def _leave(self, permit: Permit) -> None:
        self._in_use -= 1
        if permit.is_probe and not permit.is_reported:
            self._breaker.abandoned(self._time.time())
        permit.is_reported = True
        self._update()

    def _forget(self, waiter: _Waiter) -> None:
        """Take a canceled waiter out; the place that it may have been given meanwhile goes to the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
            self._leave(waiter.admitted.result())
        else:
            self._update()

    def _refuse(self, waiter: _Waiter) -> None:
        if not waiter.admitted.done():
            self._waiters.remove(waiter)
            waiter.admitted.set_exception(self._not_now())
            self._update()

    def _not_now(self) -> NotNow:
        soon = self._chance.uniform(_QUEUE_SECONDS / 2, _QUEUE_SECONDS)
        reason = self._condition()[1] or "The image service has too much to do."
        return NotNow(max(self._opens_at() - self._time.time(), soon), reason)

    def _close_for_the_day(self, retry_after_seconds: float | None) -> None:
        reason = POLICIES[FailureClass.DAILY_QUOTA].message
        now = self._wall_clock()
        reset = daily_quota_reset(now)
        if retry_after_seconds is not None:
            reset = min(reset, now + max(retry_after_seconds, _LEAST_DAILY_WAIT_SECONDS))
        self._breaker.expect_probe(reason)
        self.close_until(reset, reason)

    def _opens_at(self) -> float:
        broken_until = self._breaker.until if self._breaker.state is BreakerState.OPEN else 0.0
        return max(self._limit.hold_until, self._closed_until, broken_until)

    def _condition(self) -> tuple[Condition, str, float]:
        """Return the condition, its reason and until when it lasts at least."""
        now = self._time.time()
        if self._closed_until > now:
            return Condition.CLOSED_UNTIL, self._closed_reason, self._closed_until
        if self._breaker.state is not BreakerState.CLOSED:
            return Condition.OPEN, self._breaker.reason, max(self._breaker.until, self._limit.hold_until)
        if self._limit.throttled_until > now:
            return Condition.THROTTLED, POLICIES[FailureClass.THROTTLED].message, self._limit.hold_until
        return Condition.OK, "", 0.0

    def _update(self) -> None:
        """Bring everything in line with the time and with what has just changed."""
        now = self._time.time()
        self._breaker.tick(now)
        self._admit_waiters(now)
        self._refuse_waiters(now)
        self._set_timer(now)
        if self._makes_sense_to_fetch(now):
            self._fetching.set()
        else:
            self._fetching.clear()
        self._publish()

    def _admit_waiters(self, now: float) -> None:
        while self._waiters and now >= self._opens_at() and self._in_use < self._limit.value and self._breaker.admits():
            waiter = self._waiters.popleft()
            if not waiter.admitted.done():
                self._in_use += 1
                permit = Permit(gate=self, round=self._limit.round, is_probe=self._breaker.begin())
                waiter.admitted.set_result(permit)

    def _refuse_waiters(self, now: float) -> None:
        """Refuse at once whose patience cannot last until the gate opens."""
        opens_at = math.inf if self._is_ended else self._opens_at()
        if opens_at <= now:
            return
        hopeless = [waiter for waiter in self._waiters if waiter.deadline < opens_at]
        for waiter in hopeless:
            self._waiters.remove(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_exception(self._not_now())

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        limit = self._limit
        moments = (limit.hold_until, limit.throttled_until, self._closed_until, self._breaker.until)
        moment = min((moment for moment in moments if moment > now and not self._is_ended), default=None)
        self._timer = None if moment is None else self._time.call_at(moment, self._update)

    def _makes_sense_to_fetch(self, now: float) -> bool:
        if self._is_ended or self._opens_at() - now > _SHORT_SECONDS or len(self._waiters) >= self._limit.value:
            return False
        return self._breaker.state is BreakerState.CLOSED or (self._breaker.admits() and not self._waiters)

    def _publish(self) -> None:
        condition, reason, until = self._condition()
        published, self._published = self._published, (condition, reason, round(until))
        if published != self._published:
            self._on_change(self.state)
        if published[0] is not condition:
            extra = {"action": "gate_changed", "model": self._model, "condition": condition, "reason": reason}
            logger.warning("The gate of a model changed", extra=extra)
