"""Parking reports: sightings as the original's callers send them, photos that start by themselves, and what came of both."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from consumers import occasions, parking_comparison, parking_report, photo_facts, vehicles
from consumers.parking_comparison import BoxInput, ComparisonInput, CropInput
from consumers.parking_report import ParkingInput
from jobs import clock
from jobs.errors import InvalidRequest, JobNotFound
from jobs.files import UploadLink, reports_of
from jobs.ids import JobId, UserId
from jobs.model import JSON, Job
from jobs.parking import Report, Sighting
from jobs.parking_reports import ReportNotFound
from service import keys
from service.bodies import read_object
from service.pipeline_routes import PipelineRoutes
from service.routes.submissions import answered, read_key, submit
from service.schemas import JobsRequest, OptionalText, PipelineUpload, UploadRequest, parse

NAME: Final = parking_report.NAME
DEFAULT_DEVICE: Final = "browser"
_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_FOUND: Final = {
    "no_vehicle": "No car or truck was found in the photo",
    "no_plate": "No number plate could be read for certain",
}


class SightingRequest(BaseModel):
    """``POST /process_metadata``; addresses of photos are ``s3://`` or HTTP ones of our own buckets."""

    model_config = ConfigDict(frozen=True)

    device_id: str = Field(min_length=1, max_length=64)
    latitude: float
    longitude: float
    capture_time: str
    image_url: str = Field(min_length=1)
    cropped_url: OptionalText = None
    plate_string: OptionalText = None


class ComparisonRequest(BaseModel):
    """``POST /compare_background``."""

    model_config = ConfigDict(frozen=True)

    first_cropped_url: str = Field(min_length=1)
    second_cropped_url: str = Field(min_length=1)


class ParkingUpload(PipelineUpload):
    """What ``POST /upload`` may say of a photo that starts a parking report; the photo itself may say it, too."""

    device_id: str = DEFAULT_DEVICE
    latitude: float | None = None
    longitude: float | None = None
    capture_time: OptionalText = None


async def process_metadata(request: web.Request) -> web.Response:
    """Write a sighting down, and answer when the car is found and its plate is read."""
    said = parse(SightingRequest, await read_object(request))
    key = read_key(request, said)
    files, user_id = request.app[keys.SERVICES].files, request[keys.CALLER].user_id
    _check_device(said.device_id, "device_id")
    _check_position(said.latitude, said.longitude)
    wish = ParkingInput(
        device_id=said.device_id,
        latitude=said.latitude,
        longitude=said.longitude,
        capture_time=_read_time(said.capture_time, "capture_time"),
        given_first=True,
        plate=_read_plate(said.plate_string),
        crop=await _crop(request, said.cropped_url, "cropped_url") if said.cropped_url else None,
    )
    url = files.owned_by(said.image_url, user_id, field="image_url")
    await files.check_exists(url)
    submitted = await submit(request, NAME, wish, key=key, input_url=url)
    return await answered(request, submitted, _sighting_view)


async def compare_background(request: web.Request) -> web.Response:
    """Tell how alike the backgrounds of two crops are."""
    said = parse(ComparisonRequest, await read_object(request))
    key = read_key(request, said)
    first = await _crop(request, said.first_cropped_url, "first_cropped_url")
    second = await _crop(request, said.second_cropped_url, "second_cropped_url")
    wish = ComparisonInput(first=first, second=second, report_id=await _report_of(request, first, second))
    submitted = await submit(request, parking_comparison.PIPELINE.name, wish, key=key)
    return await answered(request, submitted, _comparison_view)


async def list_reports(request: web.Request) -> web.Response:
    """List the reports that one of the caller's sightings is part of, newest first."""
    wanted = parse(JobsRequest, request.query)
    user_id = request[keys.CALLER].user_id
    page = await request.app[keys.SERVICES].parking_reports.page(user_id, limit=wanted.limit, cursor=wanted.cursor)
    views = await asyncio.gather(*(_report_view(request, report) for report in page.reports))
    answer: dict[str, JSON] = {"reports": list(views)}
    return web.json_response(answer | ({"nextCursor": page.cursor} if page.cursor else {}))


async def show_report(request: web.Request) -> web.Response:
    """Show one report."""
    reports, user_id = request.app[keys.SERVICES].parking_reports, request[keys.CALLER].user_id
    return web.json_response(await _report_view(request, await reports.get(request.match_info["report_id"], user_id)))


async def sign_upload(request: web.Request, photo: UploadRequest, body: Mapping[str, Any]) -> UploadLink:
    """Sign a PUT that starts a report by itself; what the caller says of the photo travels with it."""
    said = parse(ParkingUpload, body)
    _check_device(said.device_id, "deviceId")
    user_id = request[keys.CALLER].user_id
    return await request.app[keys.SERVICES].files.upload_link(
        user_id,
        content_type=photo.content_type,
        size_bytes=photo.file_size,
        extension=photo.extension,
        folder=f"{reports_of(user_id)}{said.device_id}/",
        metadata=_metadata(said),
    )


def _metadata(said: ParkingUpload) -> dict[str, str]:
    metadata: dict[str, str] = {}
    if said.latitude is not None or said.longitude is not None:
        if said.latitude is None or said.longitude is None:
            field = "latitude" if said.latitude is None else "longitude"
            raise InvalidRequest(f"{field} is required with the other one", field=field)
        _check_position(said.latitude, said.longitude)
        metadata |= {"latitude": repr(said.latitude), "longitude": repr(said.longitude)}
    if said.capture_time is not None:
        metadata["capture-time"] = _read_time(said.capture_time, "captureTime")
    return metadata


