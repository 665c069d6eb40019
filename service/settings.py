"""What the environment tells the service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.aws import AWSConfig
from jobs.job_table import Limits, Tables
from jobs.sweeper import SweepTimes
from service.process import CannotStart
from service.rate_limits import Rates

LOOPBACK_NAMES = ("127.0.0.1", "localhost")
BUS_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - named to be told apart
CommaList = Annotated[tuple[str, ...], NoDecode]
USUAL_RATES = Rates(user=600, address=3000, submits=120)
Rate = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals; keyword arguments win over the environment."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    upload_bucket: str
    result_bucket: str
    sqs_queue_url: str
    sqs_dlq_url: str | None = None
    # Each table variable has an older spelling, which task definitions of the original still carry.
    users_table: str = Field(validation_alias=AliasChoices("users_table", "ProfilePhotoAI-Users-Table"))
    usage_log_table: str = Field(validation_alias=AliasChoices("usage_log_table", "ProfilePhotoAI-UsageLog-Table"))
    image_jobs_table: str = Field(validation_alias=AliasChoices("image_jobs_table", "ProfilePhotoAI-ImageJobs-Table"))
    job_events_table: str
    parking_sightings_table: str
    parking_reports_table: str
    upload_events_queue_url: str
    upload_events_dlq_url: str | None = None
    webhooks_table: str
    webhook_deliveries_table: str
    webhook_deliveries_queue_url: str
    aws_region: str = "ap-northeast-2"
    aws_endpoint_url: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None

    cognito_user_pool_id: str
    cognito_client_id: str
    token_issuer: str = ""
    token_jwks_url: str = ""

    gemini_api_key: SecretStr | None = None
    gemini_api_key_secret_arn: str | None = None
    gemini_base_url: str | None = None
    gemini_timeout_seconds: float = Field(default=120, gt=0)
    model_name: str = "gemini-nano-banana-2.1"
    vision_model_name: str = "gemini-3.5-flash-lite"
    embedding_model_name: str = "gemini-embedding-2"

    host: str = "127.0.0.1"
    port: Port = 8080
    metrics_port: Port | None = 9090
    """0 is any free port, as everywhere; ``off`` serves no metrics."""
    public_url: str = ""
    allowed_origins: CommaList = ()

    event_bus_url: str | None = Field(default=None, repr=False)
    event_bus_prefix: str = "darkroom"

    presigned_url_expiration: int = Field(default=3600, ge=1, le=604_800)
    daily_limit: int = Field(default=10, ge=0)
    anonymous_pipelines: CommaList = ()
    anonymous_daily_limit: int = Field(default=1000, ge=0)
    similarity_threshold: float = Field(default=0.8, ge=0, le=1)
    daily_spend_limit_usd: float | None = Field(default=None, gt=0)
    max_user_unfinished: int = Field(default=200, ge=1)
    max_user_in_flight: int = Field(default=16, ge=1)
    sweep_seconds: float = Field(default=30, gt=0)
    queue_place_seconds: float = Field(default=5, gt=0)
    job_deadline_seconds: float = Field(default=900, gt=0)
    user_requests_per_minute: Rate | None = None
    address_requests_per_minute: Rate | None = None
    submits_per_minute: Rate | None = None
    trusted_proxy_hops: int = Field(default=0, ge=0)
    webhook_allow_private: bool = False
    worker_slots: int = Field(default=64, ge=1)
    lease_seconds: int = Field(default=120, ge=3, le=43_200)
    drain_seconds: float = Field(default=100, ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    embedded: bool = False
    simulated: CommaList = ()

    @field_validator("allowed_origins", "simulated", "anonymous_pipelines", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("anonymous_pipelines", mode="before")
    @classmethod
    def _read_none(cls, value: Any) -> Any:
        # An empty variable counts as none at all, and the embedded mode has a default of its own.
        return () if value == "off" else value

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _read_off(cls, value: Any) -> Any:
        return None if value == "off" else value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != _origin(origin):
                raise ValueError(f"{origin} is no origin; write it like https://photos.example.com")
        return origins

    @field_validator("public_url", "aws_endpoint_url", "gemini_base_url", "token_issuer", "token_jwks_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must be an http or https address")
        return url

    @field_validator("event_bus_url")
    @classmethod
    def _check_bus(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in BUS_SCHEMES or not parts.hostname:
            raise ValueError(f"must be the address of a Redis or Valkey server: {', '.join(BUS_SCHEMES)}://…")
        if parts.port == 0 or (parts.scheme.endswith("+cluster") and parts.path not in ("", "/", "/0")):
            raise ValueError("must have a port that can be, and no database in cluster mode")
        return url

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.embedded and self.host not in LOOPBACK_NAMES:
            raise ValueError("HOST must be 127.0.0.1 in the embedded mode: its sign-in asks for no password")
        if self.host in WILDCARDS and not self.public_url:
            raise ValueError(
                f"PUBLIC_URL is missing: with HOST {self.host} the service cannot know its own address, "
                "and no browser could open a socket"
            )
        if not self.gemini_api_key and not self.gemini_api_key_secret_arn:
            raise ValueError("GEMINI_API_KEY or GEMINI_API_KEY_SECRET_ARN is missing")
        return self

    @property
    def issuer(self) -> str:
        """Who signs the tokens."""
        return self.token_issuer or f"https://cognito-idp.{self.aws_region}.amazonaws.com/{self.cognito_user_pool_id}"

    @property
    def jwks_url(self) -> str:
        """Where the issuer's public keys are."""
        return self.token_jwks_url or f"{self.issuer}/.well-known/jwks.json"

    @property
    def page_origins(self) -> tuple[str, ...]:
        """Where the page is served from."""
        own = (_origin(self.public_url or f"http://{self.host}:{self.port}"),)
        loopback = tuple(f"http://{name}:{self.port}" for name in LOOPBACK_NAMES) if self.embedded else ()
        return tuple(dict.fromkeys(own + loopback))

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose pages may call the API and open sockets."""
        return frozenset(self.page_origins + self.allowed_origins)

    @property
    def storage_origins(self) -> tuple[str, ...]:
        """Where signed links lead, which is where the page puts and gets files."""
        if self.aws_endpoint_url:
            return (_origin(self.aws_endpoint_url),)
        # botocore signs for the global name or the region's, depending on bucket and age; both are the bucket's own.
        return tuple(
            f"https://{bucket}.s3.{region}amazonaws.com"
            for bucket in dict.fromkeys((self.upload_bucket, self.result_bucket))
            for region in ("", f"{self.aws_region}.")
        )

    def aws_config(self) -> AWSConfig:
        """Return how to reach AWS. Keys are handed on for an emulator only: on AWS the usual chain finds the task role."""
        if self.aws_endpoint_url is None:
            return AWSConfig(region=self.aws_region)
        secret = self.aws_secret_access_key
        return AWSConfig(
            region=self.aws_region,
            endpoint_url=self.aws_endpoint_url,
            access_key_id=self.aws_access_key_id,
            secret_access_key=secret.get_secret_value() if secret else None,
        )

    def user_limits(self) -> Limits:
        """Return what one user may have."""
        return Limits(
            daily=self.daily_limit,
            anonymous_daily=self.anonymous_daily_limit,
            unfinished=self.max_user_unfinished,
            in_flight=self.max_user_in_flight,
        )

    def check_pipelines(self, known: Collection[str]) -> None:
        """Refuse to start where something is said of a pipeline that is not there. Raises CannotStart."""
        for name in self.anonymous_pipelines:
            if name not in known:
                raise CannotStart(f"ANONYMOUS_PIPELINES: {name} is no pipeline; there are {', '.join(known)}")

    def rates(self) -> Rates:
        """Return how often one may call. On one's own machine nobody is counted, except where that was asked for."""
        told = {
            "user": self.user_requests_per_minute,
            "address": self.address_requests_per_minute,
            "submits": self.submits_per_minute,
        }
        usual = Rates(user=0, address=0, submits=0) if self.embedded else USUAL_RATES
        return replace(usual, **{name: rate for name, rate in told.items() if rate is not None})

    def sweep_times(self) -> SweepTimes:
        """Return when a job counts as left behind."""
        return SweepTimes(every=self.sweep_seconds, unsent=self.sweep_seconds, lease=self.lease_seconds)

    def tables(self) -> Tables:
        """Return the names of the tables."""
        return Tables(
            jobs=self.image_jobs_table,
            events=self.job_events_table,
            usage=self.usage_log_table,
            users=self.users_table,
        )


def explain(error: ValidationError) -> list[str]:
    """Say what is wrong with the environment: one line for each variable, without its value."""
    return [_explain(str(problem["loc"][0]).upper() if problem["loc"] else "", problem) for problem in error.errors()]


def _explain(variable: str, problem: Any) -> str:
    if problem["type"] == "missing":
        return f"{variable} is missing"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{variable}: {reason}" if variable else reason


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
