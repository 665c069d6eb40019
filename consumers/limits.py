"""What decides how many calls of a model run: the adaptive limit and the circuit breaker, told the time and the outcomes."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

from consumers.failures import POLICIES, FailureClass, Policy, back_off

_CALM_SECONDS: Final = 60.0
_MAX_HOLD_SECONDS: Final = 900.0
_ANOTHER_PROBE_SECONDS: Final = 1.0


class BreakerState(StrEnum):
    """As in an electric circuit: closed is good."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class AdaptiveLimit:
    """How many calls may run at once, and when none may because the provider is throttling.

    A round lasts from one cut to the next. Only calls that started in the present one say something about the present limit.
    """

    def __init__(self, *, start: int, most: int, chance: random.Random) -> None:
        self._most = most
        self._chance = chance
        self._successes = 0
        self._cuts_in_a_row = 0
        self.value = max(1, min(start, most))
        self.round = 0
        self.hold_until = 0.0

    @property
    def throttled_until(self) -> float:
        """Until when this counts as throttled: some time past the hold, unless a call succeeds before."""
        return self.hold_until + (_CALM_SECONDS if self._cuts_in_a_row else 0)

    def answered(self, started_in: int, in_use: int) -> None:
        """Grow by one per limit's worth of answers, or per answer before the first cut; not while few calls run."""
        if started_in != self.round:
            return
        self._cuts_in_a_row = 0
        if in_use * 2 < self.value:
            return
        self._successes += 1
        if self._successes >= (self.value if self.round else 1):
            self.value = min(self.value + 1, self._most)
            self._successes = 0

    def throttled(self, started_in: int, now: float, retry_after_seconds: float | None) -> None:
        """Hold all calls; the first of a round's calls to be throttled also cuts the limit and draws a back-off."""
        wait = retry_after_seconds or 0.0
        if started_in == self.round:
            self._cut()
            wait = max(wait, back_off(POLICIES[FailureClass.THROTTLED], self._cuts_in_a_row, self._chance))
        until = now + min(wait, _MAX_HOLD_SECONDS)
        if until > self.hold_until:
            self.hold_until = until + self._chance.uniform(0, min(wait / 10, 1))

    def _cut(self) -> None:
        self.value = max(1, int(self.value * 0.7))
        self.round += 1
        self._cuts_in_a_row += 1
        self._successes = 0


class Breaker:
    """Opens when calls keep failing; while it is not closed only the outcome of its own probe counts."""

    def __init__(self, failures_to_open: int, chance: random.Random) -> None:
        self._failures_to_open = failures_to_open
        self._chance = chance
        self._failures = 0
        self._openings = 0
        self.state = BreakerState.CLOSED
        self.until = 0.0
        self.reason = ""
        self.is_probed = False

    def tick(self, now: float) -> None:
        """Allow a probe once it is time."""
        if self.state is BreakerState.OPEN and now >= self.until:
            self.state, self.is_probed = BreakerState.HALF_OPEN, False

    def admits(self) -> bool:
        """Whether a call may start."""
        return self.state is BreakerState.CLOSED or (self.state is BreakerState.HALF_OPEN and not self.is_probed)

    def begin(self) -> bool:
        """Start a call; returns whether it is the probe."""
        self.is_probed = self.state is BreakerState.HALF_OPEN
        return self.is_probed

    def answered(self, *, is_probe: bool) -> None:
        """Take in that the provider answered, be it with a refusal."""
        if is_probe or self.state is BreakerState.CLOSED:
            self.state, self.is_probed = BreakerState.CLOSED, False
            self._failures = self._openings = 0

    def failed(self, policy: Policy, now: float, *, is_probe: bool) -> None:
        """Take in a failure that counts; a probe's opens the breaker for longer than before."""
        if not is_probe and self.state is not BreakerState.CLOSED:
            return
        self._failures += 1
        if is_probe or policy.opens_breaker or self._failures >= self._failures_to_open:
            self._openings += 1
            self._open(now + back_off(policy, self._openings, self._chance), policy.message)

    def abandoned(self, now: float) -> None:
        """Take in that the probe ended without an outcome: another one soon."""
        self._open(now + self._chance.uniform(0, _ANOTHER_PROBE_SECONDS), self.reason)

    def expect_probe(self, reason: str) -> None:
        """Let only a probe through next."""
        if self.state is BreakerState.CLOSED:
            self.state, self.is_probed, self.reason = BreakerState.HALF_OPEN, False, reason

    def _open(self, until: float, reason: str) -> None:
        self.state, self.until, self.reason, self.is_probed = BreakerState.OPEN, until, reason, False
