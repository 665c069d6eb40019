"""When the gate lets nothing but a probe through."""

from __future__ import annotations

import pytest

from consumers.failures import FailureClass
from consumers.gate_state import Condition
from consumers.limits import BreakerState
from tests.consumers.gate.scene import TRANSIENT, MakeScene


async def test_the_breaker_opens_on_failures_in_a_row(scenes: MakeScene) -> None:
    """A success in between starts the count again."""
    scene = scenes()
    for failure in (TRANSIENT, TRANSIENT, TRANSIENT, TRANSIENT, None, TRANSIENT, TRANSIENT, TRANSIENT, TRANSIENT):
        await scene.one(failure)
    assert 0 == scene.metric("gemini_breaker_state")
    await scene.one(FailureClass.TIMEOUT)

    assert BreakerState.OPEN is scene.gate.state.breaker
    assert 2 == scene.metric("gemini_breaker_state")


@pytest.mark.parametrize("failure", [FailureClass.MISCONFIGURED, FailureClass.ACCOUNT])
async def test_the_breaker_opens_at_once_on_what_an_operator_must_mend(
    scenes: MakeScene, failure: FailureClass
) -> None:
    """A second call with the wrong key is in vain."""
    scene = scenes()
    await scene.one(failure)

    assert Condition.OPEN is scene.gate.state.condition
    assert scene.gate.state.reason
    assert not scene.gate.is_open_for_fetching


async def test_one_probe_passes_and_its_success_closes_the_breaker(scenes: MakeScene) -> None:
    """The others wait for its word."""
    scene = scenes()
    await scene.open_breaker()
    calls = await scene.calls(4)
    await scene.time.move(1)
    assert [True, False, False, False] == [call.is_running for call in calls]
    assert BreakerState.HALF_OPEN is scene.gate.state.breaker
    await calls[0].end()

    assert [True, True, True] == [call.is_running for call in calls[1:]]
    assert Condition.OK is scene.gate.state.condition


async def test_a_failed_probe_opens_the_breaker_for_longer(scenes: MakeScene) -> None:
    """1, 2, 4 … seconds up to the cap."""
    scene = scenes()
    await scene.open_breaker()
    waits = []
    for _ in range(7):
        waits.append(scene.gate.state.retry_after_seconds)
        await scene.time.move(scene.gate.state.retry_after_seconds or 0)
        await scene.one(TRANSIENT)

    assert [1, 2, 4, 8, 16, 30, 30] == pytest.approx(waits)


async def test_an_outage_after_a_recovery_starts_with_a_short_wait(scenes: MakeScene) -> None:
    """The last outage is forgotten with the first success."""
    scene = scenes()
    await scene.open_breaker()
    for failure in (TRANSIENT, TRANSIENT, None):
        await scene.time.move(scene.gate.state.retry_after_seconds or 0)
        await scene.one(failure)
    await scene.open_breaker()

    assert 1 == pytest.approx(scene.gate.state.retry_after_seconds)


async def test_a_canceled_probe_opens_the_breaker_again_and_another_one_follows(scenes: MakeScene) -> None:
    """A probe that nobody hears of again must not leave the gate shut for ever."""
    scene = scenes()
    await scene.open_breaker()
    probe, second = await scene.calls(2)
    await scene.time.move(1)
    await probe.cancel()
    assert 2 == scene.metric("gemini_breaker_state")
    await scene.time.move(1)

    assert second.is_running
    await second.end()
    assert BreakerState.CLOSED is scene.gate.state.breaker


async def test_calls_from_before_the_opening_neither_close_nor_prolong_it(scenes: MakeScene) -> None:
    """Only the probe speaks for the present."""
    scene = scenes(most=20)
    old = await scene.calls(10)
    await scene.open_breaker()
    until = scene.gate.state.retry_after_seconds
    await old[0].end()
    await old[1].end(TRANSIENT)
    await old[2].end(FailureClass.MISCONFIGURED)

    assert BreakerState.OPEN is scene.gate.state.breaker
    assert until == scene.gate.state.retry_after_seconds


async def test_a_refused_photo_is_an_answer(scenes: MakeScene) -> None:
    """Bad photos in a row say nothing against the provider."""
    scene = scenes()
    for failure in (FailureClass.REJECTED, FailureClass.UNUSABLE_ANSWER, FailureClass.BAD_REQUEST) * 3:
        await scene.one(failure)

    assert Condition.OK is scene.gate.state.condition


@pytest.mark.parametrize(("delay", "expected"), [(None, 20 * 3600), (7200, 7200), (30, 60), (90_000, 20 * 3600)])
async def test_a_daily_quota_closes_until_the_delay_or_midnight_in_california(
    scenes: MakeScene, delay: float | None, expected: float
) -> None:
    """And then a single probe looks."""
    scene = scenes()
    await scene.one(FailureClass.DAILY_QUOTA, delay)
    state = scene.gate.state

    assert Condition.CLOSED_UNTIL is state.condition
    assert expected == pytest.approx(state.retry_after_seconds)
    await scene.time.move(expected)
    probe, other = await scene.calls(2)
    assert [True, False] == [probe.is_running, other.is_running]
    await probe.end()
    assert other.is_running


async def test_no_probe_passes_while_it_is_closed(scenes: MakeScene) -> None:
    """An order is no outage."""
    scene = scenes()
    await scene.open_breaker()
    scene.gate.close_until(scene.time.wall() + 500, "spent")
    waiting = await scene.call()
    await scene.time.move(499)
    assert not waiting.is_running
    await scene.time.move(1)

    assert waiting.is_running
