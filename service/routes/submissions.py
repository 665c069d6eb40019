"""What all requests that start a job have in common: how it is taken in, what makes them safe to send twice, their answers."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel

from jobs.errors import CloudUnavailable, InvalidRequest, UploadNotFound
from jobs.ids import UserId
from jobs.job_table import IdempotencyKey
from jobs.model import JSON, Job, Status
from jobs.submission import Request, Submitted
from service import keys, preferences
from service.errors import JobFailed, StillRunning

logger = logging.getLogger(__name__)

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
SYNCHRONOUS_SECONDS: Final = 50
"""How long an original's synchronous call may take; its clients give up after 60."""
_KEY: Final = re.compile(r"[!-~]{1,255}")


def read_key(
    request: web.Request, wish: BaseModel | None = None, *, photo: bytes | None = None
) -> IdempotencyKey | None:
    """Read the caller's name for this request, if it has one. Raises InvalidRequest.

    Two requests are the same when route, job, photo and what was understood of the body are: spaces and unknown fields do not
    count.
    """
    given = request.headers.getall(KEY_HEADER, [])
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidRequest(f"{KEY_HEADER} must be 1 to 255 visible ASCII characters", field=KEY_HEADER)
    asked: list[object] = [request.path, wish.model_dump(mode="json") if wish is not None else None]
    if photo is not None:
        asked.append(hashlib.sha256(photo).hexdigest())
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(text=given[0], body_hash=hashlib.sha256(canonical.encode()).hexdigest())


@asynccontextmanager
async def unless_claimed(request: web.Request, key: IdempotencyKey | None) -> AsyncIterator[None]:
    """Let it pass that an upload is gone, when an earlier request with this key was taken in: it is answered as it was then."""
    try:
        yield
    except UploadNotFound:
        if key is None or not await request.app[keys.SERVICES].jobs.is_claimed(request[keys.CALLER].user_id, key):
            raise


async def submit(
    request: web.Request,
    pipeline: str,
    wish: BaseModel,
    *,
    key: IdempotencyKey | None,
    input_url: str | None = None,
    units: int = 1,
) -> Submitted:
    """Take a job in for the caller: ``wish`` is what its pipeline will read, a value of its input model.

    Raises what Submission.submit raises.
    """
    asked: dict[str, JSON] = wish.model_dump(mode="json", by_alias=True, exclude_none=True)
    style, prompt = asked.pop("style", None), asked.pop("prompt", None)
    wanted = Request(
        user_id=request[keys.CALLER].user_id,
        pipeline=pipeline,
        style=None if style is None else str(style),
        prompt=None if prompt is None else str(prompt),
        input_url=input_url,
        parameters=asked,
        units=units,
        request_id=request[keys.REQUEST_ID],
        since=request[keys.CALLER].since,
    )
    return await request.app[keys.SERVICES].submission.submit(wanted, key)


async def accepted(request: web.Request, submitted: Submitted) -> web.Response:
    """Answer for a job that was taken in, now or by an earlier request with the same key; with its end, if the caller prefers.

    Raises JobNotFound when it is deleted while the caller waits.
    """
    _note_job(request, submitted.job)
    seconds = preferences.wait_seconds(request)
    if seconds is not None:
        return await _waited(request, submitted, seconds)
    job = submitted.job
    # "queued": the queue has it, though a worker may be further already.
    answer: dict[str, JSON] = {"jobId": job.job_id, "status": "queued", "message": "Your job is in the queue"}
    if job.retry_of is not None:
        answer["retryOf"] = job.retry_of
    return web.json_response(answer | await _remaining_quota(request, job.user_id), headers=_replayed(submitted))


async def answered(
    request: web.Request, submitted: Submitted, view: Callable[[Job], Mapping[str, JSON]]
) -> web.Response:
    """Answer as an original does that does the work within the request: ``view`` writes the completed job.

    With a ``Prefer: wait`` the answer is that of ``accepted``. Raises what ``finished_or_504`` raises.
    """
    if preferences.wait_seconds(request) is not None:
        return await accepted(request, submitted)
    job = await finished_or_504(request, submitted)
    return web.json_response(view(job), headers=_replayed(submitted))


async def finished_or_504(request: web.Request, submitted: Submitted) -> Job:
    """Wait for the job until the request is 50 seconds old, and return it completed.

    Raises StillRunning, JobFailed and JobNotFound.
    """
    _note_job(request, submitted.job)
    spent_seconds = time.monotonic() - request[keys.STARTED_AT]  # on a slow line, sending the photo
    job = await _ended(request, submitted.job, SYNCHRONOUS_SECONDS - spent_seconds)
    if not job.terminal:
        raise StillRunning(job)
    if job.status is not Status.COMPLETED:
        raise JobFailed(job)
    return job


async def _waited(request: web.Request, submitted: Submitted, seconds: int) -> web.Response:
    job = await _ended(request, submitted.job, seconds)
    headers = _replayed(submitted) | {preferences.APPLIED: f"wait={seconds}"}
    if not job.terminal:
        headers[hdrs.LOCATION] = f"/jobs/{job.job_id}"
    status = HTTPStatus.OK if job.terminal else HTTPStatus.ACCEPTED
    return web.json_response(await request.app[keys.SERVICES].views.view(job), status=status, headers=headers)


async def _ended(request: web.Request, job: Job, seconds: float) -> Job:
    began = time.monotonic()
    try:
        # Whoever has left is noticed by its connection alone: what it has submitted goes on.
        return await request.app[keys.SERVICES].waiting.ended(job, seconds, is_gone=lambda: request.transport is None)
    finally:
        request[keys.WAITED_SECONDS] = request.get(keys.WAITED_SECONDS, 0.0) + time.monotonic() - began


def _note_job(request: web.Request, job: Job) -> None:
    request[keys.JOB_ID] = job.job_id
    if job.waiting:
        request.app[keys.SERVICES].admission.watch(job.user_id)


def _replayed(submitted: Submitted) -> dict[str, str]:
    return {REPLAYED_HEADER: "true"} if submitted.replayed else {}


async def _remaining_quota(request: web.Request, user_id: UserId) -> dict[str, JSON]:
    """Read what is left; nothing when that fails, for an error here would make the client send the job once more."""
    limit = request.app[keys.SETTINGS].user_limits().daily_of(user_id)
    try:
        quota = await request.app[keys.SERVICES].jobs.quota(user_id, limit)
    except CloudUnavailable:
        logger.warning("The quota cannot be read just now", extra={"action": "read_quota"}, exc_info=True)
        return {}
    return {"remainingQuota": quota.remaining}
