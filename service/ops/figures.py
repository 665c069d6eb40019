"""The operator's figures, all of them read from the registry that ``/metrics`` shows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry

from service.ops.percentiles import Buckets, count_of, percentile, since

Labels = Mapping[str, str]

STREAMING_ROUTES: Final = frozenset({"/events", "/jobs/{job_id}/events", "/ops/stream"})
"""Answers that last as long as their client likes: they would drown the times of all others."""
HEALTH_ROUTES: Final = frozenset({"/healthz", "/readyz", "/health"})
QUEUES: Final = ("jobs", "uploads", "webhooks")
CONDITIONS: Final = ("ok", "throttled", "open", "closed_until")
BREAKER_STATES: Final = ("closed", "half_open", "open")
DEAD: Final = "_dead"
"""How the name of a dead-letter queue ends, after its queue's."""
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_TIMED: Final = {
    "request": "http_request_duration_seconds",
    "job": "job_duration_seconds",
    "queueWait": "job_queue_wait_seconds",
    "gemini": "gemini_latency_seconds",
    "loopLag": "event_loop_lag_seconds",
}


class Registered:
    """The registry as it was at ``at``, in monotonic seconds."""

    def __init__(self, registry: CollectorRegistry, at: float) -> None:
        self.at = at
        self._samples: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
        for family in registry.collect():
            for sample in family.samples:
                self._samples[sample.name].append((sample.labels, sample.value))

    def total(self, name: str, keep: Callable[[Labels], bool] | None = None) -> float | None:
        """Add up the samples of a name, those that ``keep`` wants; None when nobody has reported any."""
        values = [value for labels, value in self._samples.get(name, ()) if keep is None or keep(labels)]
        return None if not values or any(map(math.isnan, values)) else sum(values)

    def labels(self, name: str, label: str) -> list[str]:
        """Return what a label says in the samples of a name, in their order."""
        return list(dict.fromkeys(labels[label] for labels, _ in self._samples.get(name, ())))

    def buckets(self, name: str, keep: Callable[[Labels], bool] | None = None) -> Buckets:
        """Add up a histogram's buckets."""
        added: dict[float, float] = defaultdict(float)
        for labels, value in self._samples.get(f"{name}_bucket", ()):
            if keep is None or keep(labels):
                added[float(labels["le"])] += value
        return added


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What has been counted until ``at``, in monotonic seconds: all that rates and percentiles are made from."""

    at: float
    counters: Mapping[str, float]
    gemini: Mapping[str, Mapping[str, float]]
    """By model."""
    timed: Mapping[str, Buckets]
    timed_by_model: Mapping[str, Buckets]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an operator sees at ``at``, in milliseconds since the epoch.

    ``values`` are the figures that are also drawn over time; None is not known. ``bounds`` has, for each percentile of
    ``values``, where it truly lies; ``counts`` how many observations stand behind the percentiles of a kind.
    """

    at: int
    values: Mapping[str, float | None]
    bounds: Mapping[str, tuple[float, float | None]]
    counts: Mapping[str, int]
    queues: Mapping[str, Mapping[str, float | None]]
    gates: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)


def count(registered: Registered) -> Counted:
    """Take the counters out of the registry."""
    total = registered.total
    counters = {
        "requests": total("http_request_duration_seconds_count", is_work),
        "jobsEnded": total("jobs_total", _has_ended),
        "jobsFailed": total("jobs_total", has_failed),
        "geminiCalls": total("gemini_requests_total"),
        "geminiErrors": total("gemini_requests_total", _is_gemini_error),
        "geminiThrottled": total("gemini_throttled_total"),
        "messages": total("ws_messages_sent_total"),
        "cpuSeconds": total("process_cpu_seconds_total"),
    }
    counters |= {f"status{first}xx": total("http_request_duration_seconds_count", _answered(first)) for first in "2345"}
    models = registered.labels("gemini_limit", "model")
    return Counted(
        at=registered.at,
        counters={name: value or 0.0 for name, value in counters.items()},
        gemini={model: _gemini_counters(registered, model) for model in models},
        timed={kind: registered.buckets(name, _TIMED_ONLY.get(kind)) for kind, name in _TIMED.items()},
        timed_by_model={model: registered.buckets("gemini_latency_seconds", _of(model=model)) for model in models},
    )


def figures(registered: Registered, minute: tuple[Counted, Counted], span: tuple[Counted, Counted], at: int) -> Figures:
    """Make the figures: rates from what was counted in ``minute``, percentiles from ``span``, each from when until when."""
    timed = {kind: since(span[1].timed[kind], span[0].timed[kind]) for kind in _TIMED}
    found = {f"{kind}.{name}": percentile(timed[kind], share) for kind in _TIMED for name, share in _SHARES.items()}
    return Figures(
        at=at,
        values={
            **_gauges(registered),
            **{f"{name}PerMinute": _rate(name, *minute) for name in minute[1].counters if name != "cpuSeconds"},
            "cpu": _rate("cpuSeconds", *minute, seconds=1),
            **{name: result.value if result else None for name, result in found.items()},
        },
        bounds={name: (result.low, result.high) for name, result in found.items() if result},
        counts={kind: round(count_of(buckets)) for kind, buckets in timed.items()},
        queues={queue: _queue(registered, queue) for queue in QUEUES},
        gates={model: _gate(registered, model, minute, span) for model in minute[1].gemini},
    )


