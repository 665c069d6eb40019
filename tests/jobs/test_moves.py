"""The pure moves of a job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs import moves
from jobs.errors import JobEnded, LostClaim
from jobs.events import EventType
from jobs.ids import JobId, UserId
from jobs.model import Charge, Failure, Job, ModelUse, Output, Status

PENDING = Job(
    job_id=JobId("job_1"),
    user_id=UserId("alice"),
    pipeline="profile-photo",
    status=Status.PENDING,
    version=1,
    created_at=1_000,
    updated_at=1_000,
    charge=Charge.TAKEN,
    quota_day="2026-11-20",
)
QUEUED = replace(PENDING, status=Status.QUEUED, version=2, charge=Charge.CHARGED)
HELD = replace(QUEUED, status=Status.PROCESSING, version=3, owner="me", lease_until=9_000, started_at=2_000, attempt=1)
COMPLETED = replace(HELD, status=Status.COMPLETED, version=4, owner=None, lease_until=None)
OUTPUT = Output(url="s3://results/generated/alice/job_1.png", model_name="m", generation_milliseconds=5)
FAILURE = Failure(code="invalid_image", message="No photo.", retryable=False)


def test_an_accepted_message_queues_and_charges_the_job() -> None:
    """The unit that was taken becomes a charge."""
    transition = moves.queued(2_000)(PENDING)

    assert transition.after.status == Status.QUEUED
    assert transition.after.charge == Charge.CHARGED
    assert transition.event == EventType.QUEUED
    assert (transition.taken_delta, transition.charged_delta) == (0, 1)


def test_a_job_that_a_worker_took_before_it_was_charged_is_charged_without_an_event() -> None:
    """The worker may be faster than the second transaction; nothing visible changes then."""
    early = replace(HELD, charge=Charge.TAKEN)

    transition = moves.queued(2_000)(early)

    assert replace(early, charge=Charge.CHARGED) == transition.after
    assert transition.event is None
    assert transition.charged_delta == 1


def test_a_charged_job_is_not_charged_again() -> None:
    """Charging twice is refused."""
    with pytest.raises(LostClaim):
        moves.queued(2_000)(QUEUED)


def test_a_claim_counts_the_attempt_and_holds_the_job() -> None:
    """The claim names its owner and its end."""
    after = moves.claimed("me", 9_000, 2_000)(QUEUED).after

    assert replace(HELD, updated_at=2_000) == after


def test_a_leased_job_is_not_claimed() -> None:
    """Another's lease still runs."""
    with pytest.raises(LostClaim):
        moves.claimed("you", 20_000, 8_999)(HELD)


def test_a_job_whose_lease_ran_out_is_claimed() -> None:
    """The worker that held it is gone."""
    after = moves.claimed("you", 20_000, 9_000)(HELD).after

    assert (after.owner, after.attempt) == ("you", 2)


@pytest.mark.parametrize(
    "move",
    [
        moves.claimed("me", 9_000, 2_000),
        moves.completed("me", OUTPUT, 2_000),
        moves.failed(FAILURE, 2_000, owner="me", keeps_charge=False),
        moves.released("me", 2_000),
        moves.canceled_if(lambda _: True, 2_000),
        moves.put_off("me", 2_000),
        moves.taken_from_the_dead(20_000, patience_milliseconds=0),
        moves.expired(20_000),
        moves.sent_again(2_000),
        moves.admitted(16),
    ],
)
def test_a_terminal_job_never_moves(move: moves.Move) -> None:
    """Terminal is final."""
    with pytest.raises(JobEnded):
        move(COMPLETED)


@pytest.mark.parametrize(
    "move",
    [
        moves.completed("you", OUTPUT, 2_000),
        moves.failed(FAILURE, 2_000, owner="you", keeps_charge=False),
        moves.released("you", 2_000),
        moves.put_off("you", 2_000),
    ],
)
def test_only_the_holder_moves_a_job(move: moves.Move) -> None:
    """A worker that lost its lease is fenced off."""
    with pytest.raises(LostClaim):
        move(HELD)


