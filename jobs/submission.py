"""How a request becomes a job: stored with its unit taken, sent, then charged; or stored to wait for its turn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jobs import clock, moves
from jobs.errors import CloudUnavailable, LostClaim, QueueRefused, RequestError, UserIsFull
from jobs.ids import JobId, UserId, new_job_id
from jobs.job_table import IdempotencyKey, JobTable, Limits
from jobs.model import JSON, Charge, Failure, Job, Status
from jobs.work_queue import WorkQueue

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks for, checked already. ``input_url`` is ``s3://bucket/key`` of the upload.

    ``parameters`` and ``units`` are as ``Job`` has them. ``since`` is when the caller was last known to be the user, in
    milliseconds since the epoch; None for this moment.
    """

    user_id: UserId
    pipeline: str
    style: str | None = None
    prompt: str | None = None
    input_url: str | None = None
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    units: int = 1
    retry_of: JobId | None = None
    request_id: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job of a request; ``replayed`` when an earlier request with the same key, or for the same id, had made it."""

    job: Job
    replayed: bool = False


class Submission:
    """Takes jobs in, and sends those that waited."""

    def __init__(self, table: JobTable, queue: WorkQueue, limits: Limits) -> None:
        self._table = table
        self._queue = queue
        self._limits = limits

    async def submit(self, request: Request, key: IdempotencyKey | None = None) -> Submitted:
        """Store, send and charge a job; or store it to wait, and send what may fly of its owner's jobs, the oldest first.

        The job is returned as it is then. Raises what ``JobTable.create`` raises, CloudUnavailable (send again under the same
        key: whether it was stored is unknown when every answer was lost), and QueueRefused: the job is `failed`, nothing was
        charged and its key is free again. When not even that could be written, the job is accepted after all: it is stored, and
        sent later.
        """
        wanted = _new_job(request, new_job_id())
        job = await self._table.create(wanted, self._limits, key, since=request.since)
        if job.job_id != wanted.job_id:
            return Submitted(job=job, replayed=True)
        logger.info("A job was taken in", extra=_extra("job_taken_in", job) | {"waiting": job.waiting})
        if job.waiting:
            return Submitted(job=await self._after_admission(job))
        try:
            await self._queue.send(job)
        except CloudUnavailable as error:
            return Submitted(job=await self._settle_unsent(job, error))
        return Submitted(job=await self._charge(job))

    async def take_in(self, request: Request, job_id: JobId) -> Submitted:
        """Store, send and charge the job of this id, for whose answer nobody waits: call it again until it returns.

        A job that has the id already was taken in before, and is sent only if it never was.
        Raises QuotaExceeded, TooManyJobs, UserBlocked, AccountErasing, AccountErased, JobDeleted, CloudUnavailable.
        """
        wanted = _new_job(request, job_id)
        job = await self._table.create(wanted, self._limits, since=request.since)
        if job.waiting:
            job = await self._after_admission(job)
        elif job.status is Status.PENDING:
            logger.info("A job was taken in", extra=_extra("job_taken_in", job))
            await self._queue.send(job)
            job = await self._charge(job)
        elif job.status is Status.FAILED and job.version == wanted.version:
            # Whoever refused it may have died before anybody was told.
            await self._table.tell_end_again(job)
        return Submitted(job=job, replayed=job.created_at != wanted.created_at)

    async def refuse(self, request: Request, job_id: JobId, reason: RequestError) -> Submitted:
        """Store the job of this id as one that failed for this reason, and tell its owner; nothing is taken for it.

        A job that has the id already stays as it is. Raises AccountErasing, AccountErased, JobDeleted, CloudUnavailable.
        """
        failure = Failure.of(reason, retryable=True)
        new = _new_job(request, job_id)
        wanted = replace(new, status=Status.FAILED, charge=Charge.RETURNED, failure=failure)
        job = await self._table.create_failed(wanted, since=request.since)
        return Submitted(job=job, replayed=job.created_at != wanted.created_at)

    async def admit(self, user_id: UserId, newest: Job | None = None) -> bool:
        """Send the user's waiting jobs as far as they may fly; returns False when none waits any more.

        ``newest`` was stored just now: it is considered although the index may not show it yet.
        """
        waiting, may_be_more = await self._table.waiting(user_id, self._limits.in_flight, newest)
        for job in waiting:
            try:
                admitted = await self._table.apply(job, moves.admitted(self._limits.in_flight))
            except UserIsFull:
                break
            except LostClaim:
                continue  # another task was faster
            await self.send_again(admitted)
        return may_be_more

    async def send_again(self, job: Job) -> None:
        """Send a stored job, be it for the first time or once more: a second message finds the job claimed or over."""
        await self._queue.send(job)
        await self._charge(job)

    async def _after_admission(self, job: Job) -> Job:
        """Return a job that waits as it is after its owner's places are filled: one may have become free just before."""
        try:
            await self.admit(job.user_id, job)
            return await self._table.get(job.job_id)
        except Exception:
            # The job is stored, and so accepted: whoever watches its owner admits it later, or the sweeper does.
            logger.exception("A job that waits could not be admitted", extra=_extra("admit_later", job))
            return job

    async def _charge(self, job: Job) -> Job:
        try:
            return await self._table.apply(job, moves.queued(clock.now_milliseconds()))
        except LostClaim:
            return job  # it was charged or ended meanwhile: the worker is faster than we are
        except CloudUnavailable:
            # The job is stored and its message is out: it was accepted, and is charged when it ends.
            logger.exception("A job could not be charged yet", extra=_extra("charge_later", job))
            return job

    async def _settle_unsent(self, job: Job, error: CloudUnavailable) -> Job:
        """Fail a job that the queue refused, and raise QueueRefused; or return it because it lives on."""
        refused = QueueRefused(job.job_id)
        failure, now = Failure.of(refused, retryable=True), clock.now_milliseconds()
        try:
            await self._table.apply(job, moves.failed(failure, now, owner=None, keeps_charge=False))
        except LostClaim:
            return await self._charge(job)  # the queue did take the message, only its answer was lost
        except CloudUnavailable:
            # It is stored and cannot be ended: then it is accepted, and the sweeper sends and charges it.
            logger.exception("A refused job could not be failed", extra=_extra("refuse_later", job))
            return job
        raise refused from error


def _extra(action: str, job: Job) -> dict[str, object]:
    return {"action": action, "job_id": job.job_id, "user_id": job.user_id, "pipeline": job.pipeline}


def _new_job(request: Request, job_id: JobId) -> Job:
    now = clock.now_milliseconds()
    return Job(
        job_id=job_id,
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
        parameters=request.parameters,
        units=request.units,
        retry_of=request.retry_of,
        request_id=request.request_id,
    )
