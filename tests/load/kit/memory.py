"""What a client knows of its jobs: the rules of coming back, without a socket."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True, eq=False)
class Known:
    """One job as it was told. Moments are those of the clock that ``Memory.take`` is given."""

    version: int = 0
    first_told_at: float | None = None
    ended_at: float | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)


class Memory:
    """Applies each message once, by ``(jobId, version)``, and counts those that were told again."""

    def __init__(self) -> None:
        self.cursor = ""
        self.counts: Counter[str] = Counter()
        self._jobs: dict[str, Known] = {}

    def of(self, job_id: str) -> Known:
        """Return what is known of a job; its first event may come before the answer that names it."""
        return self._jobs.setdefault(job_id, Known())

    def forget(self, job_id: str) -> None:
        """Drop what ended a job; that it ended, and at which version, is kept for whatever is told again."""
        self.of(job_id).job = {}

    def take(self, message: Mapping[str, Any], now: float) -> None:
        """Apply a message of the socket."""
        kind = message["type"]
        if kind == "resync":
            self.cursor = ""
            self.counts["resyncs"] += 1
        self.cursor = max(self.cursor, message.get("id", ""))
        if kind == "snapshot":
            for job in message["data"]["jobs"]:
                self._apply(job, now)
        elif kind == "job.progress":
            self._see(self.of(message["job"]["jobId"]), now)
        elif kind.startswith("job.") and not self._apply(message["job"], now):
            self.counts["redelivered"] += 1

    def has_gap(self, newest_id: str) -> bool:
        """Tell whether a ping names an event that has not been told."""
        return newest_id > self.cursor

    def _apply(self, job: Mapping[str, Any], now: float) -> bool:
        known = self.of(job["jobId"])
        self._see(known, now)
        if job["version"] <= known.version:
            return False
        known.version = job["version"]
        if job["terminal"]:
            self._end(known, job, now)
        return True

    def _end(self, known: Known, job: Mapping[str, Any], now: float) -> None:
        # Nobody deletes, retries or redrives the kit's jobs: an end after the end is one too many.
        if known.ended_at is not None:
            self.counts["duplicated"] += 1
            return
        known.ended_at, known.job = now, job
        known.ended.set()

    @staticmethod
    def _see(known: Known, now: float) -> None:
        if known.first_told_at is None:
            known.first_told_at = now
