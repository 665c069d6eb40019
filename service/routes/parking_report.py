"""Parking reports: sightings as the original's callers send them, photos that start by themselves, and what came of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from consumers import parking_comparison, parking_report
from consumers.parking_comparison import ComparisonInput
from consumers.parking_report import ParkingInput
from jobs import upload_events
from jobs.errors import JobDeleted, JobNotFound, UploadNotFound
from jobs.files import UploadLink, reports_of
from jobs.items import s3_key
from jobs.job_table import IdempotencyKey
from jobs.model import JSON, Status
from jobs.parking_reports import ReportNotFound
from jobs.submission import Request, Submitted
from service import keys
from service.bodies import read_object
from service.errors import JobFailed, StillRunning
from service.openapi import answers
from service.openapi.operations import JOB_HEADERS, STARTS_JOB, Tag, operation, started
from service.pipeline_routes import PipelineRoutes
from service.routes.parking_crops import crop_by, find_maker, find_report
from service.routes.parking_requests import ComparisonRequest, ParkingUpload, SightingRequest
from service.routes.parking_views import comparison_view, report_view, sighting_view
from service.routes.submissions import answered, read_key, submit, unless_claimed
from service.schemas import JobsRequest, UploadRequest, parse

NAME: Final = parking_report.NAME


@operation(
    "processMetadata",
    Tag.START,
    started(answers.SightingWritten | answers.SightingMissed),
    body=SightingRequest,
    headers=JOB_HEADERS,
    raises=(*STARTS_JOB, UploadNotFound, JobFailed, StillRunning),
)
async def process_metadata(request: web.Request) -> web.Response:
    """Write a sighting down, and answer when the car is found and its plate is read."""
    said = parse(SightingRequest, await read_object(request))
    key, wish = read_key(request, said), said.wish()
    files, user_id = request.app[keys.SERVICES].files, request[keys.CALLER].user_id
    url = files.owned_by(said.image_url, user_id, field="image_url")
    if said.cropped_url:
        crop_url = files.owned_by(said.cropped_url, user_id, field="cropped_url")
        crop = crop_by(await find_maker(request, crop_url, key), crop_url)
        wish = wish.model_copy(update={"crop": crop})
    async with unless_claimed(request, key):
        await files.check_exists(url)
    if (answer := await _answer_of_its_own_job(request, url, wish, key)) is not None:
        return answer
    submitted = await submit(request, NAME, wish, key=key, input_url=url)
    return await answered(request, submitted, sighting_view)


async def _answer_of_its_own_job(
    request: web.Request, url: str, wish: ParkingInput, key: IdempotencyKey | None
) -> web.Response | None:
    """Answer by the job that a photo under ``reports/`` starts by itself, whoever asks for it first: it is done and paid once.

    None when there is no such job, it would not know what the sender has read, or it has come to nothing by what it knew.
    """
    upload = upload_events.read_key(s3_key(url))
    if upload is None or wish.plate is not None or wish.crop is not None:
        return None
    wanted = Request(
        user_id=request[keys.CALLER].user_id,
        pipeline=NAME,
        input_url=url,
        parameters=wish.model_dump(mode="json", by_alias=True, exclude_none=True),
        request_id=request[keys.REQUEST_ID],
        since=request[keys.CALLER].since,
    )
    try:
        taken_in = await request.app[keys.SERVICES].submission.take_in(wanted, upload.job_id)
    except JobDeleted:
        return None
    # A replay is what the caller sends again, not what S3 has told of before.
    shared = replace(taken_in, replayed=taken_in.replayed and key is not None)
    if not taken_in.replayed:
        return await answered(request, shared, sighting_view)
    return await _answer_unless_in_vain(request, shared)


async def _answer_unless_in_vain(request: web.Request, shared: Submitted) -> web.Response | None:
    try:
        answer = await answered(request, shared, sighting_view)
        job = await request.app[keys.SERVICES].jobs.get(shared.job.job_id)
    except (JobFailed, JobNotFound):
        return None
    return None if job.status in (Status.FAILED, Status.CANCELED) else answer


@operation(
    "compareBackgrounds",
    Tag.START,
    started(answers.Comparison),
    body=ComparisonRequest,
    headers=JOB_HEADERS,
    raises=(*STARTS_JOB, UploadNotFound, JobFailed, StillRunning),
)
async def compare_background(request: web.Request) -> web.Response:
    """Tell how alike the backgrounds of two crops are."""
    said = parse(ComparisonRequest, await read_object(request))
    key = read_key(request, said)
    files, user_id = request.app[keys.SERVICES].files, request[keys.CALLER].user_id
    urls = [
        files.owned_by(said.first_cropped_url, user_id, field="first_cropped_url"),
        files.owned_by(said.second_cropped_url, user_id, field="second_cropped_url"),
    ]
    makers = [await find_maker(request, url, key) for url in urls]
    first, second = map(crop_by, makers, urls)
    wish = ComparisonInput(first=first, second=second, report_id=await find_report(request, makers))
    submitted = await submit(request, parking_comparison.PIPELINE.name, wish, key=key)
    return await answered(request, submitted, comparison_view)


@operation("listReports", Tag.REPORTS, {200: answers.Reports}, query=JobsRequest)
async def list_reports(request: web.Request) -> web.Response:
    """List the reports that one of the caller's sightings is part of, newest first."""
    wanted = parse(JobsRequest, request.query)
    services, user_id = request.app[keys.SERVICES], request[keys.CALLER].user_id
    page = await services.parking_reports.page(user_id, limit=wanted.limit, cursor=wanted.cursor)
    views = await asyncio.gather(*(report_view(services.files, report, user_id) for report in page.reports))
    answer: dict[str, JSON] = {"reports": list(views)}
    return web.json_response(answer | ({"nextCursor": page.cursor} if page.cursor else {}))


@operation("showReport", Tag.REPORTS, {200: answers.Report}, raises=(ReportNotFound,))
async def show_report(request: web.Request) -> web.Response:
    """Show one report."""
    services, user_id = request.app[keys.SERVICES], request[keys.CALLER].user_id
    report = await services.parking_reports.get(request.match_info["report_id"], user_id)
    return web.json_response(await report_view(services.files, report, user_id))


async def sign_upload(request: web.Request, photo: UploadRequest, body: Mapping[str, Any]) -> UploadLink:
    """Sign a PUT that starts a report by itself; what the caller says of the photo travels with it."""
    said = parse(ParkingUpload, body)
    user_id = request[keys.CALLER].user_id
    return await request.app[keys.SERVICES].files.upload_link(
        user_id,
        content_type=photo.content_type,
        size_bytes=photo.file_size,
        extension=photo.extension,
        folder=reports_of(user_id) + said.folder(),
        metadata=said.metadata(),
    )


ROUTES: Final = PipelineRoutes(
    name=NAME,
    submits=(web.post("/process_metadata", process_metadata), web.post("/compare_background", compare_background)),
    others=(web.get("/reports", list_reports), web.get("/reports/{report_id}", show_report)),
    sign_upload=sign_upload,
)
