"""The process: how it starts, refuses to start, and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from deploy.gemini_simulator.__main__ import main
from tests.simulator.process import COMMAND, ROOT, STOP_SECONDS

PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
child.wait()
"""


def read_line(process: subprocess.Popen[str]) -> dict[str, object]:
    """Read the one line a simulator prints."""
    assert process.stdout
    line: dict[str, object] = json.loads(process.stdout.readline())
    return line


def test_taken_port_is_said_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that another process listens on is named in the error, and the exit code is 3."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = main(["--port", str(port)])

    assert code == 3
    assert f"127.0.0.1:{port}" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_address_beyond_loopback_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The simulator is never reachable from another machine."""
    assert main(["--host", host]) == 3
    assert "loopback only" in json.loads(capsys.readouterr().out)["error"]


def close_stdin(process: subprocess.Popen[str]) -> None:
    """End the pipe a parent holds."""
    assert process.stdin
    process.stdin.close()


@pytest.mark.parametrize(
    "stop",
    [subprocess.Popen.terminate, lambda process: process.send_signal(signal.SIGINT), close_stdin],
    ids=["SIGTERM", "SIGINT", "end of stdin"],
)
def test_simulator_stops_cleanly(stop: Callable[[subprocess.Popen[str]], None]) -> None:
    """A signal or the end of stdin is an orderly end."""
    with subprocess.Popen(COMMAND, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ready = read_line(process)
        stop(process)
        code = process.wait(timeout=STOP_SECONDS)

    assert (ready["pid"], code) == (process.pid, 0)


@pytest.mark.parametrize("stdin", ["pipe", "null"])
def test_simulator_dies_with_its_parent(stdin: str) -> None:
    """A parent killed with -9 takes the simulator along, through the pipe or without one."""
    script = PARENT if stdin == "pipe" else PARENT.replace("stdin=subprocess.PIPE", "stdin=subprocess.DEVNULL")
    with subprocess.Popen(
        [sys.executable, "-c", script, *COMMAND], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = psutil.Process(int(str(read_line(parent)["pid"])))
        os.kill(parent.pid, signal.SIGKILL)
        gone = wait_until_gone(child)

    assert gone


def wait_until_gone(process: psutil.Process) -> bool:
    """Tell whether a process that is no child of ours ends in time; a zombie nobody reaps has ended."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
