"""What CloudWatch's alarms need: a line of its embedded metric format on stdout each minute, and a last one, from the registry.

CloudWatch makes metrics of such lines by itself when they reach a log group; docs/metrics.md has the table of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import select
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry

from jobs import clock
from jobs.model import JSON
from service.ops.figures import Labels, Registered, has_completed, has_failed, is_timed, is_work
from service.ops.percentiles import Buckets, since

logger = logging.getLogger(__name__)

NAMESPACE: Final = "Darkroom"
DIMENSION: Final = "Service"
"""The only one: each further value of a dimension would be a metric of its own on the bill."""
EVERY_SECONDS: Final = 60.0
_PATIENCE_SECONDS: Final = 1.0
_UNHURT: Final = frozenset({"ok", "canceled", "rejected", "invalid_input", "throttled", "daily_quota"})
"""Outcomes of calls that are no trouble of Gemini's, of the key's or of our own."""
_OF_JOBS: Final = frozenset({"502", "504"})
"""How a caller who waits learns what its job has come to (``errors.JobOutcome``), and nothing else is answered so."""


class Kind(Enum):
    """How a metric is told."""

    COUNTER = auto()
    """How many since the last line; 0 as well, so that an alarm has something to go by."""
    GAUGE = auto()
    """As it is now; left out while it is not known, and in the last line, for the task is as good as gone."""
    TIMES = auto()
    """Seconds since the last line, from the buckets of a histogram; left out when there was nothing to time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of CloudWatch: its unit there, and the samples of the registry that it comes from, added up.

    ``keep`` chooses among the samples; ``per`` is how many of the registry's units make one of CloudWatch's.
    """

    kind: Kind
    of: str
    keep: Callable[[Labels], bool] | None = None
    unit: str = "Count"
    per: float = 1


def _is_trouble(labels: Labels) -> bool:
    return labels["outcome"] not in _UNHURT


def _is_own_error(labels: Labels) -> bool:
    return is_work(labels) and labels["status"].startswith("5") and labels["status"] not in _OF_JOBS


def _times(of: str, keep: Callable[[Labels], bool] | None = None) -> Metric:
    return Metric(kind=Kind.TIMES, of=of, keep=keep, unit="Seconds")


METRICS: Final[Mapping[str, Metric]] = {
    "JobsCompleted": Metric(kind=Kind.COUNTER, of="jobs_total", keep=has_completed),
    "JobsFailed": Metric(kind=Kind.COUNTER, of="jobs_total", keep=has_failed),
    "JobSeconds": _times("job_duration_seconds"),
    "QueueWaitSeconds": _times("job_queue_wait_seconds"),
    "QueueOldestSeconds": Metric(kind=Kind.GAUGE, of="queue_oldest_seconds", unit="Seconds"),
    "GeminiCalls": Metric(kind=Kind.COUNTER, of="gemini_requests_total"),
    "GeminiFailures": Metric(kind=Kind.COUNTER, of="gemini_requests_total", keep=_is_trouble),
    "GeminiThrottled": Metric(kind=Kind.COUNTER, of="gemini_throttled_total"),
    "GeminiSeconds": _times("gemini_latency_seconds"),
    "Slots": Metric(kind=Kind.GAUGE, of="pool_slots"),
    "SlotsBusy": Metric(kind=Kind.GAUGE, of="pool_slots_busy"),
    "Connections": Metric(kind=Kind.GAUGE, of="ws_connections"),
    "Requests": Metric(kind=Kind.COUNTER, of="http_request_duration_seconds_count", keep=is_work),
    "RequestErrors": Metric(kind=Kind.COUNTER, of="http_request_duration_seconds_count", keep=_is_own_error),
    "RequestSeconds": _times("http_request_duration_seconds", is_timed),
    "LoopLagSeconds": _times("event_loop_lag_seconds"),
    "SpendDollars": Metric(kind=Kind.COUNTER, of="gemini_spend_microdollars_total", unit="None", per=1_000_000),
    "SpentTodayDollars": Metric(kind=Kind.GAUGE, of="gemini_spend_today_microdollars", unit="None", per=1_000_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one metric's samples add up to at one moment; None is not known. ``buckets`` are those of a histogram."""

    total: float | None
    buckets: Buckets


Reading: TypeAlias = Mapping[str, Read]
_NOTHING: Final = Read(total=0, buckets={})


def read(registry: CollectorRegistry) -> Reading:
    """Read all metrics."""
    registered = Registered(registry, time.monotonic())
    return {name: _read(registered, metric) for name, metric in METRICS.items()}


