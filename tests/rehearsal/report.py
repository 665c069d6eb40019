"""What a rehearsal comes to: what must not have happened, and the table that is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.ids import JobId
from tests.chaos.audit import Audit
from tests.rehearsal.fleet import Roll

SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one user was told over the socket; see ``Listener``."""

    user_id: str
    ended: Mapping[str, int]
    ended_twice: int
    lost: int
    moves: int
    longest_gap_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``failures`` are requests and connections that were not answered as they should be, ``rolls`` in their order."""

    accepted: frozenset[JobId]
    books: Audit
    told: Sequence[Told]
    requests: int
    failures: Mapping[str, int]
    releases: Mapping[str, int]
    rolls: Sequence[Roll]
    start_seconds: Sequence[float]
    stop_timeout_seconds: float
    seconds: float

    @property
    def zeros(self) -> dict[str, int]:
        """What must not have happened, and how often it did."""
        return {
            "lost jobs": len(self.books.lost(self.accepted)),
            "lost terminal events": sum(self._untold(told) for told in self.told),
            "duplicated ends": len(self.books.completed_twice) + sum(told.ended_twice for told in self.told),
            "failed jobs": sum(self.books.failed_by_code.values()),
            "failed requests": sum(self.failures.values()),
            "other faults in the books": len(set(self.books.faults) - set(self.books.completed_twice)),
            "tasks that did not end with 0": sum(code != 0 for roll in self.rolls for code in roll.exit_codes),
            "tasks that took longer than they may": sum(seconds > self.stop_timeout_seconds for seconds in self._stops),
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """Give the table's rows."""
        yield "users, each with a socket", str(len(self.told))
        yield "jobs accepted", str(len(self.accepted))
        yield "jobs completed", str(self.books.completed)
        if unpromised := self.books.jobs.keys() - self.accepted:
            # Stored, and then the task was gone before it could answer.
            yield "jobs stored by requests that got no answer", str(len(unpromised))
        yield "requests", str(self.requests)
        for name, number in self.zeros.items():
            yield f"{name} (must be 0)", str(number)
        for roll in self.rolls:
            yield roll.name, "without a word" if roll.seconds is None else f"{roll.seconds:.1f} s"
        if self._stops:
            yield "from SIGTERM to the end, at most", f"{max(self._stops):.1f} s of {self.stop_timeout_seconds:g} s"
        yield "from the start of a container to ready, at most", f"{max(self.start_seconds):.1f} s"
        yield "answers by release", ", ".join(f"{name} {count}" for name, count in self.releases.items())
        yield "sockets that moved when they were asked to", str(sum(told.moves for told in self.told))
        yield "sockets that were cut and came back", str(sum(told.lost for told in self.told))
        yield "longest time of a user without a socket", f"{max(told.longest_gap_seconds for told in self.told):.1f} s"
        yield "wall time", f"{self.seconds:.0f} s"

    def explanations(self) -> Iterator[str]:
        """Give what stands behind the figures that are not 0."""
        yield from (f"{count} × {failure}" for failure, count in Counter(self.failures).most_common(SHOWN_FAULTS))
        yield from self.books.faults[:SHOWN_FAULTS]

    @property
    def _stops(self) -> list[float]:
        return [seconds for roll in self.rolls for seconds in roll.stop_seconds]

    def _untold(self, told: Told) -> int:
        return len(self.ends_of(told.user_id) - set(told.ended.items()))

    def ends_of(self, user_id: str) -> set[tuple[str, int]]:
        """Return the ends of a user's jobs as the table has them, with their versions."""
        jobs = self.books.jobs.values()
        return {(str(job.job_id), job.version) for job in jobs if job.terminal and job.user_id == user_id}
