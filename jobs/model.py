"""What a job is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jobs import clock
from jobs.errors import DarkroomError
from jobs.ids import JobId, UserId, is_anonymous

JSON = str | int | float | bool | None | list["JSON"] | dict[str, "JSON"]


class Status(StrEnum):
    """Where a job is; the last three are terminal."""

    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Tell whether no change can follow."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELED)


class Charge(StrEnum):
    """What became of the units of the daily quota that the job took."""

    TAKEN = "taken"
    CHARGED = "charged"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed: a stable code, a sentence, and whether a new job of the same input may succeed."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: DarkroomError, *, retryable: bool) -> Failure:
        """Say it with the code and the sentence of an error."""
        return cls(code=error.code, message=error.message, retryable=retryable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a pipeline made: where it lies (``s3://bucket/key``, if it is a file), what it is, and how long the model took.

    ``facts`` is the pipeline's own result for the client, who finds the file's link there too, under the name ``link_as``;
    ``pictures`` is how many of them count as its owner's.
    """

    url: str | None
    model_name: str
    generation_milliseconds: int
    facts: Mapping[str, JSON] = field(default_factory=dict)
    pictures: int = 1
    link_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """What the models have answered, and so bill: calls, pictures, and tokens by kind, useless answers included."""

    calls: int = 0
    pictures: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: ModelUse) -> ModelUse:
        """Return both together."""
        kinds = sorted(self.tokens.keys() | other.tokens.keys())
        return ModelUse(
            calls=self.calls + other.calls,
            pictures=self.pictures + other.pictures,
            tokens={kind: self.tokens.get(kind, 0) + other.tokens.get(kind, 0) for kind in kinds},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request for AI work. Times are milliseconds since the epoch; changes are made by ``jobs.moves``.

    ``parameters`` is what its pipeline was asked beyond style, prompt and input; ``units`` what it costs of the day's quota.
    """

    job_id: JobId
    user_id: UserId
    pipeline: str
    status: Status
    version: int
    created_at: int
    updated_at: int
    charge: Charge
    quota_day: str
    attempt: int = 0
    style: str | None = None
    prompt: str | None = None
    input_url: str | None = None
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    units: int = 1
    waiting: bool = False
    """Stored but not sent: its owner has as many jobs in flight as one user may."""
    crashes: int = 0
    """How often a worker vanished with it."""
    sent_at: int | None = None
    retry_of: JobId | None = None
    request_id: str | None = None
    """The request that brought it: it stands in every line of the log about the job, whichever task writes it."""
    owner: str | None = None
    lease_until: int | None = None
    started_at: int | None = None
    deferred_since: int | None = None
    """Since when it has been put off, through no fault of its own, time and again."""
    use: ModelUse = field(default_factory=ModelUse)
    """What all its finished tries have used; a try that was cut off is missing."""
    kept: Mapping[str, JSON] = field(default_factory=dict)
    """What earlier tries have paid for and the next need not ask for again; none once it has ended."""
    output: Output | None = None
    processing_milliseconds: int | None = None
    failure: Failure | None = None

    @property
    def terminal(self) -> bool:
        """Tell whether no change can follow."""
        return self.status.terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of a picture, in whole pixels; ``x`` and ``y`` are its left upper corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A user's day: units allowed and taken, and when it starts anew (milliseconds since the epoch)."""

    daily_limit: int
    used: int
    resets_at: int

    @property
    def remaining(self) -> int:
        """Units left today, never below 0: a lowered limit may lie under what is used."""
        return max(0, self.daily_limit - self.used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request, as a verified token says. ``expires_at`` is in seconds since the epoch; 0 for whoever has no token."""

    user_id: UserId
    expires_at: int
    signed_in_at: int = 0
    email: str | None = None
    name: str | None = None
    picture: str | None = None
    provider: str = "Cognito"
    groups: tuple[str, ...] = ()

    @property
    def since(self) -> int:
        """When they were last known to be this user, in milliseconds since the epoch: whoever has no token is so by calling."""
        return clock.now_milliseconds() if is_anonymous(self.user_id) else self.signed_in_at * 1000
