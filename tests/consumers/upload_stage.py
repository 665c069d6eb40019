"""The intake of uploads, opened for a test: a bucket and queues of its own, the real emulator below."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from prometheus_client import CollectorRegistry

from consumers.uploads import IntakeLimits, Outcome, UploadIntake
from jobs import clock
from jobs.aws import Clients
from jobs.ids import JobId, UserId, new_job_id
from jobs.job_table import Limits, Tables
from jobs.submission import Request, Submission
from jobs.upload_events import Upload, UploadEventQueue, read_key
from jobs.work_queue import WorkQueue
from tests.jobs.ground import PLENTY, Ground, open_ground
from tests.jobs.test_upload_events import body_of

PATIENCE_SECONDS = 30
QUICK = IntakeLimits(first_wait_seconds=0.5, longest_wait_seconds=0.5, outage_wait_seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An intake that runs, and what it counts."""

    intake: UploadIntake
    registry: CollectorRegistry
    watched: list[UserId] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """Read how many events had this outcome."""
        return int(self.registry.get_sample_value("upload_events_total", {"outcome": outcome}) or 0)

    async def until(self, outcome: Outcome, times: int = 1) -> None:
        """Wait until so many events had this outcome."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.count(outcome) < times:  # noqa: ASYNC110 - a counter wakes nobody
                await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The ground floor, with a bucket and a queue of upload events of the test's own."""

    ground: Ground
    queue: UploadEventQueue
    bucket: str
    url: str
    dead_letters_url: str

    async def put(self, key: str) -> None:
        """Put a photo where a phone puts it; S3 tells of it by itself."""
        await self.ground.clients.s3.put_object(Bucket=self.bucket, Key=key, Body=b"a photo")

    async def tell(self, *keys: str, bucket: str | None = None) -> None:
        """Tell of uploads as S3 does."""
        await self.send(body_of(*keys, bucket=bucket or self.bucket))

    async def send(self, body: str) -> None:
        """Put a message into the queue."""
        await self.ground.clients.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    async def dead_letters(self) -> list[str]:
        """Take a dead letter."""
        answer = await self.ground.clients.receiver.receive_message(QueueUrl=self.dead_letters_url, WaitTimeSeconds=5)
        return [message["Body"] for message in answer.get("Messages", [])]

    async def left(self) -> int:
        """Count the messages that there are, however hidden."""
        names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
        answer = await self.ground.clients.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(count) for count in answer["Attributes"].values())

    def hiding_for(self, seconds: int, *, sqs: object = None) -> UploadEventQueue:
        """Open the queue so that a message in hand is soon seen again, on a client that may misbehave."""
        clients = self.ground.clients
        client = cast(Any, sqs or clients.sqs)
        return UploadEventQueue(client, clients.receiver, url=self.url, bucket=self.bucket, visibility_seconds=seconds)

    def submission(self, limits: Limits = PLENTY, *, dynamodb: object = None, sqs: object = None) -> Submission:
        """Take jobs in, on clients that may misbehave."""
        ground = self.ground if dynamodb is None else self.ground.on(dynamodb)
        client = cast(Any, sqs or ground.clients.sqs)
        queue = WorkQueue(client, ground.clients.receiver, url=ground.queue_url, visibility_seconds=20)
        return Submission(ground.table, queue, limits)

    @asynccontextmanager
    async def intake(
        self,
        submission: Submission | None = None,
        limits: IntakeLimits = QUICK,
        *,
        queue: UploadEventQueue | None = None,
        drain_seconds: float = 5,
    ) -> AsyncIterator[Running]:
        """Take uploads in for the length of the block."""
        registry, watched = CollectorRegistry(), list[UserId]()
        intake = UploadIntake(
            queue or self.queue,
            submission or self.submission(),
            self.request_of,
            watched.append,
            lambda upload: self.ground.files.delete_upload(f"s3://{self.bucket}/{upload.key}"),
            registry,
            limits,
        )
        intake.start()
        try:
            yield Running(intake=intake, registry=registry, watched=watched)
        finally:
            await intake.stop(drain_seconds)
        assert not intake.failed.done()

    def request_of(self, upload: Upload) -> Request:
        """Ask for a report."""
        if upload.device_id == "broken":
            raise RuntimeError("This device breaks us")
        return Request(
            user_id=upload.user_id,
            pipeline="parking-report",
            input_url=f"s3://{self.bucket}/{upload.key}",
            parameters={"deviceId": upload.device_id},
            since=upload.signed_at,
        )


async def make_queue(clients: Clients, name: str, **attributes: str) -> tuple[str, str]:
    """Make a queue and return its URL and ARN."""
    url = (await clients.sqs.create_queue(QueueName=name, Attributes=cast(Any, attributes)))["QueueUrl"]
    answer = await clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, answer["Attributes"]["QueueArn"]


def key_of(user: str, *, device: str = "phone_1") -> str:
    """Name a fresh upload."""
    return f"reports/{user}/{device}/{clock.now_milliseconds()}_{new_job_id().removeprefix('job_')}.jpg"


def job_id_of(key: str) -> JobId:
    """Name the job that an upload starts."""
    upload = read_key(key)
    assert upload is not None
    return upload.job_id


async def open_stage(clients: Clients, tables: Tables, environment: Mapping[str, str]) -> Stage:
    """Open the ground floor, and have a bucket's events sent to a queue as the template has it."""
    ground, name = await open_ground(clients, tables, environment), new_job_id()
    bucket = name.replace("_", "-")
    dead_letters_url, dead_letters_arn = await make_queue(clients, f"{name}-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": 3})
    url, arn = await make_queue(clients, f"{name}-events", RedrivePolicy=redrive)
    rules: Any = [{"Name": "prefix", "Value": "reports/"}]
    told: Any = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}
    await clients.s3.create_bucket(Bucket=bucket)
    await clients.s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [told]}
    )
    queue = UploadEventQueue(
        clients.sqs, clients.receiver, url=url, bucket=bucket, dead_letters_url=dead_letters_url, visibility_seconds=20
    )
    return Stage(ground=ground, queue=queue, bucket=bucket, url=url, dead_letters_url=dead_letters_url)
