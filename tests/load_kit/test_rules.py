"""The load kit's own rules: what it counts as told, told again and missed, and when a run has failed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.load.kit.ledger import COUNTS, RATES, STATISTICS, TIMES, Ledger
from tests.load.kit.memory import Memory
from tests.load.kit.thresholds import Threshold, parse, with_defaults


def event(kind: str, version: int, event_id: str = "") -> dict[str, Any]:
    """Make a lasting message about the one job."""
    job = {"jobId": "job_1", "version": version, "terminal": kind in {"job.completed", "job.failed"}}
    return {"type": kind, "id": event_id, "job": job}


def read(text: str) -> Threshold:
    """Read a threshold on the kit's figures."""
    return parse(text, times=TIMES, numbers=(*COUNTS, *RATES), statistics=STATISTICS)


def test_an_end_that_is_told_again_counts_once() -> None:
    """The comparison of versions drops what a resumed socket repeats, and says how often it did."""
    memory = Memory()
    for message in (event("job.queued", 1, "e1"), event("job.completed", 3, "e3"), event("job.queued", 1, "e1")):
        memory.take(message, now=5.0)
    memory.take(event("job.completed", 3, "e3"), now=9.0)
    known = memory.of("job_1")

    assert known.ended.is_set()
    assert (5.0, 5.0) == (known.first_told_at, known.ended_at)
    assert {"redelivered": 2} == dict(memory.counts)
    assert "e3" == memory.cursor


def test_a_second_end_of_another_version_is_a_duplicate() -> None:
    """The comparison lets it through, so a page would show the job ending twice."""
    memory = Memory()
    memory.take(event("job.completed", 3), now=1.0)
    memory.take(event("job.failed", 4), now=2.0)

    assert {"duplicated": 1} == dict(memory.counts)


def test_a_snapshot_tells_an_end_and_progress_does_not() -> None:
    """After a resync the snapshot stands in for what was missed, and the old cursor is worth nothing."""
    memory = Memory()
    memory.take(event("job.queued", 1, "e1"), now=1.0)
    memory.take({"type": "job.progress", "job": {"jobId": "job_1", "version": 9, "status": "processing"}}, now=2.0)
    memory.take({"type": "resync", "data": {"reason": "too old"}}, now=3.0)
    cursor_after_resync = memory.cursor
    snapshot = {"jobs": [event("job.completed", 3)["job"]], "hasMore": False}
    memory.take({"type": "snapshot", "id": "e7", "data": snapshot}, now=4.0)

    assert ("", "e7", 4.0) == (cursor_after_resync, memory.cursor, memory.of("job_1").ended_at)
    assert memory.has_gap("e8")
    assert not memory.has_gap("e7")


def test_figures_of_workers_add_up() -> None:
    """A master's figures are those of all measurements, and percentiles are measurements themselves."""
    worker, master = Ledger(), Ledger()
    for seconds in range(1, 101):
        worker.took("completed", float(seconds))
    worker.count("jobs", 100)
    worker.count("done", 98)
    worker.fail("missed")
    master.add(worker.take())
    worker.took("completed", 200.0)
    master.add(worker.take())
    figures = master.figures(seconds=49.0)

    assert {"count": 101, "p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 200.0} == figures["completed"]
    assert (0.01, 2.0) == (figures["errors"], figures["jobs_per_second"])


@pytest.mark.parametrize(
    ("text", "exceeded", "shown"),
    [
        ("completed.p95 > 20s", False, "19.000 s"),
        ("completed.p95>18500ms", True, "19.000 s"),
        ("first_event.p50 > 1s", True, "not measured"),
        ("missed > 0", True, "1"),
        ("errors > 1%", True, "50.00%"),
        ("errors > 50%", False, "50.00%"),
        ("jobs_per_second < 0.5", False, "0.5"),
    ],
)
def test_a_threshold_is_judged_by_what_was_measured(text: str, exceeded: bool, shown: str) -> None:
    """What was never measured is no success."""
    ledger = Ledger()
    ledger.took("completed", 19.0)
    ledger.count("jobs", 2)
    ledger.count("done")
    ledger.count("missed")
    ledger.fail("missed")
    figures = ledger.figures(seconds=2.0)

    assert (exceeded, shown) == (read(text).is_exceeded(figures), read(text).shown_value(figures))


@pytest.mark.parametrize(
    "text", ["missed", "missed > ", "missed > 1s", "completed > 1s", "completed.p95 > 1", "lost > 0", "errors > 1"]
)
def test_a_threshold_that_cannot_be_read_is_refused_with_a_sentence(text: str) -> None:
    """A unit that does not fit is refused too: a limit must not be taken for something else."""
    with pytest.raises(ValueError, match=text):
        read(text)


def test_a_said_threshold_takes_the_place_of_the_default_for_its_figure() -> None:
    """The other defaults stay."""
    assert ["missed > 0", "duplicated > 0", "errors > 5%"] == with_defaults(["errors > 5%"])
