"""What the service counts and times beside its floors below, and the port where Prometheus reads all metrics."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler

from jobs.backlog import Depth

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class RequestMetrics:
    """Request durations by route template, never by path: a path is the caller's to choose.

    What a caller waits for the end of its job is left out of them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request, without the wait for its job.",
            ("route", "method", "status"),
            buckets=_SECONDS,
            registry=registry,
        )

    def observe(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._durations.labels(route, method, str(status)).observe(seconds)


class TaskMetrics:
    """Which task this is, how its event loop keeps up, and what waits in the queues of all tasks."""

    def __init__(self, registry: CollectorRegistry, *, task: str, version: str) -> None:
        Gauge("task_info", "Always 1; the labels name the task", ["task", "version"], registry=registry).labels(
            task, version
        ).set(1)
        self.loop_lag = Histogram(
            "event_loop_lag_seconds", "How late the event loop wakes a sleeper", buckets=_LAG_SECONDS, registry=registry
        )
        self._messages = Gauge(
            "queue_messages",
            "About how many messages a queue holds, for all tasks together; absent while it cannot be read",
            ["queue", "state"],
            registry=registry,
        )
        self._oldest = Gauge(
            "queue_oldest_seconds",
            "For how long the longest-queued job of all tasks has waited, 0 with none; NaN while it cannot be read",
            registry=registry,
        )
        self._oldest.set(float("nan"))

    def show_backlog(self, depths: Mapping[str, Depth], oldest_seconds: float | None) -> None:
        """Show what the queues hold, and for how long the longest-queued job has waited; left out or None is not known."""
        self._messages.clear()
        for queue, depth in depths.items():
            for state in ("waiting", "in_flight", "delayed"):
                self._messages.labels(queue, state).set(getattr(depth, state))
        self._oldest.set(float("nan") if oldest_seconds is None else oldest_seconds)


def make_metrics_app(registry: CollectorRegistry) -> web.Application:
    """Make the application of the metrics port: ``GET /metrics`` and nothing else."""
    app = web.Application()
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    return app
