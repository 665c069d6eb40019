"""Profile photos: the styles, and the start of a job."""

from __future__ import annotations

import logging
import re
from typing import Final

from aiohttp import web

from consumers import styles
from jobs.errors import CloudUnavailable, UploadNotFound
from jobs.files import uploads_of
from jobs.ids import UserId
from jobs.submission import Request
from service import keys
from service.bodies import read_object
from service.schemas import GenerateRequest, parse

logger = logging.getLogger(__name__)

PIPELINE: Final = "profile-photo"
_UPLOAD_NAME: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9._-]{1,200}")


async def list_styles(_: web.Request) -> web.Response:
    """List the styles a caller may choose."""
    return web.json_response({"styles": [_style_view(style) for style in styles.STYLES.values()]})


async def generate(request: web.Request) -> web.Response:
    """Take a job in."""
    wish = parse(GenerateRequest, await read_object(request))
    services = request.app[keys.SERVICES]
    user_id = request[keys.CALLER].user_id
    _check_key(wish.file_key, user_id)
    await services.files.check_upload(wish.file_key)
    job = await services.submission.submit(
        Request(
            user_id=user_id,
            pipeline=PIPELINE,
            style=wish.chosen_style,
            prompt=wish.prompt,
            input_url=services.files.upload_url(wish.file_key),
        )
    )
    # "queued": the queue has it, though a worker may be further already.
    answer = {"jobId": job.job_id, "status": "queued", "message": "Your picture is in the queue"}
    return web.json_response(answer | await _remaining_quota(request, user_id))


def _check_key(key: str, user_id: UserId) -> None:
    """Answer another user's key like one that was never uploaded, which tells nothing."""
    prefix = uploads_of(user_id)
    if not key.startswith(prefix) or not _UPLOAD_NAME.fullmatch(key, len(prefix)):
        raise UploadNotFound


async def _remaining_quota(request: web.Request, user_id: UserId) -> dict[str, int]:
    """Read what is left; nothing when that fails, for an error here would make the client send the job once more."""
    try:
        quota = await request.app[keys.SERVICES].jobs.quota(user_id, request.app[keys.SETTINGS].daily_limit)
    except CloudUnavailable:
        logger.warning("The quota cannot be read just now", extra={"action": "read_quota"}, exc_info=True)
        return {}
    return {"remainingQuota": quota.remaining}


def _style_view(style: styles.Style) -> dict[str, object]:
    return {
        "id": style.id,
        "name": {"en": style.name_en, "ko": style.name_ko},
        "description": {"en": style.description_en, "ko": style.description_ko},
        "takesPrompt": style.takes_prompt,
        "default": style.id == styles.DEFAULT_STYLE,
    }


PUBLIC_ROUTES: Final = (web.get("/styles", list_styles),)
ROUTES: Final = (web.post("/generate", generate),)
