"""What an error of Gemini means: the table, and reading the errors."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from consumers.failures import (
    MAX_RETRY_DELAY_SECONDS,
    POLICIES,
    FailureClass,
    Then,
    back_off,
    classify_http,
    classify_reason,
    daily_quota_reset,
    is_daily_quota,
    is_key_refused,
    retry_delay,
)

PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
JSON = some.recursive(
    some.none() | some.booleans() | some.floats() | some.text(),
    lambda inner: (
        some.lists(inner) | some.dictionaries(some.sampled_from(["error", "details", "@type", "retryDelay"]), inner)
    ),
    max_leaves=12,
)


def body(*details: object, message: str = "") -> dict[str, object]:
    """Wrap details as the API does."""
    return {"error": {"code": 0, "message": message, "details": list(details)}}


def quota(quota_id: str) -> dict[str, object]:
    """Name the quota that is used up."""
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]}


def retry_info(delay: object) -> dict[str, object]:
    """Say how long to wait."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("code", "status", "details", "expected"),
    [
        (400, "INVALID_ARGUMENT", body(message="Unable to process input image. Please retry"), "invalid_input"),
        (400, "INVALID_ARGUMENT", body(message="Deadline is too short"), "bad_request"),
        (400, "INVALID_ARGUMENT", body(KEY_INVALID), "misconfigured"),
        (400, "FAILED_PRECONDITION", body(), "misconfigured"),
        (400, None, "<html>", "bad_request"),
        (401, None, None, "misconfigured"),
        (402, None, None, "account"),
        (403, "PERMISSION_DENIED", body(), "misconfigured"),
        (404, "NOT_FOUND", body(), "misconfigured"),
        (408, None, None, "transient"),
        (409, "ABORTED", body(), "transient"),
        (413, None, None, "invalid_input"),
        (418, None, None, "bad_request"),
        (429, "RESOURCE_EXHAUSTED", body(quota(PER_MINUTE), retry_info("58s")), "throttled"),
        (429, "RESOURCE_EXHAUSTED", body(quota(PER_DAY)), "daily_quota"),
        (429, None, None, "throttled"),
        (499, "CANCELLED", body(), "transient"),
        (500, "INTERNAL", body(), "transient"),
        (502, "Bad Gateway", "<html>", "transient"),
        (503, "UNAVAILABLE", body(), "transient"),
        (503, "RESOURCE_EXHAUSTED", body(), "throttled"),
        (504, "DEADLINE_EXCEEDED", body(), "timeout"),
        (0, None, None, "transient"),
        (599, None, None, "transient"),
    ],
)
def test_every_status_has_a_class(code: int, status: str | None, details: object, expected: str) -> None:
    """The table of statuses, told and untold ones."""
    assert FailureClass(expected) is classify_http(code, status, details)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ("SAFETY PROHIBITED_CONTENT BLOCKLIST SPII IMAGE_PROHIBITED_CONTENT LANGUAGE ESCALATION", "rejected"),
        ("IMAGE_SAFETY IMAGE_RECITATION RECITATION NO_IMAGE IMAGE_OTHER OTHER MALFORMED_RESPONSE", "unusable_answer"),
        ("FINISH_REASON_UNSPECIFIED CONTINUATION SOMETHING_NEW", "unusable_answer"),
        ("MAX_TOKENS MISSING_THOUGHT_SIGNATURE UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS", "incomplete_answer"),
        ("PUP_LIMITED_DISABLED", "account"),
    ],
)
def test_every_finish_reason_has_a_class(reasons: str, expected: str) -> None:
    """The table of finish reasons, told and untold ones."""
    assert {FailureClass(expected)} == {classify_reason(reason) for reason in reasons.split()}


def test_stop_is_no_failure() -> None:
    """A regular end has no class."""
    assert classify_reason("STOP") is None


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "IMAGE_SAFETY", "JAILBREAK"])
def test_a_blocked_prompt_is_rejected(reason: str) -> None:
    """No second try makes the same photo acceptable."""
    assert FailureClass.REJECTED is classify_reason(reason, is_block=True)


def test_a_prompt_blocked_for_other_reasons_may_be_tried_again() -> None:
    """OTHER says nothing about the content."""
    assert FailureClass.UNUSABLE_ANSWER is classify_reason("OTHER", is_block=True)


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        ("58s", 58.0),
        ("1.2s", 1.2),
        ("58.934310785s", 58.934310785),
        ("0s", 0.0),
        ("9" * 400 + "s", MAX_RETRY_DELAY_SECONDS),
        ("-5s", None),
        ("nans", None),
        ("infs", None),
        ("1e9s", None),
        ("5", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_a_retry_delay_is_read_or_left(delay: object, expected: float | None) -> None:
    """Fractions count; what is no sensible time does not."""
    assert expected == retry_delay(body("odd", quota(PER_MINUTE), retry_info(delay)))


@given(details=JSON, code=some.integers(), status=some.none() | some.text())
def test_no_body_breaks_the_classification(details: object, code: int, status: str | None) -> None:
    """Whatever comes back from a proxy on the way, it gets a class."""
    delay = retry_delay(details)

    assert classify_http(code, status, details) in POLICIES
    assert delay is None or 0 <= delay <= MAX_RETRY_DELAY_SECONDS


def test_only_a_quota_per_day_is_a_daily_quota() -> None:
    """Also when it comes second."""
    assert not is_daily_quota(body(quota(PER_MINUTE)))
    assert is_daily_quota(body(quota(PER_MINUTE), quota(PER_DAY)))
    assert not is_daily_quota(None)


def test_a_refused_key_is_told_from_other_refusals() -> None:
    """A newer key may help then."""
    assert is_key_refused(400, body(KEY_INVALID))
    assert is_key_refused(403, None)
    assert not is_key_refused(400, body())


def test_every_class_has_its_policy() -> None:
    """The table is whole, and what fails costs only those whose content was refused."""
    assert set(FailureClass) == set(POLICIES)
    assert [FailureClass.REJECTED] == [failure for failure, policy in POLICIES.items() if policy.keeps_charge]


def test_throttling_and_our_own_faults_never_fail_a_job() -> None:
    """They cost neither a try nor a receive."""
    deferred = {failure for failure, policy in POLICIES.items() if policy.then is Then.DEFER}

    assert deferred == {
        FailureClass.THROTTLED,
        FailureClass.DAILY_QUOTA,
        FailureClass.MISCONFIGURED,
        FailureClass.ACCOUNT,
    }


@given(failure=some.sampled_from(FailureClass), attempt=some.integers(1, 10_000), seed=some.integers())
def test_a_back_off_is_within_its_bounds(failure: FailureClass, attempt: int, seed: int) -> None:
    """However often it failed, the wait is finite."""
    policy = POLICIES[failure]
    seconds = back_off(policy, attempt, random.Random(seed))

    assert 0 <= seconds <= policy.max_back_off_seconds
    assert seconds <= policy.first_back_off_seconds * 2 ** (attempt - 1)
    assert math.isfinite(seconds)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-20T09:00:00+00:00", "2026-11-21T08:00:00+00:00"),
        ("2026-11-20T07:59:59+00:00", "2026-11-20T08:00:00+00:00"),
        ("2026-11-20T08:00:00+00:00", "2026-11-21T08:00:00+00:00"),
    ],
)
def test_the_daily_quota_resets_at_midnight_in_california(now: str, expected: str) -> None:
    """Not at ours, and never now."""
    reset = daily_quota_reset(datetime.fromisoformat(now).timestamp())

    assert datetime.fromisoformat(expected) == datetime.fromtimestamp(reset, UTC)
