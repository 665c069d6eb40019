"""Gotcha's photos start their jobs by themselves, and two of one car make a report."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from tests.clients.gotcha import Gotcha, told_of
from tests.clients.parking import CAR, FIVE_PAST, NINE, PLATE, SIX_PAST, Join, Place, photo_of, row_of
from tests.clients.replies import call, shape

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOX = dict.fromkeys(("x", "y", "width", "height"), "integer")
REPORT = {
    **dict.fromkeys(("reportId", "plateString", "createdAt", "updatedAt"), "text"),
    **{f"{which}{what}": "text" for which in ("first", "last") for what in ("CaptureTime", "DeviceId", "ImageUrl")},
    **dict.fromkeys(("firstCroppedUrl", "secondCroppedUrl"), "text"),
    **dict.fromkeys(("latitude", "longitude", "similarity"), "number"),
    "version": "integer",
    "reportBool": "boolean",
}


async def test_an_upload_is_handed_out_under_the_device(url: str) -> None:
    """With all that the PUT has to carry."""
    reply = await Gotcha(url=url).ask_upload(b"12345", latitude=37.5665, longitude=-126.978, captureTime=NINE)
    said = reply.json

    assert 200 == reply.status
    assert {"uploadUrl", "uploadMethod", "uploadHeaders", "fileKey", "expiresIn"} == said.keys()
    assert ("PUT", 3600) == (said["uploadMethod"], said["expiresIn"])
    assert {
        "Content-Type": "image/jpeg",
        "x-amz-server-side-encryption": "AES256",
        "If-None-Match": "*",
        "x-amz-meta-latitude": "37.5665",
        "x-amz-meta-longitude": "-126.978",
        "x-amz-meta-capture-time": NINE,
    } == said["uploadHeaders"]
    assert ["reports", "phone-1"] == said["fileKey"].split("/")[:3:2]


@pytest.mark.parametrize("source", ["photo", "client"])
async def test_a_photo_starts_its_job_by_itself(join: Join, somewhere: Place, source: str) -> None:
    """Whether it says itself where and when it was taken, or its sender does; the owner hears of each step."""
    member = await join("phone-7")
    known: dict[str, Any] = {"at": somewhere, "taken_at": NINE} if source == "photo" else {}
    said = {"latitude": somewhere[0], "longitude": somewhere[1], "captureTime": NINE} if source == "client" else {}
    async with member.page.socket() as socket:
        upload = await member.device.upload(photo_of(CAR, **known), **said)
        told = await told_of(socket, upload, "job.queued", "job.processing", "job.completed")
    job = told["job.completed"]["job"]
    shown = await member.page.get(f"/jobs/{job['jobId']}")
    crop = await call("GET", job["outputImageUrl"])

    assert ("parking-report", upload.s3, "phone-7") == (
        job["pipeline"],
        job["inputImageUrl"],
        job["result"]["deviceId"],
    )
    assert shown == job
    assert {
        **dict.fromkeys(("outcome", "plate", "captureTime", "positionSource", "timeSource", "deviceId"), "text"),
        **dict.fromkeys(("vehiclesSeen", "width", "height"), "integer"),
        **dict.fromkeys(("latitude", "longitude"), "number"),
        "vehicle": {"label": "text", "confidence": "number", "box": BOX},
        "vehicleInCrop": BOX,
    } == shape(job["result"])
    assert ("sighting", PLATE, NINE) == tuple(job["result"][name] for name in ("outcome", "plate", "captureTime"))
    assert (source, source) == (job["result"]["positionSource"], job["result"]["timeSource"])
    assert somewhere == pytest.approx((job["result"]["latitude"], job["result"]["longitude"]), abs=1e-6)
    with Image.open(io.BytesIO(crop.body)) as picture:
        assert "JPEG" == picture.format


async def test_a_photo_that_nobody_can_place_fails(join: Join) -> None:
    """With a code and a sentence for its owner, and nothing is charged."""
    member = await join("phone-1")
    async with member.page.socket() as socket:
        upload = await member.device.upload(photo_of(CAR))
        job = (await told_of(socket, upload, "job.failed"))["job.failed"]["job"]

    assert ("missing_metadata", False) == (job["failure"]["code"], job["failure"]["retryable"])
    assert job["error"] == job["failure"]["message"]
    assert 0 == (await member.page.get("/user/me"))["usedToday"]


@pytest.mark.parametrize("times", [(NINE, FIVE_PAST), (FIVE_PAST, NINE)])
async def test_two_photos_make_a_report_in_whatever_order_they_come(
    join: Join, somewhere: Place, times: tuple[str, str]
) -> None:
    """Just five minutes apart; the owner is told, reads it alone, and nobody else finds it."""
    member = await join("phone-1")
    other = await join("phone-1")
    async with member.page.socket() as socket:
        first = await member.device.upload(photo_of(CAR, at=somewhere, taken_at=times[0]))
        alone = (await told_of(socket, first, "job.completed"))["job.completed"]["job"]["result"]
        second = await member.device.upload(photo_of(CAR, at=somewhere, taken_at=times[1]))
        told = await told_of(socket, second, "job.completed", "report.confirmed")
    data = told["report.confirmed"]["data"]
    listed, shown = (await member.device.reports()).json, await member.device.reports(f"/{data['reportId']}")
    report = shown.json

    assert "reportId" not in alone
    assert data["reportId"] == told["job.completed"]["job"]["result"]["reportId"]
    assert {name: report[name] for name in data} == data
    assert {"id", "time"} <= told["report.confirmed"].keys()
    assert "job" not in told["report.confirmed"]
    assert (200, REPORT) == (shown.status, shape(report))
    assert ({"reports"}, [data["reportId"]]) == (listed.keys(), [each["reportId"] for each in listed["reports"]])
    assert (NINE, FIVE_PAST, PLATE, 1) == tuple(
        report[name] for name in ("firstCaptureTime", "lastCaptureTime", "plateString", "version")
    )
    assert [round(degrees - 0.00004, 4) for degrees in somewhere] == [report["latitude"], report["longitude"]]
    assert {first.s3, second.s3} == {report["firstImageUrl"], report["lastImageUrl"]}
    assert report["reportBool"]
    assert report["similarity"] >= 0.8
    assert [200, 200] == [(await call("GET", report[name])).status for name in ("firstCroppedUrl", "secondCroppedUrl")]
    assert (404, "report_not_found") == (await other.device.reports(f"/{data['reportId']}")).error[:2]
    assert {"reports": []} == (await other.device.reports()).json


async def test_both_owners_are_told_and_neither_sees_the_others_photo(join: Join, somewhere: Place) -> None:
    """One has seen it first, another last."""
    alice, bob = await join("phone-a"), await join("phone-b")
    async with alice.page.socket() as hers, bob.page.socket() as his:
        upload = await alice.device.upload(photo_of(CAR, at=somewhere, taken_at=NINE))
        await told_of(hers, upload, "job.completed")
        upload = await bob.device.upload(photo_of(CAR, at=somewhere, taken_at=SIX_PAST))
        told = [(await told_of(socket, upload, "report.confirmed"))["report.confirmed"] for socket in (hers, his)]
    path = f"/{told[0]['data']['reportId']}"
    first, last = [(await member.device.reports(path)).json for member in (alice, bob)]

    assert told[0]["data"] == told[1]["data"]
    assert REPORT.keys() - first.keys() == {"lastDeviceId", "lastImageUrl"}
    assert REPORT.keys() - last.keys() == {"firstDeviceId", "firstImageUrl"}
    assert ("phone-a", "phone-b") == (first["firstDeviceId"], last["lastDeviceId"])


async def test_one_photo_is_one_sighting(join: Join, somewhere: Place) -> None:
    """It has started by itself and is processed once more, for another time: there is no second photo for a report."""
    member = await join("phone-1")
    async with member.page.socket() as socket:
        upload = await member.device.upload(photo_of(CAR, at=somewhere, taken_at=NINE))
        await told_of(socket, upload, "job.completed")
    said = (await member.device.process_metadata(**row_of(upload, somewhere, SIX_PAST))).json

    assert ("success", None) == (said["status"], said["processed_data"]["report_id"])
    assert {"reports": []} == (await member.device.reports()).json
