"""What can go wrong with a call of Gemini: the classes, what each one means for the job, and how to tell them apart.

Plain data and pure functions: what google-genai raises is taken apart in ``consumers.gemini_wire``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MAX_RETRY_DELAY_SECONDS: Final = 86_400.0
"""However long the provider says to wait, we ask again after a day."""


class FailureClass(StrEnum):
    """Why a call gave nothing that a job can use."""

    REJECTED = "rejected"
    INVALID_INPUT = "invalid_input"
    BAD_REQUEST = "bad_request"
    UNUSABLE_ANSWER = "unusable_answer"
    INCOMPLETE_ANSWER = "incomplete_answer"
    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    DAILY_QUOTA = "daily_quota"
    MISCONFIGURED = "misconfigured"
    ACCOUNT = "account"


class Then(StrEnum):
    """What becomes of the job when no more tries are made in this process."""

    FAIL = "fail"
    """It ends ``failed``."""
    REQUEUE = "requeue"
    """It goes back to the queue and has used one of its receives."""
    DEFER = "defer"
    """It waits, as a delayed copy of its message if need be, and has used no receive: it is not the job's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a class of failure means.

    ``in_process_tries`` counts the first call too; None is as many as the gate admits within the caller's patience.
    ``code`` and ``message`` are what a failed job says, ``retryable`` whether its owner may hope for more from another one.
    """

    message: str
    in_process_tries: int | None = 1
    first_back_off_seconds: float = 1
    max_back_off_seconds: float = 30
    then: Then = Then.FAIL
    keeps_charge: bool = False
    counts_against_breaker: bool = False
    opens_breaker: bool = False
    counts_as_throttling: bool = False
    code: str = "provider_failure"
    retryable: bool = False


POLICIES: Final[Mapping[FailureClass, Policy]] = {
    FailureClass.REJECTED: Policy(
        message="The photo or the text was refused for its content.", keeps_charge=True, code="content_rejected"
    ),
    FailureClass.INVALID_INPUT: Policy(message="The image service cannot read this photo.", code="invalid_image"),
    # One odd request says nothing about the others, so it does not count against the breaker.
    FailureClass.BAD_REQUEST: Policy(message="The image service did not accept the request."),
    FailureClass.UNUSABLE_ANSWER: Policy(
        message="The image service gave no picture.",
        in_process_tries=3,
        max_back_off_seconds=4,
        code="unusable_answer",
        retryable=True,
    ),
    # Only a request that leaves more room for the answer can do better.
    FailureClass.INCOMPLETE_ANSWER: Policy(
        message="The image service did not finish its answer.",
        in_process_tries=2,
        max_back_off_seconds=4,
        code="unusable_answer",
        retryable=True,
    ),
    # A 503 is here and not under throttling: a few per cent of them are everyday, and would strangle the concurrency.
    FailureClass.TRANSIENT: Policy(
        message="The image service failed.",
        in_process_tries=4,
        then=Then.REQUEUE,
        counts_against_breaker=True,
        retryable=True,
    ),
    FailureClass.TIMEOUT: Policy(
        message="The image service did not answer in time.",
        in_process_tries=2,
        then=Then.REQUEUE,
        counts_against_breaker=True,
        retryable=True,
    ),
    FailureClass.THROTTLED: Policy(
        message="The image service is busy.",
        in_process_tries=None,
        max_back_off_seconds=60,
        then=Then.DEFER,
        counts_as_throttling=True,
        retryable=True,
    ),
    FailureClass.DAILY_QUOTA: Policy(
        message="The image service takes no more requests today.",
        first_back_off_seconds=60,
        max_back_off_seconds=900,
        then=Then.DEFER,
        counts_as_throttling=True,
        retryable=True,
    ),
    # A wrong key, a closed region, a retired model: jobs wait for the operator instead of failing one by one.
    FailureClass.MISCONFIGURED: Policy(
        message="The image service is not set up correctly.",
        first_back_off_seconds=10,
        max_back_off_seconds=300,
        then=Then.DEFER,
        counts_against_breaker=True,
        opens_breaker=True,
        retryable=True,
    ),
    FailureClass.ACCOUNT: Policy(
        message="The account with the image service is limited.",
        first_back_off_seconds=60,
        max_back_off_seconds=900,
        then=Then.DEFER,
        counts_against_breaker=True,
        opens_breaker=True,
        retryable=True,
    ),
}

_BY_CODE: Final = {
    401: FailureClass.MISCONFIGURED,
    402: FailureClass.ACCOUNT,
    403: FailureClass.MISCONFIGURED,
    404: FailureClass.MISCONFIGURED,
    408: FailureClass.TRANSIENT,
    409: FailureClass.TRANSIENT,
    413: FailureClass.INVALID_INPUT,
    425: FailureClass.TRANSIENT,
    499: FailureClass.TRANSIENT,
    504: FailureClass.TIMEOUT,
}
_REJECTED: Final = frozenset(
    {
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "IMAGE_PROHIBITED_CONTENT",
        "LANGUAGE",
        "ESCALATION",
        "JAILBREAK",
        "MODEL_ARMOR",
    }
)
_INCOMPLETE: Final = frozenset(
    {
        "MAX_TOKENS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
    }
)
_DELAY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")


def _pacific() -> tzinfo:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        return timezone(timedelta(hours=-8))  # a system without time zones waits an hour too long in summer


_PACIFIC: Final = _pacific()


def classify_http(code: int, status: str | None, details: object) -> FailureClass:
    """Tell what an error of the API means. ``details`` is the decoded body, whatever its shape."""
    if code == 429 or status == "RESOURCE_EXHAUSTED":
        return FailureClass.DAILY_QUOTA if is_daily_quota(details) else FailureClass.THROTTLED
    if code == 400:
        return _classify_400(status, details)
    other = FailureClass.BAD_REQUEST if 400 < code < 500 else FailureClass.TRANSIENT
    return _BY_CODE.get(code, other)


def classify_reason(reason: str, *, is_block: bool = False) -> FailureClass | None:
    """Tell what the reason of a refusal in a 200 means; None for STOP. ``is_block``: it is the prompt's ``blockReason``.

    One name means two things: a picture that came out unsafe may come out better, a photo that is unsafe stays so.
    """
    if reason == "STOP":
        return None
    if reason in _REJECTED or (is_block and reason == "IMAGE_SAFETY"):
        return FailureClass.REJECTED
    if reason == "PUP_LIMITED_DISABLED":
        return FailureClass.ACCOUNT
    return FailureClass.INCOMPLETE_ANSWER if reason in _INCOMPLETE else FailureClass.UNUSABLE_ANSWER


def retry_delay(details: object) -> float | None:
    """Read ``RetryInfo.retryDelay``, such as "58.934310785s", in seconds; the SDK does not."""
    for detail in _details(details):
        text = detail.get("retryDelay")
        if _type(detail).endswith("RetryInfo") and isinstance(text, str) and (match := _DELAY.fullmatch(text)):
            return min(float(match[1]), MAX_RETRY_DELAY_SECONDS)
    return None


def is_daily_quota(details: object) -> bool:
    """Whether the quota that is used up is one per day."""
    return any(
        "PerDay" in str(violation.get("quotaId", ""))
        for detail in _details(details)
        for violation in _mappings(detail.get("violations"))
    )


def is_key_refused(code: int, details: object) -> bool:
    """Whether a newer key may help: one that is none gets a 400, one that may not a 401 or 403."""
    return code in (401, 403) or any(detail.get("reason") == "API_KEY_INVALID" for detail in _details(details))


def back_off(policy: Policy, attempt: int, chance: random.Random) -> float:
    """Draw the seconds to wait after the given failed attempt (from 1), with full jitter."""
    ceiling = policy.first_back_off_seconds * 2.0 ** min(attempt - 1, 30)
    return chance.uniform(0, min(ceiling, policy.max_back_off_seconds))


def daily_quota_reset(after_seconds: float) -> float:
    """Return when the provider's next day begins, midnight in California; both in seconds since the epoch."""
    day = datetime.fromtimestamp(after_seconds, UTC).astimezone(_PACIFIC).date()
    return datetime.combine(day + timedelta(days=1), time.min, _PACIFIC).timestamp()


def _classify_400(status: str | None, details: object) -> FailureClass:
    if status == "FAILED_PRECONDITION" or is_key_refused(400, details):
        return FailureClass.MISCONFIGURED
    if "process input image" in str(_error(details).get("message", "")):
        return FailureClass.INVALID_INPUT
    return FailureClass.BAD_REQUEST


def _error(details: object) -> Mapping[str, object]:
    body = details.get("error") if isinstance(details, Mapping) else None
    return body if isinstance(body, Mapping) else {}


def _details(details: object) -> Iterator[Mapping[str, object]]:
    return _mappings(_error(details).get("details"))


def _mappings(items: object) -> Iterator[Mapping[str, object]]:
    return (item for item in items if isinstance(item, Mapping)) if isinstance(items, list) else iter(())


def _type(detail: Mapping[str, object]) -> str:
    return str(detail.get("@type", ""))
