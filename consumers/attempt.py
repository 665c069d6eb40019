"""One delivery of one job: claim it, run its pipeline, and write down how that ended."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Final

from consumers.acknowledger import Acknowledger
from consumers.gemini import Gemini
from consumers.images import ImageWorker
from consumers.metrics import PoolMetrics
from consumers.pipelines import Pipelines, Report, Work
from jobs import clock, moves
from jobs.errors import (
    CloudUnavailable,
    DarkroomError,
    JobEnded,
    JobNotFound,
    LostClaim,
    PermanentError,
    ProviderFailure,
    TransientError,
)
from jobs.events import InProcessBus, JobProgress, Stage
from jobs.files import Files
from jobs.job_table import JobTable
from jobs.model import Failure, Job, Output
from jobs.work_queue import Delivery, WorkQueue

logger = logging.getLogger(__name__)

MAX_RECEIVES: Final = 3
"""The queue's redrive policy: after so many receives the message goes to the dead-letter queue by itself."""
_LEASE_SHARE: Final = 0.8
"""The work may take this share of the lease; the rest is for writing down how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every attempt works with. ``retry_seconds``: how long a job waits after its first and second failed receive."""

    table: JobTable
    queue: WorkQueue
    files: Files
    gemini: Gemini
    images: ImageWorker
    bus: InProcessBus
    pipelines: Pipelines
    acknowledger: Acknowledger
    meters: PoolMetrics
    retry_seconds: tuple[int, int] = (2, 10)


class Attempt:
    """One delivery in hand. ``owner`` names this claim alone, so even two deliveries to one process cannot share it."""

    def __init__(self, workshop: Workshop, delivery: Delivery) -> None:
        self._workshop = workshop
        self._delivery = delivery
        self._owner = secrets.token_hex(8)

    async def run(self) -> None:
        """Do the job and settle its message. Raises nothing but cancellation: the job is then handed back first."""
        try:
            job = await self._claim()
            if job is not None:
                await self._work(job)
        except JobEnded:
            self._workshop.acknowledger.add(self._delivery.receipt)
        except LostClaim:
            logger.info("Another worker has the job", extra=self._log_extra("claim_lost"))
        except CloudUnavailable:
            # Nothing can be written now: lease and visibility run out, and the job is delivered again.
            logger.exception("A job was left for another try", extra=self._log_extra("job_left"))

    async def _claim(self) -> Job | None:
        job_id = self._delivery.job_id
        if job_id is None:
            logger.error("A message is not ours", extra=self._log_extra("message_foreign"))
            return None
        try:
            job = await self._workshop.table.get(job_id)
        except JobNotFound:
            logger.error("A message names no job", extra=self._log_extra("message_without_job"))  # noqa: TRY400 - no stack helps
            return None
        now = clock.now_milliseconds()
        lease_until = now + self._workshop.queue.visibility_seconds * 1000
        return await self._workshop.table.apply(job, moves.claimed(self._owner, lease_until, now))

    async def _work(self, job: Job) -> None:
        started = time.monotonic()
        try:
            output = await self._run_pipeline(job)
        except PermanentError as error:
            await self._fail(job, error, keeps_charge=error.keeps_charge)
            self._workshop.acknowledger.add(self._delivery.receipt)
        except TransientError as error:
            await self._retry(job, error)
        except asyncio.CancelledError:
            await asyncio.shield(self._hand_back(job))
            raise
        else:
            await self._complete(job, output)
        self._workshop.meters.job_seconds.labels(job.pipeline).observe(time.monotonic() - started)

    async def _run_pipeline(self, job: Job) -> Output:
        """Run the job's pipeline within its lease; any error that is not ours is a failure of a kind another try may not meet."""
        pipeline = self._workshop.pipelines.get(job.pipeline)
        if pipeline is None:
            raise PermanentError(f"This service has no pipeline {job.pipeline}.")
        work = Work(
            job=job,
            files=self._workshop.files,
            images=self._workshop.images,
            gemini=self._workshop.gemini,
            report=self._reporter(job),
        )
        try:
            async with asyncio.timeout(self._workshop.queue.visibility_seconds * _LEASE_SHARE):
                return await pipeline(work)
        except DarkroomError:
            raise
        except TimeoutError as error:
            raise ProviderFailure("The job took too long.") from error
        except Exception as error:
            logger.exception("A pipeline broke", extra=self._log_extra("pipeline_broke"))
            raise TransientError("Something went wrong on our side.") from error

    def _reporter(self, job: Job) -> Report:
        def report(stage: Stage, fraction: float, message: str) -> None:
            now = clock.now_milliseconds()
            self._workshop.bus.publish(JobProgress(job=job, at=now, stage=stage, fraction=fraction, message=message))

        return report

    async def _complete(self, job: Job, output: Output) -> None:
        await self._workshop.table.apply(job, moves.completed(self._owner, output, clock.now_milliseconds()))
        self._workshop.acknowledger.add(self._delivery.receipt)
        self._count(job, "completed")
        logger.info("A job is completed", extra=self._log_extra("job_completed"))

    async def _fail(self, job: Job, error: PermanentError | TransientError, *, keeps_charge: bool) -> None:
        failure = Failure(code=error.code, message=error.message, retryable=isinstance(error, TransientError))
        move = moves.failed(failure, clock.now_milliseconds(), owner=self._owner, keeps_charge=keeps_charge)
        await self._workshop.table.apply(job, move)
        self._count(job, error.code)
        logger.warning("A job failed", extra=self._log_extra("job_failed") | {"code": error.code})

    async def _retry(self, job: Job, error: TransientError) -> None:
        """Hand the job back for a later try; after the last one it fails, and its message goes to the dead-letter queue."""
        receives = self._delivery.receives
        if receives >= MAX_RECEIVES:
            await self._fail(job, error, keeps_charge=False)
            await self._workshop.queue.hide([self._delivery.receipt], 0)
            return
        await self._workshop.table.apply(job, moves.released(self._owner, clock.now_milliseconds()))
        delay = max(error.retry_after_seconds or 0, self._workshop.retry_seconds[receives - 1])
        await self._workshop.queue.hide([self._delivery.receipt], round(delay))
        self._count(job, "retried")
        logger.warning("A job will be tried again", extra=self._log_extra("job_retried") | {"code": error.code})

    async def _hand_back(self, job: Job) -> None:
        """Put the job back as it was before we took it: the process is going away."""
        try:
            await self._workshop.table.apply(job, moves.released(self._owner, clock.now_milliseconds()))
            await self._workshop.queue.hide([self._delivery.receipt], 0)
        except (LostClaim, CloudUnavailable):
            logger.exception(
                "A job could not be handed back; its lease runs out", extra=self._log_extra("hand_back_failed")
            )

    def _count(self, job: Job, outcome: str) -> None:
        self._workshop.meters.jobs.labels(job.pipeline, outcome).inc()

    def _log_extra(self, action: str) -> dict[str, object]:
        return {"action": action, "job_id": self._delivery.job_id, "receives": self._delivery.receives}
