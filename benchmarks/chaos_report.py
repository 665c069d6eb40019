"""What a chaos run comes to: what must not have happened, and the table that is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.control import CancelOutcome
from jobs.ids import JobId
from jobs.model import Status
from tests.chaos.audit import Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds from the restarted service's readiness to its first end of a job, and until all that was in hand had ended.

    None where there was no such end.
    """

    in_hand: int
    first_seconds: float | None
    all_seconds: float | None

    @property
    def figure(self) -> str:
        """Write both times for the table."""
        return f"first end {_seconds(self.first_seconds)} after the restart, all {_seconds(self.all_seconds)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to. ``cancels`` is what the last answer to each cancel said, ``deleted`` whose deletion was answered."""

    accepted: frozenset[JobId]
    refused: frozenset[JobId]
    cancels: Mapping[JobId, CancelOutcome]
    deleted: frozenset[JobId]
    books: Audit
    gemini: dict[str, Any]
    recoveries: tuple[Recovery, ...]
    submit_tries: int
    seconds: float

    @property
    def zeros(self) -> dict[str, int]:
        """What must not have happened, and how often it did."""
        books = self.books
        return {
            "lost": len(self.lost),
            "made twice for one key": len(self._strays()),
            "said to be refused and was not": len(books.wrongly_refused(self.refused)),
            "said to be canceled and was not": len(self._canceled_in_vain()),
            "said to be deleted and was not": len(self.deleted & books.jobs.keys()),
            "run twice to completion": len(books.completed_twice),
            "wrong charges": len(books.wrong_charges + books.wrong_totals),
            "events missing from the log": len(books.missing_events),
            "wrong events": len(books.wrong_events),
            "results missing": len(books.missing_results),
        }

    @property
    def lost(self) -> set[JobId]:
        """Find the jobs that were promised and have no end, or are gone though nobody deleted them."""
        return self.books.lost(self.accepted) | (self.books.deleted.keys() - self.deleted)

    def _canceled_in_vain(self) -> set[JobId]:
        known = {**self.books.jobs, **self.books.deleted}
        promised = {job_id for job_id, outcome in self.cancels.items() if outcome is not CancelOutcome.TOO_LATE}
        return {job_id for job_id in promised if job_id not in known or known[job_id].status is not Status.CANCELED}

    def _strays(self) -> set[JobId]:
        """Find the jobs nobody was promised. One that the queue refused is told by its 500, and frees its key."""
        jobs = self.books.jobs.items()
        refused = {job_id for job_id, job in jobs if job.failure is not None and job.failure.code == "queue_refused"}
        return self.books.jobs.keys() - self.accepted - refused

    def rows(self) -> Iterator[tuple[str, str]]:
        """Give the table's rows."""
        books = self.books
        yield "accepted", str(len(self.accepted))
        yield "completed", str(books.completed)
        for code, number in sorted(books.failed_by_code.items()):
            yield f"failed `{code}`", str(number)
        yield "canceled", str(books.canceled)
        yield "deleted after their end", str(len(self.deleted))
        for outcome, number in sorted(Counter(self.cancels.values()).items()):
            yield f"cancels answered `{outcome}`", str(number)
        for name, number in self.zeros.items():
            yield f"{name} (must be 0)", str(number)
        yield "Gemini calls a job", f"{self.gemini['calls'] / max(1, books.accepted):.2f}"
        yield "most Gemini calls for one job", str(self.gemini["mostCallsPerPrompt"])
        yield "most tries of one job", str(max((job.attempt for job in books.jobs.values()), default=0))
        yield "requests sent for each job accepted", f"{self.submit_tries / max(1, len(self.accepted)):.2f}"
        for number, recovery in enumerate(self.recoveries, 1):
            yield f"kill {number}: {recovery.in_hand} jobs in hand", recovery.figure
        yield "wall time", f"{self.seconds:.0f} s"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
