"""What the environment may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.ids import UserId, anonymous_user
from service.process import CannotStart
from service.rate_limits import Rates
from service.settings import Settings, explain

NEEDED = {
    "UPLOAD_BUCKET": "up",
    "RESULT_BUCKET": "down",
    "SQS_QUEUE_URL": "https://sqs/q",
    "USERS_TABLE": "users",
    "USAGE_LOG_TABLE": "usage",
    "IMAGE_JOBS_TABLE": "jobs",
    "JOB_EVENTS_TABLE": "events",
    "PARKING_SIGHTINGS_TABLE": "sightings",
    "PARKING_REPORTS_TABLE": "reports",
    "UPLOAD_EVENTS_QUEUE_URL": "https://sqs/u",
    "WEBHOOKS_TABLE": "webhooks",
    "WEBHOOK_DELIVERIES_TABLE": "deliveries",
    "WEBHOOK_DELIVERIES_QUEUE_URL": "https://sqs/w",
    "COGNITO_USER_POOL_ID": "pool",
    "COGNITO_CLIENT_ID": "client",
    "GEMINI_API_KEY": "the-secret-key",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def problems(**changes: Any) -> list[str]:
    """Return what is wrong with the settings."""
    with pytest.raises(ValidationError) as caught:
        Settings(**changes)
    return explain(caught.value)


def test_defaults_are_those_of_the_originals() -> None:
    """And the issuer follows from the pool."""
    settings = Settings()

    assert (settings.presigned_url_expiration, settings.daily_limit, settings.aws_region) == (
        3600,
        10,
        "ap-northeast-2",
    )
    assert settings.model_name == "gemini-nano-banana-2.1"
    assert settings.issuer == "https://cognito-idp.ap-northeast-2.amazonaws.com/pool"
    assert f"{settings.issuer}/.well-known/jwks.json" == settings.jwks_url
    assert frozenset({"http://127.0.0.1:8080"}) == settings.origins
    assert "the-secret-key" not in repr(settings)


def test_older_table_names_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task definitions of the original carry them; the newer one wins."""
    for name in ("USERS_TABLE", "USAGE_LOG_TABLE"):
        monkeypatch.delenv(name)
    for kind in ("Users", "UsageLog", "ImageJobs"):
        monkeypatch.setenv(f"ProfilePhotoAI-{kind}-Table", f"old-{kind}")
    tables = Settings().tables()

    assert (tables.users, tables.usage, tables.jobs) == ("old-Users", "old-UsageLog", "jobs")


def test_keywords_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a variable has two names."""
    monkeypatch.setenv("PORT", "1234")
    monkeypatch.setenv("ProfilePhotoAI-Users-Table", "old")
    settings = Settings(port=9999, users_table="mine")

    assert (settings.port, settings.users_table) == (9999, "mine")


def test_each_fault_is_one_line_naming_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the value, which may be a secret."""
    monkeypatch.delenv("UPLOAD_BUCKET")
    monkeypatch.delenv("USERS_TABLE")
    lines = problems(daily_limit="many", public_url="photos.example.com")

    assert {"UPLOAD_BUCKET is missing", "USERS_TABLE is missing"} <= set(lines)
    assert "PUBLIC_URL: must be an http or https address" in lines
    assert any(line.startswith("DAILY_LIMIT: ") for line in lines)
    assert len(lines) == 4


def test_a_gemini_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By value or by name."""
    monkeypatch.delenv("GEMINI_API_KEY")

    assert problems() == ["GEMINI_API_KEY or GEMINI_API_KEY_SECRET_ARN is missing"]
    assert Settings(gemini_api_key_secret_arn="arn").gemini_api_key is None


def test_the_own_address_holds_no_password() -> None:
    """Links made of it go to callers."""
    assert ["PUBLIC_URL: must not hold a name or a password"] == problems(
        public_url="https://me:secret@photos.example.com"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_host_needs_a_public_url(host: str) -> None:
    """Else no origin would be the page's own."""
    [line] = problems(host=host)

    assert line.startswith("PUBLIC_URL is missing: ")
    assert Settings(host=host, public_url="https://a.example").origins == frozenset({"https://a.example"})


def test_rates_are_for_those_who_serve_others() -> None:
    """On one's own machine they are off, unless they are asked for."""
    assert Rates(user=600, address=3000, submits=120) == Settings().rates()
    assert Rates(user=0, address=0, submits=0) == Settings(embedded=True).rates()
    assert Rates(user=0, address=0, submits=7) == Settings(embedded=True, submits_per_minute=7).rates()
    some_off = Settings(user_requests_per_minute=0, address_requests_per_minute=9)
    assert Rates(user=0, address=9, submits=120) == some_off.rates()


