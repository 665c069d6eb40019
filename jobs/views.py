"""Jobs as clients see them, in REST answers and socket messages alike."""

from __future__ import annotations

from collections.abc import Callable

from jobs import clock, items, queue_place
from jobs.control import Canceled
from jobs.events import EventBus, JobProgress
from jobs.files import Files
from jobs.model import JSON, Charge, Job, Quota, Status
from jobs.queue_place import Place


class JobViews:
    """Writes jobs as JSON, with links signed at this moment. ``place_of`` knows where queued jobs stand."""

    def __init__(self, files: Files, bus: EventBus, place_of: Callable[[Job], Place | None] = lambda _: None) -> None:
        self._files = files
        self._bus = bus
        self._place_of = place_of

    async def view(self, job: Job) -> dict[str, JSON]:
        """Return the job's JSON form; what a job does not have is absent. Raises CloudUnavailable."""
        view = plain_view(job)
        if job.input_url is not None:
            view["inputImageSignedUrl"] = await self._files.link(job.input_url)
        if job.output is not None and job.output.url is not None:
            view["outputImageUrl"] = link = await self._files.link(job.output.url)
            if job.output.link_as is not None:
                view["result"] = {**job.output.facts, job.output.link_as: link}
        progress = None if job.terminal else self._bus.progress_of(job.job_id)
        if progress is not None:
            view["progress"] = progress_view(progress)
        place = self._place_of(job)
        if place is not None:
            view["queue"] = queue_place.view(place)
        return view


def progress_view(progress: JobProgress) -> dict[str, JSON]:
    """Return how far a job is."""
    view: dict[str, JSON] = {
        "stage": progress.stage.value,
        "fraction": round(progress.fraction, 3),
        "message": progress.message,
    }
    return view | {"partial": dict(progress.partial)} if progress.partial else view


def cancel_view(canceled: Canceled) -> dict[str, JSON]:
    """Return what the wish to cancel a job came to."""
    return {
        "jobId": canceled.job.job_id,
        "status": canceled.job.status.value,
        "outcome": canceled.outcome.value,
        "givenBack": canceled.given_back,
        "message": canceled.message,
    }


def quota_view(quota: Quota) -> dict[str, JSON]:
    """Return what is left of a user's day."""
    return {
        "dailyLimit": quota.daily_limit,
        "usedToday": quota.used,
        "remainingQuota": quota.remaining,
        "resetsAt": clock.iso(quota.resets_at),
    }


def plain_view(job: Job) -> dict[str, JSON]:
    """Return the job's JSON form without links; what a job does not have is absent."""
    view: dict[str, JSON | None] = {
        "jobId": job.job_id,
        "userId": job.user_id,
        "pipeline": job.pipeline,
        "status": job.status.value,
        "version": job.version,
        "terminal": job.terminal,
        "attempt": job.attempt,
        "style": job.style,
        "prompt": job.prompt,
        "inputImageUrl": job.input_url,
        "parameters": dict(job.parameters) or None,
        "units": None if job.units == 1 else job.units,
        "retryOf": job.retry_of,
        "processingTime": job.processing_milliseconds,
        "createdAt": clock.iso(job.created_at),
        "updatedAt": clock.iso(job.updated_at),
        **_use_view(job),
        **_output_view(job),
        "charged": _is_charged(job),
        **_failure_view(job),
    }
    return {name: value for name, value in view.items() if value is not None}


def _is_charged(job: Job) -> bool | None:
    """Tell what became of the units of a job that did not succeed."""
    if job.status not in (Status.FAILED, Status.CANCELED):
        return None
    return job.charge is Charge.CHARGED and job.units > 0


def _use_view(job: Job) -> dict[str, JSON]:
    use = job.use
    if not use.calls:
        return {}
    return {"modelUse": {"calls": use.calls, "pictures": use.pictures, "tokens": dict(use.tokens)}}


def _output_view(job: Job) -> dict[str, JSON]:
    if job.output is None:
        return {}
    metadata: dict[str, JSON] = {
        "generationTime": job.output.generation_milliseconds,
    }
    if job.output.model_name:
        metadata["modelName"] = job.output.model_name
    if job.output.url is not None:
        metadata["outputKey"] = items.s3_key(job.output.url)
    return {"metadata": metadata, "result": dict(job.output.facts)}


def _failure_view(job: Job) -> dict[str, JSON]:
    if job.failure is None:
        return {}
    failure = job.failure
    return {
        "error": failure.message,
        "failure": {"code": failure.code, "message": failure.message, "retryable": failure.retryable},
    }
