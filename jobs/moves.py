"""How a job moves: pure functions from the job as it is to the job as it will be and all that must be written with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from jobs.errors import JobEnded, LostClaim, MessageLost, WorkerLost
from jobs.events import EventType
from jobs.model import JSON, Charge, Failure, Job, ModelUse, Output, Status

MAX_CRASHES: Final = 3
"""A job whose worker has vanished so often ends: something in it may be what kills them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One move, written whole or not at all.

    ``taken_delta`` and ``charged_delta`` change the day's usage; ``pictures_delta``, ``unfinished_delta`` and
    ``in_flight_delta`` the user's row. ``event`` is absent only where nothing visible changes. ``lease_unchanged``: the write
    also fails when somebody renewed the lease meanwhile. ``most_in_flight``: it also fails when the user has so many already.
    """

    before: Job
    after: Job
    event: EventType | None = None
    taken_delta: int = 0
    charged_delta: int = 0
    pictures_delta: int = 0
    unfinished_delta: int = 0
    in_flight_delta: int = 0
    most_in_flight: int | None = None
    lease_unchanged: bool = False


Move: TypeAlias = Callable[[Job], Transition]


def queued(now: int) -> Move:
    """SQS has accepted the message: charge the unit; the status moves unless a worker was faster."""

    def move(job: Job) -> Transition:
        if job.charge is not Charge.TAKEN:
            raise LostClaim
        after = replace(job, charge=Charge.CHARGED)
        if job.status is not Status.PENDING:
            return Transition(before=job, after=after, charged_delta=job.units)
        after = replace(after, status=Status.QUEUED, version=job.version + 1, updated_at=now)
        return Transition(before=job, after=after, event=EventType.QUEUED, charged_delta=job.units)

    return move


def claimed(owner: str, lease_until: int, now: int) -> Move:
    """A worker takes the job unless it is over or somebody's lease still runs. ``owner`` names this one claim.

    A job that has taken too many workers with it fails instead: the caller must look whether what it got is ``terminal``.
    """

    def move(job: Job) -> Transition:
        if job.terminal:
            raise JobEnded
        if job.owner == owner:
            # Our claim has landed and its answer was lost: only its event is told once more.
            return Transition(before=job, after=job, event=EventType.PROCESSING)
        if job.lease_until is not None and job.lease_until > now:
            raise LostClaim
        # A worker that gave the job up said so; one that still stands in it has vanished.
        crashes = job.crashes + (job.status is Status.PROCESSING)
        if crashes >= MAX_CRASHES:
            return _worker_lost(job, now)
        after = replace(
            job,
            status=Status.PROCESSING,
            version=job.version + 1,
            attempt=job.attempt + 1,
            updated_at=now,
            started_at=now,
            owner=owner,
            lease_until=lease_until,
            crashes=crashes,
        )
        return Transition(before=job, after=after, event=EventType.PROCESSING, lease_unchanged=True)

    return move


def completed(owner: str, output: Output, now: int) -> Move:
    """The worker that holds the job has stored its result."""

    def move(job: Job) -> Transition:
        _check_owner(job, owner)
        after = replace(
            _ended(job, Status.COMPLETED, now),
            output=output,
            processing_milliseconds=max(0, now - (job.started_at or now)),
        )
        return _charging(_ending(job, after, EventType.COMPLETED, pictures_delta=output.pictures))

    return move


def failed(failure: Failure, now: int, *, owner: str | None, keeps_charge: bool) -> Move:
    """The job ends without a result; its unit is given back unless the charge is kept. ``owner`` None: nobody holds it."""

    def move(job: Job) -> Transition:
        _check_owner(job, owner)
        after = replace(_ended(job, Status.FAILED, now), failure=failure)
        transition = _ending(job, after, EventType.FAILED)
        return _charging(transition) if keeps_charge else _giving_back(transition)

    return move


def canceled_if(costs: Callable[[Job], bool], now: int) -> Move:
    """The job's owner does not want it any more; a worker that holds it is fenced off. ``costs``: whether its charge is kept."""

    def move(job: Job) -> Transition:
        if job.terminal:
            raise JobEnded
        transition = _ending(job, _ended(job, Status.CANCELED, now), EventType.CANCELED)
        return _charging(transition) if costs(job) else _giving_back(transition)

    return move


def given_back() -> Move:
    """The worker of a canceled job, which the one who canceled could not ask, says that the model was never called."""

    def move(job: Job) -> Transition:
        if job.status is not Status.CANCELED or job.charge is not Charge.CHARGED:
            raise LostClaim
        return _giving_back(Transition(before=job, after=job))

    return move


def released(owner: str, now: int) -> Move:
    """The worker gives the job up; it waits in the queue for another try."""

    def move(job: Job) -> Transition:
        _check_owner(job, owner)
        after = replace(_waiting_again(job, now), deferred_since=None)
        return Transition(before=job, after=after, event=EventType.RETRYING)

    return move


def put_off(owner: str, now: int) -> Move:
    """The worker cannot work on the job now, which is not the job's doing; it waits in the queue."""

    def move(job: Job) -> Transition:
        _check_owner(job, owner)
        after = replace(_waiting_again(job, now), deferred_since=job.deferred_since or now)
        return Transition(before=job, after=after, event=EventType.RETRYING)

    return move


