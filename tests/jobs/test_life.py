"""The life of jobs in any order: whatever happens, every count says what the jobs say, and each job ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs import clock, moves
from jobs.aws import AWSConfig, Clients, open_clients
from jobs.control import Control
from jobs.errors import JobNotFound, LostClaim, QuotaExceeded, TooManyJobs
from jobs.events import JobProgress, Stage
from jobs.ids import UserId
from jobs.job_table import Limits, Tables
from jobs.model import Charge, Job, Status
from jobs.submission import Submitted
from jobs.sweeper import SweepTimes
from tests.aws_faults import AnswersLost
from tests.jobs.books import Books
from tests.jobs.ground import open_ground, request_of
from tests.jobs.story import FAILURE, claim, new_job, output_of

T = TypeVar("T")

LIMITS = Limits(daily=7, unfinished=5, in_flight=2)
AT_ONCE = SweepTimes(unsent=0, lease=0, unclaimed=0)
HOUR = 3_600_000
BACK = some.integers(0, 12)
"""How far back a job was seen that somebody acts on."""
STAGE = some.sampled_from([None, None, Stage.DOWNLOADING, Stage.GENERATING])
"""How far the process that is asked to cancel a job knows it to be."""
# The same lives in each run, unless one searches for new ones.
IS_SEARCH = settings.get_current_profile_name() == "search"
LIVES = settings(
    settings() if IS_SEARCH else settings(derandomize=True, max_examples=25),
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    database=None,
    phases=[Phase.generate],  # to make a failure smaller takes minutes on real tables
    suppress_health_check=list(HealthCheck),
)


def is_unsent(job: Job) -> bool:
    """Tell whether the job is stored and its message is still to be sent."""
    return job.status is Status.PENDING and not job.waiting


def is_waiting(job: Job) -> bool:
    """Tell whether the job waits for its owner's other jobs."""
    return job.waiting


def is_held(job: Job) -> bool:
    """Tell whether a worker has the job."""
    return job.owner is not None


def is_ended(job: Job) -> bool:
    """Tell whether the job is over."""
    return job.terminal


def has_failed(job: Job) -> bool:
    """Tell whether the job is over, and an operator may bring it back."""
    return job.status is Status.FAILED


