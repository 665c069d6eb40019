"""Gotcha's calls: rows of sightings, comparisons of backgrounds, and who may send them."""

from __future__ import annotations

import pytest

from tests.clients.gotcha import Gotcha, Uploaded
from tests.clients.parking import CAR, NINE, PLATE, SIX_PAST, Join, Place, photo_of, row_of, sighted
from tests.clients.replies import Reply, call, shape
from tests.drawings import Car

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_YOURS = "must be the address of a photo of yours in this service"


# ---- /process_metadata ----


@pytest.mark.parametrize("address", ["s3", "address"])
async def test_a_row_is_processed_while_its_sender_waits(url: str, somewhere: Place, address: str) -> None:
    """Without a token; the photo is named by bucket and key or by its HTTP address."""
    gotcha = Gotcha(url=url)
    upload = await gotcha.upload(photo_of(CAR))
    reply = await gotcha.process_metadata(**row_of(upload, somewhere, NINE, image_url=getattr(upload, address)))
    said = reply.json
    crop = said["cropped_url"]

    assert 200 == reply.status
    assert {"status", "message", "processed_data", "plate", "cropped_url"} == said.keys()
    assert ("success", "text", [PLATE]) == (said["status"], shape(said["message"]), said["plate"])
    assert {
        "report_id": None,
        "device_id": "phone-1",
        "capture_time": NINE,
        "latitude": somewhere[0],
        "longitude": somewhere[1],
        "image_url": upload.s3,
        "plate_string": PLATE,
        "cropped_url": crop,
    } == said["processed_data"]
    assert crop.startswith("s3://")
    assert crop.endswith(".jpg")
    assert crop != upload.s3


async def test_what_the_sender_knows_already_is_taken(url: str, somewhere: Place) -> None:
    """Its own crop, and its own reading of the plate, spaces or not."""
    gotcha = Gotcha(url=url)
    crop = (await sighted(gotcha, somewhere, NINE))["cropped_url"]
    row = row_of(await gotcha.upload(photo_of(CAR)), somewhere, NINE, cropped_url=crop, plate_string="98 호 7654")
    said = (await gotcha.process_metadata(**row)).json

    assert ("success", ["98호7654"], crop) == (said["status"], said["plate"], said["cropped_url"])


@pytest.mark.parametrize("cars", [(), (Car(x=400, y=420, width=400),)])
async def test_a_photo_without_a_vehicle_or_a_plate(url: str, somewhere: Place, cars: tuple[Car, ...]) -> None:
    """It is an answer, with a sentence and nothing else."""
    gotcha = Gotcha(url=url)
    reply = await gotcha.process_metadata(**row_of(await gotcha.upload(photo_of(*cars)), somewhere, NINE))

    assert (200, {"status": "text", "message": "text"}) == (reply.status, shape(reply.json))
    assert "error" == reply.json["status"]
    assert ("plate" if cars else "car or truck") in reply.json["message"]


@pytest.mark.parametrize("field", ["device_id", "latitude", "longitude", "capture_time", "image_url"])
async def test_a_missing_field_is_named(url: str, somewhere: Place, field: str) -> None:
    """Absent or null, it is the same."""
    row = {"device_id": "phone-1", **row_of(Uploaded(key="", address="http://here/b/k"), somewhere, NINE)}
    headers = {"Content-Type": "application/json"}
    without = {name: value for name, value in row.items() if name != field}
    replies = [
        await call("POST", f"{url}/process_metadata", json=body, headers=headers)
        for body in (without, row | {field: None})
    ]

    assert [(400, "invalid_request", field)] * 2 == [(*reply.error[:2], reply.json["field"]) for reply in replies]
    assert f"{field} is required" == replies[0].error[2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latitude", 90.1),
        ("longitude", "east"),
        ("capture_time", "2026:11:20 09:00:00"),
        ("capture_time", "2026-02-30 09:00:00"),
        ("capture_time", "2999-01-01 00:00:00"),
        ("device_id", "phone\n1"),
        ("plate_string", "12A3456"),
        ("image_url", 7),
    ],
)
async def test_a_field_that_cannot_be_is_named(url: str, somewhere: Place, field: str, value: object) -> None:
    """Before anything is looked for."""
    row = row_of(Uploaded(key="", address="http://here/b/k"), somewhere, NINE)
    reply = await Gotcha(url=url).process_metadata(**row | {field: value})

    assert (400, "invalid_request", field) == (*reply.error[:2], reply.json["field"])


def foreign_addresses(own: Uploaded) -> list[str]:
    """Name what is not the caller's: other machines, other buckets, another user's folder, ways out of one's own."""
    bucket = own.s3.split("/")[2]
    other_user = own.s3.replace(own.key.split("/")[1], "somebody-else")
    return [
        "http://169.254.169.254/latest/meta-data/",
        "https://evil.example/car.jpg",
        own.address.replace("127.0.0.1", "evil.example"),
        f"s3://another-bucket/{own.key}",
        f"s3://{bucket}/reports/../../etc/passwd",
        f"{own.s3.rsplit('/', 1)[0]}/../../somebody-else/phone-1/1_a.jpg",
        "file:///etc/passwd",
        "/etc/passwd",
        other_user,
    ]


