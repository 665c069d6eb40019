"""Failures on demand: markers in a prompt, a request rate per model, and a share of calls that fail."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.gemini_simulator.protocol import JSONObject, RefusedError

MARKER: Final = re.compile(r"\[\[sim:([^\]]*)\]\]")
SLOW: Final = re.compile(r"slow=(\d+(?:\.\d+)?)")
WORDS: Final = frozenset(
    {"429", "503", "500-once", "safety", "no-image", "text", "jpeg", "html-502", "bad-json", "hang"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """What a prompt asks the simulator to do wrong; `slow_seconds` replaces the usual latency."""

    words: frozenset[str] = frozenset()
    slow_seconds: float | None = None


def read_markers(text: str) -> Markers:
    """Find every `[[sim:…]]`; refuses one it does not know, so that a typing error cannot pass a test."""
    words = set(MARKER.findall(text))
    slow = {word: float(match[1]) for word in words if (match := SLOW.fullmatch(word))}
    if unknown := words - WORDS - set(slow):
        raise RefusedError(400, f"The simulator knows no marker [[sim:{min(unknown)}]].")
    return Markers(words=frozenset(words - set(slow)), slow_seconds=max(slow.values(), default=None))


def quota_exceeded(model: str, retry_seconds: float, quota: int) -> RefusedError:
    """Build the 429 of a per-minute quota, with Help, QuotaFailure and RetryInfo."""
    address = "https://ai.google.dev/gemini-api/docs/rate-limits"
    links = [{"description": "Learn more about Gemini API quotas", "url": address}]
    violation: JSONObject = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(quota),
    }
    details: list[JSONObject] = [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": links},
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_seconds:.3f}s"},
    ]
    sentence = "You exceeded your current quota, please check your plan and billing details."
    return RefusedError(429, f"{sentence} Please retry in {retry_seconds:.3f}s.", details)


def overloaded() -> RefusedError:
    """Build the 503 of an overloaded model."""
    return RefusedError(503, "The model is overloaded. Please try again later.")


def internal_error() -> RefusedError:
    """Build the 500 that Gemini gives no reason for."""
    return RefusedError(500, "An internal error has occurred. Please retry.")


class TokenBucket:
    """Admit up to `per_minute` calls at once and as many in each further minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = per_minute
        self._tokens = float(per_minute)
        self._clock = clock
        self._filled_at = clock()

    def take(self) -> float:
        """Take one token; returns 0, or the seconds until there is one."""
        now = self._clock()
        per_second = self._capacity / 60
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * per_second)
        self._filled_at = now
        if self._tokens < 1:
            return max(0.001, (1 - self._tokens) / per_second)
        self._tokens -= 1
        return 0.0


class Gate:
    """Decide at the door: the rate limit of each model, then the share of calls that fail."""

    def __init__(self, *, requests_per_minute: int | None, error_rate: float) -> None:
        self._requests_per_minute = requests_per_minute
        self._error_rate = error_rate
        self._buckets: dict[str, TokenBucket] = {}
        self._chance = random.Random(0)  # noqa: S311 - repeatable on purpose

    def admit(self, model: str) -> None:
        """Let a call of a known model pass; refuses with 429, 503 or 500."""
        if self._requests_per_minute is not None:
            bucket = self._buckets.setdefault(model, TokenBucket(self._requests_per_minute))
            if wait_seconds := bucket.take():
                raise quota_exceeded(model, wait_seconds, self._requests_per_minute)
        if self._chance.random() < self._error_rate:
            raise self._chance.choice((overloaded, internal_error))()
