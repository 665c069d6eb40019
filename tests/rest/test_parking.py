"""Parked cars over REST: rows of sightings, photos that start by themselves, and comparisons; the workers' part is the tests'."""

from __future__ import annotations

import asyncio
import unicodedata
from typing import Any

import pytest

from jobs.model import JSON, Job, Status
from jobs.submission import Request
from jobs.upload_events import read_key
from tests.rest.api import Answer, Api, claim, complete, fail
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

NO_WAIT = {"Prefer": "wait=0"}
NINE = "2026-11-20 09:00:00"
ROW = {"device_id": "phone-1", "latitude": 37.5665, "longitude": 126.978, "capture_time": NINE}
BOX: dict[str, JSON] = {"x": 1, "y": 2, "width": 30, "height": 40}
FOUND: dict[str, JSON] = {
    "outcome": "sighting",
    "plate": "12가3456",
    "deviceId": "phone-1",
    "latitude": 37.5665,
    "longitude": 126.978,
    "captureTime": NINE,
    "vehicleInCrop": BOX,
}


async def put(api: Api, key: str) -> str:
    """Put a photo there, and return its address."""
    await api.clients.s3.put_object(Bucket=api.upload_bucket, Key=key, Body=b"a photo")
    return f"s3://{api.upload_bucket}/{key}"


async def photo(api: Api, name: str = "a") -> str:
    """Put a photo where nothing starts by itself."""
    return await put(api, f"uploads/{api.user}/1_{name * 32}.jpg")


async def device_photo(api: Api, name: str = "a") -> str:
    """Put a photo where S3 tells of it."""
    return await put(api, f"reports/{api.user}/phone-1/1763629200000_{name * 32}.jpg")


async def process(api: Api, url: str, *, wait: str = "wait=0", key: str | None = None, **more: Any) -> Answer:
    """Send a row, without waiting unless told to."""
    headers = {"Prefer": wait} if wait else {}
    headers |= {"Idempotency-Key": key} if key else {}
    return await api.post("/process_metadata", ROW | {"image_url": url} | more, headers=headers)


async def crop_of(api: Api, job: Job) -> str:
    """Do the worker's part: store a crop, and return its address."""
    key = f"generated/{api.user}/{job.job_id}.jpg"
    await api.clients.s3.put_object(Bucket=api.result_bucket, Key=key, Body=b"a crop")
    url = f"s3://{api.result_bucket}/{key}"
    await complete(api.services.jobs, job, url=url, facts=FOUND)
    return url


async def a_crop(api: Api, name: str = "a") -> str:
    """Have a parking job make a crop."""
    answer = await process(api, await photo(api, name))
    return await crop_of(api, await api.stored(answer.body["jobId"]))


# ---- /process_metadata ----


async def test_a_row_is_answered_in_the_originals_form(api: Api) -> None:
    """When the worker has done its part."""
    url = await photo(api)
    waiting = asyncio.create_task(process(api, url, wait=""))
    job = await api.newest_job()
    await api.waiters()
    crop = await crop_of(api, job)
    answer = await waiting
    processed = {**ROW, "report_id": None, "image_url": url, "plate_string": "12가3456", "cropped_url": crop}

    assert 200 == answer.status
    assert {
        "status": "success",
        "message": "The sighting is written down",
        "processed_data": processed,
        "plate": ["12가3456"],
        "cropped_url": crop,
    } == answer.body
    assert (1, 1) == await api.usage()


@pytest.mark.parametrize("device", ["a1:b2:c3", "192.168.0.7", "phone 1", "내 전화", "x" * 64])
async def test_a_device_is_called_as_it_likes(api: Api, device: str) -> None:
    """Its name is in no key here."""
    answer = await process(api, await photo(api), device_id=device)

    assert (202, device) == (answer.status, answer.body["parameters"]["deviceId"])


async def test_a_plate_may_be_written_in_letters(api: Api) -> None:
    """As some systems take syllables apart."""
    answer = await process(api, await photo(api), plate_string=unicodedata.normalize("NFD", "12 가 3456"))

    assert (202, "12가3456") == (answer.status, answer.body["parameters"]["plate"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device_id", ""),
        ("device_id", "x" * 65),
        ("device_id", "phone\n"),
        ("device_id", "\ud800"),
        ("latitude", True),
        ("latitude", 90.1),
        ("longitude", "east"),
        ("capture_time", "2019-12-31 23:59:59"),
        ("capture_time", "1970-01-01 00:00:07"),
        ("capture_time", "2999-01-01 00:00:00"),
        ("capture_time", f"{NINE}Z"),
        ("plate_string", "12A3456"),
    ],
)
async def test_a_field_that_cannot_be_is_named(api: Api, field: str, value: Any) -> None:
    """With nothing started."""
    answer = await process(api, await photo(api), **{field: value})

    assert (400, "invalid_request", field) == (*answer.error, answer.body["field"])
    assert await api.has_left_nothing()