@pytest.mark.parametrize(
    "name", ["user_requests_per_minute", "address_requests_per_minute", "submits_per_minute", "trusted_proxy_hops"]
)
def test_a_rate_is_no_less_than_none(name: str) -> None:
    """0 is the least there is."""
    [line] = problems(**{name: -1})

    assert line.startswith(f"{name.upper()}: ")


def test_a_load_balancer_gets_half_of_a_stop_at_most() -> None:
    """The time it needs is part of the stop, not on top of it."""
    [line] = problems(stop_timeout_seconds=60, deregistration_seconds=31)

    assert "DEREGISTRATION_SECONDS: must be at most half of STOP_TIMEOUT_SECONDS" == line
    assert 30 == Settings(stop_timeout_seconds=60, deregistration_seconds=30).deregistration_seconds


def test_the_embedded_mode_stays_on_this_machine() -> None:
    """Its sign-in asks for no password."""
    [line] = problems(embedded=True, host="0.0.0.0")
    settings = Settings(embedded=True, port=8090)

    assert line.startswith("HOST must be 127.0.0.1")
    assert frozenset({"http://127.0.0.1:8090", "http://localhost:8090"}) == settings.origins


def test_origins_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path or a star is refused at the start rather than never matched."""
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example:8443")
    settings = Settings(public_url="https://photos.example.com/app")

    assert frozenset({"https://photos.example.com", "https://a.example", "https://b.example:8443"}) == settings.origins
    for wrong in ("*", "https://a.example/", "a.example"):
        [line] = problems(allowed_origins=wrong)
        assert line.startswith("ALLOWED_ORIGINS: ")


def test_aws_keys_are_used_for_an_emulator_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """On AWS they may be temporary ones, which are nothing without their session."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    on_aws = Settings().aws_config()
    emulated = Settings(aws_endpoint_url="http://127.0.0.1:4566").aws_config()

    assert (on_aws.access_key_id, on_aws.secret_access_key) == (None, None)
    assert (emulated.access_key_id, emulated.secret_access_key) == ("id", "secret")


def test_the_page_may_reach_its_buckets() -> None:
    """Under both names that signed links may have."""
    assert "https://up.s3.ap-northeast-2.amazonaws.com" in Settings().storage_origins
    assert "https://down.s3.amazonaws.com" in Settings().storage_origins
    assert Settings(aws_endpoint_url="http://127.0.0.1:4566/").storage_origins == ("http://127.0.0.1:4566",)


@pytest.mark.parametrize(("value", "port"), [("off", None), ("0", 0), ("9191", 9191)])
def test_metrics_may_be_off(monkeypatch: pytest.MonkeyPatch, value: str, port: int | None) -> None:
    """0 is any free port, as everywhere."""
    monkeypatch.setenv("METRICS_PORT", value)

    assert port == Settings().metrics_port


def test_pipelines_are_open_to_strangers_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """None by default; a name that is none of ours stops the start with a sentence."""
    known = ("profile-photo", "crack-detection")
    monkeypatch.setenv("ANONYMOUS_PIPELINES", "crack-detection, cracks")
    settings = Settings()

    assert (
        ()
        == Settings(anonymous_pipelines="off").anonymous_pipelines
        == Settings(anonymous_pipelines=()).anonymous_pipelines
    )
    assert ("crack-detection", "cracks") == settings.anonymous_pipelines
    Settings(anonymous_pipelines="crack-detection,profile-photo").check_pipelines(known)
    with pytest.raises(
        CannotStart, match=r"^ANONYMOUS_PIPELINES: cracks is no pipeline; there are profile-photo, crack"
    ):
        settings.check_pipelines(known)


def test_strangers_have_limits_of_their_own() -> None:
    """The originals' callers without a token are servers."""
    limits = Settings(anonymous_daily_limit=7).user_limits()

    assert 1000 == Settings().user_limits().anonymous_daily
    assert (7, 10) == (limits.daily_of(anonymous_user("1.1.1.1")), limits.daily_of(UserId("alice")))


@pytest.mark.parametrize(
    ("name", "value"), [("similarity_threshold", 1.1), ("similarity_threshold", "nan"), ("anonymous_daily_limit", -1)]
)
def test_numbers_keep_within_their_bounds(name: str, value: object) -> None:
    """A line names the variable."""
    [line] = problems(**{name: value})

    assert line.startswith(f"{name.upper()}: ")
    assert Settings().similarity_threshold == 0.8