def test_a_completed_job_counts_one_picture_and_its_time() -> None:
    """Processing time runs from the claim."""
    transition = moves.completed("me", OUTPUT, 4_500)(HELD)

    assert (
        transition.after.status,
        transition.after.version,
        transition.after.processing_milliseconds,
    ) == (Status.COMPLETED, 4, 2_500)
    assert transition.pictures_delta == 1
    assert (transition.taken_delta, transition.charged_delta) == (0, 0)


@pytest.mark.parametrize(("charge", "charged_delta"), [(Charge.TAKEN, 0), (Charge.CHARGED, -1)])
def test_a_failure_gives_back_exactly_what_was_taken(charge: Charge, charged_delta: int) -> None:
    """A job that fails before it was charged gives back the unit alone."""
    transition = moves.failed(FAILURE, 3_000, owner="me", keeps_charge=False)(replace(HELD, charge=charge))

    assert transition.after.charge == Charge.RETURNED
    assert (-1, charged_delta) == (transition.taken_delta, transition.charged_delta)


def test_rejected_content_keeps_its_charge() -> None:
    """The model worked on it."""
    transition = moves.failed(FAILURE, 3_000, owner="me", keeps_charge=True)(HELD)

    assert transition.after.charge == Charge.CHARGED
    assert (transition.taken_delta, transition.charged_delta) == (0, 0)


@pytest.mark.parametrize(
    ("job", "crashes"),
    [
        (PENDING, 0),
        (QUEUED, 0),
        (replace(HELD, lease_until=1), 1),
        (replace(HELD, lease_until=1, crashes=1), 2),
        (replace(HELD, lease_until=1, crashes=2), 3),
        (replace(QUEUED, crashes=1), 1),
    ],
)
def test_a_claim_counts_the_worker_that_vanished_before_it(job: Job, crashes: int) -> None:
    """A worker that gave the job up said so; one that still stands in it has vanished."""
    assert crashes == moves.claimed("you", 9_000, 2_000)(job).after.crashes


def test_a_claim_that_is_told_again_changes_nothing() -> None:
    """Its first attempt landed, and its answer was lost."""
    transition = moves.claimed("me", 20_000, 3_000)(HELD)

    assert (HELD, EventType.PROCESSING) == (transition.after, transition.event)


@pytest.mark.parametrize(
    ("job", "costs", "charge", "taken_delta", "charged_delta"),
    [
        (PENDING, False, Charge.RETURNED, -1, 0),
        (QUEUED, False, Charge.RETURNED, -1, -1),
        (HELD, False, Charge.RETURNED, -1, -1),
        (HELD, True, Charge.CHARGED, 0, 0),
        (replace(HELD, charge=Charge.TAKEN), True, Charge.CHARGED, 0, 1),
        (replace(HELD, charge=Charge.TAKEN), False, Charge.RETURNED, -1, 0),
    ],
)
def test_a_cancel_keeps_or_gives_back_exactly_one_unit(
    job: Job, *, costs: bool, charge: Charge, taken_delta: int, charged_delta: int
) -> None:
    """Whatever had become of the unit by then."""
    transition = moves.canceled_if(lambda _: costs, 3_000)(job)

    assert (Status.CANCELED, charge) == (transition.after.status, transition.after.charge)
    assert (taken_delta, charged_delta) == (transition.taken_delta, transition.charged_delta)


def test_a_cancel_asks_what_it_costs_about_the_job_as_it_is() -> None:
    """It may be made again after the job has changed."""
    move = moves.canceled_if(lambda job: job.status is Status.PROCESSING, 3_000)

    assert [Charge.RETURNED, Charge.CHARGED] == [move(job).after.charge for job in (QUEUED, HELD)]


def test_the_worker_of_a_canceled_job_is_fenced_off() -> None:
    """Nobody holds it any more."""
    after = moves.canceled_if(lambda _: True, 3_000)(HELD).after

    assert (None, None) == (after.owner, after.lease_until)


@pytest.mark.parametrize(
    "end",
    [
        moves.canceled_if(lambda _: True, 3_000),
        moves.failed(FAILURE, 3_000, owner=None, keeps_charge=False),
    ],
)
@pytest.mark.parametrize(("waiting", "in_flight_delta"), [(False, -1), (True, 0)])
def test_an_end_takes_the_job_out_of_its_users_counts(end: moves.Move, *, waiting: bool, in_flight_delta: int) -> None:
    """A waiting job was never in flight."""
    job = replace(PENDING if waiting else QUEUED, waiting=waiting)
    transition = end(job)

    assert (-1, in_flight_delta, 0) == (
        transition.unfinished_delta,
        transition.in_flight_delta,
        transition.pictures_delta,
    )


