"""Parking sightings and reports as DynamoDB items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final, NamedTuple

from jobs import clock, items
from jobs.ids import JobId, UserId
from jobs.model import Box
from jobs.parking import Report, Sighting

REPORT: Final = "report"
"""The member of a report's own row; its other rows say who may see it."""


class Row(NamedTuple):
    """A report as it is stored, and who wrote it lately."""

    report: Report
    write_ids: tuple[str, ...]


def to_item(row: Row) -> items.Item:
    """Write a report; what it does not have is absent from the item."""
    report = row.report
    item = {
        "reportId": report.report_id,
        "member": REPORT,
        "version": report.version,
        "first": sighting_item(report.first),
        "last": sighting_item(report.last),
        "reportBool": report.report_bool,
        "createdAt": clock.iso(report.created_at),
        "updatedAt": clock.iso(report.updated_at),
        "writeIds": list(row.write_ids),
        "firstCopy": report.first_copy,
        "lastCopy": report.last_copy,
        "similarity": None if report.similarity is None else items.storable(report.similarity),
    }
    return {name: value for name, value in item.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> Row:
    """Read what ``to_item`` wrote."""
    similarity = item.get("similarity")
    report = Report(
        report_id=item["reportId"],
        version=int(item["version"]),
        first=read_sighting(item["first"]),
        last=read_sighting(item["last"]),
        similarity=None if similarity is None else float(similarity),
        report_bool=item["reportBool"],
        created_at=clock.milliseconds(item["createdAt"]),
        updated_at=clock.milliseconds(item["updatedAt"]),
        first_copy=item.get("firstCopy"),
        last_copy=item.get("lastCopy"),
    )
    return Row(report, tuple(item["writeIds"]))


def sighting_item(sighting: Sighting) -> items.Item:
    """Write a sighting."""
    item = {
        "userId": sighting.user_id,
        "photo": sighting.photo,
        "deviceId": sighting.device_id,
        "plateString": sighting.plate,
        # As text: DynamoDB's numbers end at 38 digits, and a fraction of a camera's may not.
        "latitude": str(sighting.latitude),
        "longitude": str(sighting.longitude),
        "captureTime": sighting.capture_time,
        "imageUrl": sighting.image_url,
        **crop_item(sighting),
    }
    return {name: value for name, value in item.items() if value is not None}


def crop_item(sighting: Sighting) -> items.Item:
    """Write what another job that looks at the same photo makes anew; a box that is not known is None."""
    box = sighting.vehicle_in_crop
    return {
        "jobId": sighting.job_id,
        "croppedUrl": sighting.cropped_url,
        "vehicleInCrop": None if box is None else asdict(box),
    }


def read_sighting(item: Mapping[str, Any]) -> Sighting:
    """Read what ``sighting_item`` wrote."""
    box = item.get("vehicleInCrop")
    return Sighting(
        user_id=UserId(item["userId"]),
        job_id=JobId(item["jobId"]),
        photo=item["photo"],
        device_id=item["deviceId"],
        plate=item["plateString"],
        latitude=Decimal(item["latitude"]),
        longitude=Decimal(item["longitude"]),
        capture_time=item["captureTime"],
        image_url=item["imageUrl"],
        cropped_url=item["croppedUrl"],
        vehicle_in_crop=None if not box else Box(**{side: int(pixels) for side, pixels in box.items()}),
    )
