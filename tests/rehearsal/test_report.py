"""That the table of a rehearsal would show what it must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jobs.ids import JobId, UserId
from jobs.model import Charge, Job, Status
from tests.chaos.audit import Audit
from tests.rehearsal.fleet import Roll
from tests.rehearsal.report import Report, Told

DONE, OPEN, GONE = JobId("job_done"), JobId("job_open"), JobId("job_gone")


def job(job_id: JobId, status: Status, version: int) -> Job:
    """Store a job of alice's."""
    return Job(
        job_id=job_id,
        user_id=UserId("alice"),
        pipeline="profile-photo",
        status=status,
        version=version,
        created_at=0,
        updated_at=0,
        charge=Charge.CHARGED,
        quota_day="2026-11-21",
    )


def books(**faults: Any) -> Audit:
    """Write the books: one job is done, in its fourth version."""
    none = dict.fromkeys(
        (
            "wrong_charges",
            "missing_events",
            "wrong_events",
            "wrong_totals",
            "missing_results",
            "completed_twice",
        ),
        (),
    )
    return Audit(**{"jobs": {DONE: job(DONE, Status.COMPLETED, 4)}, "deleted": {}, **none, **faults})


def told(**other: Any) -> Told:
    """Tell alice of all there is."""
    all_is_well: dict[str, Any] = {"ended": {DONE: 4}, "ended_twice": 0, "lost": 1, "moves": 0}
    return Told(user_id="alice", longest_gap_seconds=0.2, **all_is_well | other)


GOOD = Report(
    accepted=frozenset({DONE}),
    books=books(),
    told=[told()],
    requests=10,
    failures={},
    releases={"one": 5},
    rolls=[Roll(name="rolled", seconds=9, exit_codes=(0, 0), stop_seconds=(1, 2))],
    start_seconds=[1.5],
    stop_timeout_seconds=30,
    seconds=40,
)


def wrong(report: Report) -> dict[str, int]:
    """Return the figures that should be 0 and are not."""
    return {name: number for name, number in report.zeros.items() if number}


def test_a_rehearsal_that_nobody_noticed_has_nothing_but_zeros() -> None:
    """However often sockets came back."""
    assert {} == wrong(GOOD)


def test_a_kill_has_no_figures_of_a_leaving() -> None:
    """No time from a SIGTERM that nobody sent; and a job whose request got no answer is said to be one."""
    killed = Roll(name="one was killed", seconds=None, exit_codes=(), stop_seconds=())
    rows = dict(replace(GOOD, rolls=[killed], accepted=frozenset()).rows())

    assert "without a word" == rows["one was killed"]
    assert ("0", "1", "1") == (
        rows["jobs accepted"],
        rows["jobs completed"],
        rows["jobs stored by requests that got no answer"],
    )
    assert not [name for name in rows if "SIGTERM" in name]
    assert {"from SIGTERM to the end, at most"} == {name for name in dict(GOOD.rows()) if "SIGTERM" in name}


def test_whatever_somebody_noticed_is_no_zero() -> None:
    """Each in its own row."""
    still_open = books(jobs={DONE: job(DONE, Status.COMPLETED, 4), OPEN: job(OPEN, Status.QUEUED, 2)})
    slow = Roll(name="rolled", seconds=50, exit_codes=(0, 137), stop_seconds=(1, 31))

    assert {"lost jobs": 1} == wrong(replace(GOOD, accepted=frozenset({DONE, GONE})))
    assert {"lost jobs": 1} == wrong(replace(GOOD, accepted=frozenset({DONE, OPEN}), books=still_open))
    assert {"lost terminal events": 1} == wrong(replace(GOOD, told=[told(ended={})]))
    assert {"lost terminal events": 1} == wrong(replace(GOOD, told=[told(ended={DONE: 3})]))
    assert {"duplicated ends": 2} == wrong(replace(GOOD, told=[told(ended_twice=2)]))
    assert {"duplicated ends": 1} == wrong(replace(GOOD, books=books(completed_twice=("twice",))))
    assert {"other faults in the books": 1} == wrong(replace(GOOD, books=books(wrong_charges=("charged",))))
    assert {"failed requests": 3} == wrong(replace(GOOD, failures={"GET /jobs: 502": 2, "GET /ws: 503": 1}))
    assert {"tasks that did not end with 0": 1, "tasks that took longer than they may": 1} == wrong(
        replace(GOOD, rolls=[slow])
    )
