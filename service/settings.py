"""What the environment tells the service."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from jobs.aws import AWSConfig
from jobs.job_table import Limits, Tables
from jobs.sweeper import SweepTimes
from service.process import CannotStart
from service.rate_limits import Rates
from service.variables.kinds import LOOPBACK_NAMES, WHOLE, Group, origin_of
from service.variables.partners import Gemini, SignIn
from service.variables.reach import Callers, Network, Tasks
from service.variables.stores import AWS, Stores
from service.variables.work import Work

GROUPS: Final[tuple[type[Group], ...]] = (Stores, AWS, SignIn, Gemini, Network, Tasks, Callers, Work)
"""In the order in which people read them."""
USUAL_RATES: Final = Rates(user=600, address=3000, submits=120)


class Settings(Work, Callers, Tasks, Network, Gemini, SignIn, AWS, Stores):
    """All variables, and what follows from them. Keyword arguments win over the environment."""

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
        own = (origin_of(self.public_url or f"http://{self.host}:{self.port}"),)
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
            return (origin_of(self.aws_endpoint_url),)
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
