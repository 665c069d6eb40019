"""A user's jobs."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from typing import Final

from aiohttp import web

from jobs.errors import Forbidden, JobNotCompleted, JobNotEnded, JobNotFound, NoResultFile, UploadNotFound
from jobs.files import DOWNLOAD_LINK_SECONDS
from jobs.ids import JOB_ID, JobId
from jobs.job_reader import JobPage
from jobs.model import JSON, Job
from jobs.views import cancel_view
from service import keys
from service.openapi import answers
from service.openapi.operations import JOB_HEADERS, STARTS_JOB, Tag, operation, started
from service.routes.submissions import accepted, read_key
from service.schemas import JobsRequest, parse
from websocket import wire

_ABOUT_ONE: Final = (JobNotFound, Forbidden)


@operation("listJobs", Tag.JOBS, {200: answers.Jobs}, query=JobsRequest)
async def list_jobs(request: web.Request) -> web.Response:
    """List the caller's jobs, newest first."""
    wanted = parse(JobsRequest, request.query)
    page = await request.app[keys.SERVICES].jobs.page(
        request[keys.CALLER].user_id, limit=wanted.limit, status=wanted.wanted_status, cursor=wanted.cursor
    )
    answer: dict[str, JSON] = {"jobs": await page_view(request, page)}
    if page.cursor is not None:
        answer["nextCursor"] = page.cursor
    return web.json_response(answer)


@operation("showJob", Tag.JOBS, {200: wire.Job}, raises=_ABOUT_ONE)
async def show(request: web.Request) -> web.Response:
    """Show one job."""
    job = await find(request)
    return web.json_response(await request.app[keys.SERVICES].views.view(job))


@operation(
    "downloadResult",
    Tag.JOBS,
    {200: answers.Download},
    raises=(*_ABOUT_ONE, JobNotCompleted, NoResultFile),
)
async def download(request: web.Request) -> web.Response:
    """Sign a link that saves the result as a file."""
    job = await find(request)
    if job.output is None:
        raise JobNotCompleted
    if job.output.url is None:
        raise NoResultFile
    link = await request.app[keys.SERVICES].files.download_link(
        job.output.url, file_name=PurePosixPath(job.output.url).name
    )
    return web.json_response({"downloadUrl": link, "expiresIn": DOWNLOAD_LINK_SECONDS, "jobId": job.job_id})


@operation("cancelJob", Tag.JOBS, {200: answers.CancelTold}, raises=_ABOUT_ONE)
async def cancel(request: web.Request) -> web.Response:
    """Cancel a job. Asking twice is the same as once."""
    services = request.app[keys.SERVICES]
    canceled = await services.control.cancel(await find(request))
    return web.json_response(cancel_view(canceled) | {"job": await services.views.view(canceled.job)})


@operation(
    "retryJob",
    Tag.JOBS,
    started(answers.Accepted),
    headers=JOB_HEADERS,
    raises=(*STARTS_JOB, *_ABOUT_ONE, UploadNotFound, JobNotEnded),
)
async def retry(request: web.Request) -> web.Response:
    """Start a new job of an ended one's input."""
    key = read_key(request)
    submitted = await request.app[keys.SERVICES].control.retry(
        await find(request), key, request_id=request[keys.REQUEST_ID], since=request[keys.CALLER].since
    )
    return await accepted(request, submitted)


@operation("deleteJob", Tag.JOBS, {200: answers.JobDeleted}, raises=_ABOUT_ONE)
async def delete(request: web.Request) -> web.Response:
    """Delete a job and its result; one that has not ended is canceled first."""
    job = await find(request)
    await request.app[keys.SERVICES].control.delete(job)
    return web.json_response({"jobId": job.job_id, "deleted": True})


async def page_view(request: web.Request, page: JobPage) -> list[JSON]:
    """Show the jobs of a page."""
    views = request.app[keys.SERVICES].views
    return list(await asyncio.gather(*(views.view(job) for job in page.jobs)))


async def find(request: web.Request) -> Job:
    """Read the job that the path names. Raises JobNotFound and Forbidden."""
    return await request.app[keys.SERVICES].control.find(request[keys.CALLER].user_id, read_job_id(request))


def read_job_id(request: web.Request) -> JobId:
    """Return the job's id in the path. Raises JobNotFound for what can be none."""
    job_id = request.match_info["job_id"]
    if not JOB_ID.fullmatch(job_id):
        raise JobNotFound
    return JobId(job_id)


ANONYMOUS_ROUTES: Final = (web.get("/jobs/{job_id}", show),)
"""Whoever may start a job without a token may look at it from the same address."""
SUBMIT_ROUTES: Final = (web.post("/jobs/{job_id}/retry", retry),)
ROUTES: Final = (
    web.get("/jobs", list_jobs),
    *ANONYMOUS_ROUTES,
    web.delete("/jobs/{job_id}", delete),
    web.post("/jobs/{job_id}/cancel", cancel),
    web.get("/jobs/{job_id}/download", download),
)
