"""Where to put a photo, and what is no photo."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.rest.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHOTO = {"fileName": "me.jpg", "contentType": "image/jpeg", "fileSize": 7}
TEN_MIB = 10 * 1024 * 1024


@pytest.mark.parametrize("path", ["/upload", "/upload/presigned"])
async def test_an_upload_link_takes_the_photo_once(api: Api, path: str) -> None:
    """The link works with exactly the headers told, under the caller's prefix, and only once."""
    answer = await api.post(path, PHOTO)
    link = answer.body
    statuses = []
    for _ in range(2):
        async with api.http.session.put(link["uploadUrl"], data=b"a photo", headers=link["uploadHeaders"]) as put:
            statuses.append(put.status)

    assert answer.status == 200
    assert {"uploadUrl", "uploadMethod", "uploadHeaders", "fileKey", "expiresIn"} == link.keys()
    assert (link["uploadMethod"], link["expiresIn"]) == ("PUT", 3600)
    assert link["fileKey"].startswith(f"uploads/{api.user}/")
    assert link["fileKey"].endswith(".jpg")
    assert tuple(statuses) == (200, 412)


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"contentType": "image/gif"}, "contentType", "contentType must be one of image/jpeg, image/png, image/webp"),
        (
            {"contentType": "application/pdf"},
            "contentType",
            "contentType must be one of image/jpeg, image/png, image/webp",
        ),
        ({"contentType": None}, "contentType", "contentType is required"),
        ({"contentType": 7}, "contentType", "contentType must be a string"),
        ({"fileName": "me.png"}, "fileName", "fileName must end in .jpg or .jpeg for image/jpeg"),
        ({"fileName": "me"}, "fileName", "fileName must end in .jpg or .jpeg for image/jpeg"),
        ({"fileName": ".jpg"}, "fileName", "fileName must end in .jpg or .jpeg for image/jpeg"),
        (
            {"fileName": "../me.jpg"},
            "fileName",
            "fileName must be a plain name, without slashes and control characters",
        ),
        (
            {"fileName": "a\\..\\b.jpg"},
            "fileName",
            "fileName must be a plain name, without slashes and control characters",
        ),
        ({"fileName": "me\0.jpg"}, "fileName", "fileName must be a plain name, without slashes and control characters"),
        ({"fileName": "\ud800.jpg"}, "fileName", "fileName is not valid"),
        ({"fileName": "m" * 252 + ".jpg"}, "fileName", "fileName must have at most 255 characters"),
        ({"fileName": ""}, "fileName", "fileName is required"),
        ({"fileSize": 0}, "fileSize", "fileSize must be between 1 byte and 10 MiB"),
        ({"fileSize": -1}, "fileSize", "fileSize must be between 1 byte and 10 MiB"),
        ({"fileSize": TEN_MIB + 1}, "fileSize", "fileSize must be between 1 byte and 10 MiB"),
        ({"fileSize": "7"}, "fileSize", "fileSize must be a whole number"),
        ({"fileSize": True}, "fileSize", "fileSize must be a whole number"),
        ({"fileSize": 7.5}, "fileSize", "fileSize must be a whole number"),
    ],
)
async def test_what_is_no_photo_gets_no_link(api: Api, change: dict[str, Any], field: str, sentence: str) -> None:
    """A person is told which field is wrong and why."""
    answer = await api.post("/upload", PHOTO | change)

    assert answer.error == (400, "invalid_request")
    assert (field, sentence) == (answer.body["field"], answer.body["error"])
    assert await api.has_left_nothing()


@pytest.mark.parametrize(
    "photo",
    [
        {"fileName": "나의 사진.JPEG", "contentType": "image/jpeg", "fileSize": 1},
        {"fileName": "me..webp", "contentType": "image/webp", "fileSize": TEN_MIB},
        {"fileName": "me.png", "contentType": "image/png", "fileSize": 5, "purpose": "an original client's field"},
    ],
)
async def test_every_photo_within_the_limits_gets_a_link(api: Api, photo: dict[str, Any]) -> None:
    """The limits themselves are allowed, and unknown fields are ignored."""
    assert (await api.post("/upload", photo)).status == 200


@pytest.mark.parametrize("missing", ["fileName", "contentType", "fileSize"])
async def test_a_missing_field_is_named(api: Api, missing: str) -> None:
    """The sentence is the original's."""
    answer = await api.post("/upload", {name: value for name, value in PHOTO.items() if name != missing})

    assert answer.error == (400, "invalid_request")
    assert (f"{missing} is required", missing) == (answer.body["error"], answer.body["field"])
    assert await api.has_left_nothing()


PARKING = PHOTO | {"pipeline": "parking-report"}
PLACE = {"deviceId": "phone_1", "latitude": 37.5665, "longitude": -126.978, "captureTime": "2026-11-20T09:00:00"}


async def test_what_is_said_of_a_photo_travels_with_it(api: Api) -> None:
    """In headers that the link demands: none may be left out or say anything else."""
    answer = await api.post("/upload", PARKING | PLACE)
    link = answer.body
    said = {name: value for name, value in link["uploadHeaders"].items() if name.startswith("x-amz-meta-")}
    headers = link["uploadHeaders"]
    statuses = []
    for sent in (
        {name: value for name, value in headers.items() if name not in said},
        headers | {"x-amz-meta-latitude": "1.0"},
        headers,
    ):
        async with api.http.session.put(link["uploadUrl"], data=b"a photo", headers=sent) as put:
            statuses.append(put.status)
    stored = await api.services.files.read_upload(api.services.files.upload_url(link["fileKey"]))

    assert {
        "x-amz-meta-latitude": "37.5665",
        "x-amz-meta-longitude": "-126.978",
        "x-amz-meta-capture-time": "2026-11-20 09:00:00",
    } == said
    assert re.fullmatch(rf"reports/{api.user}/phone_1/[0-9]{{13}}_[0-9a-f]{{32}}\.jpg", link["fileKey"])
    assert [403, 403, 200] == statuses
    assert (b"a photo", {name.removeprefix("x-amz-meta-"): value for name, value in said.items()}) == (
        stored.content,
        stored.metadata,
    )


async def test_a_photo_may_say_all_by_itself(api: Api) -> None:
    """Then there is nothing to send with it."""
    link = (await api.post("/upload", PARKING)).body

    assert {"Content-Type", "x-amz-server-side-encryption", "If-None-Match"} == link["uploadHeaders"].keys()
    assert link["fileKey"].startswith(f"reports/{api.user}/browser/")


@pytest.mark.parametrize("pipeline", ["diary", "crack-detection", "parking", "../x", 7])
async def test_a_pipeline_without_uploads_is_refused(api: Api, pipeline: object) -> None:
    """By the field's name."""
    answer = await api.post("/upload", PHOTO | {"pipeline": pipeline})

    assert (400, "invalid_request", "pipeline") == (*answer.error, answer.body["field"])


@pytest.mark.parametrize("pipeline", ["profile-photo", "", None])
async def test_the_portraits_pipeline_need_not_be_named(api: Api, pipeline: str | None) -> None:
    """Clients of the original do not."""
    link = (await api.post("/upload", PHOTO | {"pipeline": pipeline})).body

    assert link["fileKey"].startswith(f"uploads/{api.user}/")
