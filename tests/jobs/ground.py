"""The ground floor, opened for a test: a jobs table and a queue of its own, the real emulator below."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from jobs import aws, clock
from jobs.aws import Clients
from jobs.control import Control
from jobs.events import InProcessBus, JobProgress, Stage
from jobs.files import Files
from jobs.ids import JobId, UserId, new_job_id
from jobs.job_table import JobTable, Limits, Tables
from jobs.model import Job
from jobs.submission import Request, Submission
from jobs.sweeper import Sweeper, SweepTimes
from jobs.work_queue import WorkQueue
from tests.jobs import story

PLENTY = Limits(daily=100, unfinished=100, in_flight=100)


class Counts(NamedTuple):
    """What a user's row says."""

    unfinished: int
    in_flight: int
    pictures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """All of the ground floor that a test touches."""

    clients: Clients
    tables: Tables
    bus: InProcessBus
    table: JobTable
    queue: WorkQueue
    queue_url: str
    files: Files
    upload_bucket: str

    def on(self, client: object) -> Ground:
        """Put the table on a client that misbehaves."""
        return replace(self, table=JobTable(cast(Any, client), self.tables, self.bus))

    def submission(self, limits: Limits = PLENTY) -> Submission:
        """Take jobs in."""
        return Submission(self.table, self.queue, limits)

    def control(self) -> Control:
        """Do what an owner may do."""
        return Control(self.table, self.files, self.submission(), self.bus)

    def sweeper(
        self,
        times: SweepTimes | None = None,
        limits: Limits = PLENTY,
        watch: Callable[[UserId], None] = lambda _: None,
    ) -> Sweeper:
        """Make a sweeper that waits to be told."""
        return Sweeper(self.table, self.submission(limits), times or SweepTimes(), watch)

    async def upload(self, user: UserId) -> str:
        """Put a file where a browser would have put it."""
        key = f"uploads/{user}/{new_job_id()}.png"
        await self.clients.s3.put_object(Bucket=self.upload_bucket, Key=key, Body=b"a photo")
        return self.files.upload_url(key)

    async def running(self, user: UserId, stage: Stage | None = None) -> Job:
        """Have a job worked on; in this process when it tells how far it is."""
        job = await story.claim(self.table, await story.stored(self.table, user))
        if stage is not None:
            now = clock.now_milliseconds()
            self.bus.publish(JobProgress(job=job, at=now, stage=stage, fraction=0.5, message=""))
        return job

    async def messages(self) -> list[JobId]:
        """Take every message off the queue, and name their jobs."""
        found: list[JobId] = []
        while True:
            answer = await self.clients.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            if not (taken := answer.get("Messages", [])):
                return found
            for message in taken:
                await self.clients.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
                found.append(JobId(json.loads(message["Body"])["jobId"]))

    async def counts(self, user: UserId) -> Counts:
        """Read the user's row."""
        key = {"userId": user}
        answer = await aws.retrying(
            lambda: self.clients.dynamodb.get_item(TableName=self.tables.users, Key=key, ConsistentRead=True)
        )
        row: Mapping[str, Any] = answer.get("Item", {})
        names = ("unfinishedJobs", "jobsInFlight", "totalImagesGenerated")
        return Counts(*(int(row.get(name, 0)) for name in names))

    async def usage(self, user: UserId, day: str | None = None) -> tuple[int, int]:
        """Read what is taken and charged on a day, today unless told."""
        return await story.usage(self.clients, self.tables, user, day)

    async def events(self, job: Job) -> list[str]:
        """Read the events of one job, by type."""
        log = await story.log_of(self.clients, self.tables, job.user_id)
        return [kind for job_id, kind, _ in log if job_id == job.job_id]

    async def terminal_events(self, job: Job) -> list[str]:
        """Read how a job ended, as often as it did."""
        ends = ("job.completed", "job.failed", "job.canceled")
        return [kind for kind in await self.events(job) if kind in ends]


async def open_ground(clients: Clients, tables: Tables, environment: Mapping[str, str]) -> Ground:
    """Open the floor. A sweeper sees the whole jobs table, so each test has one of its own."""
    name = new_job_id()
    await _copy_table(clients, tables.jobs, name)
    queue_url = (await clients.sqs.create_queue(QueueName=name))["QueueUrl"]
    own, bus = replace(tables, jobs=name), InProcessBus()
    files = Files(
        clients.s3,
        clients.find_credentials,
        upload_bucket=environment["UPLOAD_BUCKET"],
        result_bucket=environment["RESULT_BUCKET"],
        upload_link_seconds=600,
    )
    return Ground(
        clients=clients,
        tables=own,
        bus=bus,
        table=JobTable(clients.dynamodb, own, bus),
        queue=WorkQueue(clients.sqs, clients.receiver, url=queue_url, visibility_seconds=20),
        queue_url=queue_url,
        files=files,
        upload_bucket=environment["UPLOAD_BUCKET"],
    )


def request_of(user: UserId, input_url: str | None = None) -> Request:
    """Ask for a picture."""
    return Request(user_id=user, pipeline="profile-photo", style="professional", input_url=input_url)


async def _copy_table(clients: Clients, template: str, name: str) -> None:
    described: Any = (await clients.dynamodb.describe_table(TableName=template))["Table"]
    wanted = ("IndexName", "KeySchema", "Projection")
    await clients.dynamodb.create_table(
        TableName=name,
        KeySchema=described["KeySchema"],
        AttributeDefinitions=described["AttributeDefinitions"],
        GlobalSecondaryIndexes=[
            cast(Any, {key: index[key] for key in wanted}) for index in described["GlobalSecondaryIndexes"]
        ],
        BillingMode="PAY_PER_REQUEST",
    )
