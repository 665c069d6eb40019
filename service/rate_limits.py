"""How often one may call: token buckets, and whose bucket a request draws from."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_LEAST_BURST = 20
_IPV6_SITE_BITS = 64
_KEPT_BUCKETS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Requests a minute: of one user, of one address, and, of one user, those that start a job. 0 is as many as one likes."""

    user: int
    address: int
    submits: int


class RateLimit:
    """Lets each key through ``per_minute`` times a minute, a quarter of them (at least 20) at once.

    The keys that have been away the longest are forgotten first, which fills their buckets: memory stays bounded.
    """

    def __init__(
        self, per_minute: int, *, clock: Callable[[], float] = time.monotonic, most_keys: int = _KEPT_BUCKETS
    ) -> None:
        self._per_second = per_minute / 60
        self._burst = max(_LEAST_BURST, per_minute // 4)
        self._clock = clock
        self._most_keys = most_keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Count a request and return 0; or, when its key has none left, return the seconds until there is one."""
        if not self._per_second:
            return 0
        tokens = self._tokens(key)
        if tokens < 1:
            return (1 - tokens) / self._per_second
        self._buckets[key] = (tokens - 1, self._clock())
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)
        return 0

    def _tokens(self, key: str) -> float:
        tokens, since = self._buckets.get(key, (self._burst, 0))
        return min(self._burst, tokens + (self._clock() - since) * self._per_second)


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted_hops: int) -> str:
    """Return who sent a request: the peer, or whom the outermost of our ``trusted_hops`` proxies had as its peer.

    Each proxy adds its peer at the right of the X-Forwarded-For lines; whatever stands further left may be made up. An IPv6
    caller is its site (/64), for a single machine may have all of its addresses.
    """
    seen = ",".join(forwarded_for).split(",")
    told = seen[-trusted_hops].strip() if 0 < trusted_hops <= len(seen) else ""
    return _site(told) or _site(peer or "") or ""


@lru_cache(maxsize=_KEPT_BUCKETS)
def _site(address: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_SITE_BITS), strict=False))