async def test_photos_of_others_are_refused(url: str, somewhere: Place) -> None:
    """In one sentence, which does not tell what is there; in each field that has an address."""
    gotcha = Gotcha(url=url)
    own = await gotcha.upload(photo_of())
    for address in foreign_addresses(own):
        replies: dict[str, Reply] = {
            "image_url": await gotcha.process_metadata(**row_of(own, somewhere, NINE, image_url=address)),
            "cropped_url": await gotcha.process_metadata(**row_of(own, somewhere, NINE, cropped_url=address)),
            "first_cropped_url": await gotcha.compare_background(address, own.s3),
            "second_cropped_url": await gotcha.compare_background(own.s3, address),
        }
        wanted = {field: (400, "invalid_request", f"{field} {NOT_YOURS}") for field in replies}
        assert wanted == {field: reply.error for field, reply in replies.items()}, address


async def test_a_photo_that_is_not_there_is_not_found(url: str, somewhere: Place) -> None:
    """Nor is a crop."""
    gotcha = Gotcha(url=url)
    own = await gotcha.upload(photo_of())
    gone = own.s3.replace("_", "_0")
    replies = [
        await gotcha.process_metadata(**row_of(own, somewhere, NINE, image_url=gone)),
        await gotcha.compare_background(own.s3, gone),
    ]

    assert [(404, "file_not_found")] * 2 == [reply.error[:2] for reply in replies]


# ---- /compare_background ----


@pytest.mark.parametrize("times", [(NINE, SIX_PAST), (SIX_PAST, NINE)])
async def test_the_backgrounds_of_a_report_are_compared(join: Join, somewhere: Place, times: tuple[str, str]) -> None:
    """The second sighting makes it, whichever is the earlier; the comparison says how alike they are, and of which report."""
    member = await join("phone-1")
    first, second = [await sighted(member.device, somewhere, time) for time in times]
    reply = await member.device.compare_background(first["cropped_url"], second["cropped_url"])
    report_id = second["processed_data"]["report_id"]
    report = (await member.device.reports(f"/{report_id}")).json

    assert (None, 200) == (first["processed_data"]["report_id"], reply.status)
    assert {"similarity": report["similarity"], "report_id": report_id} == reply.json
    assert 0.8 <= reply.json["similarity"] <= 1
    assert (NINE, SIX_PAST, True) == tuple(
        report[name] for name in ("firstCaptureTime", "lastCaptureTime", "reportBool")
    )


async def test_another_place_is_told_apart(url: str, somewhere: Place) -> None:
    """Of crops without a report there is a similarity alone."""
    gotcha = Gotcha(url=url)
    first = await sighted(gotcha, somewhere, NINE)
    second = await sighted(gotcha, (-somewhere[0], somewhere[1]), SIX_PAST, place=5)
    reply = await gotcha.compare_background(first["cropped_url"], second["cropped_url"])

    assert (200, {"similarity"}) == (reply.status, reply.json.keys())
    assert 0 <= reply.json["similarity"] < 0.8


@pytest.mark.parametrize("field", ["first_cropped_url", "second_cropped_url"])
async def test_both_crops_are_needed(url: str, field: str) -> None:
    """The one that is missing is named."""
    crops = {"first_cropped_url": "s3://b/k", "second_cropped_url": "s3://b/k"}
    del crops[field]
    reply = await call("POST", f"{url}/compare_background", json=crops)

    assert (400, "invalid_request", f"{field} is required") == reply.error


# ---- Who may call ----


async def test_strangers_have_no_list_of_reports(url: str) -> None:
    """Everybody behind one address would see it."""
    gotcha = Gotcha(url=url)
    replies = [await gotcha.reports(), await gotcha.reports("/report_1")]

    assert [(401, "unauthorized")] * 2 == [reply.error[:2] for reply in replies]


@pytest.mark.parametrize(
    ("header", "value", "error"),
    [
        ("Authorization", "Bearer nonsense", (401, "unauthorized")),
        ("Authorization", "", (401, "unauthorized")),
        ("Origin", "https://evil.example", (403, "forbidden")),
        ("Origin", "null", (403, "forbidden")),
    ],
)
async def test_neither_bad_tokens_nor_foreign_pages_are_strangers(
    url: str, somewhere: Place, header: str, value: str, error: tuple[int, str]
) -> None:
    """On each path that needs no token otherwise."""
    own = await Gotcha(url=url).upload(photo_of())
    gotcha = Gotcha(url=url, headers={header: value})
    replies = [
        await gotcha.ask_upload(b"12345"),
        await gotcha.process_metadata(**row_of(own, somewhere, NINE)),
        await gotcha.compare_background(own.s3, own.s3),
    ]

    assert [error] * 3 == [reply.error[:2] for reply in replies]


async def test_a_closed_service_wants_a_token(closed_url: str, somewhere: Place) -> None:
    """On each path."""
    gotcha = Gotcha(url=closed_url)
    replies = [
        await gotcha.ask_upload(b"12345"),
        await gotcha.process_metadata(**row_of(Uploaded(key="", address="http://here/b/k"), somewhere, NINE)),
        await gotcha.compare_background("s3://b/k", "s3://b/k"),
    ]

    assert [(401, "unauthorized")] * 3 == [reply.error[:2] for reply in replies]