def _read(registered: Registered, metric: Metric) -> Read:
    if metric.kind is Kind.TIMES:
        total = registered.total(f"{metric.of}_sum", metric.keep)
        return Read(total=total, buckets=registered.buckets(metric.of, metric.keep))
    return Read(total=registered.total(metric.of, metric.keep), buckets={})


def make_line(service: str, now: Reading, before: Reading, at: int, *, is_last: bool = False) -> bytes:
    """Write the line for what has come since ``before``; ``at`` in milliseconds since the epoch."""
    told = {name: _tell(metric, now[name], before.get(name, _NOTHING)) for name, metric in METRICS.items()}
    kept = {
        name: value
        for name, value in told.items()
        if value is not None and not (is_last and METRICS[name].kind is Kind.GAUGE)
    }
    definitions: list[JSON] = [{"Name": name, "Unit": METRICS[name].unit} for name in kept]
    directive: JSON = {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": definitions}
    document: JSON = {"_aws": {"Timestamp": at, "CloudWatchMetrics": [directive]}, DIMENSION: service, **kept}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _tell(metric: Metric, now: Read, before: Read) -> JSON:
    match metric.kind:
        case Kind.GAUGE:
            return None if now.total is None else round(now.total / metric.per, 6)
        case Kind.COUNTER:
            return round(((now.total or 0) - (before.total or 0)) / metric.per, 6)
        case Kind.TIMES:
            return _tell_times(since(now.buckets, before.buckets), (now.total or 0) - (before.total or 0))


def _tell_times(buckets: Buckets, total_seconds: float) -> JSON:
    """Tell the middle of each bucket and how many lie in it, beside the true sum; None without any.

    What is past the last bound is taken for what the others leave of the sum, and for that bound at the least.
    """
    filled = [*_filled(buckets)]
    if not filled:
        return None
    known = sum(number * (low + high) / 2 for low, high, number in filled if high != math.inf)
    low, high, number = filled[-1]
    if high == math.inf:
        beyond = max(low, (total_seconds - known) / number)
        filled[-1] = (beyond, beyond, number)
    return {
        "Values": [round((low + high) / 2, 6) for low, high, _ in filled],
        "Counts": [number for _, _, number in filled],
        "Min": filled[0][0],
        "Max": round(filled[-1][1], 6),
        "Count": sum(number for _, _, number in filled),
        "Sum": round(total_seconds, 6),
    }


def _filled(buckets: Buckets) -> Iterator[tuple[float, float, int]]:
    """Yield the bounds of each bucket that holds something, and how many."""
    low, under = 0.0, 0.0
    for high, count in sorted(buckets.items()):
        if count > under:
            yield low, high, round(count - under)
        low, under = high, count


class Emitter:
    """Writes the lines to a file descriptor. What cannot be written is told by the next line; gauges are not made up for."""

    def __init__(self, registry: CollectorRegistry, service: str, descriptor: int) -> None:
        self._registry = registry
        self._service = service
        self._descriptor = descriptor
        self._told: Reading = {}

    async def run(self, every_seconds: float) -> None:
        """Write a line in the middle of each minute, for ever: so no minute has two, and SUM(Slots) counts each task once."""
        while True:
            await asyncio.sleep(every_seconds - (time.time() - every_seconds / 2) % every_seconds)
            await self.emit()

    async def emit(self, *, is_last: bool = False) -> None:
        """Write a line, unless nobody makes room for it within a second."""
        try:
            now = read(self._registry)
            line = make_line(self._service, now, self._told, clock.now_milliseconds(), is_last=is_last)
            if await asyncio.to_thread(_has_room, self._descriptor, _PATIENCE_SECONDS):
                os.write(self._descriptor, line)
                self._told = now
        except Exception:
            # A line that cannot be written is no reason to end a task that does its work.
            logger.exception("The metrics cannot be written", extra={"action": "emf_broke"})


def _has_room(descriptor: int, seconds: float) -> bool:
    """Wait until a line can be written at once: a pipe says so when it takes 4096 bytes, which is more than a line has."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


@asynccontextmanager
async def emitting(
    registry: CollectorRegistry, service: str, *, every_seconds: float = EVERY_SECONDS, descriptor: int | None = None
) -> AsyncIterator[None]:
    """Write a line each minute for the length of the block, and a last one; nothing where ``service`` is empty."""
    if not service:
        yield
        return
    emitter = Emitter(registry, service, sys.stdout.fileno() if descriptor is None else descriptor)
    task = asyncio.create_task(emitter.run(every_seconds), name="emf")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await emitter.emit(is_last=True)
