"""Percentiles read from the buckets of a histogram, as Prometheus reads them, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Buckets = Mapping[float, float]
"""How many observations lie at or under each bound; the last bound is infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """A value in the histogram's unit; the true one lies between ``low`` and ``high``, which is None past the last bound."""

    value: float
    low: float
    high: float | None


def since(now: Buckets, before: Buckets) -> dict[float, float]:
    """Return what has come to the buckets since ``before``; a new series has begun from nothing."""
    return {bound: count - before.get(bound, 0) for bound, count in now.items()}


def count_of(buckets: Buckets) -> float:
    """Return how many observations there are."""
    return max(buckets.values(), default=0)


def percentile(buckets: Buckets, share: float) -> Percentile | None:
    """Return the value that ``share`` (0 to 1) of the observations do not pass; None without observations.

    Within a bucket they are taken to lie evenly, so the error is its width at most.
    """
    rank = share * count_of(buckets)
    low, under = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= rank and count > under:
            if bound == float("inf"):
                return Percentile(value=low, low=low, high=None)
            return Percentile(value=low + (bound - low) * (rank - under) / (count - under), low=low, high=bound)
        low, under = bound, count
    return None
