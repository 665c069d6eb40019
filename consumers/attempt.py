"""One delivery of one job: claim it, run its pipeline, and write down how that ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Final

from structlog.contextvars import bind_contextvars

from consumers.acknowledger import Acknowledger
from consumers.failures import Then
from consumers.gate_state import NotNow
from consumers.gemini import Gemini
from consumers.gemini_wire import CallFailed
from consumers.heartbeat import Heartbeat
from consumers.images import ImageWorker
from consumers.metrics import PoolMetrics
from consumers.pipelines import Pipelines, Progress, Report, Work
from jobs import clock, moves
from jobs.errors import (
    CloudUnavailable,
    DarkroomError,
    JobDeleted,
    JobEnded,
    JobNotFound,
    LostClaim,
    PermanentError,
    TransientError,
    WorkerLost,
)
from jobs.events import EventBus, JobEvent, JobProgress, Notice, Stage
from jobs.files import Files
from jobs.ids import JobId
from jobs.job_table import JobTable
from jobs.model import JSON, Failure, Job, ModelUse, Output, Status
from jobs.work_queue import MAX_DELAY_SECONDS, Delivery, WorkQueue

logger = logging.getLogger(__name__)

MAX_RECEIVES: Final = 3
"""The queue's redrive policy: after so many receives the message goes to the dead-letter queue by itself."""
_PATIENCE_SHARE: Final = 0.5
"""So much of the lease is left, at the least, when the work ends: the last beat is not older than a third."""
_MAX_DEFERRED_SECONDS: Final = clock.DAY_SECONDS
_OWNERS_DOING: Final = frozenset(
    {"content_rejected", "file_not_found", "invalid_image", "invalid_input", "missing_metadata"}
)
"""Codes of failures that need no trace in the log: nothing of ours has failed."""


class GivenUp(Exception):
    """The process is going away before the work has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every attempt works with.

    ``retry_seconds``: how long a job waits after its first and second failed receive; ``unclaimed_seconds``: when the table did
    not answer. ``deadline_seconds``: the longest work.
    """

    table: JobTable
    queue: WorkQueue
    files: Files
    gemini: Gemini
    images: ImageWorker
    bus: EventBus
    pipelines: Pipelines
    heartbeat: Heartbeat
    acknowledger: Acknowledger
    meters: PoolMetrics
    retry_seconds: tuple[int, int] = (2, 10)
    unclaimed_seconds: int = 10
    deadline_seconds: float = 900


