"""The gate under whatever happens in whatever order."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as some

from consumers.failures import FailureClass
from consumers.gate import GateConfig
from tests.consumers.gate.scene import Call, Scene

Step: TypeAlias = tuple[str, int]
STEPS = some.lists(
    some.tuples(
        some.sampled_from(
            ["call", "call", "call", "succeed", "succeed", "throttled", "transient", "misconfigured", "cancel", "move"]
        ),
        some.integers(0, 30),
    ),
    max_size=60,
)


async def play(steps: list[Step]) -> None:
    """Run the steps, watching that no place is given beyond the limit; at the end everybody gets through."""
    scene = Scene(GateConfig(most=5, start=3, max_waiting=10, failures_to_open=3))
    calls: list[Call] = []
    for step, number in steps:
        before = scene.gate.state
        await _play_step(scene, calls, step, number)
        calls = [call for call in calls if not call.task.done()]
        state = scene.gate.state
        assert sum(call.is_running for call in calls) == state.in_use
        assert state.in_use <= max(before.in_use, state.limit)
        assert 1 <= state.limit <= 5
        assert len(calls) == state.in_use + state.waiting
    while calls:
        for call in [call for call in calls if call.is_running]:
            await call.end()
        calls = [call for call in calls if not call.task.done()]
        await scene.time.move(100)
    assert (0, 0) == (scene.gate.state.in_use, scene.gate.state.waiting)
    await scene.end()


async def _play_step(scene: Scene, calls: list[Call], step: str, number: int) -> None:
    running = [call for call in calls if call.is_running]
    if step == "call":
        calls.append(await scene.call(patience_seconds=100_000 if number % 2 else number))
        await scene.time.move(0)
    elif step == "move":
        await scene.time.move(number)
    elif step == "cancel" and calls:
        await calls[number % len(calls)].cancel()
    elif step != "cancel" and running:
        failure = None if step == "succeed" else FailureClass(step)
        await running[number % len(running)].end(failure, number if step == "throttled" and number % 2 else None)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_never_more_in_use_than_the_limit_and_nobody_is_forgotten(steps: list[Step]) -> None:
    """Whatever happens in whatever order."""
    asyncio.run(play(steps))
