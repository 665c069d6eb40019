"""A gate under a clock that the tests move."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TypeAlias

import pytest
from prometheus_client import CollectorRegistry

from consumers.failures import FailureClass
from consumers.gate import Gate, GateConfig, Permit
from consumers.gate_state import GateMetrics, GateState, NotNow

THROTTLED = FailureClass.THROTTLED
TRANSIENT = FailureClass.TRANSIENT
MONDAY_NOON = 1_795_435_200.0
"""2026-11-23 12:00 UTC, four in the morning in California."""


class MovedTime:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._timers: list[tuple[float, Callable[[], object], asyncio.Handle]] = []

    def time(self) -> float:
        """Return the seconds."""
        return self._now

    def wall(self) -> float:
        """Return the seconds since the epoch."""
        return MONDAY_NOON + self._now - 1000

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.Handle:
        """Keep the callback until the clock is moved there."""
        handle = asyncio.Handle(callback, (), asyncio.get_running_loop())
        self._timers.append((when, callback, handle))
        return handle

    @property
    def pending(self) -> int:
        """How many timers are set."""
        return sum(not handle.cancelled() for _, _, handle in self._timers)

    async def move(self, seconds: float) -> None:
        """Move on, stopping at each timer on the way."""
        end = self._now + seconds
        while self._fire_next(end):
            await settle()
        self._now = end
        await settle()

    def jump(self, seconds: float) -> None:
        """Move on past the timers, before any task can run."""
        end = self._now + seconds
        while self._fire_next(end):
            pass
        self._now = end

    def _fire_next(self, end: float) -> bool:
        due = [timer for timer in self._timers if timer[0] <= end and not timer[2].cancelled()]
        if not due:
            return False
        timer = min(due, key=lambda timer: timer[0])
        self._timers.remove(timer)
        self._now = max(self._now, timer[0])
        timer[1]()
        return True


class FullChance(random.Random):
    """Draws the most, so that waits can be foretold."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002, RUF100 - the least is not drawn
        """Return the upper bound."""
        return b


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Call:
    """One call through the gate, as a task."""

    def __init__(self, gate: Gate, patience_seconds: float = 1000) -> None:
        self.permit: Permit | None = None
        self._may_end = asyncio.Event()
        self.task = asyncio.create_task(self._run(gate, patience_seconds))

    async def _run(self, gate: Gate, patience_seconds: float) -> None:
        async with gate.admit(patience_seconds) as self.permit:
            await self._may_end.wait()

    @property
    def is_running(self) -> bool:
        """Whether it was admitted and has not ended."""
        return self.permit is not None and not self.task.done()

    async def end(self, failure: FailureClass | None = None, retry_after_seconds: float | None = None) -> None:
        """Report how it went and leave."""
        self.report(failure, retry_after_seconds)
        self._may_end.set()
        await self.task
        await settle()

    def report(self, failure: FailureClass | None, retry_after_seconds: float | None = None) -> None:
        """Report how it went."""
        assert self.permit is not None
        if failure is None:
            self.permit.succeeded()
        else:
            self.permit.failed(failure, retry_after_seconds)

    async def cancel(self) -> None:
        """Cancel it, wherever it is."""
        self.task.cancel()
        await settle()
        assert self.task.cancelled()

    async def refusal(self) -> NotNow:
        """Return why it was refused."""
        with pytest.raises(NotNow) as refused:
            await self.task
        return refused.value


class Scene:
    """A gate and everything it was given."""

    def __init__(self, config: GateConfig) -> None:
        self.time = MovedTime()
        self.registry = CollectorRegistry()
        self.changes: list[GateState] = []
        self.gate = Gate(
            "painter",
            config,
            GateMetrics(self.registry),
            self.changes.append,
            timekeeper=self.time,
            wall_clock=self.time.wall,
            chance=FullChance(),
        )
        self._calls: list[Call] = []

    async def call(self, patience_seconds: float = 1000) -> Call:
        """Start a call and let it come as far as it can."""
        call = Call(self.gate, patience_seconds)
        self._calls.append(call)
        await settle()
        return call

    async def calls(self, count: int) -> list[Call]:
        """Start so many calls."""
        return [await self.call() for _ in range(count)]

    async def one(self, failure: FailureClass | None = None, retry_after_seconds: float | None = None) -> None:
        """Make one whole call."""
        await (await self.call()).end(failure, retry_after_seconds)

    async def open_breaker(self) -> None:
        """Let calls fail until the breaker opens."""
        for _ in range(5):
            await self.one(TRANSIENT)

    def metric(self, name: str) -> float | None:
        """Read one figure of the registry."""
        return self.registry.get_sample_value(name, {"model": "painter"})

    async def end(self) -> None:
        """Cancel what is left."""
        for call in self._calls:
            call.task.cancel()
        await asyncio.gather(*(call.task for call in self._calls), return_exceptions=True)
        self.gate.close()


MakeScene: TypeAlias = Callable[..., Scene]
