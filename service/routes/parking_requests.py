"""What callers may say of parked cars: where and when a photo was taken, with what, and what its plate is."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from consumers import occasions, photo_facts, vehicles
from consumers.parking_report import ParkingInput
from jobs.errors import InvalidRequest
from jobs.ids import DEVICE_ID
from service.openapi import rules
from service.schemas import Degrees, OptionalText, PipelineUpload, UploadRequest

DEFAULT_DEVICE: Final = "browser"
MAX_DEVICE_CHARACTERS: Final = 64


class SightingRequest(BaseModel):
    """``POST /process_metadata``; addresses of photos are ``s3://`` or HTTP ones of our own buckets."""

    model_config = ConfigDict(frozen=True, json_schema_extra=rules.POSITION)

    device_id: str = Field(min_length=1, json_schema_extra={"maxLength": MAX_DEVICE_CHARACTERS})
    latitude: Degrees = Field(json_schema_extra=rules.LATITUDE)
    longitude: Degrees = Field(json_schema_extra=rules.LONGITUDE)
    capture_time: str
    image_url: str = Field(min_length=1)
    cropped_url: OptionalText = None
    plate_string: OptionalText = None

    def wish(self) -> ParkingInput:
        """Read it, but for the addresses. Raises InvalidRequest."""
        # It names no key here, and devices of the original are called as they like.
        if len(self.device_id) > MAX_DEVICE_CHARACTERS or not self.device_id.isprintable():
            sentence = f"device_id must be 1 to {MAX_DEVICE_CHARACTERS} printable characters"
            raise InvalidRequest(sentence, field="device_id")
        _check_position(self.latitude, self.longitude)
        return ParkingInput(
            device_id=self.device_id,
            latitude=self.latitude,
            longitude=self.longitude,
            capture_time=_read_time(self.capture_time, "capture_time"),
            given_first=True,
            plate=_read_plate(self.plate_string),
        )


class ComparisonRequest(BaseModel):
    """``POST /compare_background``."""

    model_config = ConfigDict(frozen=True)

    first_cropped_url: str = Field(min_length=1)
    second_cropped_url: str = Field(min_length=1)


class ParkingUpload(PipelineUpload):
    """What ``POST /upload`` may say of a photo that starts a parking report; the photo itself may say it, too."""

    device_id: str = Field(default=DEFAULT_DEVICE, json_schema_extra=rules.DEVICE)
    latitude: Degrees | None = Field(default=None, json_schema_extra=rules.LATITUDE)
    longitude: Degrees | None = Field(default=None, json_schema_extra=rules.LONGITUDE)
    capture_time: OptionalText = None

    def folder(self) -> str:
        """Name the device's folder. Raises InvalidRequest."""
        if not DEVICE_ID.fullmatch(self.device_id):
            raise InvalidRequest("deviceId must be 1 to 64 of the characters A-Z a-z 0-9 _ -", field="deviceId")
        return f"{self.device_id}/"

    def metadata(self) -> dict[str, str]:
        """Return what travels with the photo. Raises InvalidRequest."""
        metadata: dict[str, str] = {}
        if self.latitude is not None or self.longitude is not None:
            if self.latitude is None or self.longitude is None:
                field = "latitude" if self.latitude is None else "longitude"
                raise InvalidRequest(f"{field} is required with the other one", field=field)
            _check_position(self.latitude, self.longitude)
            metadata |= {"latitude": repr(self.latitude), "longitude": repr(self.longitude)}
        if self.capture_time is not None:
            metadata["capture-time"] = _read_time(self.capture_time, "captureTime")
        return metadata


class ParkingPhoto(UploadRequest, ParkingUpload):
    """Both together: ``POST /upload`` of a photo that starts a parking report."""

    model_config = ConfigDict(json_schema_extra={"allOf": [rules.UPLOAD, rules.POSITION]})

    pipeline: Literal["parking-report"]


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