def having_used(use: ModelUse, kept: Mapping[str, JSON], move: Move) -> Move:
    """Make this move, and add to the job what the models have answered for it; what is kept of that, unless it ends."""

    def move_and_add(job: Job) -> Transition:
        transition = move(job)
        after = replace(transition.after, use=job.use + use)
        return replace(transition, after=after if after.terminal else replace(after, kept={**job.kept, **kept}))

    return move_and_add


def taken_from_the_dead(now: int, *, patience_milliseconds: int) -> Move:
    """A job whose lease ran out so long ago that nobody will bring it back waits in the queue again, one crash older.

    With its last crash it fails instead.
    """

    def move(job: Job) -> Transition:
        if job.terminal:
            raise JobEnded
        if job.status is not Status.PROCESSING or (job.lease_until or 0) + patience_milliseconds > now:
            raise LostClaim
        if job.crashes + 1 >= MAX_CRASHES:
            return _worker_lost(job, now)
        after = replace(_waiting_again(job, now), crashes=job.crashes + 1, sent_at=now)
        return Transition(before=job, after=after, event=EventType.RETRYING, lease_unchanged=True)

    return move


def expired(now: int) -> Move:
    """A queued job whose message is gone fails."""

    def move(job: Job) -> Transition:
        if job.terminal:
            raise JobEnded
        if job.status is not Status.QUEUED:
            raise LostClaim
        return _lost(job, Failure.of(MessageLost(), retryable=True), now)

    return move


def sent_again(now: int) -> Move:
    """Its message was put into the queue once more; nothing visible changes."""

    def move(job: Job) -> Transition:
        if job.terminal:
            raise JobEnded
        return Transition(before=job, after=replace(job, sent_at=now))

    return move


def admitted(most_in_flight: int) -> Move:
    """A stored job may be sent now, unless its owner has as many in flight as one user may."""

    def move(job: Job) -> Transition:
        if job.terminal:
            raise JobEnded
        if not job.waiting:
            raise LostClaim
        after = replace(job, waiting=False)
        return Transition(before=job, after=after, in_flight_delta=1, most_in_flight=most_in_flight)

    return move


def brought_back(now: int) -> Move:
    """An operator returns a failed job to the queue: the one exception to "terminal is final". What was given back is charged."""

    def move(job: Job) -> Transition:
        if job.status is not Status.FAILED:
            raise LostClaim
        after = replace(
            _waiting_again(job, now),
            failure=None,
            attempt=0,
            crashes=0,
            deferred_since=None,
            waiting=False,
            sent_at=now,
            charge=Charge.CHARGED,
        )
        again = job.units if job.charge is Charge.RETURNED else 0
        return Transition(
            before=job,
            after=after,
            event=EventType.QUEUED,
            taken_delta=again,
            charged_delta=again,
            unfinished_delta=1,
            in_flight_delta=1,
        )

    return move


def _worker_lost(job: Job, now: int) -> Transition:
    transition = _lost(job, Failure.of(WorkerLost(), retryable=True), now)
    return replace(transition, after=replace(transition.after, crashes=job.crashes + 1))


def _lost(job: Job, failure: Failure, now: int) -> Transition:
    after = replace(_ended(job, Status.FAILED, now), failure=failure)
    return _giving_back(replace(_ending(job, after, EventType.FAILED), lease_unchanged=True))


def _waiting_again(job: Job, now: int) -> Job:
    return replace(
        job,
        status=Status.QUEUED,
        version=job.version + 1,
        updated_at=now,
        owner=None,
        lease_until=None,
        started_at=None,
    )


def _ending(job: Job, after: Job, event: EventType, *, pictures_delta: int = 0) -> Transition:
    """Take the job out of its owner's unfinished ones."""
    return Transition(
        before=job,
        after=after,
        event=event,
        pictures_delta=pictures_delta,
        unfinished_delta=-1,
        in_flight_delta=0 if job.waiting else -1,
    )


def _check_owner(job: Job, owner: str | None) -> None:
    if job.terminal:
        raise JobEnded
    if job.owner != owner:
        raise LostClaim


def _ended(job: Job, status: Status, now: int) -> Job:
    return replace(job, status=status, version=job.version + 1, updated_at=now, owner=None, lease_until=None, kept={})


def _charging(transition: Transition) -> Transition:
    """Charge a unit that is only taken yet: whoever submitted the job was slower than the work, or is gone."""
    if transition.before.charge is not Charge.TAKEN:
        return transition
    charged = replace(transition.after, charge=Charge.CHARGED)
    return replace(transition, after=charged, charged_delta=transition.before.units)


def _giving_back(transition: Transition) -> Transition:
    charge, units = transition.before.charge, transition.before.units
    if charge is Charge.RETURNED:
        return transition
    return replace(
        transition,
        after=replace(transition.after, charge=Charge.RETURNED),
        taken_delta=-units,
        charged_delta=-units if charge is Charge.CHARGED else 0,
    )
