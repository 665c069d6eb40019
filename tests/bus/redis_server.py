"""A real Redis server that tests may kill, hang and start again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

BOOT_SECONDS = 10
PASSWORD = "a/b@c:d%"
SLOTS = 16_384
CLUSTER_BUS_PORTS = 10_000
"""The servers of a cluster talk to each other so far above their own ports."""


class RedisServer:
    """One server on a port of its own, which forgets everything but the slots it has. Its methods block."""

    def __init__(self, folder: Path, *, is_cluster: bool = False) -> None:
        self.port = _free_port()
        self.is_cluster = is_cluster
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a bus finds it."""
        return f"redis{'+cluster' if self.is_cluster else ''}://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}"

    def command(self, *words: str | int | bytes) -> str:
        """Give it a command; returns the answer as it would be printed."""
        with Redis(
            port=self.port, password=PASSWORD, protocol=2, retry=Retry(NoBackoff(), 0), decode_responses=True
        ) as client:
            return str(client.execute_command(*words))

    def start(self) -> None:
        """Start it, anew if need be, and wait until it answers."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
        }
        options |= {"requirepass": PASSWORD, "masterauth": PASSWORD}
        if self.is_cluster:
            options["cluster-enabled"] = "yes"
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        _wait_until(self._answers)

    def start_cluster(self) -> None:
        """Start it as the only server of a cluster."""
        self.start()
        self.command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        self.wait_for_cluster()

    def wait_for_cluster(self) -> None:
        """Wait until all slots are served, as far as it knows."""
        _wait_until(lambda: "cluster_state:ok" in self.command("CLUSTER", "INFO"))

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=BOOT_SECONDS)

    def hang(self) -> None:
        """Stop it in its tracks, with its connections open."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return self.command("PING") == "True"
        except RedisError:
            return False


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("redis-server does not come up")
        time.sleep(0.02)


def _free_port() -> int:
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + CLUSTER_BUS_PORTS))
            except (OSError, OverflowError):
                continue
            return port
