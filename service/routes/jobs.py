"""A user's jobs."""

from __future__ import annotations

import asyncio
import re
from pathlib import PurePosixPath
from typing import Final

from aiohttp import web

from jobs.errors import Forbidden, JobNotCompleted, JobNotFound
from jobs.files import DOWNLOAD_LINK_SECONDS
from jobs.ids import JobId
from jobs.job_table import JobPage
from jobs.model import JSON, Job
from service import keys
from service.schemas import JobsRequest, parse

_JOB_ID: Final = re.compile(r"job_[A-Za-z0-9_-]{1,64}")


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


async def show(request: web.Request) -> web.Response:
    """Show one job."""
    job = await _find(request)
    return web.json_response(await request.app[keys.SERVICES].views.view(job))


async def download(request: web.Request) -> web.Response:
    """Sign a link that saves the result as a file."""
    job = await _find(request)
    if job.output is None:
        raise JobNotCompleted
    link = await request.app[keys.SERVICES].files.download_link(
        job.output.url, file_name=PurePosixPath(job.output.url).name
    )
    return web.json_response({"downloadUrl": link, "expiresIn": DOWNLOAD_LINK_SECONDS, "jobId": job.job_id})


async def page_view(request: web.Request, page: JobPage) -> list[JSON]:
    """Show the jobs of a page."""
    views = request.app[keys.SERVICES].views
    return list(await asyncio.gather(*(views.view(job) for job in page.jobs)))


async def _find(request: web.Request) -> Job:
    job_id = request.match_info["job_id"]
    if not _JOB_ID.fullmatch(job_id):
        raise JobNotFound
    job = await request.app[keys.SERVICES].jobs.get(JobId(job_id))
    if job.user_id != request[keys.CALLER].user_id:
        raise Forbidden
    return job


ROUTES: Final = (
    web.get("/jobs", list_jobs),
    web.get("/jobs/{job_id}", show),
    web.get("/jobs/{job_id}/download", download),
)
