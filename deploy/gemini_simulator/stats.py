"""Counters that let a test prove how often, and how many at once, Gemini was called."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from deploy.gemini_simulator.bounded import RecentlyUsed
from deploy.gemini_simulator.protocol import JSONObject

REMEMBERED_PROMPTS: Final = 20_000


@dataclass(slots=True)
class Outcome:
    """How one call ended; the name stays when the simulator itself fails."""

    name: str = "crashed"


class Stats:
    """Count calls from their arrival to the end of their answer."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._prompts: RecentlyUsed[int] = RecentlyUsed(REMEMBERED_PROMPTS)
        self.reset()

    def reset(self) -> None:
        """Start from zero; calls in flight stay in flight."""
        self._calls = 0
        self._peak_in_flight = self._in_flight
        self._by_model: Counter[str] = Counter()
        self._by_outcome: Counter[str] = Counter()
        self._prompts.clear()

    @contextmanager
    def call(self, model: str) -> Iterator[Outcome]:
        """Count one call while it is in flight; the caller sets the outcome's name."""
        self._calls += 1
        self._by_model[model] += 1
        self._in_flight += 1
        self._peak_in_flight = max(self._peak_in_flight, self._in_flight)
        outcome = Outcome()
        try:
            yield outcome
        finally:
            self._in_flight -= 1
            self._by_outcome[outcome.name] += 1

    def count_prompt(self, digest: str) -> int:
        """Count a call of one prompt with its images; returns how many there were, this one included."""
        count = (self._prompts.get(digest) or 0) + 1
        self._prompts.put(digest, count)
        return count

    def snapshot(self) -> JSONObject:
        """Return what `GET /simulator/stats` shows."""
        per_prompt = self._prompts.values()
        return {
            "calls": self._calls,
            "inFlight": self._in_flight,
            "peakInFlight": self._peak_in_flight,
            "byModel": dict(self._by_model),
            "byOutcome": dict(self._by_outcome),
            "distinctPrompts": len(per_prompt),
            "mostCallsPerPrompt": max(per_prompt, default=0),
        }