class JobLife(RuleBasedStateMachine):
    """Jobs of one user, on the real tables. Rules act on jobs as they were seen at some time: many a write meets a newer one."""

    def __init__(
        self, runner: asyncio.Runner, clients: Clients, environment: Mapping[str, str], tables: Tables
    ) -> None:
        super().__init__()
        self.runner = runner
        self.answers = AnswersLost(clients.dynamodb, 0)
        self.ground = self.run(open_ground(clients, tables, environment)).on(self.answers)
        self.user = UserId(f"owner of {self.ground.tables.jobs}")
        self.submission = self.ground.submission(LIMITS)
        self.control = Control(self.ground.table, self.ground.files, self.submission, self.ground.bus)
        self.books = Books(ground=self.ground, user=self.user, limits=LIMITS)
        self.claims = 0

    def see(self, job: Job) -> Job:
        """Remember the job as it is now."""
        self.books.seen.append(job)
        return job

    def which(self, is_wanted: Callable[[Job], bool]) -> list[Job]:
        """Find what was seen, the newest last."""
        return [job for job in self.books.seen if is_wanted(job)]

    def pick(self, is_wanted: Callable[[Job], bool], back: int) -> Job:
        """Choose a job as it was seen so long ago."""
        found = self.which(is_wanted)
        return found[-1 - back % len(found)]

    def is_sent(self, job: Job) -> bool:
        """Tell whether a worker may receive the job's message."""
        return job.job_id in self.books.sent and not job.terminal

    def run(self, happening: Coroutine[Any, Any, T]) -> T:
        """Let something happen."""
        return self.runner.run(happening)

    # Taking in

    @initialize()
    def fill(self) -> None:
        """Begin with two jobs in flight, one of them in a worker's hand, and one that waits."""
        for _ in range(3):
            self.submit()
        self._claim(self.books.seen[0], HOUR)

    @rule()
    def submit(self) -> None:
        """A request comes."""
        self._take_in(self.submission.submit(request_of(self.user)))

    @rule()
    def die_before_sending(self) -> None:
        """A job is stored, and its submitter is gone."""
        self._take_in(self.ground.table.create(new_job(self.user), LIMITS))

    @precondition(lambda self: self.which(is_unsent))
    @rule(back=BACK)
    def send_late(self, back: int) -> None:
        """The submitter was slow."""
        self.run(self.submission.send_again(self.pick(is_unsent, back)))

    @rule()
    def admit(self) -> None:
        """A job has ended somewhere."""
        self.run(self.submission.admit(self.user))

    @precondition(lambda self: self.which(is_waiting))
    @rule(back=BACK)
    def admit_as_seen(self, back: int) -> None:
        """Another process admits the job, or comes too late for it."""
        with suppress(LostClaim):
            move = moves.admitted(LIMITS.in_flight)
            self.run(self.submission.send_again(self._write(self.pick(is_waiting, back), move)))

    # Working

    @precondition(lambda self: self.which(self.is_sent))
    @rule(back=BACK, workers=some.integers(1, 2), lease=some.sampled_from([HOUR, HOUR, -HOUR]))
    def take(self, back: int, workers: int, lease: int) -> None:
        """Workers receive the job's message, and all have read the job before one writes; or it vanishes at once."""
        job, holders = self.pick(self.is_sent, back), 0
        for _ in range(workers):
            with suppress(LostClaim):
                self._claim(job, lease)
                holders += 1
        assert holders <= 1 or lease < 0

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK)
    def complete(self, back: int) -> None:
        """Its worker has a result."""
        job = self.pick(is_held, back)
        self._write_as_owner(job, moves.completed(job.owner or "", output_of(job), clock.now_milliseconds()))

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK, keeps_charge=some.booleans(), redrives=some.integers(0, 2))
    def fail(self, back: int, keeps_charge: bool, redrives: int) -> None:
        """Its worker gives it up for good; operators may bring it back at once, and more than one of them."""
        job, now = self.pick(is_held, back), clock.now_milliseconds()
        failed = self._write_as_owner(job, moves.failed(FAILURE, now, owner=job.owner, keeps_charge=keeps_charge))
        if failed is not None:
            self.books.newest[job.job_id] = failed
            for _ in range(redrives):
                self._bring_back(failed)

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK)
    def hand_back(self, back: int) -> None:
        """Its worker gives it up for now."""
        job = self.pick(is_held, back)
        self._write_as_owner(job, moves.released(job.owner or "", clock.now_milliseconds()))

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK)
    def put_off(self, back: int) -> None:
        """Its worker cannot work on it now."""
        job = self.pick(is_held, back)
        self._write_as_owner(job, moves.put_off(job.owner or "", clock.now_milliseconds()))

    # Mending

    @precondition(lambda self: self.which(has_failed))
    @rule(back=BACK)
    def bring_back(self, back: int) -> None:
        """An operator returns a failed job to the queue, whatever limits its owner has."""
        self._bring_back(self.pick(has_failed, back))

    def _bring_back(self, job: Job) -> None:
        is_failed = has_failed(self.books.newest[job.job_id]) and job.job_id not in self.books.gone
        if self._write_after_the_end(job, moves.brought_back(clock.now_milliseconds()), expected=is_failed):
            self.books.brought_back += 1
            self.run(self.ground.queue.send(job))

    @rule()
    def sweep(self) -> None:
        """Everything that looks left behind is mended."""
        self.run(self._sweep())

    async def _sweep(self) -> None:
        await self.ground.sweeper(AT_ONCE, LIMITS).sweep()

    @rule()
    def lose_the_next_answer(self) -> None:
        """The next write lands, and its writer is not told."""
        if self.answers._count == 0:
            self.answers._count = 1
            self.books.answers_lost += 1

    # The owner's wishes

    @rule(back=BACK, stage=STAGE)
    def cancel(self, back: int, stage: Stage | None) -> None:
        """The owner does not want it any more: the charge is kept where the model may be at work, and no end is changed."""
        self._cancel(self.pick(bool, back), stage)

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK, stage=STAGE, times=some.integers(0, 2))
    def cancel_at_work(self, back: int, stage: Stage | None, times: int) -> None:
        """As above, for a job in a worker's hand; the worker, which has not called the model, may say so, and more than once."""
        job = self._cancel(self.pick(is_held, back), stage)
        for _ in range(times):
            if job is None:
                return
            now = self.books.newest[job.job_id]
            is_charged = now.status is Status.CANCELED and now.charge is Charge.CHARGED
            self._write_after_the_end(job, moves.given_back(), expected=is_charged)

    def _cancel(self, job: Job, stage: Stage | None) -> Job | None:
        if stage is not None:
            now = clock.now_milliseconds()
            self.ground.bus.publish(JobProgress(job=job, at=now, stage=stage, fraction=0, message=""))
        try:
            canceled = self.see(self.run(self.control.cancel(job)).job)
        except JobNotFound:
            assert job.job_id in self.books.gone
            return None
        before = self.books.newest[job.job_id]
        # What it costs is decided by the job as it is now: who saw it failed also cancels one brought back since.
        assert canceled.charge is self._charge_of_a_cancel(before, stage)
        self.books.newest[job.job_id] = canceled
        return canceled

    def _charge_of_a_cancel(self, job: Job, stage: Stage | None) -> Charge:
        if job.terminal:
            return job.charge
        is_held = job.status is Status.PROCESSING and (job.lease_until or 0) > clock.now_milliseconds()
        return Charge.CHARGED if is_held and stage is not Stage.DOWNLOADING else Charge.RETURNED

    @precondition(lambda self: self.which(is_ended))
    @rule(back=BACK)
    def retry(self, back: int) -> None:
        """The owner wants it once more."""
        self._take_in(self.control.retry(replace(self.pick(is_ended, back), input_url=None)))

    @rule(back=BACK)
    def delete(self, back: int) -> None:
        """The owner wants it gone; an earlier wish may have been fulfilled."""
        with suppress(JobNotFound):
            self.run(self.control.delete(replace(self.pick(bool, back), output=None)))

    # What always holds

    @invariant()
    def everything_adds_up(self) -> None:
        """Look at all there is."""
        self.run(self.books.check())

    def _take_in(self, submitting: Coroutine[Any, Any, Submitted | Job]) -> None:
        """Take a job in, or check that its refusal is right."""
        try:
            result = self.run(submitting)
        except QuotaExceeded:
            assert self.run(self.ground.usage(self.user))[0] >= LIMITS.daily
        except TooManyJobs:
            assert self.run(self.ground.counts(self.user)).unfinished >= LIMITS.unfinished
        else:
            job = self.see(result if isinstance(result, Job) else result.job)
            assert job.waiting or not self._waiting(), "a newer job has overtaken one that waits"

    def _waiting(self) -> list[Job]:
        page = self.run(self.ground.table.page(self.user, limit=100, status=None, cursor=None))
        return [job for job in page.jobs if job.waiting and not job.terminal]

    def _claim(self, job: Job, lease: int) -> None:
        self.claims += 1
        self.see(self.run(claim(self.ground.table, job, f"worker {self.claims}", lease)))
        self.books.owners[job.job_id] = f"worker {self.claims}"

    def _write(self, job: Job, move: moves.Move) -> Job:
        return self.see(self.run(self.ground.table.apply(job, move)))

    def _write_as_owner(self, job: Job, move: moves.Move) -> Job | None:
        """Write as the worker that held the job when it was seen; only the one that holds it now may."""
        now = self.books.newest[job.job_id]
        is_ours = now.status is Status.PROCESSING and job.owner == now.owner
        try:
            written = self._write(job, move)
        except LostClaim:
            assert not is_ours
            return None
        assert is_ours
        return written

    def _write_after_the_end(self, job: Job, move: moves.Move, *, expected: bool) -> bool:
        """Make one of the two moves that a job may make after its end; returns whether it was made, as it must be if expected."""
        try:
            self.books.newest[job.job_id] = self._write(job, move)
        except LostClaim:
            assert not expected
            return False
        assert expected
        return True


@pytest.mark.timeout(5 * LIVES.max_examples)
def test_whatever_happens_everything_adds_up(cloud_environment: Mapping[str, str], tables: Tables) -> None:
    """Submit, send, claim, deliver twice, crash, put off, fail, complete, cancel, sweep, retry, redrive and delete."""
    config = AWSConfig(
        region=cloud_environment["AWS_REGION"],
        endpoint_url=cloud_environment["AWS_ENDPOINT_URL"],
        access_key_id=cloud_environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=cloud_environment["AWS_SECRET_ACCESS_KEY"],
    )
    with asyncio.Runner() as runner:
        opening = open_clients(config)
        clients = runner.run(opening.__aenter__())

        class Here(JobLife):
            def __init__(self) -> None:
                super().__init__(runner, clients, cloud_environment, tables)

        try:
            run_state_machine_as_test(Here, settings=LIVES)
        finally:
            runner.run(opening.__aexit__(None, None, None))
