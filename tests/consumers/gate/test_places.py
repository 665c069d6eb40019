"""Who gets a place at the gate, in which order, and who is refused."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics, NotNow
from tests.consumers.gate.scene import THROTTLED, Call, MakeScene, settle


async def test_admits_up_to_the_limit_and_the_rest_in_order(scenes: MakeScene) -> None:
    """First come, first served."""
    scene = scenes(most=2)
    first, second, third, fourth = await scene.calls(4)

    assert [True, True, False, False] == [call.is_running for call in (first, second, third, fourth)]
    await second.end()
    assert [True, False] == [third.is_running, fourth.is_running]
    await first.end()
    assert fourth.is_running


async def test_a_newcomer_does_not_overtake_a_place_already_given(scenes: MakeScene) -> None:
    """The newcomer runs between the moment the place was given and the moment its owner wakes up."""
    scene = scenes(most=1)
    scene.gate.close_until(scene.time.wall() + 10, "a moment")
    waiting = await scene.call()
    newcomer = Call(scene.gate)
    scene.time.jump(10)
    await settle()

    assert waiting.is_running
    assert not newcomer.is_running
    await newcomer.cancel()


async def test_canceled_while_waiting_leaves_no_trace(scenes: MakeScene) -> None:
    """The next one moves up."""
    scene = scenes(most=1)
    first, second, third = await scene.calls(3)
    await second.cancel()

    assert 1 == scene.gate.state.waiting
    await first.end()
    assert third.is_running


async def test_canceled_with_the_place_in_hand_gives_it_to_the_next(scenes: MakeScene) -> None:
    """The cancellation comes after the place was given and before its owner woke up."""
    scene = scenes(most=1)
    scene.gate.close_until(scene.time.wall() + 10, "a moment")
    first, second = await scene.calls(2)
    scene.time.jump(10)
    first.task.cancel()
    await settle()

    assert first.task.cancelled()
    assert first.permit is None
    assert second.is_running
    assert 1 == scene.gate.state.in_use


async def test_canceled_just_after_the_refusal_is_silent(scenes: MakeScene) -> None:
    """No exception is left behind unseen."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    scene = scenes(most=1)
    _, waiting = await scene.calls(2)
    scene.gate.close()
    waiting.task.cancel()
    await settle()
    gc.collect()

    assert waiting.task.cancelled()
    assert [] == complaints


async def test_patience_ends(scenes: MakeScene) -> None:
    """Who waited in vain is told to come again."""
    scene = scenes(most=1)
    await scene.call()
    waiting = await scene.call(patience_seconds=30)
    await scene.time.move(29)
    assert not waiting.task.done()
    await scene.time.move(1)
    refusal = await waiting.refusal()

    assert 5 == refusal.retry_after_seconds
    assert 0 == scene.gate.state.waiting


async def test_too_many_waiters_are_refused_at_once(scenes: MakeScene) -> None:
    """The queue at the gate is bounded."""
    scene = scenes(most=1, max_waiting=2)
    await scene.calls(3)
    refusal = await (await scene.call()).refusal()

    assert refusal.retry_after_seconds > 0


async def test_refused_at_once_when_it_is_closed_for_longer_than_the_patience(scenes: MakeScene) -> None:
    """Nobody waits for what cannot come."""
    scene = scenes()
    scene.gate.close_until(scene.time.wall() + 600, "The budget of today is spent.")
    refusal = await (await scene.call(patience_seconds=60)).refusal()

    assert 600 == pytest.approx(refusal.retry_after_seconds)
    assert "The budget of today is spent." == refusal.message


async def test_waiters_are_refused_when_their_wait_becomes_hopeless(scenes: MakeScene) -> None:
    """Those with more patience stay."""
    scene = scenes(most=1)
    running = await scene.call()
    hasty = await scene.call(patience_seconds=60)
    patient = await scene.call(patience_seconds=900)
    await running.end(THROTTLED, 300)
    refusal = await hasty.refusal()

    assert 301 == pytest.approx(refusal.retry_after_seconds)
    await scene.time.move(302)
    assert patient.is_running


async def test_a_closed_gate_refuses_and_leaves_no_timer(scenes: MakeScene) -> None:
    """Who waits and who comes; who is inside ends in peace."""
    scene = scenes(most=1)
    running, waiting = await scene.calls(2)
    scene.gate.close_until(scene.time.wall() + 500, "spent")
    scene.gate.close()
    await waiting.refusal()
    await (await scene.call()).refusal()
    await running.end()

    assert 0 == scene.time.pending
    assert not scene.gate.is_open_for_fetching


async def test_it_works_on_the_loops_own_clock() -> None:
    """No fake is needed to run it."""
    gate = Gate("painter", GateConfig(most=1), GateMetrics(CollectorRegistry()), lambda _: None)
    gate.close_until(time.time() + 0.02, "a moment")
    async with asyncio.timeout(5), gate.admit(1) as permit:
        permit.succeeded()
    async with gate.admit(1):
        with pytest.raises(NotNow):
            async with gate.admit(0.01):
                pass
    gate.close()
