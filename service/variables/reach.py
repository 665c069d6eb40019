"""How the service is reached, by whom, and how often."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, ValidationInfo, field_validator

from service.addresses import masked
from service.variables.kinds import (
    LOOPBACK_NAMES,
    CommaList,
    Group,
    Port,
    Rate,
    WebAddress,
    mistake,
    origin_of,
    parts_of,
)

BUS_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster")
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - named to be told apart


class Network(Group):
    """Where it listens, and where others find it."""

    heading = "Network"

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
    public_url: WebAddress = Field(
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

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _read_off(cls, value: Any) -> Any:
        return None if value == "off" else value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != origin_of(origin):
                raise ValueError(f"{masked(origin)} is no origin; write it like https://photos.example.com")
        return origins

    @field_validator("public_url")
    @classmethod
    def _check_own_url(cls, url: str) -> str:
        # Links made of it go to callers.
        if parts_of(url).username is not None:
            raise ValueError("must not hold a name or a password")
        return url

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str, before: ValidationInfo) -> str:
        if before.data.get("embedded") and host not in LOOPBACK_NAMES:
            raise mistake("HOST must be 127.0.0.1 in the embedded mode: its sign-in asks for no password")
        return host

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str, before: ValidationInfo) -> str:
        host = before.data.get("host")
        if host in WILDCARDS and not url:
            raise mistake(
                "PUBLIC_URL is missing: with HOST {host} the service cannot know its own address, "
                "and no browser could open a socket",
                host=host,
            )
        return url


class Tasks(Group):
    """How tasks tell each other of events."""

    heading = "Several tasks"

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

    @field_validator("event_bus_url")
    @classmethod
    def _check_bus(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = parts_of(url)
        if parts.scheme not in BUS_SCHEMES or not parts.hostname:
            raise ValueError(f"must be the address of a Redis or Valkey server: {', '.join(BUS_SCHEMES)}://…")
        if parts.port == 0 or (parts.scheme.endswith("+cluster") and parts.path not in ("", "/", "/0")):
            raise ValueError("must have a port that can be, and no database in cluster mode")
        return url


class Callers(Group):
    """Limits and rates of one caller."""

    heading = "What callers may do"

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

    @field_validator("anonymous_pipelines", mode="before")
    @classmethod
    def _read_none(cls, value: Any) -> Any:
        # An empty variable counts as none at all, and the embedded mode has a default of its own.
        return () if value == "off" else value
