"""What the push floor counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from websocket.close_codes import CloseCode

_KNOWN_CODES = frozenset(map(int, CloseCode)) | {1001, 1002, 1005, 1006, 1007}


class SocketMetrics:
    """The metrics of all sockets of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("ws_connections", "Open sockets", registry=registry)
        self.slow_clients = Counter(
            "ws_slow_client_closed", "Sockets closed because the client read too slowly", registry=registry
        )
        self._sent = Counter("ws_messages_sent", "Messages written to sockets", ["type"], registry=registry)
        self._sent_by_type: dict[str, Counter] = {}
        self._closed = Counter("ws_closed", "Sockets closed", ["code"], registry=registry)

    def count_sent(self, message_type: str) -> None:
        """Count one message written."""
        counter = self._sent_by_type.get(message_type)
        if counter is None:  # `labels` takes longer than all the rest of counting
            counter = self._sent_by_type[message_type] = self._sent.labels(message_type)
        counter.inc()

    def count_closed(self, code: int) -> None:
        """Count one socket closed. A client may invent codes; those share one label."""
        self._closed.labels(str(code) if code in _KNOWN_CODES else "other").inc()
        if code == CloseCode.SLOW:
            self.slow_clients.inc()
