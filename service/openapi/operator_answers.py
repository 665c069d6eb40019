"""The shapes of what operators are answered, field by field, for its description."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

# pydantic refuses that of `typing` before Python 3.12.
from typing_extensions import TypedDict

from service.openapi.answers import Part
from websocket.wire import Count, Time

Figure = Annotated[float | None, Field(description="Null where nobody knows.")]


class Task(TypedDict):
    """The task that answers."""

    name: str
    version: str
    startedAt: Time
    state: str
    embedded: bool


class Now(TypedDict):
    """The figures of this moment; ``bounds`` says where a percentile truly lies."""

    at: Time
    figures: dict[str, Figure]
    bounds: dict[str, list[Figure]]
    counts: dict[str, Count]
    queues: dict[str, dict[str, Figure]]
    gates: dict[str, dict[str, float | str | None]]
    degraded: list[Part]


class History(TypedDict):
    """The last hour in columns; moments are milliseconds since the epoch."""

    everySeconds: float
    at: list[int]
    figures: dict[str, list[Figure]]


class OperatorView(TypedDict):
    """What an operator sees."""

    task: Task
    now: Now
    history: History


class Draining(TypedDict):
    """The task leaves."""

    task: str
    state: Literal["draining"]


class Letters(TypedDict):
    """What became of dead letters."""

    broughtBack: Count
    sentAgain: Count
    over: Count
    notOurs: Count
    notMoved: Count


class Redriven(TypedDict):
    """What was done, or would be; not ``complete``, there are more."""

    letters: Letters
    dryRun: bool
    complete: bool


class KnownUser(TypedDict):
    """A user; a ``dailyLimit`` of null is the usual one."""

    userId: str
    email: str
    displayName: str
    provider: str
    createdAt: str
    lastLoginAt: str
    totalImages: Count
    dailyLimit: Count | None
    usualDailyLimit: Count
    usedToday: Count
    remainingQuota: Count
    quotaResetsAt: Time
    blocked: bool
