"""How the time of a stop is shared out, and that a process which hangs is ended by force."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import astuple

import pytest

from jobs.aws import LONG_POLL_SECONDS
from service.stopping import LONGEST_RECEIVE_SECONDS, StopBudget
from tests.conftest import CHECKOUT

HANGS = """
import asyncio, threading
from service.process import end_within, on_stop
async def main():
    stop = asyncio.Event()
    async with on_stop(stop, lambda: end_within(0.1)):
        stop.set()
        await asyncio.sleep(0)
        threading.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", [0.5, 8, 30, 99, 100, 120, 600])
def test_the_steps_of_a_stop_are_no_longer_than_the_whole(seconds: float) -> None:
    """Whatever the platform gives: the steps together are just that, and none is nothing."""
    budget = StopBudget.of(seconds)

    assert pytest.approx(seconds) == sum(astuple(budget))
    assert min(astuple(budget)) > 0
    assert budget.patience == pytest.approx(seconds - budget.margin / 2)


def test_the_jobs_in_hand_get_the_most() -> None:
    """All but what the others need at the most, where there is so much; half of it where there is not."""
    assert [70, 50, 10] == [pytest.approx(StopBudget.of(seconds).work) for seconds in (120, 100, 20)]
    assert [13, 13, 2.6] == [pytest.approx(StopBudget.of(seconds).settling) for seconds in (600, 120, 20)]


def test_a_receive_that_is_under_way_may_come_to_its_end() -> None:
    """Where there is so much time; else it is hung up on while most of the work's time is left."""
    assert (
        LONG_POLL_SECONDS
        < LONGEST_RECEIVE_SECONDS
        == StopBudget.of(120).last_receive
        == StopBudget.of(100).last_receive
    )
    assert StopBudget.of(20).last_receive < 5


def test_a_process_that_hangs_is_ended_by_force() -> None:
    """Before the platform does it, with a line that says so, also when the stop comes while it starts."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=CHECKOUT, capture_output=True, timeout=10, text=True, check=False
    )

    assert (1, "The process had to be ended by force\n") == (ended.returncode, ended.stderr)
    assert time.monotonic() - began < 5
