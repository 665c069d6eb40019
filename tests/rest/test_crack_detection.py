"""Looking for cracks within one request, as the original does, and the photo with its boxes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jobs.aws import Clients
from jobs.files import MAX_UPLOAD_BYTES
from jobs.ids import JobId
from jobs.model import JSON, Job
from tests.rest.api import Answer, Api, a_form, a_photo, complete, fail
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOX: dict[str, JSON] = {"x": 10, "y": 20, "width": 30, "height": 40}
FACTS: dict[str, JSON] = {
    "hasCrack": True,
    "confidence": 0.85,
    "crackCount": 1,
    "boundingBoxes": [BOX | {"confidence": 0.85}],
    "detections": [BOX | {"confidence": 0.85}, BOX | {"confidence": 0.2}],
    "threshold": 0.5,
    "width": 64,
    "height": 64,
}
NO_WAIT = {"Prefer": "wait=0"}


def detect(api: Api, form: Any = None, **options: Any) -> asyncio.Task[Answer]:
    """Send a photo, and go on meanwhile."""
    sending = api.call("POST", "/detect-crack", data=form or a_form(), **options)
    return asyncio.create_task(sending, name="detect")


async def looked_at(api: Api, job: Job) -> bytes:
    """Do the worker's part, and return the photo with the boxes."""
    drawn = a_photo(side=128)
    url = await api.services.files.write_result(
        job.user_id, job.job_id, drawn, content_type="image/jpeg", extension=".jpg"
    )
    await complete(api.services.jobs, job, url=url, facts=FACTS)
    return drawn


@pytest.mark.parametrize("field", ["file", "image"])
async def test_the_original_call_gets_the_originals_answer(api: Api, field: str) -> None:
    """Under both names of the field; the result's address needs no token."""
    asking = detect(api, a_form(name=field))
    await api.waiters()
    job = await api.newest_job()
    drawn = await looked_at(api, job)
    answer = await asking
    result = await result_of(api, job.job_id)

    assert (
        200,
        {
            "file_id": job.job_id,
            "image_url": f"/result/{job.job_id}",
            "result_url": f"http://127.0.0.1:8080/result/{job.job_id}",
            "has_crack": True,
            "confidence": 0.85,
            "crack_count": 1,
            "bounding_boxes": [BOX],
        },
    ) == (answer.status, answer.body)
    assert (200, "image/jpeg", drawn) == (result.status, result.headers["Content-Type"], result.body)
    assert "private, max-age=300" == result.headers["Cache-Control"]
    assert ("crack-detection", {"threshold": 0.5}) == (job.pipeline, job.parameters)
    assert await api.usage() == (1, 1)


async def test_the_photo_is_stored_as_it_came(api: Api) -> None:
    """Under the caller's own prefix, and under the type that its bytes have, whatever the form calls it."""
    photo = a_photo("PNG")
    await detect(api, a_form(photo), headers=NO_WAIT)
    job = await api.newest_job()
    url = str(job.input_url)
    key = url.removeprefix(f"s3://{api.upload_bucket}/")
    stored = await api.clients.s3.head_object(Bucket=api.upload_bucket, Key=key)

    assert key.startswith(f"uploads/{api.user}/")
    assert key.endswith(".png")
    assert photo == await api.services.files.read(url, max_bytes=MAX_UPLOAD_BYTES)
    assert ("image/png", "AES256") == (stored["ContentType"], stored["ServerSideEncryption"])


async def test_the_address_is_the_one_the_caller_came_by_where_none_is_told(start: Start) -> None:
    """As in the embedded mode."""
    api = await start(public_url="", embedded=True)
    asking = detect(api, headers={"Host": "darkroom.test:8081"})
    await api.waiters()
    await looked_at(api, await api.newest_job())
    answer = await asking

    assert f"http://darkroom.test:8081/result/{answer.body['file_id']}" == answer.body["result_url"]


async def test_a_preference_gets_the_job_instead(api: Api) -> None:
    """Running or finished, in the form of all other jobs."""
    running = await detect(api, headers=NO_WAIT)
    await looked_at(api, await api.newest_job())
    asking = detect(api, headers={"Prefer": "wait=20"})
    await api.waiters()
    [job] = [job for job in await api.stored_jobs() if not job.terminal]
    await looked_at(api, job)
    finished = await asking

    assert (202, "queued", "wait=0") == (running.status, running.body["status"], running.headers["Preference-Applied"])
    assert (200, "completed", FACTS) == (finished.status, finished.body["status"], finished.body["result"])


async def test_what_takes_too_long_is_told_with_its_job(api: Api) -> None:
    """The caller may ask for it later; here the service leaves, which is the same to the caller."""
    asking = detect(api)
    await api.waiters()
    api.services.waiting.close()
    answer = await asking
    job = await api.newest_job()

    assert (504, "still_running") == answer.error
    assert job.job_id == answer.body["jobId"]
    assert not job.terminal


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("invalid_image", 400, "Invalid image file"),
        ("content_rejected", 422, None),
        ("provider_failure", 502, None),
        ("unavailable", 502, None),
    ],
)
async def test_a_job_that_fails_is_an_error(
    api: Api, caplog: pytest.LogCaptureFixture, code: str, status: int, sentence: str | None
) -> None:
    """With the job's code and its id; it is no failure of the request, and leaves no trace like one."""
    asking = detect(api)
    await api.waiters()
    job = await fail(api.services.jobs, await api.newest_job(), code)
    answer = await asking

    assert (status, code) == answer.error
    assert (job.job_id, sentence or f"It failed: {code}") == (answer.body["jobId"], answer.body["error"])
    assert "A request failed" not in caplog.text


