"""What happens to jobs, and the bus that tells those who watch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final, Protocol, TypeAlias, cast

from jobs.ids import EventId, JobId, UserId
from jobs.model import JSON, Job

logger = logging.getLogger(__name__)


class EventType(StrEnum):
    """The visible changes of a job. ``PENDING``: it was stored to wait for its owner's other jobs."""

    PENDING = "job.pending"
    QUEUED = "job.queued"
    PROCESSING = "job.processing"
    RETRYING = "job.retrying"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    DELETED = "job.deleted"


ACCOUNT_ERASED: Final = "account.erased"
"""What the bus alone tells of a user, and no log: whoever acts for this user has nothing left here."""
_TYPES: Final = frozenset(EventType)


def read_type(name: str) -> EventType:
    """Read a type; the name of one that only newer tasks know stays as it is, for clients ignore what they do not know.

    Left out, a recovery would not be complete; and what is neither made nor compared here is told by its value alone.
    """
    return EventType(name) if name in _TYPES else cast(EventType, name)


class Stage(StrEnum):
    """How far a running job is, in order."""

    DOWNLOADING = "downloading"
    PREPARING = "preparing"
    GENERATING = "generating"
    STORING = "storing"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """A durable record of one visible change: ``job`` as it was right after it. ``at`` is milliseconds since the epoch."""

    event_id: EventId
    type: EventType
    at: int
    job: Job

    @property
    def user_id(self) -> UserId:
        """Whose it is."""
        return self.job.user_id

    @property
    def about(self) -> str:
        """What it is about: of the events about one thing, the last tells all."""
        return self.job.job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """A durable record of something that has happened to a user and is no change of a job; ``data`` says what.

    ``about`` names the thing: of the events about one thing, the last tells all.
    """

    event_id: EventId
    user_id: UserId
    type: str
    at: int
    about: str
    data: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a running job is: ephemeral and complete, so the newest replaces all before. ``fraction`` is 0 … 1.

    ``partial`` is what its result has so far.
    """

    job: Job
    at: int
    stage: Stage
    fraction: float
    message: str
    partial: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def user_id(self) -> UserId:
        """Whose it is."""
        return self.job.user_id


Event: TypeAlias = JobEvent | UserEvent
Notice: TypeAlias = Event | JobProgress
Deliver: TypeAlias = Callable[[Notice], None]


class EventBus(Protocol):
    """Tells the watchers of a user what happens to that user's jobs: fast, and not for certain. What is certain is the log.

    ``is_whole`` is False while notices of other tasks may be missed.
    """

    @property
    def is_whole(self) -> bool: ...

    def subscribe(self, user_id: UserId, deliver: Deliver) -> Callable[[], None]:
        """Call ``deliver`` with each notice for the user; returns the function that ends it."""

    async def listening(self, user_id: UserId) -> None:
        """Return when what other tasks publish for this user, which somebody watches, arrives here; give up soon."""

    def on_gap(self, heal: Callable[[UserId], None]) -> None:
        """Call ``heal`` whenever notices for a user who is watched may have been missed until just now."""

    def publish(self, notice: Notice) -> None:
        """Hand the notice to every watcher of the job's owner; never waits, never raises."""

    def progress_of(self, job_id: JobId) -> JobProgress | None:
        """Return the newest progress of a job that is known here."""

    def forget_progress(self, job_id: JobId) -> None:
        """Forget how far a job was: it runs no more."""


class InProcessBus:
    """An EventBus within one process."""

    is_whole = True

    def __init__(self) -> None:
        self._watchers: dict[UserId, tuple[Deliver, ...]] = {}  # a tuple of one is a fifth of a set
        self._progress: dict[JobId, JobProgress] = {}

    async def listening(self, user_id: UserId) -> None:
        """Return at once: there are no other tasks."""

    def on_gap(self, heal: Callable[[UserId], None]) -> None:
        """Ignore it: nothing is ever missed."""

    def subscribe(self, user_id: UserId, deliver: Deliver) -> Callable[[], None]:
        """Call ``deliver`` with each notice for the user; returns the function that ends it."""
        self._watchers[user_id] = (*self._watchers.get(user_id, ()), deliver)
        return partial(self._unsubscribe, user_id, deliver)

    def publish(self, notice: Notice) -> None:
        """Hand the notice to every watcher of the job's owner."""
        self._remember_progress(notice)
        for deliver in self._watchers.get(notice.user_id, ()):
            try:
                deliver(notice)
            except Exception:
                logger.exception("A watcher failed", extra={"action": "deliver", "user_id": notice.user_id})

    def progress_of(self, job_id: JobId) -> JobProgress | None:
        """Return the newest progress of a job that runs in this process."""
        return self._progress.get(job_id)

    def forget_progress(self, job_id: JobId) -> None:
        """Forget how far a job was: it runs here no more."""
        self._progress.pop(job_id, None)

    def _unsubscribe(self, user_id: UserId, deliver: Deliver) -> None:
        left = list(self._watchers.pop(user_id, ()))
        if deliver in left:
            left.remove(deliver)
        if left:
            self._watchers[user_id] = tuple(left)

    def _remember_progress(self, notice: Notice) -> None:
        # Bounded by the jobs in hand: every event forgets, and so does every run at its end.
        if isinstance(notice, JobProgress):
            self._progress[notice.job.job_id] = notice
        elif isinstance(notice, JobEvent):
            self.forget_progress(notice.job.job_id)
