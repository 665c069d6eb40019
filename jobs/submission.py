"""How a request becomes a job: stored with its unit taken, sent, then charged."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jobs import clock, moves
from jobs.errors import CloudUnavailable, LostClaim, QueueRefused
from jobs.ids import UserId, new_job_id
from jobs.job_table import JobTable
from jobs.model import Charge, Failure, Job, Status
from jobs.work_queue import WorkQueue

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks for, checked already. ``input_url`` is ``s3://bucket/key`` of the upload."""

    user_id: UserId
    pipeline: str
    style: str | None = None
    prompt: str | None = None
    input_url: str | None = None


class Submission:
    """Takes jobs in."""

    def __init__(self, table: JobTable, queue: WorkQueue, *, daily_limit: int) -> None:
        self._table = table
        self._queue = queue
        self._daily_limit = daily_limit

    async def submit(self, request: Request) -> Job:
        """Store, send and charge a job; returns it as it is then.

        Raises QuotaExceeded, CloudUnavailable (nothing was stored), and QueueRefused: the job is `failed` and nothing was
        charged, or, when not even that could be written, stays `pending`.
        """
        job = _new_job(request)
        await self._table.create(job, self._daily_limit)
        try:
            await self._queue.send(job)
        except CloudUnavailable as error:
            if await self._refuse(job):
                raise QueueRefused(job.job_id) from error
        return await self._charge(job)

    async def _charge(self, job: Job) -> Job:
        try:
            return await self._table.apply(job, moves.queued(clock.now_milliseconds()))
        except LostClaim:
            return job  # it was charged or ended meanwhile: the worker is faster than we are
        except CloudUnavailable:
            # The job is stored and its message is out: it was accepted, and is charged when it ends.
            logger.exception("A job could not be charged yet", extra={"action": "charge_later", "job_id": job.job_id})
            return job

    async def _refuse(self, job: Job) -> bool:
        """Fail the job; returns False when a worker has it: the queue did take the message, only its answer was lost."""
        failure = Failure(code=QueueRefused.code, message=QueueRefused(job.job_id).message, retryable=True)
        now = clock.now_milliseconds()
        try:
            await self._table.apply(job, moves.failed(failure, now, owner=None, keeps_charge=False))
        except LostClaim:
            return False
        except CloudUnavailable:
            logger.exception(
                "A refused job could not be failed", extra={"action": "refuse_later", "job_id": job.job_id}
            )
        return True


def _new_job(request: Request) -> Job:
    now = clock.now_milliseconds()
    return Job(
        job_id=new_job_id(),
        user_id=request.user_id,
        pipeline=request.pipeline,
        status=Status.PENDING,
        version=1,
        created_at=now,
        updated_at=now,
        charge=Charge.TAKEN,
        quota_day=clock.utc_day(now),
        style=request.style,
        prompt=request.prompt,
        input_url=request.input_url,
    )
