"""What the owner of a job may do with it: cancel it, have it done once more, delete it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jobs import clock, moves
from jobs.errors import CloudUnavailable, Forbidden, JobEnded, JobNotEnded, LostClaim, UploadNotFound
from jobs.events import EventBus, Stage
from jobs.files import Files
from jobs.ids import JobId, UserId
from jobs.job_table import IdempotencyKey, JobTable
from jobs.model import Charge, Job, Status
from jobs.submission import Request, Submission, Submitted

_TRIES: Final = 3


class CancelOutcome(StrEnum):
    """What a cancel came to."""

    BEFORE_START = "before_start"
    WHILE_RUNNING = "while_running"
    ALREADY_CANCELED = "already_canceled"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True)
class Canceled:
    """A job after the wish to cancel it, what the wish came to, and whether its unit of quota is (or was) given back."""

    job: Job
    outcome: CancelOutcome

    @property
    def given_back(self) -> bool:
        """Tell whether the unit of quota is the owner's again."""
        return self.job.charge is Charge.RETURNED

    @property
    def message(self) -> str:
        """Say it in a sentence."""
        quota = "was given back" if self.given_back else "is kept"
        return f"{_SENTENCES[self.outcome]}, and its unit of the day's quota {quota}"


_SENTENCES: Final = {
    CancelOutcome.BEFORE_START: "The job was canceled before it started",
    CancelOutcome.WHILE_RUNNING: "The job was canceled while it ran",
    CancelOutcome.ALREADY_CANCELED: "The job had been canceled before",
    CancelOutcome.TOO_LATE: "The job had ended before it could be canceled",
}


class Control:
    """Cancels, repeats and deletes jobs. Every wish may be sent twice. All errors: CloudUnavailable, and those named."""

    def __init__(self, table: JobTable, files: Files, submission: Submission, bus: EventBus) -> None:
        self._table = table
        self._files = files
        self._submission = submission
        self._bus = bus

    async def find(self, user_id: UserId, job_id: JobId) -> Job:
        """Read a user's own job. Raises JobNotFound and Forbidden."""
        job = await self._table.get(job_id)
        if job.user_id != user_id:
            raise Forbidden
        return job

    async def cancel(self, job: Job) -> Canceled:
        """End the job unless it has ended; whatever works on it stops, here or elsewhere.

        The unit is given back while Gemini has not been called; it is kept from then on, and where nobody can say.
        """
        for _ in range(_TRIES):
            try:
                job = await self._table.apply(job, moves.canceled_if(self._calls_gemini, clock.now_milliseconds()))
            except JobEnded:
                job = await self._table.get(job.job_id)
                if not job.terminal:
                    continue  # an operator has brought it back meanwhile
                done_before = job.status is Status.CANCELED
                return Canceled(job, CancelOutcome.ALREADY_CANCELED if done_before else CancelOutcome.TOO_LATE)
            running = job.started_at is not None
            return Canceled(job, CancelOutcome.WHILE_RUNNING if running else CancelOutcome.BEFORE_START)
        raise CloudUnavailable

    async def retry(
        self, job: Job, key: IdempotencyKey | None = None, *, request_id: str | None = None, since: int | None = None
    ) -> Submitted:
        """Make a new job of an ended one's input, charged like any other; ``since`` is as ``Request`` has it.

        Raises JobNotEnded, UploadNotFound when the input is gone, and what Submission.submit raises.
        """
        if not job.terminal:
            raise JobNotEnded
        await self._check_input(job, key)
        request = Request(
            user_id=job.user_id,
            pipeline=job.pipeline,
            style=job.style,
            prompt=job.prompt,
            input_url=job.input_url,
            parameters=job.parameters,
            units=job.units,
            retry_of=job.job_id,
            request_id=request_id,
            since=since,
        )
        return await self._submission.submit(request, key)

    async def delete(self, job: Job) -> None:
        """Cancel the job if it has not ended, then take it and its result away; the upload goes with its own retention.

        Raises JobNotFound when it is gone already.
        """
        for _ in range(_TRIES):
            if not job.terminal:
                job = (await self.cancel(job)).job
            await self._files.delete_results(job.user_id, job.job_id)
            try:
                await self._table.delete(job)
            except LostClaim:
                job = await self._table.get(job.job_id)  # an operator has brought it back meanwhile
            else:
                return
        raise CloudUnavailable

    async def _check_input(self, job: Job, key: IdempotencyKey | None) -> None:
        if job.input_url is None:
            return
        try:
            await self._files.check_exists(job.input_url)
        except UploadNotFound:
            # A wish that was granted before is answered as it was then.
            if key is None or not await self._table.is_claimed(job.user_id, key):
                raise

    def _calls_gemini(self, job: Job) -> bool:
        if job.status is not Status.PROCESSING or (job.lease_until or 0) < clock.now_milliseconds():
            return False
        progress = self._bus.progress_of(job.job_id)
        return progress is None or progress.stage not in (Stage.DOWNLOADING, Stage.PREPARING)
