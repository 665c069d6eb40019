"""What the tables must say of one user's jobs, whatever has happened to them: counts, charges, the log, and each job itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jobs import aws, items
from jobs.ids import JobId, UserId
from jobs.job_table import Limits
from jobs.model import Charge, Job, Status
from tests.jobs import chronicle
from tests.jobs.ground import Counts, Ground


@dataclass(slots=True, kw_only=True)
class Books:
    """What is known of a user's jobs from what was done to them, to be held against what the tables say.

    ``newest`` are all jobs as they were last, of which ``gone`` are deleted, and ``seen`` everything that anybody saw of them;
    ``owners`` are the workers that claimed them last, ``sent`` the jobs whose message was in the queue. ``brought_back`` counts
    redrives, which ask for no limit, and ``answers_lost`` writes whose events may stand in the log twice.
    """

    ground: Ground
    user: UserId
    limits: Limits
    newest: dict[JobId, Job] = field(default_factory=dict)
    gone: set[JobId] = field(default_factory=set)
    seen: list[Job] = field(default_factory=list)
    owners: dict[JobId, str] = field(default_factory=dict)
    sent: set[JobId] = field(default_factory=set)
    brought_back: int = 0
    answers_lost: int = 0

    async def check(self) -> None:
        """Look at all there is; what is found becomes what is known."""
        self.sent |= set(await self.ground.messages())
        page = await self.ground.table.page(self.user, limit=100, status=None, cursor=None)
        log = await self._log()
        jobs = {job.job_id: job for job in page.jobs}
        buried = [items.from_item(entry["job"]) for entry in log if entry["type"] == "job.deleted"]
        # Whoever buries a job may have seen it before it was brought back, or before its unit was: the newest counts.
        gone = {job.job_id: job for job in sorted(buried, key=lambda job: job.version)}
        charges = {job_id: job.charge for job_id, job in self.newest.items() if job.terminal}
        gone = {job_id: replace(job, charge=charges.get(job_id, job.charge)) for job_id, job in gone.items()}
        assert not jobs.keys() & gone.keys(), "a deleted job came back"
        assert self.newest.keys() <= jobs.keys() | gone.keys(), "a job is lost"
        await self._check_counts([*jobs.values(), *gone.values()])
        self._check_log(jobs, gone, log)
        for job in jobs.values():
            self._check_job(job)
        self.newest, self.gone = jobs | gone, set(gone)

    async def _check_counts(self, jobs: list[Job]) -> None:
        charges = Counter(job.charge for job in jobs)
        charged = charges[Charge.CHARGED]
        unfinished = [job for job in jobs if not job.terminal]
        flying = [job for job in unfinished if not job.waiting]
        pictures = sum(job.status is Status.COMPLETED for job in jobs)
        assert (charges[Charge.TAKEN] + charged, charged) == await self.ground.usage(self.user)
        assert Counts(len(unfinished), len(flying), pictures) == await self.ground.counts(self.user)
        assert charges[Charge.TAKEN] + charged <= self.limits.daily + self.brought_back
        assert len(unfinished) <= self.limits.unfinished + self.brought_back
        assert len(flying) <= self.limits.in_flight + self.brought_back

    def _check_log(self, jobs: Mapping[JobId, Job], gone: Mapping[JobId, Job], log: list[Any]) -> None:
        told = chronicle.read(log)
        assert told.keys() <= jobs.keys() | gone.keys()
        for job in jobs.values():
            chronicle.check_life(told, job, job.version)
        for job in gone.values():
            # Deleting is a visible change too: the log tells of it with the version that would have been next.
            chronicle.check_life(told, job, job.version - 1)
        for job in self.seen:
            chronicle.check_seen(told, job)
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
        answer = await aws.retrying(
            lambda: self.ground.clients.dynamodb.query(
                TableName=self.ground.tables.events,
                KeyConditionExpression="userId = :user",
                ExpressionAttributeValues={":user": self.user},
                ConsistentRead=True,
            )
        )
        return answer["Items"]
