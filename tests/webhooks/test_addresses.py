"""Which addresses may be called."""

from __future__ import annotations

import asyncio
import socket

import pytest

from consumers.addresses import Addresses, AddressRefused, is_public
from consumers.webhook_sender import Answer, open_sender
from jobs.ids import UserId
from jobs.webhooks import new_webhook
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround, public_addresses

USER = UserId("user")
PUBLIC = "93.184.216.34"
PRIVATE = {
    "loopback": "127.0.0.1",
    "loopback, far end": "127.255.255.254",
    "private 10": "10.1.2.3",
    "private 172": "172.16.0.1",
    "private 192": "192.168.1.1",
    "link-local, where clouds keep credentials": "169.254.169.254",
    "credentials of a container": "169.254.170.2",
    "shared by carriers": "100.64.0.1",
    "this host": "0.0.0.0",
    "multicast": "224.0.0.251",
    "broadcast": "255.255.255.255",
    "documentation": "192.0.2.1",
    "benchmarking": "198.18.0.1",
    "reserved": "240.0.0.1",
    "loopback 6": "::1",
    "unspecified 6": "::",
    "link-local 6": "fe80::1",
    "link-local 6 with a zone": "fe80::1%eth0",
    "unique local 6": "fd00:ec2::254",
    "site-local 6": "fec0::1",
    "multicast 6": "ff0e::1",
    "documentation 6": "2001:db8::1",
    "anycast of port control 6": "2001:1::1",
    "ORCHID 6": "2001:20::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped private": "::ffff:10.0.0.1",
    "compatible loopback": "::127.0.0.1",
    "NAT64 loopback": "64:ff9b::7f00:1",
    "NAT64 credentials": "64:ff9b::a9fe:a9fe",
    "local NAT64": "64:ff9b:1::1",
    "6to4 private": "2002:0a00:0001::1",
    "protocol assignments": "192.0.0.9",
    "6to4 relay": "192.88.99.1",
    "mapped 6to4 relay": "::ffff:192.88.99.1",
    "documentation 6, the newer": "3fff:0fff::1",
    "public 6 with a zone": "2606:4700:4700::1111%1",
    "no address": "example",
}


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE.keys())
def test_an_address_that_is_not_of_the_open_internet_is_refused(address: str) -> None:
    """Each kind, also where an IPv6 address carries an IPv4 one."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"], ids=["4", "6", "mapped", "NAT64"]
)
def test_an_address_of_the_open_internet_is_taken(address: str) -> None:
    """In each of its forms."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example/", "url must begin with https://"),
        ("ftp://hooks.example/", "url must begin with https://"),
        ("hooks.example", "url is not a valid address"),
        ("https:///path", "url is not a valid address"),
        ("https://hooks.example:99999/", "url is not a valid address"),
        ("https://hooks.example/a b", "url is not a valid address"),
        ("https://hooks.example\\@127.0.0.1/", "url is not a valid address"),
        ("https://hooks.example/" + "a" * 2048, "url is not a valid address"),
        ("https://me:secret@hooks.example/", "url must not hold a user name or password"),
        ("https://hooks.example:22/", "The port of url must be 443 or at least 1024"),
        ("https://hooks.example:80/", "The port of url must be 443 or at least 1024"),
        ("https://127.0.0.1/", "The host of url is at an address that is not public"),
        ("https://[::1]:8443/", "The host of url is at an address that is not public"),
        ("https://[::ffff:169.254.169.254]/", "The host of url is at an address that is not public"),
        ("https://2130706433/", "The host of url is at an address that is not public"),
        ("https://127.1/", "The host of url is at an address that is not public"),
    ],
)
async def test_an_address_is_refused_before_anything_is_looked_up(url: str, why: str) -> None:
    """The sentence says what is wrong, and names the field."""
    async with public_addresses(PUBLIC) as addresses:
        with pytest.raises(AddressRefused) as caught:
            addresses.read(url)

    assert (why, "url") == (caught.value.message, caught.value.field)


async def test_a_public_address_is_taken() -> None:
    """On the usual port and on others."""
    async with public_addresses(PUBLIC) as addresses:
        for url in ("https://hooks.example/path?key=1", "https://hooks.example:8443/", f"https://{PUBLIC}/"):
            await addresses.check(url, USER)


async def test_a_name_of_which_one_address_is_private_is_refused() -> None:
    """The connection might go to either."""

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, 0, 0, "", (address, port)) for address in (PUBLIC, "10.0.0.1")]

    addresses = Addresses(lookup=lookup)
    with pytest.raises(AddressRefused, match="not public"):
        await addresses.check("https://hooks.example/", USER)
    await addresses.close()


async def test_a_name_that_nobody_knows_is_refused() -> None:
    """The sentence says so."""

    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    addresses = Addresses(lookup=lookup)
    with pytest.raises(AddressRefused, match="cannot be found"):
        await addresses.check("https://hooks.example/", USER)
    await addresses.close()


@pytest.mark.parametrize("host", ["localhost", "0x7f000001", "0177.0.0.1"])
async def test_a_name_that_this_machine_reads_as_loopback_is_refused(host: str) -> None:
    """The real look-up; it understands more than addresses in their usual form."""
    addresses = Addresses()
    with pytest.raises(AddressRefused):
        await addresses.check(f"https://{host}/", USER)
    await addresses.close()


async def test_a_name_that_turns_private_after_its_registration_is_never_called(
    webhooks: WebhookGround, user: UserId
) -> None:
    """Rebinding: public when it is registered, loopback when it is called. Nobody connects."""
    connections: list[object] = []
    listener = await asyncio.start_server(lambda _, writer: _note(connections, writer), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, public_addresses(PUBLIC, "127.0.0.1") as addresses:
        await addresses.check(f"https://hooks.example:{port}/", USER)
        webhook = await webhooks.webhook(user, f"https://localhost:{port}/")
        async with webhooks.courier(addresses) as courier:
            await courier.carry_out(await webhooks.order(user))
    (delivery,) = await webhooks.listed(webhook)

    assert ("pending", 1, None) == (delivery.status, delivery.attempts, delivery.status_code)
    assert "The host of url is at an address that is not public" == delivery.error
    assert [] == connections


async def test_the_connection_goes_to_the_address_that_was_checked(endpoint: Endpoint) -> None:
    """One look-up serves both, and the endpoint is still called by its name."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]

    addresses = Addresses(allow_private=True, lookup=lookup)
    webhook = new_webhook(USER, endpoint.url(host="hooks.example"), (), None)
    async with open_sender(addresses) as sender:
        answer = await sender.send(webhook, "msg_1", b"{}")
    await addresses.close()

    assert Answer(status_code=204) == answer
    assert ["hooks.example"] == asked
    assert f"hooks.example:{endpoint.server.port}" == endpoint.calls[0].headers["Host"]


def _note(connections: list[object], writer: asyncio.StreamWriter) -> None:
    connections.append(writer)
    writer.close()
