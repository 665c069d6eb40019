"""`bash scripts/load` as a load tester calls it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHECKOUT

PATIENCE_SECONDS = 150


async def load(*arguments: str) -> tuple[int, str, str]:
    """Run the script; returns its exit code, and what it said on stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "scripts/load", *arguments),
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if name != "DAILY_LIMIT"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


def summary(folder: Path) -> dict[str, Any]:
    """Read what a run has written."""
    written: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return written


@pytest.mark.timeout(200)
async def test_a_short_run_on_a_service_of_its_own_tells_every_end_once(tmp_path: Path) -> None:
    """Lines are cut meanwhile, and thresholds that hold give exit code 0 and a whole report."""
    code, said, complained = await load(
        *("--run-time=6s", "--arrivals-per-second=2", "--users=2", "--sockets=2", "--storm-sockets=2"),
        *("--storm-every=2", "--gemini-latency=0.2", "--fail-if=completed.p95 > 30s", f"--report-dir={tmp_path}"),
    )
    figures = summary(tmp_path)["figures"]

    assert code == 0, said + complained
    assert (0, 0, 0.0) == (figures["missed"], figures["duplicated"], figures["errors"])
    assert figures["done"] == figures["jobs"] == figures["read_back"]["count"] > 0
    assert figures["cuts"] > 0
    assert "ok        completed.p95 > 30s" in said
    assert {"report.html", "locust_stats.csv", "summary.csv"} <= set(os.listdir(tmp_path))


@pytest.mark.timeout(200)
async def test_a_service_that_is_not_there_exceeds_the_thresholds(tmp_path: Path) -> None:
    """Exit code 1, with what was measured beside each threshold."""
    code, said, complained = await load(
        *("--url=http://127.0.0.1:9", "--run-time=1s", "--users=1", "--sockets=0", "--storm-sockets=0"),
        *("--fail-if=completed.p95 > 30s", f"--report-dir={tmp_path}"),
    )

    assert code == 1, said + complained
    assert ["errors > 1%", "completed.p95 > 30s"] == summary(tmp_path)["exceeded"]
    assert "EXCEEDED  completed.p95 > 30s         not measured" in said


@pytest.mark.timeout(200)
async def test_a_threshold_that_cannot_be_read_starts_nothing(tmp_path: Path) -> None:
    """Exit code 2, and a sentence that shows how to write one."""
    code, said, complained = await load("--fail-if=completed > soon", f"--report-dir={tmp_path / 'report'}")

    assert (2, "") == (code, said)
    assert "write for example 'completed.p95 > 20s'" in complained
    assert not (tmp_path / "report").exists()