def _check_device(device_id: str, field: str) -> None:
    if not _DEVICE_ID.fullmatch(device_id):
        raise InvalidRequest(f"{field} must be 1 to 64 of the characters A-Z a-z 0-9 _ -", field=field)


def _check_position(latitude: float, longitude: float) -> None:
    try:
        photo_facts.parse_position(latitude, longitude)
    except ValueError as error:
        raise InvalidRequest(str(error), field=str(error).partition(" ")[0]) from error


def _read_time(text: str, field: str) -> str:
    try:
        return occasions.read_time(text)
    except ValueError as error:
        raise InvalidRequest(str(error), field=field) from error


def _read_plate(text: str | None) -> str | None:
    if text is None:
        return None
    plate = vehicles.normal_plate(text)
    if plate is None:
        raise InvalidRequest("plate_string must be a Korean number plate, such as 12가3456", field="plate_string")
    return plate


async def _crop(request: web.Request, address: str, field: str) -> CropInput:
    """Find a crop of the caller's, and where its vehicle is: the job that made it knows."""
    services, user_id = request.app[keys.SERVICES], request[keys.CALLER].user_id
    url = services.files.owned_by(address, user_id, field=field)
    await services.files.check_exists(url)
    job = await _maker_of(request, url, user_id)
    box = job.output.facts.get("vehicleInCrop") if job is not None and job.output is not None else None
    return CropInput(url=url, vehicle=BoxInput.model_validate(box) if box else None)


async def _maker_of(request: web.Request, url: str, user_id: UserId) -> Job | None:
    try:
        job = await request.app[keys.SERVICES].jobs.get(JobId(PurePosixPath(url).stem))
    except JobNotFound:
        return None
    return job if job.user_id == user_id and job.output is not None and job.output.url == url else None


async def _report_of(request: web.Request, first: CropInput, second: CropInput) -> str | None:
    """Return the report that rests on just these two crops."""
    user_id = request[keys.CALLER].user_id
    for crop in (second, first):
        job = await _maker_of(request, crop.url, user_id)
        report_id = job.output.facts.get("reportId") if job is not None and job.output is not None else None
        if not isinstance(report_id, str):
            continue
        try:
            report = await request.app[keys.SERVICES].parking_reports.get(report_id, user_id)
        except ReportNotFound:
            continue
        if {report.first.cropped_url, report.last.cropped_url} == {first.url, second.url}:
            return report_id
    return None


def _sighting_view(job: Job) -> dict[str, JSON]:
    facts: Mapping[str, JSON] = job.output.facts if job.output is not None else {}
    outcome = str(facts.get("outcome"))
    if outcome in _NOT_FOUND:
        return {"status": "error", "message": _NOT_FOUND[outcome]}
    cropped_url = job.output.url if job.output is not None else None
    processed: dict[str, JSON] = {
        "report_id": facts.get("reportId"),
        "device_id": facts.get("deviceId"),
        "capture_time": facts.get("captureTime"),
        "latitude": facts.get("latitude"),
        "longitude": facts.get("longitude"),
        "image_url": job.input_url,
        "plate_string": facts.get("plate"),
        "cropped_url": cropped_url,
    }
    return {
        "status": "success",
        "message": "The sighting is written down",
        "processed_data": processed,
        "plate": [facts.get("plate")],
        "cropped_url": cropped_url,
    }


def _comparison_view(job: Job) -> dict[str, JSON]:
    facts: Mapping[str, JSON] = job.output.facts if job.output is not None else {}
    view: dict[str, JSON] = {"similarity": facts.get("similarity")}
    return view | ({"report_id": facts["reportId"]} if "reportId" in facts else {})


async def _report_view(request: web.Request, report: Report) -> dict[str, JSON]:
    """Show a report with both crops; of another user's sighting nothing else is shown."""
    files, user_id = request.app[keys.SERVICES].files, request[keys.CALLER].user_id
    view: dict[str, JSON] = {
        "reportId": report.report_id,
        "version": report.version,
        "plateString": report.first.plate,
        "latitude": report.latitude,
        "longitude": report.longitude,
        "firstCaptureTime": report.first.capture_time,
        "lastCaptureTime": report.last.capture_time,
        "firstCroppedUrl": await files.link(report.first.cropped_url),
        "secondCroppedUrl": await files.link(report.last.cropped_url),
        "reportBool": report.report_bool,
        "createdAt": clock.iso(report.created_at),
        "updatedAt": clock.iso(report.updated_at),
    }
    view |= _own(report.first, user_id, "first") | _own(report.last, user_id, "last")
    return view if report.similarity is None else view | {"similarity": report.similarity}


def _own(sighting: Sighting, user_id: UserId, which: str) -> dict[str, JSON]:
    if sighting.user_id != user_id:
        return {}
    return {f"{which}DeviceId": sighting.device_id, f"{which}ImageUrl": sighting.image_url}


ROUTES: Final = PipelineRoutes(
    name=NAME,
    submits=(web.post("/process_metadata", process_metadata), web.post("/compare_background", compare_background)),
    others=(web.get("/reports", list_reports), web.get("/reports/{report_id}", show_report)),
    sign_upload=sign_upload,
)
