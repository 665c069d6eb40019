"""Points in time: milliseconds since the epoch inside, ISO 8601 UTC with milliseconds and ``Z`` outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAY_SECONDS = 86_400


def now_milliseconds() -> int:
    """Return the wall clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def iso(milliseconds: int) -> str:
    """Write milliseconds since the epoch as ``2026-11-20T09:00:00.000Z``."""
    second, rest = divmod(milliseconds, 1000)
    return f"{_iso_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=1024)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")


def milliseconds(text: str) -> int:
    """Read what ``iso`` wrote."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def utc_day(at_milliseconds: int) -> str:
    """Name the UTC day, ``2026-11-20``: the period of the daily quota."""
    return iso(at_milliseconds)[:10]


def next_utc_midnight(at_milliseconds: int) -> int:
    """Return when the daily quota resets, in milliseconds since the epoch."""
    day = datetime.fromtimestamp(at_milliseconds / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return round((day + timedelta(days=1)).timestamp() * 1000)
