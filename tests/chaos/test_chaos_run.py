"""The chaos run in its short form: cut off, throttled, told everything twice, and killed with work in hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import chaos
from benchmarks.chaos_report import Recovery

JOBS = 60


@pytest.mark.timeout(240)
async def test_nothing_is_lost_or_done_twice_or_charged_wrongly(tmp_path: Path) -> None:
    """Every job that was promised comes to one end, and the books agree with it."""
    report = await chaos.measure(chaos.parse([f"--jobs={JOBS}", "--seconds=12"]), tmp_path)

    assert dict.fromkeys(report.zeros, 0) == report.zeros, report.books.faults
    assert JOBS == len(report.accepted)
    assert report.recoveries
    assert report.books.completed > JOBS * 0.8


def test_where_nothing_was_in_hand_no_time_is_printed() -> None:
    """It did not take no time."""
    recovery = Recovery(in_hand=0, first_seconds=3.24, all_seconds=None)

    assert "first end 3.2 s after the restart, all -" == recovery.figure
