"""How requests are counted and timed, and the port where Prometheus reads all metrics."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """Request durations by route template, never by path: a path is the caller's to choose."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request.",
            ("route", "method", "status"),
            buckets=_SECONDS,
            registry=registry,
        )

    def observe(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._durations.labels(route, method, str(status)).observe(seconds)


def make_metrics_app(registry: CollectorRegistry) -> web.Application:
    """Make the application of the metrics port: ``GET /metrics`` and nothing else."""
    app = web.Application()
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    return app