async def test_null_island_is_no_place(api: Api) -> None:
    """The equator and the meridian are."""
    url = await photo(api)
    nowhere = await process(api, url, latitude=0, longitude=0.0)
    equator = await process(api, url, latitude=0)

    assert (400, "invalid_request", "latitude") == (*nowhere.error, nowhere.body["field"])
    assert 202 == equator.status


# ---- Photos that start by themselves ----


def s3_event(api: Api, url: str) -> Request:
    """Ask for what S3's event about a photo asks for."""
    return Request(user_id=api.user, pipeline="parking-report", input_url=url, parameters={"deviceId": "phone-1"})


async def told_by_s3(api: Api, url: str) -> Job:
    """Take a photo in as S3's event does."""
    upload = read_key(url.split("/", 3)[3])
    assert upload is not None
    return (await api.services.submission.take_in(s3_event(api, url), upload.job_id)).job


@pytest.mark.parametrize("s3_is_first", [True, False])
async def test_a_photo_that_starts_by_itself_is_one_job(api: Api, s3_is_first: bool) -> None:
    """Whoever comes first, S3's event or the request: one job, one unit, one answer."""
    url = await device_photo(api)
    if s3_is_first:
        await told_by_s3(api, url)
    waiting = asyncio.create_task(process(api, url, wait=""))
    await api.waiters()
    job = await told_by_s3(api, url)
    crop = await crop_of(api, job)
    answer = await waiting
    again = await process(api, url)

    assert (200, crop) == (answer.status, answer.body["cropped_url"])
    assert (200, job.job_id) == (again.status, again.body["jobId"])
    assert not {"Idempotency-Replayed"} & (answer.headers.keys() | again.headers.keys())
    assert [job.job_id] == [one.job_id for one in await api.stored_jobs()]
    assert (s3_is_first, (1, 1)) == ("latitude" not in job.parameters, await api.usage())


@pytest.mark.parametrize("wait", ["", "wait=20"])
async def test_a_photo_that_knew_nothing_itself_is_done_with_what_the_sender_knows(api: Api, wait: str) -> None:
    """The job that S3 has started fails while the sender waits; a second one has all it needs, and is the one that is paid."""
    url = await device_photo(api)
    first = await told_by_s3(api, url)
    waiting = asyncio.create_task(process(api, url, wait=wait))
    await api.waiters()
    await fail(api.services.jobs, first, "missing_metadata")
    async with asyncio.timeout(20):
        while len(jobs := await api.stored_jobs()) < 2:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
    [second] = [job for job in jobs if job.job_id != first.job_id]
    await crop_of(api, second)
    answer = await waiting

    assert (200, 37.5665) == (answer.status, second.parameters["latitude"])
    assert (1, 1) == await api.usage()


@pytest.mark.parametrize("end", ["failed", "canceled", "deleted"])
async def test_a_photo_whose_job_came_to_nothing_gets_another(api: Api, end: str) -> None:
    """For as long as there is none that worked; each is a new one."""
    url = await device_photo(api)
    first = await told_by_s3(api, url)
    if end == "failed":
        await fail(api.services.jobs, first, "provider_failure")
    elif end == "canceled":
        await api.post(f"/jobs/{first.job_id}/cancel", {})
    else:
        await api.delete(f"/jobs/{first.job_id}")
    answer = await process(api, url)

    assert 202 == answer.status
    assert first.job_id != answer.body["jobId"]
    assert Status.QUEUED == (await api.stored(answer.body["jobId"])).status


async def test_what_only_the_sender_knows_is_a_job_of_its_own(api: Api) -> None:
    """The photo's own job would read another plate, and make another crop."""
    crop, url = await a_crop(api), await device_photo(api)
    first = await told_by_s3(api, url)
    answers = [
        await process(api, url, plate_string="12가3456"),
        await process(api, url, cropped_url=crop),
    ]

    assert [202, 202] == [answer.status for answer in answers]
    assert first.job_id not in {answer.body["jobId"] for answer in answers}


async def test_a_failure_of_ones_own_is_told(api: Api) -> None:
    """It is the sender's job from the start: there is nothing that another would know better."""
    url = await device_photo(api)
    waiting = asyncio.create_task(process(api, url, wait=""))
    await api.waiters()
    await fail(api.services.jobs, await api.newest_job(), "invalid_image")
    answer = await waiting

    assert (400, "invalid_image") == answer.error
    assert 1 == len(await api.stored_jobs())


async def test_a_wish_is_answered_again_when_its_photo_is_gone(api: Api) -> None:
    """Under its key; anybody else is told that there is none."""
    url = await photo(api)
    first = await process(api, url, key="one")
    await api.clients.s3.delete_object(Bucket=api.upload_bucket, Key=url.split("/", 3)[3])
    again, another = await process(api, url, key="one"), await process(api, url, key="two")

    assert (first.body["jobId"], "true") == (again.body["jobId"], again.headers["Idempotency-Replayed"])
    assert (404, "file_not_found") == another.error


# ---- Crops ----


