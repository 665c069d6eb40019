"""What the environment tells the service."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.aws import AWSConfig
from jobs.job_table import Limits, Tables
from jobs.sweeper import SweepTimes
from service.addresses import masked
from service.process import CannotStart
from service.rate_limits import Rates
from service.stopping import LEAST_WORK_SHARE

LOOPBACK_NAMES = ("127.0.0.1", "localhost")
BUS_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
WHOLE: Final = "whole"
"""The type of a mistake whose message names its variables itself."""
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - named to be told apart
CommaList = Annotated[tuple[str, ...], NoDecode]
USUAL_RATES = Rates(user=600, address=3000, submits=120)
Rate = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals; keyword arguments win over the environment."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    upload_bucket: str = Field(
        description="The private bucket that photos are uploaded to.", examples=["darkroom-uploads"]
    )
    result_bucket: str = Field(
        description="The private bucket that results are kept in.", examples=["darkroom-results"]
    )
    # Each of these three has an older spelling, which task definitions of the original still carry.
    users_table: str = Field(
        description="The table of users (also as ProfilePhotoAI-Users-Table).",
        validation_alias=AliasChoices("users_table", "ProfilePhotoAI-Users-Table"),
        examples=["darkroom-users"],
    )
    usage_log_table: str = Field(
        description="The table of what each user has used on each day (also as ProfilePhotoAI-UsageLog-Table).",
        validation_alias=AliasChoices("usage_log_table", "ProfilePhotoAI-UsageLog-Table"),
        examples=["darkroom-usage"],
    )
    image_jobs_table: str = Field(
        description="The table of jobs (also as ProfilePhotoAI-ImageJobs-Table).",
        validation_alias=AliasChoices("image_jobs_table", "ProfilePhotoAI-ImageJobs-Table"),
        examples=["darkroom-jobs"],
    )
    job_events_table: str = Field(description="The table of the event log.", examples=["darkroom-events"])
    parking_sightings_table: str = Field(
        description="The table of sightings of parked cars.", examples=["darkroom-sightings"]
    )
    parking_reports_table: str = Field(description="The table of parking reports.", examples=["darkroom-reports"])
    webhooks_table: str = Field(description="The table of webhooks.", examples=["darkroom-webhooks"])
    webhook_deliveries_table: str = Field(
        description="The table of what was delivered to webhooks.", examples=["darkroom-deliveries"]
    )
    sqs_queue_url: str = Field(
        description="The queue of jobs.", examples=["https://sqs.ap-northeast-2.amazonaws.com/111122223333/jobs"]
    )
    sqs_dlq_url: str | None = Field(
        default=None,
        description="The dead-letter queue of jobs: messages that are not ours are moved there at once, and the command "
        "redrive reads it.",
    )
    upload_events_queue_url: str = Field(
        description="The queue in which S3 tells of photos under reports/.",
        examples=["https://sqs.ap-northeast-2.amazonaws.com/111122223333/upload-events"],
    )
    upload_events_dlq_url: str | None = Field(
        default=None, description="The dead-letter queue of UPLOAD_EVENTS_QUEUE_URL."
    )
    webhook_deliveries_queue_url: str = Field(
        description="The queue of deliveries to webhooks.",
        examples=["https://sqs.ap-northeast-2.amazonaws.com/111122223333/webhook-deliveries"],
    )
    webhook_deliveries_dlq_url: str | None = Field(
        default=None,
        description="The dead-letter queue of WEBHOOK_DELIVERIES_QUEUE_URL; the operator's view shows how long it is.",
    )

    aws_region: str = Field(default="ap-northeast-2", description="The AWS region that all of this is in.")
    aws_endpoint_url: str | None = Field(
        default=None,
        description="The address of an AWS emulator instead of AWS; its keys are then read from AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY.",
    )
    aws_access_key_id: str | None = Field(
        default=None,
        description="The key id, read here for an emulator only: on AWS the usual chain finds the task role.",
    )
    aws_secret_access_key: SecretStr | None = Field(
        default=None, description="The secret that belongs to AWS_ACCESS_KEY_ID, likewise."
    )

    cognito_user_pool_id: str = Field(
        description="The Cognito user pool whose tokens are accepted.", examples=["ap-northeast-2_AbCdEfGhI"]
    )
    cognito_client_id: str = Field(
        description="The client of that pool whose tokens are accepted.", examples=["1h57kf5cpq17m0eml12EXAMPLE"]
    )
    token_issuer: str = Field(
        default="", description="Who signs the tokens, where that is not AWS's own name of the pool."
    )
    token_jwks_url: str = Field(
        default="", description="The address of the issuer's public keys, where that is not the issuer's usual one."
    )
    cognito_domain: str = Field(
        default="",
        description="The address of the pool's own sign-in page, https://…; without it the page offers no sign-in but a "
        "token pasted by hand. See docs/sign-in.md.",
    )
    cognito_identity_provider: str = Field(
        default="",
        description="The provider that the sign-in page leads to at once, such as Google; without it, its chooser is shown.",
    )

    gemini_api_key: SecretStr | None = Field(
        default=None, description="The Gemini key itself; it wins over the secret, and one of the two is needed."
    )
    gemini_api_key_secret_arn: str | None = Field(
        default=None,
        validate_default=True,
        description="The ARN of a secret that holds the Gemini key, read anew every five minutes.",
    )
    model_name: str = Field(default="gemini-nano-banana-2.1", description="The model that makes pictures.")
    vision_model_name: str = Field(
        default="gemini-3.5-flash-lite", description="The model that looks at photos and reads texts."
    )
    embedding_model_name: str = Field(
        default="gemini-embedding-2", description="The model that tells how alike two pictures are."
    )
    gemini_timeout_seconds: float = Field(default=120, gt=0, description="The longest call of Gemini, in seconds.")
    gemini_base_url: str | None = Field(
        default=None, description="The address of another server than Google's that speaks Gemini's protocol."
    )
    daily_spend_limit_usd: float | None = Field(
        default=None,
        gt=0,
        description="What all tasks together may spend on Gemini in a UTC day, in US dollars by our price list; then no job "
        "is fetched until midnight UTC.",
    )

    # What the embedded mode says of itself; nobody else should. It is excluded from flags, tables and listings.
    embedded: bool = Field(default=False, exclude=True)
    simulated: CommaList = Field(default=(), exclude=True)

    host: str = Field(
        default="127.0.0.1", description="The address to listen on (the container image listens on all of them)."
    )
    port: Port = Field(default=8080, description="The port to listen on; 0 is any free one.")
    metrics_port: Port | None = Field(
        default=9090, description="The port of the Prometheus metrics; 0 is any free one, off is none."
    )
    public_url: str = Field(
        default="",
        validate_default=True,
        description="Where browsers find the service, http://HOST:PORT unless said; needed where HOST is a wildcard, as in the "
        "container image.",
    )
    release: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._:+-]*$",
        description="What runs here, as `/healthz` tells it: the digest of the image, given by the deployment.",
    )
    allowed_origins: CommaList = Field(
        default=(), description="Other origins whose pages may call the service, separated by commas."
    )
    trusted_proxy_hops: int = Field(
        default=0,
        ge=0,
        description="How many proxies of yours stand before the service: 0 takes the peer for the caller, 1 (one load "
        "balancer) the last entry of X-Forwarded-For, and so on from the right. With 0 behind a load balancer all callers "
        "share its address.",
    )
    event_bus_url: str | None = Field(
        default=None,
        repr=False,
        description="A Redis (6 or later; 7 for a cluster) or Valkey server by which tasks tell each other of events: "
        "redis://[:password@]host:6379, rediss://… (TLS), and redis+cluster://…, rediss+cluster://… for cluster mode, "
        "ElastiCache Serverless too (give the configuration endpoint). Needed from the second task on. Nothing is stored "
        "there, and nothing is lost while it is away: clients are then served from the log every few seconds, and "
        "system.degraded names the part events.",
    )
    event_bus_prefix: str = Field(
        default="darkroom",
        description="How the channels of the event bus begin; deployments that share a server need one each (database numbers "
        "do not separate channels).",
    )

    daily_limit: int = Field(default=10, ge=0, description="Pictures a user may have made in a UTC day.")
    max_user_unfinished: int = Field(
        default=200,
        ge=1,
        description="Unfinished jobs a user may have; one more is refused with 429 too_many_jobs.",
    )
    max_user_in_flight: int = Field(
        default=16,
        ge=1,
        description="A user's jobs in the queue and at work; further ones wait, stored, and are sent as these end.",
    )
    submits_per_minute: Rate | None = Field(
        default=None,
        description="A user's requests that start jobs, a minute, in one process: 120 unless said, 0 is no limit; a quarter of "
        "them (at least 20) may come at once.",
    )
    user_requests_per_minute: Rate | None = Field(
        default=None, description="A user's requests of all kinds, a minute, likewise: 600 unless said."
    )
    address_requests_per_minute: Rate | None = Field(
        default=None,
        description="Requests from one address (IPv6: one /64), a minute, likewise, before their tokens are looked at: 3000 "
        "unless said; health checks and the page's files are not counted.",
    )
    anonymous_pipelines: CommaList = Field(
        default=(),
        description="Pipelines whose callers need no token, separated by commas: crack-detection, parking-report, "
        "profile-photo, diary; off is none. Such a caller is a user per address (mind TRUSTED_PROXY_HOPS), may start these "
        "jobs and look at them, and nothing more; a token that is sent counts as ever. Pages of other origins are refused.",
    )
    anonymous_daily_limit: int = Field(
        default=1000, ge=0, description="Jobs a caller without a token may start in a UTC day."
    )
    presigned_url_expiration: int = Field(
        default=3600, ge=1, le=604_800, description="How long an upload link lives, in seconds."
    )
    similarity_threshold: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="From 0 to 1: how alike the backgrounds of two photos must be for a parking report to say that the car "
        "stood there all the time; docs/calibration.md shows how to choose it.",
    )
    webhook_allow_private: bool = Field(
        default=False,
        description="Whether webhooks may lead to private addresses and over plain HTTP: for one's own machine only.",
    )

    worker_slots: int = Field(default=64, ge=1, description="Jobs at once in this process.")
    lease_seconds: int = Field(
        default=120,
        ge=3,
        le=43_200,
        description="How long a job stays with a worker that no longer answers, in seconds; it is renewed at a third of that.",
    )
    job_deadline_seconds: float = Field(
        default=900, gt=0, description="The longest work on one job, in seconds, waits for Gemini included."
    )
    sweep_seconds: float = Field(
        default=30,
        gt=0,
        description="How often to look for jobs that were left behind, in seconds, and how long one may be unsent before it "
        "counts as such.",
    )
    queue_place_seconds: float = Field(
        default=5,
        gt=0,
        description="How often to look where queued jobs stand, in seconds, while somebody who is connected to this process "
        "has one.",
    )
    stop_timeout_seconds: float = Field(
        default=120,
        gt=0,
        description="The platform's own time between SIGTERM and SIGKILL, in seconds (stopTimeout of ECS). The service ends "
        "before it is over: jobs in hand may take all but the last 50, which handing back, sockets, requests, the bus and a "
        "margin may need; below 100 they get half.",
    )
    deregistration_seconds: float = Field(
        default=0,
        ge=0,
        description="The least time from SIGTERM, when /readyz turns 503, until sockets are sent elsewhere and listeners close, in "
        "seconds: as long as a load balancer that sees nothing but health checks goes on sending requests (their interval times "
        "the threshold, and a little). Jobs in hand end meanwhile. At most half of STOP_TIMEOUT_SECONDS.",
    )
    scale_in_protection: bool = Field(
        default=False,
        description="Whether to ask ECS, while jobs are in hand, not to take this task for scaling in. For jobs that are longer "
        "than a stop may take; the task role needs ecs:UpdateTaskProtection. It holds up deployments as well: a task that is never "
        "idle for a minute is never replaced.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="How log lines are written; auto is console on a terminal and json elsewhere."
    )

    cloudwatch_service: str = Field(
        default="",
        description="The name of this deployment (its stack) in CloudWatch: with it a line a minute goes to stdout that "
        "CloudWatch makes metrics of. See docs/metrics.md.",
        examples=["darkroom"],
    )

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
                raise ValueError(f"{masked(origin)} is no origin; write it like https://photos.example.com")
        return origins

    @field_validator("public_url", "aws_endpoint_url", "gemini_base_url", "token_issuer", "token_jwks_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url and (_parts(url).scheme not in ("http", "https") or not _parts(url).hostname):
            raise ValueError("must be an http or https address")
        return url

    @field_validator("public_url")
    @classmethod
    def _check_own_url(cls, url: str) -> str:
        # Links made of it go to callers.
        if _parts(url).username is not None:
            raise ValueError("must not hold a name or a password")
        return url

    @field_validator("cognito_domain")
    @classmethod
    def _check_domain(cls, url: str) -> str:
        # Codes and tokens go there, and it stands in the page's policy. A sign-in page of this very machine is one of a test.
        loopback = "|".join(LOOPBACK_NAMES)
        if url and not re.fullmatch(rf"(https://[a-z0-9.-]+|http://({loopback}))(:\d+)?/?", url):
            raise ValueError(
                "must be an https address and no more, like https://photos.auth.eu-west-1.amazoncognito.com"
            )
        return url.removesuffix("/")

    @field_validator("event_bus_url")
    @classmethod
    def _check_bus(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = _parts(url)
        if parts.scheme not in BUS_SCHEMES or not parts.hostname:
            raise ValueError(f"must be the address of a Redis or Valkey server: {', '.join(BUS_SCHEMES)}://…")
        if parts.port == 0 or (parts.scheme.endswith("+cluster") and parts.path not in ("", "/", "/0")):
            raise ValueError("must have a port that can be, and no database in cluster mode")
        return url

    # What depends on two fields is asked at the second of them: a validator of the whole is not run while any field is wrong.
    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str, before: ValidationInfo) -> str:
        if before.data.get("embedded") and host not in LOOPBACK_NAMES:
            raise PydanticCustomError(
                WHOLE, "HOST must be 127.0.0.1 in the embedded mode: its sign-in asks for no password"
            )
        return host

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str, before: ValidationInfo) -> str:
        host = before.data.get("host")
        if host in WILDCARDS and not url:
            raise PydanticCustomError(
                WHOLE,
                "PUBLIC_URL is missing: with HOST {host} the service cannot know its own address, "
                "and no browser could open a socket",
                {"host": host},
            )
        return url

    @field_validator("deregistration_seconds")
    @classmethod
    def _check_deregistration(cls, seconds: float, before: ValidationInfo) -> float:
        whole = before.data.get("stop_timeout_seconds")
        if whole is not None and seconds > LEAST_WORK_SHARE * whole:
            raise ValueError("must be at most half of STOP_TIMEOUT_SECONDS")
        return seconds

    @field_validator("gemini_api_key_secret_arn")
    @classmethod
    def _check_key(cls, arn: str | None, before: ValidationInfo) -> str | None:
        if not arn and not before.data.get("gemini_api_key", True):
            raise PydanticCustomError(WHOLE, "GEMINI_API_KEY or GEMINI_API_KEY_SECRET_ARN is missing")
        return arn

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
    if problem["type"] == WHOLE:
        return str(problem["msg"])
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{variable}: {reason}" if variable else reason


def _parts(url: str) -> SplitResult:
    """Take the address apart. Raises ValueError without a part of it, for what stands in a wrong place may be a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # only now it is read as a number
    except ValueError:
        raise ValueError("is no address") from None
    return parts


def _origin(url: str) -> str:
    """Return what a browser calls the address's origin; who signs in there is no part of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
