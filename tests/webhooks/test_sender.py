"""One call of an endpoint, and what endpoints can answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from consumers.addresses import Addresses
from consumers.webhook_sender import Answer, WebhookSender, open_sender
from jobs.ids import UserId
from jobs.webhooks import Webhook, new_webhook


def at(url: str) -> Webhook:
    """Return a webhook at this address."""
    return new_webhook(UserId("user"), url, (), None)


@asynccontextmanager
async def opened(addresses: Addresses, total_seconds: float = 5) -> AsyncIterator[WebhookSender]:
    """Open a sender on these addresses."""
    async with open_sender(addresses, total_seconds=total_seconds) as sender:
        yield sender
    await addresses.close()


@asynccontextmanager
async def speaking(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve somebody who answers with these bytes, and never says more nor hangs up; gives the port."""
    held: list[asyncio.StreamWriter] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in held:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


async def answer_of(said: bytes, total_seconds: float = 5) -> Answer:
    """Call somebody who says this."""
    async with speaking(said) as port, opened(Addresses(allow_private=True), total_seconds) as sender:
        return await sender.send(at(f"http://127.0.0.1:{port}/"), "msg_1", b"{}")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nand then nothing", Answer(status_code=200)),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n", Answer(status_code=202)),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnoise", Answer(status_code=200)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"a" * 9_000_000, Answer(status_code=200)),
        (b"220 mail.example ESMTP\r\n", Answer(error="The endpoint's answer could not be read")),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, Answer(error="The endpoint's answer could not be read")),
    ],
    ids=[
        "a body that never ends",
        "chunks that never come",
        "a body that is not what it says",
        "a large body",
        "no HTTP",
        "long header",
    ],
)
async def test_the_status_decides_and_the_body_is_not_waited_for(said: bytes, answer: Answer) -> None:
    """Whatever else is said."""
    async with asyncio.timeout(5):
        assert answer == await answer_of(said)


async def test_an_endpoint_that_goes_on_saying_that_it_will_answer_is_left_at_once() -> None:
    """Each of its words costs more to read than to say: a few seconds of them would hold up the whole process."""
    began = time.process_time()
    answer = await answer_of(b"HTTP/1.1 102 Processing\r\n\r\n" * 300_000)

    assert Answer(error="The endpoint's answer could not be read") == answer
    assert time.process_time() - began < 1


async def test_an_endpoint_that_says_nothing_is_given_up() -> None:
    """After ten seconds, here a fifth of one."""
    assert Answer(error="The endpoint did not answer in time") == await answer_of(b"", total_seconds=0.2)


async def test_nobody_at_the_address_is_an_answer_too() -> None:
    """The port is closed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with opened(Addresses(allow_private=True)) as sender:
            answer = await sender.send(at(f"http://127.0.0.1:{port}/"), "msg_1", b"{}")

    assert Answer(error="No connection to the endpoint could be made") == answer


async def test_a_host_that_nobody_knows_is_an_answer_too() -> None:
    """The look-up fails."""

    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with opened(Addresses(lookup=lookup)) as sender:
        answer = await sender.send(at("https://hooks.example/"), "msg_1", b"{}")

    assert Answer(error="The endpoint's host cannot be found") == answer


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """The address was checked, and still it is the name that must be proven."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with (
        speaking(ok, _self_signed(tmp_path)) as port,
        opened(Addresses(allow_private=True)) as sender,
    ):
        answer = await sender.send(at(f"https://localhost:{port}/"), "msg_1", b"{}")

    assert Answer(error="The endpoint's certificate is not valid, or it speaks no TLS") == answer


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One would look the name up by itself, past every check."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert Answer(status_code=204) == await answer_of(b"HTTP/1.1 204 No Content\r\n\r\n")


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "localhost.pem"
    file.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
