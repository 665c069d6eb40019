"""The parking-report pipeline: whose car stands where and when. Two such sightings make a report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from consumers import boxes, drawing, occasions, photo_facts, vehicles
from consumers import parking_evidence as evidence
from consumers.boxes import Seen
from consumers.gates import Role
from consumers.images import Picture
from consumers.occasions import Occasion
from consumers.parking_comparison import BoxInput, CamelInput, CropInput
from consumers.pipelines import Pipeline, Work
from consumers.vehicles import Found
from jobs.events import Stage
from jobs.model import JSON, Output
from jobs.parking import Sighting, photo_of
from jobs.parking_reports import ParkingReports

NAME: Final = "parking-report"


class ParkingInput(CamelInput):
    """What is known of the photo beside the photo.

    ``given_first``: what the sender says counts more than what the photo says. ``crop`` was made before, by the sender.
    """

    device_id: str = "unknown"
    latitude: float | None = None
    longitude: float | None = None
    capture_time: str | None = None
    given_first: bool = False
    plate: str | None = None
    crop: CropInput | None = None


def pipeline(reports: ParkingReports, threshold: float) -> Pipeline[ParkingInput]:
    """Make the pipeline; ``threshold`` is the least similarity, 0 to 1, of two photos of one place."""

    async def run(work: Work, given: ParkingInput) -> Output:
        return await _report(work, given, reports, threshold)

    return Pipeline(name=NAME, input_model=ParkingInput, run=run, first_model=Role.VISION)


async def _report(work: Work, given: ParkingInput, reports: ParkingReports, threshold: float) -> Output:
    upload = await work.read_upload()
    work.tell(Stage.PREPARING, 0.15, "Reading place and time")
    known, digest = await work.images.run(lambda: (photo_facts.read_facts(upload.content), photo_of(upload.content)))
    said = occasions.read_said(upload.metadata, given.latitude, given.longitude, given.capture_time)
    occasion = occasions.occasion_of(known, said, given_first=given.given_first)
    photo = await work.images.prepare(upload.content)
    found = await vehicles.find(work, photo)
    facts = _facts(found, occasion, given, photo)
    if found.subject is None:
        return _output(found, None, facts | {"outcome": "no_vehicle"})
    plate = vehicles.normal_plate(given.plate) or await vehicles.read_plate(work, upload.content, found.subject, photo)
    crop = given.crop or await _store_crop(work, upload.content, found.subject, photo)
    facts |= {"vehicleInCrop": crop.vehicle.model_dump()} if crop.vehicle else {}
    if plate is None:
        return _output(found, crop, facts | {"outcome": "no_plate"})
    sighting = Sighting(
        user_id=work.job.user_id,
        job_id=work.job.job_id,
        photo=digest,
        device_id=given.device_id,
        plate=plate,
        latitude=occasion.position.latitude,
        longitude=occasion.position.longitude,
        capture_time=occasion.time,
        image_url=work.job.input_url or "",
        cropped_url=crop.url,
        vehicle_in_crop=crop.vehicle.box() if crop.vehicle else None,
    )
    report = await reports.record(sighting, evidence.finding(work), threshold)
    facts |= {"outcome": "sighting", "plate": plate}
    # Of a report that rests on others' sightings alone, this one's owner may see nothing.
    if report is not None and work.job.user_id in report.owners:
        facts["reportId"] = report.report_id
    return _output(found, crop, facts)


async def _store_crop(work: Work, upload: bytes, subject: Seen, photo: Picture) -> CropInput:
    """Keep the vehicle with its surroundings, and find it in there."""
    work.tell(Stage.STORING, 0.7, "Storing the crop")
    frame = boxes.surroundings(subject.box, within=(photo.photo_width, photo.photo_height))
    picture = await work.images.run(lambda: drawing.crop(upload, frame))
    url = await work.store_picture(picture)
    within = boxes.inside(subject.box, frame)
    if within is None:
        return CropInput(url=url)
    vehicle = boxes.scaled(within, (picture.photo_width, picture.photo_height), (picture.width, picture.height))
    return CropInput(url=url, vehicle=BoxInput.model_validate(asdict(vehicle)))


def _facts(found: Found, occasion: Occasion, given: ParkingInput, photo: Picture) -> dict[str, JSON]:
    facts: dict[str, JSON] = {
        "vehiclesSeen": found.vehicles,
        "latitude": float(occasion.position.latitude),
        "longitude": float(occasion.position.longitude),
        "captureTime": occasion.time,
        "positionSource": occasion.position_source,
        "timeSource": occasion.time_source,
        "deviceId": given.device_id,
        "width": photo.photo_width,
        "height": photo.photo_height,
    }
    return facts if found.subject is None else facts | {"vehicle": _vehicle_view(found.subject)}


def _vehicle_view(seen: Seen) -> dict[str, JSON]:
    box: dict[str, JSON] = {**boxes.as_json(seen.box)}
    return {"label": seen.label, "confidence": seen.confidence, "box": box}


def _output(found: Found, crop: CropInput | None, facts: dict[str, JSON]) -> Output:
    return Output(
        url=crop.url if crop else None,
        model_name=found.model_name,
        generation_milliseconds=found.milliseconds,
        facts=facts,
        pictures=0,
    )
