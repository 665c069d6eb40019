"""What all requests that start a job have in common: the key that makes them safe to send twice, and their answer."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from jobs.errors import CloudUnavailable, InvalidRequest
from jobs.ids import UserId
from jobs.job_table import IdempotencyKey
from jobs.model import JSON
from jobs.submission import Submitted
from service import keys

logger = logging.getLogger(__name__)

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[!-~]{1,255}")


def read_key(request: web.Request, wish: BaseModel | None = None) -> IdempotencyKey | None:
    """Read the caller's name for this request, if it has one. Raises InvalidRequest.

    Two requests are the same when route, job and what was understood of the body are: spaces and unknown fields do not count.
    """
    given = request.headers.getall(KEY_HEADER, [])
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidRequest(f"{KEY_HEADER} must be 1 to 255 visible ASCII characters", field=KEY_HEADER)
    asked = [request.path, wish.model_dump(mode="json") if wish is not None else None]
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(text=given[0], body_hash=hashlib.sha256(canonical.encode()).hexdigest())


async def accepted(request: web.Request, submitted: Submitted) -> web.Response:
    """Answer for a job that was taken in, now or by an earlier request with the same key."""
    job = submitted.job
    if job.waiting:
        request.app[keys.SERVICES].admission.watch(job.user_id)
    # "queued": the queue has it, though a worker may be further already.
    answer: dict[str, JSON] = {"jobId": job.job_id, "status": "queued", "message": "Your picture is in the queue"}
    if job.retry_of is not None:
        answer["retryOf"] = job.retry_of
    headers = {REPLAYED_HEADER: "true"} if submitted.replayed else None
    return web.json_response(answer | await _remaining_quota(request, job.user_id), headers=headers)


async def _remaining_quota(request: web.Request, user_id: UserId) -> dict[str, JSON]:
    """Read what is left; nothing when that fails, for an error here would make the client send the job once more."""
    try:
        quota = await request.app[keys.SERVICES].jobs.quota(user_id, request.app[keys.SETTINGS].daily_limit)
    except CloudUnavailable:
        logger.warning("The quota cannot be read just now", extra={"action": "read_quota"}, exc_info=True)
        return {}
    return {"remainingQuota": quota.remaining}
