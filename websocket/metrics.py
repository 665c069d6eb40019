"""What the push floor counts."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from websocket.close_codes import CloseCode

_KNOWN_CODES = frozenset(map(int, CloseCode)) | {1001, 1002, 1005, 1006, 1007}


class Transport(StrEnum):
    """What carries the messages to a client."""

    SOCKET = "socket"
    STREAM = "stream"
    POLL = "poll"


class SocketMetrics:
    """The metrics of all sockets of this process, and of what stands in for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        connections = Gauge("ws_connections", "Clients connected", ["transport"], registry=registry)
        self._connections = {transport: connections.labels(transport.value) for transport in Transport}
        self.slow_clients = Counter(
            "ws_slow_client_closed", "Connections closed because the client read too slowly", registry=registry
        )
        self._sent = Counter("ws_messages_sent", "Messages written to sockets and streams", ["type"], registry=registry)
        self._sent_by_type: dict[str, Counter] = {}
        self._closed = Counter("ws_closed", "Connections closed", ["code", "transport"], registry=registry)

    def count_sent(self, message_type: str) -> None:
        """Count one message written."""
        counter = self._sent_by_type.get(message_type)
        if counter is None:  # `labels` takes longer than all the rest of counting
            counter = self._sent_by_type[message_type] = self._sent.labels(message_type)
        counter.inc()

    def count_opened(self, transport: Transport) -> None:
        """Count one client that has come."""
        self._connections[transport].inc()

    def count_closed(self, code: int, transport: Transport) -> None:
        """Count one client that is gone. It may invent codes; those share one label."""
        self._connections[transport].dec()
        self._closed.labels(str(code) if code in _KNOWN_CODES else "other", transport.value).inc()
        if code == CloseCode.SLOW:
            self.slow_clients.inc()
