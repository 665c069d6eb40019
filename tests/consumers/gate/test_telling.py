"""What the gate tells the pool and the outside."""

from __future__ import annotations

import asyncio

import pytest

from consumers.failures import FailureClass
from consumers.gate_state import Condition
from tests.consumers.gate.scene import THROTTLED, TRANSIENT, MakeScene


async def test_fetching_waits_for_the_gate(scenes: MakeScene) -> None:
    """It is woken by the event, not by asking again and again."""
    scene = scenes()
    await scene.one(THROTTLED, 20)
    fetcher = asyncio.create_task(scene.gate.wait_until_fetching_makes_sense())
    await scene.time.move(19)
    assert not fetcher.done()
    await scene.time.move(2)

    assert fetcher.done()
    assert scene.gate.is_open_for_fetching


async def test_a_short_pause_does_not_stop_fetching(scenes: MakeScene) -> None:
    """The jobs would be ready when it is over."""
    scene = scenes()
    scene.gate.close_until(scene.time.wall() + 0.5, "a moment")

    assert scene.gate.is_open_for_fetching


async def test_fetching_stops_while_as_many_wait_as_may_run(scenes: MakeScene) -> None:
    """More jobs in hand would only age."""
    scene = scenes(most=2)
    calls = await scene.calls(4)
    assert not scene.gate.is_open_for_fetching
    await calls[0].end()

    assert scene.gate.is_open_for_fetching


async def test_fetching_goes_on_for_the_probe_alone(scenes: MakeScene) -> None:
    """With no work in hand somebody must fetch the job that probes."""
    scene = scenes()
    await scene.open_breaker()
    await scene.time.move(1)
    assert scene.gate.is_open_for_fetching
    probe = await scene.call()
    assert not scene.gate.is_open_for_fetching
    await probe.end()

    assert scene.gate.is_open_for_fetching


async def test_changes_are_told_once_each(scenes: MakeScene) -> None:
    """From good to throttled to good, not every call."""
    scene = scenes()
    await scene.one()
    await scene.one(THROTTLED, 20)
    await scene.time.move(25)
    await scene.one()

    assert [Condition.THROTTLED, Condition.OK] == [change.condition for change in scene.changes]
    assert [21.0, None] == [change.retry_after_seconds for change in scene.changes]


async def test_throttling_is_over_after_a_calm_minute_without_work(scenes: MakeScene) -> None:
    """Nobody has to succeed for that."""
    scene = scenes()
    await scene.one(THROTTLED, 20)
    await scene.time.move(90)

    assert Condition.OK is scene.changes[-1].condition


async def test_gauges_follow_the_gate(scenes: MakeScene) -> None:
    """They are read from its state."""
    scene = scenes(most=2)
    await scene.calls(3)

    assert [2, 2, 1, 0] == [
        scene.metric(f"gemini_{name}") for name in ("limit", "in_use", "waiting", "retry_after_seconds")
    ]


async def test_a_gate_that_was_never_passed_has_not_answered(scenes: MakeScene) -> None:
    """However long ago one asks about."""
    assert not scenes().gate.has_answered_since(0)


@pytest.mark.parametrize("failure", [None, FailureClass.REJECTED, FailureClass.UNUSABLE_ANSWER])
async def test_an_answer_is_remembered_with_its_time(scenes: MakeScene, failure: FailureClass | None) -> None:
    """Of whatever kind it is: an outage would not have given it."""
    scene = scenes()
    before = scene.gate.now()
    await scene.time.move(5)
    await scene.one(failure)
    answered = scene.gate.now()
    await scene.time.move(5)

    assert [True, True, False] == [
        scene.gate.has_answered_since(moment) for moment in (before, answered, answered + 0.1)
    ]


@pytest.mark.parametrize("failure", [TRANSIENT, FailureClass.TIMEOUT, FailureClass.MISCONFIGURED])
async def test_a_call_that_failed_is_no_answer(scenes: MakeScene, failure: FailureClass) -> None:
    """That is what an outage looks like."""
    scene = scenes()
    before = scene.gate.now()
    await scene.one(failure)

    assert not scene.gate.has_answered_since(before)


async def test_a_call_that_was_dropped_is_no_answer(scenes: MakeScene) -> None:
    """Its owner canceled it: nobody knows what it would have been."""
    scene = scenes()
    before = scene.gate.now()
    await (await scene.call()).cancel()

    assert not scene.gate.has_answered_since(before)
