"""The chaos run with sockets in its short form: two services on one Redis, all of them killed, cut off and restarted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import socket_chaos

JOBS = 60


@pytest.mark.timeout(180)
async def test_every_client_learns_of_every_end(tmp_path: Path) -> None:
    """Each client's set of ended jobs, with their versions, is the table's, whatever died while it was connected."""
    arguments = [f"--jobs={JOBS}", "--seconds=8", "--users=6", "--sockets-each=2", "--kill-every=3"]
    report = await socket_chaos.measure(socket_chaos.parse(arguments), tmp_path)

    assert dict.fromkeys(report.zeros, 0) == report.zeros, report.books.faults
    assert JOBS == len(report.accepted)
    assert report.troubles.kills >= 2
    assert report.troubles.redis_restarts >= 2
    assert all(client["connections"] > 1 for client in report.clients)
