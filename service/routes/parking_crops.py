"""The crops that callers name: those that parking jobs of theirs have made, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from aiohttp import web

from consumers import parking_report
from consumers.parking_comparison import BoxInput, CropInput
from jobs.errors import JobNotFound, UploadNotFound
from jobs.ids import JobId
from jobs.job_table import IdempotencyKey
from jobs.model import JSON, Job
from jobs.parking_reports import ReportNotFound
from service import keys
from service.routes.submissions import unless_claimed


async def find_maker(request: web.Request, url: str, key: IdempotencyKey | None) -> Job | None:
    """Find the caller's job that has made a crop, ``s3://bucket/key``; None where this wish was granted before, and it is gone.

    Raises UploadNotFound for whatever else lies there: an upload as it is may say where its owner lives.
    """
    async with unless_claimed(request, key):
        await request.app[keys.SERVICES].files.check_exists(url)
        return await _maker_of(request, url)
    return None


def crop_by(maker: Job | None, url: str) -> CropInput:
    """Name a crop, and where its vehicle is: the job that made it knows."""
    box = _fact(maker, "vehicleInCrop")
    return CropInput(url=url, vehicle=BoxInput.model_validate(box) if box else None)


async def find_report(request: web.Request, makers: Iterable[Job | None]) -> str | None:
    """Return the report that rests on just the crops of these two jobs."""
    known = [job for job in makers if job is not None]
    urls = {job.output.url for job in known if job.output is not None}
    for report_id in {_fact(job, "reportId") for job in known}:
        if not isinstance(report_id, str):
            continue
        try:
            report = await request.app[keys.SERVICES].parking_reports.get(report_id, request[keys.CALLER].user_id)
        except ReportNotFound:
            continue
        if {report.first.cropped_url, report.last.cropped_url} == urls:
            return report_id
    return None


async def _maker_of(request: web.Request, url: str) -> Job:
    try:
        job = await request.app[keys.SERVICES].jobs.get(JobId(PurePosixPath(url).stem))
    except JobNotFound as error:
        raise UploadNotFound from error
    is_own = job.user_id == request[keys.CALLER].user_id and job.pipeline == parking_report.NAME
    if not is_own or job.output is None or job.output.url != url:
        raise UploadNotFound
    return job


def _fact(job: Job | None, name: str) -> JSON:
    return job.output.facts.get(name) if job is not None and job.output is not None else None