async def test_a_job_that_is_canceled_is_an_error_too(api: Api) -> None:
    """By its owner, meanwhile."""
    asking = detect(api)
    await api.waiters()
    await api.post(f"/jobs/{(await api.newest_job()).job_id}/cancel", {})

    assert (409, "job_canceled") == (await asking).error


@pytest.mark.parametrize(
    ("query", "fields", "threshold"),
    [("", {"threshold": "0.8"}, 0.8), ("?threshold=0.3", {}, 0.3), ("?threshold=0.3", {"threshold": "1"}, 1.0)],
)
async def test_a_threshold_may_be_said(api: Api, query: str, fields: dict[str, Any], threshold: float) -> None:
    """In the form or in the address; the form counts more."""
    answer = await api.call("POST", f"/detect-crack{query}", data=a_form(None, **fields), headers=NO_WAIT)

    assert (202, {"threshold": threshold}) == (answer.status, answer.body["parameters"])


@pytest.mark.parametrize("threshold", ["1.01", "-0.1", "nan", "inf", "much", "0,5"])
async def test_a_threshold_that_is_none_is_refused(api: Api, threshold: str) -> None:
    """By its name; nothing is stored or charged."""
    answer = await detect(api, a_form(threshold=threshold), headers=NO_WAIT)

    assert (400, "invalid_request") == answer.error
    assert ("threshold", "threshold must be a number from 0 to 1") == (answer.body["field"], answer.body["error"])
    assert await api.has_left_nothing()


async def test_the_same_photo_under_a_key_is_one_job(api: Api) -> None:
    """Another photo or another threshold is another request."""
    key = {"Idempotency-Key": "k", **NO_WAIT}
    first, again = [await detect(api, headers=key) for _ in range(2)]
    others = [
        await detect(api, a_form(a_photo(side=65)), headers=key),
        await detect(api, a_form(threshold="0.6"), headers=key),
    ]

    assert (202, 202, first.body["jobId"]) == (first.status, again.status, again.body["jobId"])
    assert "true" == again.headers["Idempotency-Replayed"]
    assert [(422, "idempotency_key_reused")] * 2 == [answer.error for answer in others]
    assert await api.usage() == (1, 1)


async def photos_of(api: Api) -> list[str]:
    """Read which photos of the user are stored."""
    listed = await api.clients.s3.list_objects_v2(Bucket=api.upload_bucket, Prefix=f"uploads/{api.user}/")
    return [f"s3://{api.upload_bucket}/{item['Key']}" for item in listed.get("Contents", [])]


async def test_only_photos_of_jobs_are_kept(start: Start) -> None:
    """Not those of requests that were refused, or answered as before."""
    api = await start(daily_limit=1)
    key = {"Idempotency-Key": "k", **NO_WAIT}
    answers = [
        await detect(api, headers=key),
        await detect(api, headers=key),
        await detect(api, a_form(a_photo(side=65)), headers=key),
        await detect(api, headers=NO_WAIT),
    ]
    job = await api.newest_job()

    assert [202, 202, 422, 429] == [answer.status for answer in answers]
    assert [job.input_url] == await photos_of(api)


async def test_a_job_that_the_queue_refused_keeps_its_photo(start: Start, cloud_environment: Mapping[str, str]) -> None:
    """For it may be retried."""
    api = await start(sqs_queue_url=f"{cloud_environment['SQS_QUEUE_URL']}-that-is-not-there")
    answer = await detect(api, headers=NO_WAIT)
    job = await api.newest_job()

    assert (500, "queue_refused") == answer.error
    assert [job.input_url] == await photos_of(api)


class _Keeps:
    """A client of S3 that deletes nothing."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def delete_object(self, **_: Any) -> None:
        """Refuse."""
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject")


async def test_a_photo_that_cannot_be_deleted_is_nobodys_trouble(
    start: Start, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller is told what it would be told anyway; the log has the rest."""
    keeps: Any = _Keeps(clients.s3)
    api = await start(clients=replace(clients, s3=keeps), daily_limit=0)
    answer = await detect(api, headers=NO_WAIT)

    assert (429, "quota_exceeded") == answer.error
    assert ["throw_away_photo"] == [record.__dict__["action"] for record in caplog.records if "photo" in record.message]


# ---- The photo with its boxes ----


async def result_of(api: Api, job_id: str) -> Answer:
    """Ask for a result without a token."""
    return await api.get(f"/result/{job_id}", token="")


async def test_a_result_that_is_not_there_is_told_in_the_originals_words(api: Api) -> None:
    """Whether the job is unknown, unfinished, failed, deleted, of another kind, or its file is gone."""
    portrait, queued = await api.ended(), (await detect(api, headers=NO_WAIT)).body["jobId"]
    failed = (await detect(api, headers=NO_WAIT)).body["jobId"]
    await fail(api.services.jobs, await api.stored(failed), "provider_failure")
    deleted, gone = [(await detect(api, headers=NO_WAIT)).body["jobId"] for _ in range(2)]
    for job_id in (deleted, gone):
        await looked_at(api, await api.stored(job_id))
    seen = [(await result_of(api, job_id)).status for job_id in (deleted, gone)]
    await api.delete(f"/jobs/{deleted}")
    await api.services.files.delete_results(api.user, JobId(gone))
    ids = ["job_never", "nonsense", "job_%2e%2e", portrait, queued, failed, deleted, gone]
    answers = [await result_of(api, job_id) for job_id in ids]

    assert [200, 200] == seen
    assert [(404, "result_not_found")] * len(ids) == [answer.error for answer in answers]
    assert {"Result image not found"} == {answer.body["error"] for answer in answers}
