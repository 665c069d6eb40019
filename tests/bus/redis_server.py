"""A real Redis server that tests may kill, hang and start again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
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
    """One server on a port of its own, which forgets everything but the slots it has. Its methods block.

    With a ``certificate``, and its key in the same file, it speaks TLS only.
    """

    def __init__(self, folder: Path, *, is_cluster: bool = False, certificate: Path | None = None) -> None:
        self.port = _free_port()
        self.is_cluster = is_cluster
        self._certificate = certificate
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a bus finds it."""
        scheme = f"redis{'s' if self._certificate else ''}{'+cluster' if self.is_cluster else ''}"
        query = f"?ssl_ca_certs={self._certificate}" if self._certificate else ""
        return f"{scheme}://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}{query}"

    def command(self, *words: str | int | bytes) -> str:
        """Give it a command; returns the answer as it would be printed."""
        with Redis.from_url(
            self.url.replace("+cluster", ""), protocol=2, retry=Retry(NoBackoff(), 0), decode_responses=True
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
        if self._certificate:
            options |= {"port": "0", "tls-port": str(self.port), "tls-cluster": "yes", "tls-auth-clients": "no"}
            options |= dict.fromkeys(("tls-cert-file", "tls-key-file", "tls-ca-cert-file"), str(self._certificate))
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


@contextmanager
def cluster(folder: Path, number: int, *, certificate: Path | None = None) -> Iterator[list[RedisServer]]:
    """Run so many servers, each with an equal share of the slots."""
    servers = []
    try:
        for index in range(number):
            (folder / str(index)).mkdir()
            server = RedisServer(folder / str(index), is_cluster=True, certificate=certificate)
            server.start()
            servers.append(server)
            first, end = SLOTS * index // number, SLOTS * (index + 1) // number
            server.command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            servers[0].command("CLUSTER", "MEET", "127.0.0.1", server.port, server.port + CLUSTER_BUS_PORTS)
        for server in servers:
            server.wait_for_cluster()
        yield servers
    finally:
        for server in servers:
            server.kill()


def self_signed(folder: Path) -> Path:
    """Write a certificate for this machine, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


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
