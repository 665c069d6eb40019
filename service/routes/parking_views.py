"""How sightings, comparisons and reports of parked cars are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jobs import clock
from jobs.files import Files
from jobs.ids import UserId
from jobs.model import JSON, Job
from jobs.parking import Report, Sighting, announcement

_NOT_FOUND: Final = {
    "no_vehicle": "No car or truck was found in the photo",
    "no_plate": "No number plate could be read for certain",
}


def sighting_view(job: Job) -> dict[str, JSON]:
    """Show what has become of a photo, as the original does."""
    facts = _facts_of(job)
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


def comparison_view(job: Job) -> dict[str, JSON]:
    """Show how alike two backgrounds are, as the original does."""
    facts = _facts_of(job)
    view: dict[str, JSON] = {"similarity": facts.get("similarity")}
    return view | ({"report_id": facts["reportId"]} if "reportId" in facts else {})


async def report_view(files: Files, report: Report, user_id: UserId) -> dict[str, JSON]:
    """Show a report to one of its owners, with its own copies of both crops; of another's sighting nothing else is shown."""
    copies = {"firstCroppedUrl": report.first_copy, "secondCroppedUrl": report.last_copy}
    view: dict[str, JSON] = {
        **announcement(report),
        **{name: await files.link(url) for name, url in copies.items() if url is not None},
        "createdAt": clock.iso(report.created_at),
        "updatedAt": clock.iso(report.updated_at),
    }
    return view | _own(report.first, user_id, "first") | _own(report.last, user_id, "last")


def _own(sighting: Sighting, user_id: UserId, which: str) -> dict[str, JSON]:
    if sighting.user_id != user_id:
        return {}
    return {f"{which}DeviceId": sighting.device_id, f"{which}ImageUrl": sighting.image_url}


def _facts_of(job: Job) -> Mapping[str, JSON]:
    return job.output.facts if job.output is not None else {}
