"""What the gate learns from throttled and from good answers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from consumers.gate_state import Condition
from tests.consumers.gate.scene import THROTTLED, MakeScene, Scene


async def test_throttling_holds_every_call_until_the_time_named(scenes: MakeScene) -> None:
    """A little after it, not before."""
    scene = scenes()
    await scene.one(THROTTLED, 20)
    waiting = await scene.call()
    await scene.time.move(20)
    assert not waiting.is_running
    await scene.time.move(1)

    assert waiting.is_running
    assert 1 == scene.metric("gemini_throttled_total")


async def test_throttling_without_a_time_backs_off_longer_each_time(scenes: MakeScene) -> None:
    """1, 2, 4 … seconds, each with its jitter; a success starts over."""
    scene = scenes()
    waits = []
    for _ in range(3):
        await scene.one(THROTTLED)
        waits.append(scene.gate.state.retry_after_seconds or 0)
        await scene.time.move(100)
    await scene.one()
    await scene.one(THROTTLED)

    assert [1.1, 2.2, 4.4, 1.1] == pytest.approx([*waits, scene.gate.state.retry_after_seconds])


async def test_a_burst_of_throttled_answers_cuts_the_limit_once(scenes: MakeScene) -> None:
    """Fifty calls in flight tell the same news."""
    scene = scenes(most=50)
    for call in await scene.calls(50):
        await call.end(THROTTLED, 5)

    assert 35 == scene.gate.state.limit
    assert 1 == len(scene.changes)


async def test_the_limit_never_falls_below_one(scenes: MakeScene) -> None:
    """Something is always let through."""
    scene = scenes(most=8)
    for _ in range(20):
        await scene.one(THROTTLED, 1)
        await scene.time.move(100)

    assert 1 == scene.gate.state.limit


async def busy_rounds(scene: Scene, rounds: int) -> None:
    """Keep the gate full for so many rounds of successes."""
    for _ in range(rounds):
        for call in await scene.calls(scene.gate.state.limit):
            await call.end()


async def test_the_limit_recovers_to_most(scenes: MakeScene) -> None:
    """One more per round, and no further than configured."""
    scene = scenes(most=10)
    await scene.one(THROTTLED, 1)
    await scene.time.move(100)
    limits = []
    for _ in range(8):
        limits.append(scene.gate.state.limit)
        await busy_rounds(scene, 1)

    assert [7] == limits[:1]
    assert all(after - before <= 1 for before, after in pairwise(limits))
    assert [10] == limits[-1:]


async def test_the_limit_rises_fast_until_the_first_throttling(scenes: MakeScene) -> None:
    """Nothing is known of the quota yet, so a round doubles it."""
    scene = scenes(most=64, start=16)
    for call in await scene.calls(16):
        await call.end()

    assert 16 < scene.gate.state.limit <= 32


async def test_the_limit_does_not_rise_on_idle_traffic(scenes: MakeScene) -> None:
    """One call at a time proves nothing about twenty."""
    scene = scenes(most=64, start=20)
    for _ in range(50):
        await scene.one()

    assert 20 == scene.gate.state.limit


async def test_answers_to_calls_from_before_a_cut_do_not_raise_the_limit(scenes: MakeScene) -> None:
    """They were let in under another limit."""
    scene = scenes(most=10)
    calls = await scene.calls(10)
    await calls[0].end(THROTTLED, 1)
    await scene.time.move(5)
    for call in calls[1:]:
        await call.end()

    assert 7 == scene.gate.state.limit
    assert Condition.THROTTLED is scene.gate.state.condition
