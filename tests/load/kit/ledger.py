"""What a run has measured, and the figures made of it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

TIMES: Final = (
    "lag",
    "upload",
    "accepted",
    "first_event",
    "completed",
    "storm_first_event",
    "storm_completed",
    "read_back",
    "resumed",
)
"""What is measured in seconds."""

COUNTS: Final = (
    "jobs",
    "done",
    "missed",
    "duplicated",
    "redelivered",
    "late",
    "unfinished",
    "rate_limited",
    "sockets",
    "cuts",
    "disconnects",
    "resyncs",
    "pings",
)
"""What is counted."""

RATES: Final = ("errors", "jobs_per_second")
STATISTICS: Final = ("p50", "p95", "p99", "max")


class Ledger:
    """What one process has measured; a worker's is handed to the master bit by bit."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def took(self, name: str, seconds: float) -> None:
        """Note how long something took."""
        self.times[name].append(seconds)

    def count(self, name: str, number: int = 1) -> None:
        """Note that something has happened."""
        self.counts[name] += number

    def fail(self, code: str) -> None:
        """Note that something that was tried has failed, once for each try."""
        self.errors[code] += 1

    def take(self) -> dict[str, Any]:
        """Hand over all that is noted, and forget it."""
        noted = {"times": dict(self.times), "counts": dict(self.counts), "errors": dict(self.errors)}
        self.clear()
        return noted

    def add(self, noted: Mapping[str, Any]) -> None:
        """Take in what another ledger has handed over."""
        for name, seconds in noted["times"].items():
            self.times[name].extend(seconds)
        self.counts.update(noted["counts"])
        self.errors.update(noted["errors"])

    def clear(self) -> None:
        """Forget everything."""
        self.times.clear()
        self.counts.clear()
        self.errors.clear()

    def figures(self, seconds: float) -> dict[str, Any]:
        """Return the figures of a run that let jobs arrive for so long.

        Times are ``{"count", "p50", "p95", "p99", "max"}`` in seconds, or None where nothing was measured. ``errors`` is the
        share of tries (jobs, and users who sign in and open a socket) that failed, from 0 to 1; without any try it is 1.
        """
        tries = self.counts["jobs"] + self.counts["starts"]
        return {
            **{name: distribution(self.times[name]) if self.times[name] else None for name in TIMES},
            **{name: self.counts[name] for name in COUNTS},
            "errors": self.errors.total() / tries if tries else 1.0,
            "jobs_per_second": self.counts["done"] / seconds if seconds > 0 else 0.0,
        }


def distribution(seconds: Sequence[float]) -> dict[str, float]:
    """Return how measured times are distributed; percentiles are times that were measured, never made up between two."""
    ordered = sorted(seconds)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    ranks = {name: math.ceil(share * len(ordered)) - 1 for name, share in shares.items()}
    return {"count": len(ordered)} | {name: ordered[rank] for name, rank in ranks.items()}
