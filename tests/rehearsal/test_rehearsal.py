"""The rehearsal in its short form: a release is rolled over, a bad one back, a task leaves, and nobody notices."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from service.app import KEEP_ALIVE_SECONDS
from tests.image.build import BUILD_SECONDS
from tests.rehearsal.__main__ import parse
from tests.rehearsal.play import rehearse
from tests.rehearsal.proxy import CONFIGURATION, IDLE_SECONDS


@pytest.mark.timeout(BUILD_SECONDS + 180)
async def test_nobody_notices_a_deployment() -> None:
    """Not one request fails, no job and no end of one is lost, and every task leaves in its time."""
    # A short name, for that of a socket in it is bounded. What is in it is kept if this fails.
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    report = await rehearse(parse(["--users=4", "--seconds=1"]), folder)

    assert dict.fromkeys(report.zeros, 0) == report.zeros, "\n".join(report.explanations())
    assert len(report.accepted) > 10
    assert {"one", "two"} == report.releases.keys()
    assert [("asked for two, got two", 2), ("asked for three, got two", 1), ("one left by itself", 1)] == [
        (roll.name, len(roll.exit_codes)) for roll in report.rolls
    ]
    assert all(told.lost >= 1 for told in report.told), "a roll cuts every socket"
    assert sum(told.moves for told in report.told) > 0, "whoever leaves by itself asks its clients to move"
    shutil.rmtree(folder)


def test_connections_live_longer_here_than_at_the_load_balancer() -> None:
    """Else it would send requests into connections that have just been closed, and answer 502."""
    times_out = [line.split()[2] for line in CONFIGURATION.read_text().splitlines() if "timeout server" in line]

    assert [f"{IDLE_SECONDS}s"] == times_out
    assert KEEP_ALIVE_SECONDS > IDLE_SECONDS
