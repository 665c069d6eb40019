"""Cracks in photos of rooms: found within the request, as the original does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from pydantic import ConfigDict

from consumers.crack_detection import PIPELINE, CrackInput
from jobs.errors import CloudUnavailable, InvalidImage, InvalidRequest, JobNotFound, RequestError, UploadNotFound
from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
from jobs.job_table import IdempotencyKey
from jobs.model import JSON, Job
from jobs.submission import Submitted
from service import keys
from service.bodies import PHOTO_FIELDS, Photo, read_photo
from service.errors import InvalidImageFile, JobFailed, ResultNotFound, StillRunning
from service.openapi import answers
from service.openapi.operations import JOB_HEADERS, STARTS_JOB, Answer, Tag, operation, started
from service.pipeline_routes import PipelineRoutes
from service.routes.jobs import read_job_id
from service.routes.submissions import answered, read_key, submit
from service.schemas import parse

logger = logging.getLogger(__name__)

NAME: Final = PIPELINE.name
RESULT_CACHING: Final = "private, max-age=300"


class CrackForm(CrackInput):
    """A photo of 10 MiB at most, in one of two fields, and how sure a crack must be."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in PHOTO_FIELDS]})

    file: Photo = b""
    image: Photo = b""


@operation(
    "detectCracks",
    Tag.START,
    started(answers.Cracks),
    query=CrackInput,
    form=CrackForm,
    headers=JOB_HEADERS,
    raises=(*STARTS_JOB, JobFailed, StillRunning),
)
async def detect(request: web.Request) -> web.Response:
    """Find the cracks in a photo, and answer when they are found."""
    submitted = await _take_in(request)
    try:
        return await answered(request, submitted, lambda job: _view(request, job))
    except JobFailed as error:
        if error.failure.code == InvalidImage.code:
            raise JobFailed(error.job, InvalidImageFile().message) from error
        raise


@operation("showCracks", Tag.START, {200: Answer(contents={"image/jpeg": bytes})}, raises=(ResultNotFound,))
async def result(request: web.Request) -> web.Response:
    """Show a photo with its cracks marked, to whoever knows its id."""
    services = request.app[keys.SERVICES]
    try:
        job = await services.jobs.get(read_job_id(request))
        url = job.output.url if job.output is not None and job.pipeline == NAME else None
        content = await services.files.read(url or "", max_bytes=MAX_UPLOAD_BYTES) if url else None
    except (JobNotFound, UploadNotFound) as error:
        raise ResultNotFound from error
    if content is None:
        raise ResultNotFound
    return web.Response(body=content, content_type="image/jpeg", headers={hdrs.CACHE_CONTROL: RESULT_CACHING})


async def _take_in(request: web.Request) -> Submitted:
    """Store the photo and take the job in; the photo stays only where it may be a job's."""
    wish, key, url = await _store(request)
    try:
        submitted = await submit(request, NAME, wish, key=key, input_url=url, units=PIPELINE.units)
    except RequestError:
        # Any other error leaves a job, or does not know whether there is one.
        await _throw_away(request, url)
        raise
    if submitted.job.input_url != url:
        await _throw_away(request, url)
    return submitted


async def _store(request: web.Request) -> tuple[CrackInput, IdempotencyKey | None, str]:
    # A function of its own, for while its callers wait for the job the photo should not stay in memory.
    user_id, services = request[keys.CALLER].user_id, request.app[keys.SERVICES]
    async with request.app[keys.SEATS].taken(user_id) as grow:
        form = await read_photo(request, grow, services.images)
        wish = _wish({**request.query, **form.fields})
        key = read_key(request, wish, photo=form.content)
        url = await services.files.write_upload(
            user_id, form.content, content_type=form.content_type, extension=EXTENSIONS[form.content_type][0]
        )
    return wish, key, url


async def _throw_away(request: web.Request, url: str) -> None:
    try:
        await request.app[keys.SERVICES].files.delete_upload(url)
    except CloudUnavailable:
        extra = {"action": "throw_away_photo"}
        logger.warning("A photo that is no job's stays until uploads expire", extra=extra, exc_info=True)


def _wish(said: Mapping[str, str]) -> CrackInput:
    try:
        return parse(CrackInput, {name: value for name, value in said.items() if value.strip()})
    except InvalidRequest as error:
        raise InvalidRequest("threshold must be a number from 0 to 1", field=error.field) from error


def _view(request: web.Request, job: Job) -> dict[str, JSON]:
    facts = job.output.facts if job.output is not None else {}
    path = f"/result/{job.job_id}"
    boxes = facts.get("boundingBoxes")
    return {
        "file_id": job.job_id,
        "image_url": path,
        "result_url": _own_address(request) + path,
        "has_crack": facts.get("hasCrack", False),
        "confidence": facts.get("confidence", 0),
        "crack_count": facts.get("crackCount", 0),
        "bounding_boxes": [_box(box) for box in boxes] if isinstance(boxes, list) else [],
    }


def _box(box: JSON) -> JSON:
    return {side: box[side] for side in ("x", "y", "width", "height")} if isinstance(box, dict) else None


def _own_address(request: web.Request) -> str:
    """Return where we are: as we are told; else as the caller found us."""
    return request.app[keys.SETTINGS].public_url.rstrip("/") or f"{request.scheme}://{request.host}"


ROUTES: Final = PipelineRoutes(
    name=NAME,
    submits=(web.post("/detect-crack", detect),),
    public=(web.get("/result/{job_id}", result),),
)
