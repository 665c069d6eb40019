"""What the command line says about ports and settings that do not work, by really running it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.embedded import _settings
from tests.conftest import CHECKOUT
from tests.rest.test_settings import NEEDED


@pytest.fixture
def taken_port() -> Iterator[str]:
    """Hold a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


async def refusal(*arguments: str, **environment: str) -> list[str]:
    """Run the command line, which must end with exit code 2, and return the lines it wrote, all of them to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        told, said = await process.communicate()
    assert (2, b"") == (process.returncode, told), said
    return said.decode().splitlines()


@pytest.mark.parametrize("variable", ["PORT", "METRICS_PORT"])
@pytest.mark.parametrize("value", ["abc", "99999", "-1"])
async def test_a_port_that_is_none_is_one_line(tmp_path: Path, variable: str, value: str) -> None:
    """Before the emulator is started."""
    data = tmp_path / "data"
    lines = await refusal("--embedded", f"--data-dir={data}", **{"PORT": "0", variable: value})

    assert lines == [f"{variable} must be a number from 0 to 65535."]
    assert not data.exists()


async def test_without_the_embedded_mode_it_is_one_line_as_well() -> None:
    """Below the headline that all settings share."""
    for value in ("abc", "99999"):
        headline, line = await refusal(**NEEDED, PORT=value)

        assert headline == "The settings are not complete:"
        assert line.startswith("PORT: Input should be ")


async def test_a_taken_metrics_port_is_one_line(tmp_path: Path, taken_port: str) -> None:
    """In both modes, before anything is opened."""
    data = tmp_path / "data"
    expected = [f"Cannot listen on 127.0.0.1:{taken_port}: Address already in use. Choose another with METRICS_PORT."]

    assert expected == await refusal("--embedded", "--port=0", f"--data-dir={data}", METRICS_PORT=taken_port)
    assert expected == await refusal("--port=0", **NEEDED, METRICS_PORT=taken_port)
    assert not data.exists()


async def test_one_port_for_both_is_one_line(tmp_path: Path) -> None:
    """The service's own port is taken as well."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    lines = await refusal("--embedded", f"--port={port}", f"--data-dir={tmp_path}", METRICS_PORT=port)

    assert lines == [f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another with METRICS_PORT."]


async def test_settings_that_do_not_fit_are_one_line_each() -> None:
    """They name the variable to change."""
    _, url = await refusal(**NEEDED, HOST="0.0.0.0")
    _, rate = await refusal(**NEEDED, SUBMITS_PER_MINUTE="-1")

    assert url.startswith("PUBLIC_URL is missing: with HOST 0.0.0.0 ")
    assert rate.startswith("SUBMITS_PER_MINUTE: Input should be ")


@pytest.mark.parametrize(
    ("latency", "said", "lease", "timeout"),
    [
        (2.0, {}, 30, 120.0),
        (60.0, {}, 30, 180.0),
        (2.0, {"LEASE_SECONDS": "6"}, 6, 120.0),
        (2.0, {"LEASE_SECONDS": ""}, 30, 120.0),
        (2.0, {"GEMINI_TIMEOUT_SECONDS": "5"}, 30, 5.0),
        (2.0, {"GEMINI_API_KEY": "a-real-one"}, 30, 120.0),
    ],
)
def test_the_embedded_mode_lets_calls_take_their_time(
    monkeypatch: pytest.MonkeyPatch, latency: float, said: dict[str, str], lease: int, timeout: float
) -> None:
    """A lost job goes on soon, and a slow call is not cut off; what the person says wins."""
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = _settings(argparse.Namespace(gemini_latency=latency), "127.0.0.1", listener, NEEDED)

    assert lease == settings.lease_seconds
    assert ("crack-detection", "parking-report") == settings.anonymous_pipelines
    assert timeout == settings.gemini_timeout_seconds


def test_whoever_stops_it_at_a_terminal_is_told_that_it_takes_a_while() -> None:
    """And how not to wait: by a second signal, whatever else has begun the stop."""
    program = (
        "import asyncio, uvloop; from service.process import stop_on_signals\n"
        "async def main():\n"
        "    stop_on_signals().set(); print('ready', flush=True); await asyncio.Event().wait()\n"
        "uvloop.run(main())"
    )
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=terminal, text=True
    )
    os.close(terminal)
    with os.fdopen(ours, "rb", buffering=0) as screen, process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        said = b""
        while b"at once." not in said:
            said += screen.read(1024)
        process.send_signal(signal.SIGINT)

    assert said.strip() == b"Stopping: work in hand is finished or handed back. Ctrl-C again ends at once."
    assert process.returncode == 128 + signal.SIGINT