def _gauges(registered: Registered) -> dict[str, float | None]:
    total = registered.total
    dead = [total("queue_messages", _of(queue=queue + DEAD, state="waiting")) for queue in QUEUES]
    return {
        "slots": total("pool_slots"),
        "slotsBusy": total("pool_slots_busy"),
        "queueWaiting": total("queue_messages", _of(queue="jobs", state="waiting")),
        "queueInFlight": total("queue_messages", _of(queue="jobs", state="in_flight")),
        "queueOldestSeconds": total("queue_oldest_seconds"),
        "deadLetters": None if all(number is None for number in dead) else sum(number or 0 for number in dead),
        "geminiInUse": total("gemini_in_use"),
        "sockets": total("ws_connections", _of(transport="socket")),
        "streams": total("ws_connections", _of(transport="stream")),
        "polls": total("ws_connections", _of(transport="poll")),
        "memoryBytes": total("process_resident_memory_bytes"),
    }


def _queue(registered: Registered, queue: str) -> dict[str, float | None]:
    states = {"waiting": "waiting", "inFlight": "in_flight", "delayed": "delayed"}
    depths = {name: registered.total("queue_messages", _of(queue=queue, state=state)) for name, state in states.items()}
    return depths | {"dead": registered.total("queue_messages", _of(queue=queue + DEAD, state="waiting"))}


def _gate(
    registered: Registered, model: str, minute: tuple[Counted, Counted], span: tuple[Counted, Counted]
) -> dict[str, float | str | None]:
    def gauge(name: str) -> float:
        return registered.total(name, _of(model=model)) or 0

    before, now = minute
    timed = since(span[1].timed_by_model[model], span[0].timed_by_model.get(model, {}))
    slow = percentile(timed, _SHARES["p95"])
    return {
        "condition": CONDITIONS[round(gauge("gemini_condition"))],
        "breaker": BREAKER_STATES[round(gauge("gemini_breaker_state"))],
        "limit": gauge("gemini_limit"),
        "inUse": gauge("gemini_in_use"),
        "waiting": gauge("gemini_waiting"),
        "retryAfterSeconds": gauge("gemini_retry_after_seconds"),
        "p95": slow.value if slow else None,
        **{
            f"{name}PerMinute": _per(value - before.gemini.get(model, {}).get(name, 0), now.at - before.at)
            for name, value in now.gemini[model].items()
        },
    }


def _gemini_counters(registered: Registered, model: str) -> dict[str, float]:
    def is_error(labels: Labels) -> bool:
        return labels["model"] == model and _is_gemini_error(labels)

    return {
        "calls": registered.total("gemini_requests_total", _of(model=model)) or 0,
        "errors": registered.total("gemini_requests_total", is_error) or 0,
        "throttled": registered.total("gemini_throttled_total", _of(model=model)) or 0,
    }


def _rate(name: str, before: Counted, now: Counted, *, seconds: float = 60) -> float | None:
    return _per(now.counters[name] - before.counters[name], now.at - before.at, seconds=seconds)


def _per(number: float, elapsed_seconds: float, *, seconds: float = 60) -> float | None:
    """Return how many there are in so many seconds; None before any time has passed."""
    return number * seconds / elapsed_seconds if elapsed_seconds > 0 else None


def _of(**wanted: str) -> Callable[[Labels], bool]:
    items: Iterable[tuple[str, str]] = tuple(wanted.items())
    return lambda labels: all(labels.get(name) == value for name, value in items)


def is_work(labels: Labels) -> bool:
    """Whether a request was more than a question for the task's health."""
    return labels["route"] not in HEALTH_ROUTES


def is_timed(labels: Labels) -> bool:
    """Whether a request's time says how quick the service is."""
    return labels["route"] not in HEALTH_ROUTES | STREAMING_ROUTES


def _is_gemini_error(labels: Labels) -> bool:
    return labels["outcome"] not in ("ok", "canceled")


def has_completed(labels: Labels) -> bool:
    """Whether a run of a job ended with a result."""
    return labels["outcome"] == "completed"


def has_failed(labels: Labels) -> bool:
    """Whether a run of a job ended it without a result."""
    return _has_ended(labels) and not has_completed(labels)


def _has_ended(labels: Labels) -> bool:
    return labels["outcome"] not in ("retried", "deferred")


def _answered(first: str) -> Callable[[Labels], bool]:
    return lambda labels: is_work(labels) and labels["status"].startswith(first)


_TIMED_ONLY: Final[Mapping[str, Callable[[Labels], bool]]] = {"request": is_timed}
