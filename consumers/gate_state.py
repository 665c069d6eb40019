"""What the outside sees of a gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from consumers.limits import BreakerState
from jobs.errors import TransientError


class NotNow(TransientError):
    """The image service cannot take this call soon. The job has done nothing wrong.

    Where nobody knows how long it lasts, each wait is as long as all before it, up to ``at_most_seconds``.
    """

    code = "provider_failure"
    retry_after_seconds: float

    def __init__(self, retry_after_seconds: float, reason: str, *, at_most_seconds: float | None = None) -> None:
        super().__init__(reason, retry_after_seconds=retry_after_seconds)
        self._at_most_seconds = at_most_seconds

    def delay_seconds(self, waited_seconds: float) -> float:
        """Return how long to wait now, having waited for so long already."""
        if self._at_most_seconds is None:
            return self.retry_after_seconds
        return min(max(self.retry_after_seconds, waited_seconds), self._at_most_seconds)


class Condition(StrEnum):
    """How the gate stands, as the outside sees it."""

    OK = "ok"
    THROTTLED = "throttled"
    OPEN = "open"
    CLOSED_UNTIL = "closed_until"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """One gate at one moment. ``retry_after_seconds`` is None while all is well; 0 means that it is being tried."""

    model: str
    condition: Condition
    reason: str
    retry_after_seconds: float | None
    limit: int
    in_use: int
    waiting: int
    breaker: BreakerState


def _read(read: Callable[[], GateState], value: Callable[[GateState], float]) -> float:
    return value(read())


class GateMetrics:
    """What all gates show, in the given registry; the gauges are read when they are asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, ["model"], registry=registry)

        self.throttled = Counter("gemini_throttled", "Calls refused for rate or quota", ["model"], registry=registry)
        self._gauges: tuple[tuple[Gauge, Callable[[GateState], float]], ...] = (
            (gauge("gemini_limit", "Calls that may run at once"), lambda state: state.limit),
            (gauge("gemini_in_use", "Calls that run"), lambda state: state.in_use),
            (
                gauge("gemini_condition", "0 well, 1 throttled, 2 breaker not closed, 3 closed until a time"),
                lambda state: list(Condition).index(state.condition),
            ),
            (gauge("gemini_waiting", "Calls that wait at the gate"), lambda state: state.waiting),
            (
                gauge("gemini_breaker_state", "0 closed, 1 half open, 2 open"),
                lambda state: list(BreakerState).index(state.breaker),
            ),
            (
                gauge("gemini_retry_after_seconds", "Until the gate may open again"),
                lambda state: state.retry_after_seconds or 0,
            ),
        )

    def watch(self, model: str, read: Callable[[], GateState]) -> None:
        """Show the state of this model's gate from now on."""
        for gauge, value in self._gauges:
            gauge.labels(model).set_function(partial(_read, read, value))
