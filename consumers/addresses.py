"""Which addresses the service may call for others, and the resolver that leads to no other."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from jobs.errors import InvalidRequest

MAX_URL_CHARACTERS: Final = 2048
_LOOKUP_SECONDS: Final = 5.0
_LOOKUPS_AT_ONCE: Final = 64
_LEAST_OTHER_PORT: Final = 1024
_HTTPS_PORT: Final = 443
_NOT_IN_URLS: Final = re.compile(r"[\x00-\x20\x7f\\]")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Lookup: TypeAlias = Callable[..., list[tuple[Any, ...]]]
"""What ``socket.getaddrinfo`` is."""


class AddressRefused(InvalidRequest):
    """The address is not one that this service may call."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="url")


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the open internet, also when an IPv6 address carries an IPv4 one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is None:
            # Beyond 2000::/3 Python calls addresses global that no network routes.
            return address in _UNICAST and address.is_global
        address = carried
    return address.is_global and not address.is_multicast


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
        self._lookup = lookup
        # Threads of our own: names that nobody answers for would otherwise hold up every other look-up of the process.
        self._under_way: dict[tuple[str, int, int], asyncio.Future[list[tuple[Any, ...]]]] = {}
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="webhook-dns")

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

    async def check(self, text: str) -> None:
        """Read the address of an endpoint and look up its host. Raises AddressRefused."""
        url = self.read(text)
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                await self.resolve(url.raw_host or "", url.port or _HTTPS_PORT, socket.AF_UNSPEC)
        except (OSError, UnicodeError) as error:  # a time-out is an OSError too
            raise AddressRefused("The host of url cannot be found") from error

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look up a host. Raises AddressRefused when any of its addresses is, OSError when it has none."""
        found = await self._find(host, port, family)
        results = [_result(host, port, family, where[0]) for family, _, _, _, where in found]
        if not self._allow_private and not all(is_public(result["host"]) for result in results):
            raise AddressRefused("The host of url is at an address that is not public")
        return results

    async def _find(self, host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        """Look up a host; who asks while that is under way shares the answer, so a name that hangs holds one thread."""
        under_way = self._under_way.get((host, port, family))
        if under_way is None:
            find = partial(self._lookup, host, port, type=socket.SOCK_STREAM, family=family)
            under_way = asyncio.get_running_loop().run_in_executor(self._threads, find)
            self._under_way[host, port, family] = under_way
            under_way.add_done_callback(partial(self._note_found, (host, port, family)))
        return await asyncio.shield(under_way)

    def _note_found(self, key: tuple[str, int, int], found: asyncio.Future[list[tuple[Any, ...]]]) -> None:
        del self._under_way[key]
        if not found.cancelled():
            found.exception()  # those who asked may have gone

    async def close(self) -> None:
        """Look up nothing more; does not wait for names that nobody answers for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


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
