"""The life of jobs in any order: whatever happens, every count says what the jobs say, and each job ends once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

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

from jobs import clock, items, moves
from jobs.aws import AWSConfig, Clients, open_clients
from jobs.control import Control
from jobs.errors import (
    JobNotFound,
    LostClaim,
    QuotaExceeded,
    TooManyJobs,
)
from jobs.events import JobProgress, Stage
from jobs.ids import JobId, UserId
from jobs.job_table import Limits, Tables
from jobs.model import Charge, Job, Status
from jobs.submission import Submitted
from jobs.sweeper import SweepTimes
from tests.aws_faults import AnswersLost
from tests.jobs.ground import Counts, open_ground, request_of
from tests.jobs.story import FAILURE, claim, new_job, output_of

T = TypeVar("T")

LIMITS = Limits(daily=7, unfinished=5, in_flight=2)
AT_ONCE = SweepTimes(unsent=0, lease=0, unclaimed=0)
HOUR = 3_600_000
BACK = some.integers(0, 12)
"""How far back a job was seen that somebody acts on."""
SETTINGS = settings(
    max_examples=16,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
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
        self.owners: dict[JobId, str] = {}
        self.seen: list[Job] = []
        self.claims = 0
        self.answers_lost = 0
        self.sent: set[JobId] = set()
        self.newest: dict[JobId, Job] = {}

    def see(self, job: Job) -> Job:
        """Remember the job as it is now."""
        self.seen.append(job)
        return job

    def which(self, is_wanted: Callable[[Job], bool]) -> list[Job]:
        """Find what was seen, the newest last."""
        return [job for job in self.seen if is_wanted(job)]

    def pick(self, is_wanted: Callable[[Job], bool], back: int) -> Job:
        """Choose a job as it was seen so long ago."""
        found = self.which(is_wanted)
        return found[-1 - back % len(found)]

    def is_sent(self, job: Job) -> bool:
        """Tell whether a worker may receive the job's message."""
        return job.job_id in self.sent and not job.terminal

    def run(self, happening: Coroutine[Any, Any, T]) -> T:
        """Let something happen."""
        return self.runner.run(happening)

    # Taking in

    @initialize()
    def fill(self) -> None:
        """Begin with two jobs in flight and one that waits."""
        for _ in range(3):
            self.submit()

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
            self.claims += 1
            with suppress(LostClaim):
                self.see(self.run(claim(self.ground.table, job, f"worker {self.claims}", lease)))
                self.owners[job.job_id] = f"worker {self.claims}"
                holders += 1
        assert holders <= 1 or lease < 0

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK)
    def complete(self, back: int) -> None:
        """Its worker has a result."""
        job = self.pick(is_held, back)
        self._write_as_owner(job, moves.completed(job.owner or "", output_of(job), clock.now_milliseconds()))

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK, keeps_charge=some.booleans())
    def fail(self, back: int, keeps_charge: bool) -> None:
        """Its worker gives it up for good."""
        job, now = self.pick(is_held, back), clock.now_milliseconds()
        self._write_as_owner(job, moves.failed(FAILURE, now, owner=job.owner, keeps_charge=keeps_charge))

    @precondition(lambda self: self.which(is_held))
    @rule(back=BACK)
    def hand_back(self, back: int) -> None:
        """Its worker gives it up for now."""
        job = self.pick(is_held, back)
        self._write_as_owner(job, moves.released(job.owner or "", clock.now_milliseconds()))

    # Mending

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
            self.answers_lost += 1

    # The owner's wishes

    @rule(back=BACK, stage=some.sampled_from([None, Stage.DOWNLOADING, Stage.GENERATING]))
    def cancel(self, back: int, stage: Stage | None) -> None:
        """The owner does not want it any more."""
        job = self.pick(bool, back)
        if stage is not None:
            now = clock.now_milliseconds()
            self.ground.bus.publish(JobProgress(job=job, at=now, stage=stage, fraction=0, message=""))
        with suppress(JobNotFound):
            self.see(self.run(self.control.cancel(job)).job)

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
        self.run(self._check())

    async def _check(self) -> None:
        self.sent |= set(await self.ground.messages())
        page = await self.ground.table.page(self.user, limit=100, status=None, cursor=None)
        log = await self._log()
        deleted = [items.from_item(entry["job"]) for entry in log if entry["type"] == "job.deleted"]
        jobs = {job.job_id: job for job in page.jobs}
        gone = {job.job_id: job for job in deleted}
        assert not jobs.keys() & gone.keys(), "a deleted job came back"
        assert self.newest.keys() <= jobs.keys() | gone.keys(), "a job is lost"
        await self._check_counts([*jobs.values(), *gone.values()])
        self._check_log([*jobs.values(), *gone.values()], log)
        for job in jobs.values():
            self._check_job(job)
        self.newest = jobs | gone

    async def _check_counts(self, jobs: list[Job]) -> None:
        charges = Counter(job.charge for job in jobs)
        charged = charges[Charge.CHARGED]
        unfinished = [job for job in jobs if not job.terminal]
        flying = [job for job in unfinished if not job.waiting]
        pictures = sum(job.status is Status.COMPLETED for job in jobs)
        assert (charges[Charge.TAKEN] + charged, charged) == await self.ground.usage(self.user)
        assert Counts(len(unfinished), len(flying), pictures) == await self.ground.counts(self.user)
        assert charges[Charge.TAKEN] + charged <= LIMITS.daily
        assert len(unfinished) <= LIMITS.unfinished
        assert len(flying) <= LIMITS.in_flight

    def _check_log(self, jobs: list[Job], log: list[Any]) -> None:
        ends = {"job.completed", "job.failed", "job.canceled"}
        told = {(e["jobId"], e["type"], int(e["version"])) for e in log if e["type"] in ends}
        # Deleting is a visible change too: the log tells of it with the version that would have been next.
        deleted = {e["jobId"] for e in log if e["type"] == "job.deleted"}
        ended = [job for job in jobs if job.terminal]
        assert told == {(job.job_id, f"job.{job.status}", job.version - (job.job_id in deleted)) for job in ended}
        changes = Counter((e["jobId"], e["type"], int(e["version"])) for e in log if e["type"] != "job.deleted")
        assert sum(changes.values()) - len(changes) <= self.answers_lost, "an event was told twice for no reason"

    def _check_job(self, job: Job) -> None:
        before = self.newest.get(job.job_id)
        if before is not None:
            assert before.version <= job.version
            assert not before.terminal or before == job
        held_by = self.owners.get(job.job_id) if job.status is Status.PROCESSING else None
        assert held_by == job.owner
        if job.status is Status.QUEUED:
            assert job.job_id in self.sent
            assert job.charge is Charge.CHARGED or job.attempt
        if job.waiting:
            assert job.job_id not in self.sent

    async def _log(self) -> list[Any]:
        answer = await self.ground.clients.dynamodb.query(
            TableName=self.ground.tables.events,
            KeyConditionExpression="userId = :user",
            ExpressionAttributeValues={":user": self.user},
            ConsistentRead=True,
        )
        return answer["Items"]

    def _take_in(self, submitting: Coroutine[Any, Any, Submitted | Job]) -> None:
        """Take a job in, or check that its refusal is right."""
        try:
            result = self.run(submitting)
        except QuotaExceeded:
            assert self.run(self.ground.usage(self.user))[0] >= LIMITS.daily
        except TooManyJobs:
            assert self.run(self.ground.counts(self.user)).unfinished >= LIMITS.unfinished
        else:
            self.see(result if isinstance(result, Job) else result.job)

    def _write(self, job: Job, move: moves.Move) -> Job:
        return self.see(self.run(self.ground.table.apply(job, move)))

    def _write_as_owner(self, job: Job, move: moves.Move) -> None:
        """Write as the worker that held the job when it was seen; only the one that holds it now may."""
        now = self.newest[job.job_id]
        is_ours = now.status is Status.PROCESSING and job.owner == now.owner
        try:
            self._write(job, move)
        except LostClaim:
            assert not is_ours
        else:
            assert is_ours


def test_whatever_happens_everything_adds_up(cloud_environment: Mapping[str, str], tables: Tables) -> None:
    """Submit, send, claim, deliver twice, crash, fail, complete, cancel, sweep, retry and delete in any order."""
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
            run_state_machine_as_test(Here, settings=SETTINGS)
        finally:
            runner.run(opening.__aexit__(None, None, None))
