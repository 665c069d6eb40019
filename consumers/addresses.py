"""Which addresses the service may call for others, and the resolver that leads to no other."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from consumers.webhook_lookups import Lookup, LookupPool
from jobs.errors import InvalidRequest
from jobs.ids import UserId

MAX_URL_CHARACTERS: Final = 2048
_LOOKUP_SECONDS: Final = 5.0
_REGISTRATIONS_AT_ONCE: Final = 16
_REGISTRATIONS_PER_USER: Final = 2
_DELIVERIES_AT_ONCE: Final = 64
_DELIVERIES_PER_USER: Final = 8
_LEAST_OTHER_PORT: Final = 1024
_HTTPS_PORT: Final = 443
_NOT_IN_URLS: Final = re.compile(r"[\x00-\x20\x7f\\]")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Special by the registries of IANA, though not every Python knows or says so.
_NOT_PUBLIC: Final = (
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("2001::/23"),
    ipaddress.ip_network("3fff::/20"),
)
# aiohttp asks a resolver for a name and does not say for whom.
_CALLED_FOR: Final[ContextVar[UserId | None]] = ContextVar("called for", default=None)


class AddressRefused(InvalidRequest):
    """The address is not one that this service may call."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="url")


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the open internet, also when an IPv6 address carries an IPv4 one."""
    if "%" in text:  # a zone: what it leads to is a matter of this machine
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is None:
            # Beyond 2000::/3 Python calls addresses global that no network routes.
            return address in _UNICAST and address.is_global and not _is_special(address)
        address = carried
    return address.is_global and not address.is_multicast and not _is_special(address)


def _is_special(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in _NOT_PUBLIC)


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which a packet for this one really goes, if it does."""
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


class Addresses(AbstractResolver):
    """Checks addresses, and resolves names for aiohttp: to checked addresses only, so that no answer can change in between.

    A name of which any address is refused is refused. ``allow_private`` lets everything pass: for one's own machine.
    """

    def __init__(self, *, allow_private: bool = False, lookup: Lookup = socket.getaddrinfo) -> None:
        self._allow_private = allow_private
        # Apart, so that names put in by whoever registers hold up no delivery.
        self._registrations = LookupPool(lookup, at_once=_REGISTRATIONS_AT_ONCE, per_owner=_REGISTRATIONS_PER_USER)
        self._deliveries = LookupPool(lookup, at_once=_DELIVERIES_AT_ONCE, per_owner=_DELIVERIES_PER_USER)

    def read(self, text: str) -> URL:
        """Read the address of an endpoint, without asking for it. Raises AddressRefused."""
        try:
            url = URL(text)
            host, port = url.raw_host, url.port
        except ValueError:
            raise AddressRefused("url is not a valid address") from None
        if len(text) > MAX_URL_CHARACTERS or _NOT_IN_URLS.search(text) or not host:
            raise AddressRefused("url is not a valid address")
        if url.scheme != "https" and not (self._allow_private and url.scheme == "http"):
            raise AddressRefused("url must begin with https://")
        if url.user is not None or url.password is not None:
            raise AddressRefused("url must not hold a user name or password")
        if not self._allow_private:
            _check_host(host, port)
        return url

    async def check(self, text: str, user_id: UserId) -> None:
        """Read the address of a user's endpoint and look up its host.

        Raises AddressRefused, and LookupsFull when too many look-ups are under way.
        """
        url = self.read(text)
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                await self._resolve(self._registrations, url.raw_host or "", url.port or _HTTPS_PORT, owner=user_id)
        except (OSError, UnicodeError) as error:  # a time-out is an OSError too
            raise AddressRefused("The host of url cannot be found") from error

    @contextmanager
    def called_for(self, user_id: UserId) -> Iterator[None]:
        """Count what is resolved within the block as this user's look-ups."""
        mark = _CALLED_FOR.set(user_id)
        try:
            yield
        finally:
            _CALLED_FOR.reset(mark)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look up a host for a delivery.

        Raises AddressRefused when any of its addresses is, OSError when it has none,
        and LookupsFull when too many look-ups are under way.
        """
        return await self._resolve(self._deliveries, host, port, family, owner=_CALLED_FOR.get())

    async def _resolve(
        self, pool: LookupPool, host: str, port: int, family: int = socket.AF_UNSPEC, *, owner: str | None = None
    ) -> list[ResolveResult]:
        found = await pool.find(host, port, family, owner=owner)
        results = [_result(host, port, family, where[0]) for family, _, _, _, where in found]
        if not self._allow_private and not all(is_public(result["host"]) for result in results):
            raise AddressRefused("The host of url is at an address that is not public")
        return results

    async def close(self) -> None:
        """Leave what is under way to itself: nothing waits for names that nobody answers for."""


def _check_host(host: str, port: int | None) -> None:
    # aiohttp asks no resolver for what looks like an IP address.
    looks_numeric = ":" in host or host.replace(".", "").isdigit()
    if looks_numeric and not is_public(host):
        raise AddressRefused("The host of url is at an address that is not public")
    if port is None or (port != _HTTPS_PORT and port < _LEAST_OTHER_PORT):
        raise AddressRefused("The port of url must be 443 or at least 1024")


def _result(host: str, port: int, family: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=family,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
