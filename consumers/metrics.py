"""What the pool counts and times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from consumers.gemini_wire import CallFailed
from jobs.errors import DarkroomError
from jobs.model import Job, ModelUse, Status

_SECONDS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 300, 900)
"""Close enough together that a percentile read from them is at most two thirds off, and as a rule far less."""


class PoolMetrics:
    """The pool's metrics, in the given registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.jobs = Counter("jobs", "Jobs by how their run ended", ["pipeline", "outcome"], registry=registry)
        self.job_seconds = Histogram(
            "job_duration_seconds", "From claim to end", ["pipeline"], buckets=_SECONDS, registry=registry
        )
        self._queue_seconds = Histogram(
            "job_queue_wait_seconds",
            "From being queued, or queued again, to the claim",
            ["pipeline"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.slots = Gauge("pool_slots", "Jobs that may be in hand at once", registry=registry)
        self.slots_busy = Gauge("pool_slots_busy", "Jobs in hand", registry=registry)
        self.received = Counter("sqs_received", "Messages received", registry=registry)
        self.held_up = Counter("jobs_held_up", "Messages put off because their model was shut", registry=registry)
        self._gemini_calls = Counter(
            "gemini_requests",
            "Calls of Gemini by outcome: ok, canceled, broken, or the class of the failure",
            ["model", "outcome"],
            registry=registry,
        )
        self._gemini_seconds = Histogram(
            "gemini_latency_seconds", "Calls of Gemini", ["model"], buckets=_SECONDS, registry=registry
        )
        self._gemini_tokens = Counter("gemini_tokens", "Tokens billed", ["model", "kind"], registry=registry)
        self._gemini_pictures = Counter("gemini_pictures", "Pictures billed", ["model"], registry=registry)

    def note_claim(self, found: Job, now: int) -> None:
        """Time how long a job waited in the queue; ``found`` is how it was before it was claimed, ``now`` in milliseconds."""
        if found.status is Status.QUEUED:  # else its worker was lost, and it has not waited all the time
            self._queue_seconds.labels(found.pipeline).observe(max(0, now - found.updated_at) / 1000)

    def count_use(self, model: str, use: ModelUse) -> None:
        """Count what one call is billed for."""
        self._gemini_pictures.labels(model).inc(use.pictures)
        for kind, number in use.tokens.items():
            self._gemini_tokens.labels(model, kind).inc(number)

    @contextmanager
    def gemini_call(self, model: str) -> Iterator[None]:
        """Count and time one call."""
        started = time.monotonic()
        outcome = "canceled"
        try:
            yield
            outcome = "ok"
        except CallFailed as error:
            outcome = error.failure.value
            raise
        except DarkroomError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = "broken"
            raise
        finally:
            self._gemini_calls.labels(model, outcome).inc()
            self._gemini_seconds.labels(model).observe(time.monotonic() - started)
