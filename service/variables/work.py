"""The work, its end, and what is written of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from service.stopping import LEAST_WORK_SHARE
from service.variables.kinds import Group


class Work(Group):
    """The pool, how a task leaves, and the log."""

    heading = "Work and logs"

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

    @field_validator("deregistration_seconds")
    @classmethod
    def _check_deregistration(cls, seconds: float, before: ValidationInfo) -> float:
        whole = before.data.get("stop_timeout_seconds")
        if whole is not None and seconds > LEAST_WORK_SHARE * whole:
            raise ValueError("must be at most half of STOP_TIMEOUT_SECONDS")
        return seconds
