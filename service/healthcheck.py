"""The container's health probe: plain sockets and nothing of ours, so that it costs next to nothing beside the service."""

from __future__ import annotations

import os
import socket
import sys

TIMEOUT_SECONDS = 2.0
REQUEST = b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


def main() -> int:
    """Return 0 when the process answers `/healthz` with 200, else 1; the port is PORT, 8080 unless said."""
    try:
        address = ("127.0.0.1", int(os.environ.get("PORT") or 8080))
        with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
            connection.sendall(REQUEST)
            with connection.makefile("rb") as answer:
                return 0 if answer.readline(100).split()[1:2] == [b"200"] else 1
    except (OSError, OverflowError, ValueError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