@pytest.mark.parametrize(
    "move",
    [
        moves.queued(3_000),
        moves.released("me", 3_000),
        moves.claimed("you", 20_000, 9_500),
        moves.taken_from_the_dead(9_500, patience_milliseconds=500),
        moves.sent_again(3_000),
    ],
)
def test_a_job_that_goes_on_stays_in_its_users_counts(move: moves.Move) -> None:
    """Handed back, taken over, brought back or sent again, it is as unfinished as before."""
    transition = move(replace(HELD, charge=Charge.TAKEN))

    assert (0, 0, 0) == (transition.unfinished_delta, transition.in_flight_delta, transition.pictures_delta)


def test_a_job_is_taken_from_the_dead_when_patience_is_over() -> None:
    """It waits again, one crash older, sent at that time."""
    move = moves.taken_from_the_dead(9_500, patience_milliseconds=500)
    transition = move(HELD)
    after = transition.after

    assert (Status.QUEUED, 1, 9_500, 4) == (after.status, after.crashes, after.sent_at, after.version)
    assert (None, None, None) == (after.owner, after.lease_until, after.started_at)
    assert (EventType.RETRYING, True) == (transition.event, transition.lease_unchanged)


@pytest.mark.parametrize("job", [PENDING, QUEUED, HELD, COMPLETED])
def test_only_a_job_whose_lease_is_long_over_is_taken_from_the_dead(job: Job) -> None:
    """The queue has its own time to bring it back; and a job without a worker has no dead one."""
    with pytest.raises(LostClaim):
        moves.taken_from_the_dead(9_499, patience_milliseconds=500)(job)


@pytest.mark.parametrize(
    ("move", "job", "code"),
    [
        (moves.taken_from_the_dead(9_500, patience_milliseconds=500), replace(HELD, crashes=2), "worker_lost"),
        (moves.claimed("you", 20_000, 9_500), replace(HELD, crashes=2), "worker_lost"),
        (moves.expired(9_500), QUEUED, "message_lost"),
    ],
)
def test_a_lost_job_gives_its_unit_back_and_says_why(move: moves.Move, job: Job, code: str) -> None:
    """It failed, and not by its owner's doing."""
    transition = move(job)
    failure = transition.after.failure

    assert (Status.FAILED, Charge.RETURNED) == (transition.after.status, transition.after.charge)
    assert failure is not None
    assert (code, True) == (failure.code, failure.retryable)
    assert (-1, -1) == (transition.taken_delta, transition.charged_delta)
    assert transition.lease_unchanged


@pytest.mark.parametrize("job", [PENDING, HELD])
def test_only_a_queued_job_expires(job: Job) -> None:
    """The others have no message to lose."""
    with pytest.raises(LostClaim):
        moves.expired(9_500)(job)


def test_being_put_off_is_counted_from_its_first_time() -> None:
    """Until a try of the job itself goes wrong."""
    once = moves.put_off("me", 3_000)(HELD).after
    twice = moves.put_off("me", 9_000)(replace(HELD, deferred_since=once.deferred_since)).after
    tried = moves.released("me", 10_000)(replace(HELD, deferred_since=twice.deferred_since)).after

    assert [3_000, 3_000, None] == [job.deferred_since for job in (once, twice, tried)]


def test_what_the_models_answered_is_added_to_the_job() -> None:
    """Whatever became of the try."""
    first = ModelUse(calls=1, tokens={"prompt": 10, "thoughts": 1})
    again = ModelUse(calls=2, pictures=1, tokens={"prompt": 5, "output": 7})
    retried = moves.having_used(first, {"reading": 1}, moves.released("me", 3_000))(HELD).after
    held_again = replace(HELD, use=retried.use, kept=retried.kept)
    after = moves.having_used(again, {}, moves.completed("me", OUTPUT, 4_000))(held_again).after

    assert ModelUse(calls=3, pictures=1, tokens={"output": 7, "prompt": 15, "thoughts": 1}) == after.use


