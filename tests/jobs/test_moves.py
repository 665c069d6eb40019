"""The pure moves of a job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs import moves
from jobs.errors import JobEnded, LostClaim
from jobs.events import EventType
from jobs.ids import JobId, UserId
from jobs.model import Charge, Failure, Job, Output, Status

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
