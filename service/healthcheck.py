"""The container's health probe: standard library only, so that it costs nothing beside the service."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Return 0 when the process answers `/healthz`, else 1."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8080")), timeout=2)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
