"""The consumers' floor and what it stands on, opened for a test: a queue of its own, the real emulator and simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from consumers import crack_detection, diary, gemini, parking_comparison, parking_report, profile_photo
from consumers.acknowledger import Acknowledger
from consumers.attempt import MAX_RECEIVES, Attempt, Workshop
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics
from consumers.gates import Gates
from consumers.gemini import Gemini, GeminiConfig
from consumers.heartbeat import Heartbeat
from consumers.images import ImageWorker
from consumers.metrics import PoolMetrics
from consumers.pipelines import by_name, hold_up
from consumers.pool import Pool
from jobs import clock
from jobs.aws import Clients
from jobs.events import InProcessBus, JobEvent, Notice
from jobs.files import Files
from jobs.ids import JobId, UserId, new_job_id
from jobs.job_table import JobTable, Limits, Tables
from jobs.model import Job
from jobs.parking_reports import ParkingReports
from jobs.secret import FixedKey
from jobs.submission import Request, Submission
from jobs.work_queue import Delivery, WorkQueue

PATIENCE_SECONDS = 30
SIMILARITY_THRESHOLD = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything a test of the pool touches."""

    clients: Clients
    tables: Tables
    bus: InProcessBus
    table: JobTable
    files: Files
    queue: WorkQueue
    submission: Submission
    workshop: Workshop
    gate: Gate
    gates: Gates
    hold_up: Callable[[Delivery], float]
    reports: ParkingReports
    upload_bucket: str
    queue_url: str
    dead_letters_url: str
    simulator_url: str

    @asynccontextmanager
    async def pool(self, *, slots: int = 8, makes_way: bool = True) -> AsyncIterator[Pool]:
        """Run a pool for the length of the block; if it does not make way, it takes jobs in hand whose model is shut."""
        acknowledger = Acknowledger(self.queue)
        heartbeat = Heartbeat(self.workshop.table, self.queue)
        workshop = replace(self.workshop, acknowledger=acknowledger, heartbeat=heartbeat)
        pool = Pool(
            self.queue,
            lambda delivery: Attempt(workshop, delivery),
            self.gates,
            heartbeat,
            acknowledger,
            workshop.meters,
            slots=slots,
            hold_up=self.hold_up if makes_way else lambda _: 0,
        )
        pool.start()
        try:
            yield pool
        finally:
            await pool.stop(0)

    async def upload(self, user: UserId, content: bytes) -> str:
        """Put bytes where a browser would have put them."""
        key = f"uploads/{user}/{new_job_id()}.png"
        await self.clients.s3.put_object(Bucket=self.upload_bucket, Key=key, Body=content)
        return self.files.upload_url(key)

    async def submit(self, user: UserId, content: bytes, prompt: str | None = None) -> Job:
        """Upload and submit one job."""
        url = await self.upload(user, content)
        request = Request(
            user_id=user, pipeline=profile_photo.PIPELINE.name, style="formal_interview", prompt=prompt, input_url=url
        )
        return (await self.submission.submit(request)).job

    async def usage(self, user: UserId) -> tuple[int, int]:
        """Read what is taken and charged today."""
        key = {"userIdDate": f"{user}#{clock.utc_day(clock.now_milliseconds())}"}
        item: dict[str, Any] = (await self.clients.dynamodb.get_item(TableName=self.tables.usage, Key=key)).get(
            "Item", {}
        )
        return int(item.get("taken", 0)), int(item.get("count", 0))

    async def dead_letter(self) -> None:
        """Wait until a message lies in the dead-letter queue."""
        names: Any = ["All"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (
                await self.clients.receiver.receive_message(
                    QueueUrl=self.dead_letters_url, WaitTimeSeconds=5, AttributeNames=names
                )
            ).get("Messages"):
                pass

    async def messages(self, url: str) -> int:
        """Count a queue's messages, those in flight included."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(count) for count in answer["Attributes"].values())

    async def simulator_stats(self) -> dict[str, Any]:
        """Read the simulator's counters."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.simulator_url}/simulator/stats") as answer:
            counters: dict[str, Any] = await answer.json()
            return counters

    async def reset_simulator(self) -> None:
        """Set the simulator's counters to zero."""
        async with aiohttp.ClientSession() as session, session.post(f"{self.simulator_url}/simulator/stats/reset"):
            pass


class Story:
    """Follows one user's notices."""

    def __init__(self, bus: InProcessBus, user: UserId) -> None:
        self.notices: list[Notice] = []
        self.news = asyncio.Event()
        bus.subscribe(user, self._note)

    def _note(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.news.set()

    @property
    def events(self) -> list[str]:
        """The durable events so far, by type."""
        return [notice.type.value for notice in self.notices if isinstance(notice, JobEvent)]

    async def until(self, event_type: str, job_id: JobId | None = None, *, times: int = 1) -> Job:
        """Wait until an event has come so often, and return its job."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := self._jobs_of(event_type, job_id)) < times:
                self.news.clear()
                await self.news.wait()
        return found[times - 1]

    def _jobs_of(self, event_type: str, job_id: JobId | None) -> list[Job]:
        events = (notice for notice in self.notices if isinstance(notice, JobEvent))
        return [event.job for event in events if event.type == event_type and job_id in (None, event.job.job_id)]


@asynccontextmanager
async def open_house(
    clients: Clients,
    tables: Tables,
    cloud_environment: Mapping[str, str],
    *,
    visibility_seconds: int = 20,
    gemini_timeout_seconds: float = 10,
    patience_seconds: float = 20,
    failures_to_open: int = 16,
    all_models: bool = False,
) -> AsyncIterator[House]:
    """Open the house on a queue of its own, so that no other test's jobs come along.

    Most tests call one model only, and have no gates of others.
    """
    name = new_job_id()
    dead_letters_url = (await clients.sqs.create_queue(QueueName=f"{name}-dead"))["QueueUrl"]
    arn = (await clients.sqs.get_queue_attributes(QueueUrl=dead_letters_url, AttributeNames=["QueueArn"]))[
        "Attributes"
    ]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
    queue_url = (await clients.sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive}))["QueueUrl"]

    bus = InProcessBus()
    table = JobTable(clients.dynamodb, tables, bus)
    queue = WorkQueue(
        clients.sqs,
        clients.receiver,
        url=queue_url,
        visibility_seconds=visibility_seconds,
        dead_letters_url=dead_letters_url,
    )
    files = Files(
        clients.s3,
        clients.find_credentials,
        upload_bucket=cloud_environment["UPLOAD_BUCKET"],
        result_bucket=cloud_environment["RESULT_BUCKET"],
        upload_link_seconds=600,
    )
    registry = CollectorRegistry()
    meters = PoolMetrics(registry)
    images = ImageWorker()
    config = GeminiConfig(
        image_model="gemini-nano-banana-2.1",
        vision_model="gemini-3.5-flash-lite",
        embedding_model="gemini-embedding-2",
        base_url=cloud_environment["GEMINI_BASE_URL"],
        timeout_seconds=gemini_timeout_seconds,
        patience_seconds=patience_seconds,
        pace=0.02,
    )
    gate_config = GateConfig(most=64, failures_to_open=failures_to_open)
    gate_metrics = GateMetrics(registry)
    models = (config.image_model, config.vision_model, config.embedding_model) if all_models else (config.image_model,)
    gates = Gates({model: Gate(model, gate_config, gate_metrics, lambda state: None) for model in models})
    reports = ParkingReports(
        clients.dynamodb,
        table.writes,
        sightings_table=cloud_environment["PARKING_SIGHTINGS_TABLE"],
        reports_table=cloud_environment["PARKING_REPORTS_TABLE"],
    )
    async with gemini.open_session(config) as session:
        workshop = Workshop(
            table=table,
            queue=queue,
            files=files,
            gemini=Gemini(
                session,
                config,
                FixedKey("simulated"),
                gates,
                meters,
                lambda model, use: None,
            ),
            images=images,
            bus=bus,
            pipelines=by_name(
                profile_photo.PIPELINE,
                crack_detection.PIPELINE,
                diary.PIPELINE,
                parking_comparison.PIPELINE,
                parking_report.pipeline(reports, SIMILARITY_THRESHOLD),
            ),
            heartbeat=Heartbeat(table, queue),
            acknowledger=Acknowledger(queue),
            meters=meters,
            retry_seconds=(0, 0),
        )
        yield House(
            clients=clients,
            tables=tables,
            bus=bus,
            table=table,
            files=files,
            queue=queue,
            submission=Submission(table, queue, Limits(daily=100)),
            workshop=workshop,
            gate=gates[config.image_model],
            gates=gates,
            hold_up=hold_up(workshop.pipelines if all_models else {}, config, gates),
            reports=reports,
            upload_bucket=cloud_environment["UPLOAD_BUCKET"],
            queue_url=queue_url,
            dead_letters_url=dead_letters_url,
            simulator_url=cloud_environment["GEMINI_BASE_URL"],
        )
    gates.close()
    images.close()