async def test_ones_own_crops_are_compared(api: Api) -> None:
    """By whatever address they have; where the vehicle is in them is known."""
    first, second = await a_crop(api, "a"), await a_crop(api, "b")
    body = {"first_cropped_url": first, "second_cropped_url": await api.services.files.link(second)}
    answer = await api.post("/compare_background", body, headers=NO_WAIT)
    job = await api.stored(answer.body["jobId"])
    await complete(api.services.jobs, job, facts={"similarity": 0.9})

    assert ("parking-comparison", {"url": first, "vehicle": BOX}) == (job.pipeline, job.parameters["first"])
    assert {"url": second, "vehicle": BOX} == job.parameters["second"]
    assert (202, 0.9) == (answer.status, (await api.get(f"/jobs/{job.job_id}")).body["result"]["similarity"])


async def no_crops(api: Api, as_other: Api) -> dict[str, str]:
    """Make what is no crop of the caller's."""
    portrait, running = await api.ended(), (await process(api, await photo(api))).body["jobId"]
    await claim(api.services.jobs, await api.stored(running))
    never_written = f"generated/{api.user}/{running}.jpg"
    await api.clients.s3.put_object(Bucket=api.result_bucket, Key=never_written, Body=b"a crop")
    picture = f"generated/{api.user}/{portrait}.png"
    await api.clients.s3.put_object(Bucket=api.result_bucket, Key=picture, Body=b"a portrait")
    deleted = await a_crop(api, "d")
    await api.delete(f"/jobs/{deleted.rsplit('/', 1)[1].removesuffix('.jpg')}")
    return {
        "an upload": await photo(api),
        "a device's photo": await device_photo(api),
        "a portrait": f"s3://{api.result_bucket}/{picture}",
        "not written down": f"s3://{api.result_bucket}/{never_written}",
        "deleted": deleted,
        "never there": f"s3://{api.result_bucket}/generated/{api.user}/job_never.jpg",
        "another's": await a_crop(as_other, "o"),
        "a report's": f"s3://{api.result_bucket}/evidence/report_{'0' * 32}/{'1' * 64}.jpg",
    }


async def test_nothing_but_a_crop_of_ones_own_is_one(api: Api, as_other: Any) -> None:
    """An upload as it is knows its owner's home: it is answered like a crop that never was, in each field."""
    crop, url, named = await a_crop(api, "c"), await photo(api, "p"), {}
    for what, address in (await no_crops(api, as_other())).items():
        named[what] = [
            (await process(api, url, cropped_url=address)).error,
            (await api.post("/compare_background", {"first_cropped_url": address, "second_cropped_url": crop})).error,
            (await api.post("/compare_background", {"first_cropped_url": crop, "second_cropped_url": address})).error,
        ]
    not_there, not_ours = [(404, "file_not_found")] * 3, [(400, "invalid_request")] * 3
    foreign = {"another's", "a report's"}

    assert {what: not_ours if what in foreign else not_there for what in named} == named


@pytest.mark.parametrize("field", ["first_cropped_url", "second_cropped_url"])
async def test_both_crops_are_needed(api: Api, field: str) -> None:
    """The one that is missing is named."""
    body = {"first_cropped_url": "s3://b/k", "second_cropped_url": "s3://b/k"}
    del body[field]
    answer = await api.post("/compare_background", body)

    assert (400, "invalid_request", field) == (*answer.error, answer.body["field"])


# ---- POST /upload ----


async def ask_upload(api: Api, **said: Any) -> Answer:
    """Ask where to put a device's photo."""
    asked = {"fileName": "car.jpg", "contentType": "image/jpeg", "fileSize": 5, "pipeline": "parking-report"}
    return await api.post("/upload", asked | said)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"deviceId": "phone 1"}, "deviceId"),
        ({"deviceId": "a/b"}, "deviceId"),
        ({"latitude": 1}, "longitude"),
        ({"longitude": 1}, "latitude"),
        ({"latitude": True, "longitude": 1}, "latitude"),
        ({"latitude": 0, "longitude": 0}, "latitude"),
        ({"captureTime": "2019-12-31 23:59:59"}, "captureTime"),
    ],
)
async def test_what_a_device_cannot_say_is_named(api: Api, said: dict[str, Any], field: str) -> None:
    """Before anything is signed."""
    answer = await ask_upload(api, **said)

    assert (400, "invalid_request", field) == (*answer.error, answer.body["field"])


async def test_what_a_device_says_travels_with_its_photo(api: Api) -> None:
    """Under its own folder."""
    answer = await ask_upload(api, deviceId="phone-1", latitude=0, longitude=126.978, captureTime="2026-11-20T09:00:00")
    said = {name[11:]: value for name, value in answer.body["uploadHeaders"].items() if name.startswith("x-amz-meta-")}

    assert answer.body["fileKey"].startswith(f"reports/{api.user}/phone-1/")
    assert {"latitude": "0.0", "longitude": "126.978", "capture-time": NINE} == said


async def test_a_full_day_is_told_at_once(start: Start) -> None:
    """Also of a photo that starts by itself."""
    api = await start(daily_limit=1)
    statuses = [(await process(api, await device_photo(api, name))).status for name in ("a", "b")]

    assert [202, 429] == statuses
