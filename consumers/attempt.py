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
from jobs.ids import JobId
from jobs.job_table import JobTable
from jobs.model import Failure, Job, Output
from jobs.work_queue import Delivery, WorkQueue

logger = logging.getLogger(__name__)

MAX_RECEIVES: Final = 3
"""The queue's redrive policy: after so many receives the message goes to the dead-letter queue by itself."""
LEASE_SHARE: Final = 0.8
"""The work may take this share of the lease; the rest is for writing down how it ended."""
_MAX_RETRY_SECONDS: Final = 900


class GivenUp(Exception):
    """The process is going away before the work has ended."""


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
    """One delivery in hand. Its owner's name is this claim's alone, so even two deliveries to one process cannot share it."""

    def __init__(self, workshop: Workshop, delivery: Delivery) -> None:
        self._workshop = workshop
        self._delivery = delivery
        self._owner = secrets.token_hex(8)
        self._user_id = ""
        self._is_given_up = False
        self._work_limit: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Do the job and settle its message. Raises nothing: what cannot be settled is delivered again."""
        if self._delivery.job_id is None:
            logger.error("A message is not ours", extra=self._log_extra("message_foreign"))
            return
        try:
            job = await self._claim(self._delivery.job_id)
            await self._work(job)
        except JobEnded:
            self._workshop.acknowledger.add(self._delivery.receipt)
        except LostClaim:
            logger.info("Another worker has the job", extra=self._log_extra("claim_lost"))
        except JobNotFound:
            logger.error("A message names no job", extra=self._log_extra("message_without_job"))  # noqa: TRY400 - no stack helps
        except Exception:
            # Lease and visibility run out, and the job is delivered again.
            logger.exception("A job was left for another try", extra=self._log_extra("job_left"))
        finally:
            self._workshop.bus.forget_progress(self._delivery.job_id)

    def give_up(self) -> None:
        """Hand the job back as soon as its claim is written; a result that is being written down still is."""
        self._is_given_up = True
        if self._work_limit is not None and not self._work_limit.expired():
            self._work_limit.reschedule(asyncio.get_running_loop().time())

    async def _claim(self, job_id: JobId) -> Job:
        job = await self._workshop.table.get(job_id)
        self._user_id = job.user_id
        now = clock.now_milliseconds()
        lease_until = now + self._workshop.queue.visibility_seconds * 1000
        return await self._workshop.table.apply(job, moves.claimed(self._owner, lease_until, now))

    async def _work(self, job: Job) -> None:
        started = time.monotonic()
        try:
            output = await self._run_pipeline(job)
        except GivenUp:
            await self._hand_back(job)
        except PermanentError as error:
            await self._fail(job, error, keeps_charge=error.keeps_charge)
            self._workshop.acknowledger.add(self._delivery.receipt)
        except TransientError as error:
            await self._retry(job, error)
        else:
            await self._complete(job, output)
        self._workshop.meters.job_seconds.labels(job.pipeline).observe(time.monotonic() - started)

    async def _run_pipeline(self, job: Job) -> Output:
        """Run the job's pipeline within its lease; an error that is not ours is one that another try may not meet."""
        pipeline = self._workshop.pipelines.get(job.pipeline)
        if pipeline is None:
            raise PermanentError(f"This service has no pipeline {job.pipeline}.")
        if self._is_given_up:
            raise GivenUp
        work = Work(
            job=job,
            files=self._workshop.files,
            images=self._workshop.images,
            gemini=self._workshop.gemini,
            report=self._reporter(job),
        )
        try:
            # Only the work can be given up; claiming before it and writing after it always run to their end.
            async with asyncio.timeout(self._lease_seconds * LEASE_SHARE) as self._work_limit:
                return await pipeline(work)
        except (DarkroomError, GivenUp):
            raise
        except TimeoutError as error:
            if self._is_given_up:
                raise GivenUp from error
            raise ProviderFailure("The job took too long.") from error
        except Exception as error:
            logger.exception("A pipeline broke", extra=self._log_extra("pipeline_broke"))
            raise TransientError("Something went wrong on our side.") from error
        finally:
            self._work_limit = None

    def _reporter(self, job: Job) -> Report:
        def report(stage: Stage, fraction: float, message: str) -> None:
            now = clock.now_milliseconds()
            self._workshop.bus.publish(JobProgress(job=job, at=now, stage=stage, fraction=fraction, message=message))

        return report

    async def _complete(self, job: Job, output: Output) -> None:
        await self._write(job, moves.completed(self._owner, output, clock.now_milliseconds()))
        self._workshop.acknowledger.add(self._delivery.receipt)
        self._count(job, "completed")
        logger.info("A job is completed", extra=self._log_extra("job_completed"))

    async def _fail(self, job: Job, error: PermanentError | TransientError, *, keeps_charge: bool) -> None:
        failure = Failure(code=error.code, message=error.message, retryable=isinstance(error, TransientError))
        await self._write(
            job, moves.failed(failure, clock.now_milliseconds(), owner=self._owner, keeps_charge=keeps_charge)
        )
        self._count(job, error.code)
        logger.warning("A job failed", exc_info=error, extra=self._log_extra("job_failed") | {"code": error.code})

    async def _retry(self, job: Job, error: TransientError) -> None:
        """Hand the job back for a later try; after the last one it fails, and its message goes to the dead-letter queue."""
        receives = self._delivery.receives
        if receives >= MAX_RECEIVES:
            await self._fail(job, error, keeps_charge=False)
            await self._workshop.queue.hide([self._delivery.receipt], 0)
            return
        await self._write(job, moves.released(self._owner, clock.now_milliseconds()))
        delay = min(max(error.retry_after_seconds or 0, self._workshop.retry_seconds[receives - 1]), _MAX_RETRY_SECONDS)
        await self._workshop.queue.hide([self._delivery.receipt], round(delay))
        self._count(job, "retried")
        extra = self._log_extra("job_retried") | {"code": error.code}
        logger.warning("A job will be tried again", exc_info=error, extra=extra)

    async def _hand_back(self, job: Job) -> None:
        """Put the job back into the queue as if it had never been received: a deployment is no failed try."""
        waiting = await self._write(job, moves.released(self._owner, clock.now_milliseconds()))
        await self._workshop.queue.send(waiting)
        self._workshop.acknowledger.add(self._delivery.receipt)
        logger.info("A job was handed back", extra=self._log_extra("job_handed_back"))

    async def _write(self, job: Job, move: moves.Move) -> Job:
        """Write how it ended, with all the patience that the lease has left: the work is done and paid for."""
        patience_seconds = self._lease_seconds * (1 - LEASE_SHARE)
        return await self._workshop.table.apply(job, move, patience_seconds=patience_seconds)

    @property
    def _lease_seconds(self) -> int:
        return self._workshop.queue.visibility_seconds

    def _count(self, job: Job, outcome: str) -> None:
        self._workshop.meters.jobs.labels(job.pipeline, outcome).inc()

    def _log_extra(self, action: str) -> dict[str, object]:
        delivery = self._delivery
        return {"action": action, "job_id": delivery.job_id, "user_id": self._user_id, "receives": delivery.receives}
