"""What the push floor counts."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from websocket.close_codes import CloseCode

_KNOWN_CODES = frozenset(map(int, CloseCode)) | {1001, 1002, 1005, 1006, 1007}


class Transport(StrEnum):
    """What carries the messages to a client."""

    SOCKET = "socket"
    STREAM = "stream"
    POLL = "poll"


class _Sent(Collector):
    """Counts by type what was written: a counter of the library's own would cost a tenth of the write."""

    def __init__(self) -> None:
        self.by_type: Tally[str] = Tally()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Show the counts."""
        family = CounterMetricFamily("ws_messages_sent", "Messages written to sockets and streams", labels=["type"])
        for message_type, count in tuple(self.by_type.items()):
            family.add_metric([message_type], count)
        yield family


class SocketMetrics:
    """The metrics of all sockets of this process, and of what stands in for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        connections = Gauge("ws_connections", "Clients connected", ["transport"], registry=registry)
        self._connections = {transport: connections.labels(transport.value) for transport in Transport}
        self.slow_clients = Counter(
            "ws_slow_client_closed", "Connections closed because the client read too slowly", registry=registry
        )
        self._sent = _Sent()
        registry.register(self._sent)
        self._closed = Counter("ws_closed", "Connections closed", ["code", "transport"], registry=registry)

    def count_sent(self, message_type: str) -> None:
        """Count one message written."""
        self._sent.by_type[message_type] += 1

    def count_opened(self, transport: Transport) -> None:
        """Count one client that has come."""
        self._connections[transport].inc()

    def count_closed(self, code: int, transport: Transport) -> None:
        """Count one client that is gone. It may invent codes; those share one label."""
        self._connections[transport].dec()
        self._closed.labels(str(code) if code in _KNOWN_CODES else "other", transport.value).inc()
        if code == CloseCode.SLOW:
            self.slow_clients.inc()