def test_what_is_kept_for_the_next_try_goes_with_the_end() -> None:
    """Each try adds to what the ones before have paid for."""
    once = moves.having_used(ModelUse(), {"vehicles": 1}, moves.put_off("me", 3_000))(HELD).after
    twice = moves.having_used(ModelUse(), {"plate": 2}, moves.released("me", 4_000))(
        replace(HELD, kept=once.kept)
    ).after
    ended = moves.having_used(ModelUse(), {"more": 3}, moves.completed("me", OUTPUT, 5_000))(
        replace(HELD, kept=twice.kept)
    ).after

    assert {"vehicles": 1, "plate": 2} == twice.kept
    assert {} == ended.kept


def test_a_second_message_changes_nothing_visible() -> None:
    """Only when it was sent is noted."""
    transition = moves.sent_again(3_000)(QUEUED)

    assert (replace(QUEUED, sent_at=3_000), None) == (transition.after, transition.event)


def test_a_waiting_job_is_admitted_while_there_is_room() -> None:
    """The write itself counts, so that two at once cannot both take the last place."""
    transition = moves.admitted(16)(replace(PENDING, waiting=True))

    assert (PENDING, None) == (transition.after, transition.event)
    assert (1, 16, 0) == (transition.in_flight_delta, transition.most_in_flight, transition.unfinished_delta)


def test_only_a_waiting_job_is_admitted() -> None:
    """Another process was faster, or its owner."""
    with pytest.raises(LostClaim):
        moves.admitted(16)(PENDING)
    with pytest.raises(JobEnded):
        moves.admitted(16)(replace(COMPLETED, waiting=True))


@pytest.mark.parametrize(("charge", "delta"), [(Charge.RETURNED, 1), (Charge.CHARGED, 0)])
def test_a_failed_job_that_is_brought_back_is_charged_once(charge: Charge, delta: int) -> None:
    """Only what had been given back is taken again."""
    failed = replace(COMPLETED, status=Status.FAILED, charge=charge, failure=FAILURE, attempt=3, crashes=2)
    transition = moves.brought_back(9_000)(failed)
    after = transition.after

    assert (Status.QUEUED, Charge.CHARGED, None) == (after.status, after.charge, after.failure)
    assert (0, 0, 9_000, 5) == (after.attempt, after.crashes, after.sent_at, after.version)
    assert (delta, delta) == (transition.taken_delta, transition.charged_delta)
    assert (1, 1) == (transition.unfinished_delta, transition.in_flight_delta)


@pytest.mark.parametrize("job", [PENDING, QUEUED, HELD, COMPLETED, replace(COMPLETED, status=Status.CANCELED)])
def test_only_a_failed_job_is_brought_back(job: Job) -> None:
    """Everything else is under way, or final."""
    with pytest.raises(LostClaim):
        moves.brought_back(9_000)(job)


def test_a_job_that_is_brought_back_has_a_whole_day_to_be_put_off_again() -> None:
    """It may have failed because it had been put off for a day: at once it would fail again."""
    failed = replace(COMPLETED, status=Status.FAILED, failure=FAILURE, deferred_since=1_000)

    assert moves.brought_back(9_000)(failed).after.deferred_since is None


def test_a_canceled_job_that_never_called_the_model_gets_its_unit_back() -> None:
    """Nothing else is written: terminal stays terminal, so there is no version and no event to tell it by."""
    canceled = replace(COMPLETED, status=Status.CANCELED)
    expected = moves.Transition(
        before=canceled, after=replace(canceled, charge=Charge.RETURNED), taken_delta=-1, charged_delta=-1
    )

    assert expected == moves.given_back()(canceled)


@pytest.mark.parametrize(
    "job",
    [
        PENDING,
        QUEUED,
        HELD,
        COMPLETED,
        replace(COMPLETED, status=Status.FAILED),
        replace(COMPLETED, status=Status.CANCELED, charge=Charge.RETURNED),
    ],
    ids=lambda job: f"{job.status}-{job.charge}",
)
def test_only_a_canceled_job_that_was_charged_is_given_back(job: Job) -> None:
    """And only once."""
    with pytest.raises(LostClaim):
        moves.given_back()(job)