class Attempt:
    """One delivery in hand. Its owner's name is this claim's alone, so even two deliveries to one process cannot share it."""

    def __init__(self, workshop: Workshop, delivery: Delivery) -> None:
        self._workshop = workshop
        self._delivery = delivery
        self._owner = secrets.token_hex(8)
        self._stop_reason: type[Exception] | None = None
        self._work_limit: asyncio.Timeout | None = None
        self._use = ModelUse()
        self._kept: dict[str, JSON] = {}
        self._has_called = False

    async def run(self) -> None:
        """Do the job and settle its message. Raises nothing: what cannot be settled is delivered again.

        It has a task of its own: what is bound here stands in every line of the log that is written on the way.
        """
        job_id = self._delivery.job_id
        bind_contextvars(job_id=job_id, receives=self._delivery.receives)
        try:
            if job_id is None:
                logger.error("A message is not ours", extra={"action": "message_foreign"})
                await self._workshop.queue.set_aside(self._delivery)
                return
            await self._attend(job_id)
        except JobDeleted:
            self._acknowledge()
        except JobNotFound:
            logger.error("A message names a job that never was", extra={"action": "message_foreign"})  # noqa: TRY400
            await self._workshop.queue.set_aside(self._delivery)
        except LostClaim:
            logger.info("Another worker has the job", extra={"action": "claim_lost"})
        except Exception:
            # Lease and visibility run out, and the job is delivered again.
            logger.exception("A job was left for another try", extra={"action": "job_left"})

    async def _attend(self, job_id: JobId) -> None:
        try:
            job = await self._claim(job_id)
            if job is not None:
                await self._work(job)
        except JobEnded:
            # Others have ended it. Before its message goes, its owner must be sure to hear of the end.
            ended = await self._workshop.table.get(job_id)
            if ended.terminal:  # it is not, when an operator has brought it back
                await self._workshop.table.tell_end_again(ended)
            self._acknowledge()

    def give_up(self) -> None:
        """Hand the job back as soon as its claim is written; a result that is being written down still is."""
        self._stop(GivenUp)

    def lose(self) -> None:
        """Stop the work: somebody else may have the job."""
        self._stop(LostClaim)

    def _stop(self, reason: type[Exception]) -> None:
        self._stop_reason = self._stop_reason or reason
        if self._work_limit is not None and not self._work_limit.expired():
            self._work_limit.reschedule(asyncio.get_running_loop().time())

    def _watch(self, notice: Notice) -> None:
        if not isinstance(notice, JobEvent):
            return
        if notice.job.job_id == self._delivery.job_id and notice.job.terminal:
            self._stop(JobEnded)  # canceled by its owner, or by whoever knows better

    async def _claim(self, job_id: JobId) -> Job | None:
        """Take the job; returns None when the table does not answer: a copy of the message then comes later, no receive burnt."""
        try:
            job = await self._workshop.table.get(job_id)
            bind_contextvars(user_id=job.user_id, pipeline=job.pipeline)
            if job.request_id is not None:
                bind_contextvars(request_id=job.request_id)
            now = clock.now_milliseconds()
            lease_until = self._delivery.received_at + self._workshop.queue.lease_milliseconds
            found = job
            job = await self._workshop.table.apply(found, moves.claimed(self._owner, lease_until, now))
            self._workshop.meters.note_claim(found, now)
        except CloudUnavailable:
            logger.warning("A job could not be claimed", exc_info=True, extra={"action": "claim_put_off"})
            await self._workshop.queue.put_off(self._delivery, self._workshop.unclaimed_seconds)
            self._acknowledge()
            return None
        if job.terminal:
            logger.error("A job took its worker with it time and again", extra={"action": "worker_lost"})
            self._count(job, WorkerLost.code)
            raise JobEnded
        logger.info("A job was claimed", extra={"action": "job_claimed", "attempt": job.attempt})
        return job

    async def _work(self, job: Job) -> None:
        started = time.monotonic()
        try:
            await self._settle(job)
        except LostClaim:
            await self._clean_up(job)
            raise
        finally:
            self._workshop.meters.job_seconds.labels(job.pipeline).observe(time.monotonic() - started)

    async def _settle(self, job: Job) -> None:
        """Run the job and write down how that ended. Raises LostClaim when it is not ours to end any more."""
        try:
            output = await self._run_held(job)
        except GivenUp:
            await self._hand_back(job)
        except NotNow as error:
            await self._defer(job, error)
        except CallFailed as error:
            await self._settle_failed_call(job, error)
        except PermanentError as error:
            await self._fail(job, Failure.of(error, retryable=False), error)
            self._acknowledge()
        except CloudUnavailable as error:
            # Storage that is away is not this job's doing.
            await self._defer(job, NotNow(self._workshop.unclaimed_seconds, error.message))
        except TransientError as error:
            await self._retry(job, error, error.code, error.retry_after_seconds)
        else:
            await self._complete(job, output)

    async def _run_held(self, job: Job) -> Output:
        """Run the pipeline while the heart beats for the job and its owner may cancel it."""
        unsubscribe = self._workshop.bus.subscribe(job.user_id, self._watch)
        receipt, lease_until = self._delivery.receipt, job.lease_until or 0
        try:
            with self._workshop.heartbeat.holding(receipt, job.job_id, self._owner, self.lose, lease_until=lease_until):
                return await self._run_pipeline(job)
        finally:
            unsubscribe()

    async def _run_pipeline(self, job: Job) -> Output:
        """Run the job's pipeline; an error that is not ours is one that another try may not meet."""
        pipeline = self._workshop.pipelines.get(job.pipeline)
        if pipeline is None:
            raise PermanentError(f"This service has no pipeline {job.pipeline}.")
        if self._stop_reason is not None:
            raise self._stop_reason
        work = Work(
            job=job,
            files=self._workshop.files,
            images=self._workshop.images,
            gemini=self._workshop.gemini,
            report=self._reporter(job),
            note_call=self._note_call,
            is_billed=self._note_use,
            keep=self._kept.__setitem__,
            is_last_try=self._delivery.receives >= MAX_RECEIVES,
            is_last_wait=_waited_seconds(job) > _MAX_DEFERRED_SECONDS - 2 * MAX_DELAY_SECONDS,
        )
        try:
            # Only the work can be stopped; claiming before it and writing after it always run to their end.
            async with asyncio.timeout(self._workshop.deadline_seconds) as self._work_limit:
                return await pipeline.do(work)
        except DarkroomError:
            raise
        except TimeoutError as error:
            if self._stop_reason is not None:
                raise self._stop_reason from error
            raise TransientError("The job took too long.") from error
        except Exception as error:
            logger.exception("A pipeline broke", extra={"action": "pipeline_broke"})
            raise TransientError("Something went wrong on our side.") from error
        finally:
            self._work_limit = None
            self._workshop.bus.forget_progress(job.job_id)

    def _reporter(self, job: Job) -> Report:
        stage: Stage | None = None

        def report(progress: Progress) -> None:
            nonlocal stage
            if progress.stage is not stage:
                stage = progress.stage
                logger.info("A job goes on", extra={"action": "job_stage", "stage": stage.value})
            self._workshop.bus.publish(
                JobProgress(
                    job=job,
                    at=clock.now_milliseconds(),
                    stage=progress.stage,
                    fraction=progress.fraction,
                    message=progress.message,
                    partial=progress.partial,
                )
            )

        return report

    def _note_call(self) -> None:
        self._has_called = True

    def _note_use(self, use: ModelUse) -> None:
        self._use += use

    async def _complete(self, job: Job, output: Output) -> None:
        await self._write(job, moves.completed(self._owner, output, clock.now_milliseconds()))
        self._acknowledge()
        self._count(job, "completed")
        seconds = (clock.now_milliseconds() - job.created_at) / 1000
        logger.info("A job is completed", extra={"action": "job_completed", "seconds_since_submit": seconds})
        if job.attempt > 1:
            await self._discard_results(job, but=output.url)  # an earlier try may have stored one of another type

    async def _clean_up(self, job: Job) -> None:
        """Leave nothing behind of a job that others have ended, be it canceled, deleted or given up."""
        try:
            ended = await self._workshop.table.get(job.job_id)
        except JobDeleted:
            ended = None
        if ended is not None and ended.status not in (Status.CANCELED, Status.FAILED):
            return  # another worker's, whose result has the same key
        await self._discard_results(job)
        if ended is not None and ended.attempt == job.attempt and not self._has_called:
            with contextlib.suppress(LostClaim):
                await self._workshop.table.apply(ended, moves.given_back())

    async def _discard_results(self, job: Job, *, but: str | None = None) -> None:
        with contextlib.suppress(CloudUnavailable):
            await self._workshop.files.delete_results(job.user_id, job.job_id, but=but)

    async def _settle_failed_call(self, job: Job, error: CallFailed) -> None:
        """Do what the class of the failure says."""
        policy = error.policy
        match policy.then:
            case Then.FAIL:
                failure = Failure(code=policy.code, message=policy.message, retryable=policy.retryable)
                await self._fail(job, failure, error, keeps_charge=policy.keeps_charge)
                self._acknowledge()
            case Then.REQUEUE:
                await self._retry(job, error, policy.code, error.retry_after_seconds)
            case Then.DEFER:
                await self._defer(
                    job, NotNow(error.retry_after_seconds or policy.first_back_off_seconds, policy.message)
                )

    async def _fail(self, job: Job, failure: Failure, error: Exception, *, keeps_charge: bool = False) -> None:
        now = clock.now_milliseconds()
        await self._write(job, moves.failed(failure, now, owner=self._owner, keeps_charge=keeps_charge))
        self._count(job, failure.code)
        if job.attempt > 1:
            await self._discard_results(job)
        extra = {"action": "job_failed", "code": failure.code}
        logger.warning("A job failed", exc_info=None if failure.code in _OWNERS_DOING else error, extra=extra)

    async def _retry(self, job: Job, error: DarkroomError, code: str, retry_after_seconds: float | None) -> None:
        """Put the job back for a later try; after the last one it fails, and its message goes to the dead-letter queue."""
        receives = self._delivery.receives
        if receives >= MAX_RECEIVES:
            await self._fail(job, Failure(code=code, message=error.message, retryable=True), error)
            await self._hide(0)
            return
        await self._write(job, moves.released(self._owner, clock.now_milliseconds()))
        await self._hide(max(retry_after_seconds or 0, self._workshop.retry_seconds[receives - 1]))
        self._count(job, "retried")
        extra = {"action": "job_retried", "code": code}
        logger.warning("A job will be tried again", exc_info=error, extra=extra)

    async def _defer(self, job: Job, error: NotNow) -> None:
        """Put the job off as a delayed copy of its message: it is not its doing, so it costs no receive."""
        now = clock.now_milliseconds()
        waited_seconds = _waited_seconds(job)
        if waited_seconds > _MAX_DEFERRED_SECONDS:
            await self._fail(job, Failure.of(error, retryable=True), error)
            self._acknowledge()
            return
        delay_seconds = error.delay_seconds(waited_seconds)
        await self._send_again(job, round(delay_seconds), moves.put_off(self._owner, now))
        self._count(job, "deferred")
        logger.warning("A job was put off", extra={"action": "job_deferred", "seconds": round(delay_seconds, 1)})

    async def _hand_back(self, job: Job) -> None:
        """Put the job back into the queue as if it had never been received: a deployment is no failed try."""
        await self._send_again(job, 0, moves.released(self._owner, clock.now_milliseconds()))
        logger.info("A job was handed back", extra={"action": "job_handed_back"})

    async def _send_again(self, job: Job, delay_seconds: int, move: moves.Move) -> None:
        # First the copy, then the end of the original: a death between the two makes a duplicate, which a claim absorbs.
        waiting = await self._write(job, move)
        await self._workshop.queue.send(waiting, delay_seconds=delay_seconds)
        self._acknowledge()

    async def _hide(self, seconds: float) -> None:
        await self._workshop.heartbeat.settled()
        await self._workshop.queue.hide([self._delivery.receipt], min(round(seconds), MAX_DELAY_SECONDS))

    async def _write(self, job: Job, move: moves.Move) -> Job:
        """Write how it ended, with the patience that the lease has left: the work is done and paid for."""
        patience_seconds = self._workshop.queue.visibility_seconds * _PATIENCE_SHARE
        return await self._workshop.table.apply(
            job, moves.having_used(self._use, self._kept, move), patience_seconds=patience_seconds
        )

    def _acknowledge(self) -> None:
        self._workshop.acknowledger.add(self._delivery.receipt)

    def _count(self, job: Job, outcome: str) -> None:
        self._workshop.meters.jobs.labels(job.pipeline, outcome).inc()


def _waited_seconds(job: Job) -> float:
    """Return for how long the job has been put off, in all."""
    now = clock.now_milliseconds()
    return (now - (job.deferred_since or now)) / 1000
