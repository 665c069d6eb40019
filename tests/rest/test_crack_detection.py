"""Looking for cracks within one request, as the original does, and the photo with its boxes."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from jobs.files import MAX_UPLOAD_BYTES
from jobs.ids import JobId, UserId
from jobs.model import JSON, Job
from service import keys
from service.bodies import FORM_SECONDS, Seats
from service.errors import TooBusy
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
NO_FILE, NO_IMAGE = (400, "no_image_file"), (400, "invalid_image")


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


# ---- What is no photo ----


def parts(*bodies: bytes) -> bytes:
    """Write a form by hand."""
    return b"".join(b"--b\r\n" + body + b"\r\n" for body in bodies) + b"--b--\r\n"


def part(name: str, content: bytes) -> bytes:
    """Write a part by hand."""
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content


async def refused(api: Api, body: Any, content_type: str | None = "multipart/form-data; boundary=b") -> Answer:
    """Send a body, which must leave nothing behind."""
    headers = NO_WAIT | ({"Content-Type": content_type} if content_type else {})
    answer = await api.call("POST", "/detect-crack", data=body, headers=headers)
    assert await api.has_left_nothing()
    return answer


@pytest.mark.parametrize(
    "body",
    [parts(), parts(part("threshold", b"0.5")), parts(part("photo", b"small")), parts(part("file", b"")), b"--b--\r\n"],
)
async def test_a_form_without_a_photo_is_told_so(api: Api, body: bytes) -> None:
    """In the original's words."""
    answer = await refused(api, body)

    assert (*NO_FILE, "No image file provided") == (*answer.error, answer.body["error"])


async def test_no_body_at_all_is_no_photo(api: Api) -> None:
    """Whatever its type is said to be."""
    assert NO_FILE == (await refused(api, None, None)).error


@pytest.mark.parametrize(
    "content_type", ["application/json", "image/jpeg", "text/plain", "multipart/mixed; boundary=b"]
)
async def test_what_is_no_form_is_refused(api: Api, content_type: str) -> None:
    """With what is wanted instead."""
    assert (415, "unsupported_media_type") == (await refused(api, parts(part("file", a_photo())), content_type)).error


@pytest.mark.parametrize(
    "content",
    [b"not a photo", b"\xff\xd8\xff\xe0", b"GIF89a" + bytes(100), a_photo("GIF"), a_photo("BMP"), a_photo(side=31)],
)
async def test_what_is_no_image_is_told_so(api: Api, content: bytes) -> None:
    """By its bytes, in the original's words; nothing is stored or charged."""
    answer = await refused(api, parts(part("image", content)))

    assert (*NO_IMAGE, "Invalid image file") == (*answer.error, answer.body["error"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"--b\r\n",
        b"--b\r\nContent-Disposition: form-data",
        b"--b\r\n" + part("file", a_photo()),
        parts(part("file", a_photo()))[:-8],
        b"--b\r\n" + b"X: y\r\n" * 200 + b"\r\n\r\n--b--\r\n",
        b"--b\r\n" + b"X: " + b"y" * 10_000 + b"\r\n\r\n\r\n--b--\r\n",
        b"--b\r\nno header\r\n\r\n\r\n--b--\r\n",
    ],
)
async def test_a_form_that_is_broken_is_refused(api: Api, body: bytes) -> None:
    """Whatever is wrong with it."""
    assert (await refused(api, body)).error in ((400, "invalid_request"), NO_FILE)


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 71}"])
async def test_a_form_needs_its_boundary(api: Api, content_type: str) -> None:
    """Without it nobody can read it."""
    assert (400, "invalid_request") == (await refused(api, parts(part("file", a_photo())), content_type)).error


async def test_a_form_in_a_form_is_refused(api: Api) -> None:
    """Nobody sends one, but for a purpose."""
    inner = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--"

    assert (400, "invalid_request") == (await refused(api, parts(inner))).error


async def test_one_photo_at_a_time(api: Api) -> None:
    """The second one is not even read."""
    answer = await refused(api, parts(part("file", a_photo()), part("image", a_photo())))

    assert (400, "invalid_request", "image") == (*answer.error, answer.body["field"])


async def test_a_form_has_few_parts(api: Api) -> None:
    """Eight are enough for everybody."""
    few = [part(f"field{number}", b"x") for number in range(7)]
    photo = part("file", a_photo())

    assert (400, "invalid_request") == (await refused(api, parts(*few, part("one-more", b"x"), photo))).error
    assert 202 == (await api.call("POST", "/detect-crack", data=parts(*few, photo), headers=NO_WAIT | FORM)).status


async def test_fields_are_short(api: Api) -> None:
    """They are for numbers and names."""
    answer = await refused(api, parts(part("threshold", b"0" * 1025), part("file", a_photo())))

    assert (413, "body_too_large") == answer.error


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


async def in_chunks(body: bytes) -> Any:
    """Send without telling the length."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("send", [io.BytesIO, in_chunks], ids=["told", "untold"])
async def test_ten_mebibytes_are_the_most(api: Api, send: Callable[[bytes], Any]) -> None:
    """With the length told or not; exactly so much is taken."""
    photo = a_photo()
    most = photo + bytes(MAX_UPLOAD_BYTES - len(photo))
    taken = await api.call("POST", "/detect-crack", data=send(parts(part("file", most))), headers=NO_WAIT | FORM)
    over = await api.call("POST", "/detect-crack", data=send(parts(part("file", most + b"x"))), headers=NO_WAIT | FORM)

    assert (202, (413, "body_too_large")) == (taken.status, over.error)
    assert "The photo is larger than 10 MiB" == over.body["error"]
    assert 1 == len(await api.stored_jobs())


@pytest.mark.parametrize(
    "body",
    [
        bytes(11 * 1024 * 1024),
        b"line\r\n" * (2 * 1024 * 1024),
        parts(*[part("x", bytes(1000))] * 7, part("file", bytes(MAX_UPLOAD_BYTES)), bytes(1024 * 1024)),
    ],
    ids=["one line", "a preamble", "an epilogue"],
)
async def test_a_body_that_goes_on_and_on_is_cut_off(api: Api, body: bytes) -> None:
    """Also in what nobody looks at."""
    answer = await api.call("POST", "/detect-crack", data=in_chunks(body), headers=NO_WAIT | FORM)

    assert answer.error in ((413, "body_too_large"), (400, "invalid_request"))
    assert await api.has_left_nothing()


async def test_a_form_that_does_not_arrive_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its seat is another's then."""
    monkeypatch.setattr("service.bodies.FORM_SECONDS", 0.1)
    arrived = asyncio.Event()

    async def never() -> Any:
        yield b"--b\r\n" + part("file", b"\xff")
        await arrived.wait()

    answer = await api.call("POST", "/detect-crack", data=never(), headers=FORM)
    arrived.set()

    assert (400, "invalid_request") == answer.error
    assert FORM_SECONDS >= 30


async def test_a_crowd_waits_a_moment_and_comes_again(api: Api) -> None:
    """Told when; nothing of the photo is read before there is a seat for it."""
    app = api.http.app
    assert app is not None
    seats = app[keys.SEATS]
    seats._patience_seconds = 0.05
    async with AsyncExitStack() as taken:
        for number in range(16):
            await taken.enter_async_context(seats.taken(UserId(f"somebody-{number}")))
        crowded = await detect(api, headers=NO_WAIT)
        await taken.aclose()
    served = await detect(api, headers=NO_WAIT)

    assert (503, "unavailable") == crowded.error
    assert int(crowded.headers["Retry-After"]) >= 1
    assert served.status == 202


async def sit(seats: Seats, user: UserId) -> None:
    """Take a seat for a moment."""
    async with seats.taken(user):
        pass


async def test_one_user_does_not_take_all_seats() -> None:
    """What is free again is taken at once, and nobody is remembered who has none."""
    seats = Seats(most=3, most_of_one=2, patience_seconds=0.05)
    alice, bob = UserId("alice"), UserId("bob")
    async with seats.taken(alice), seats.taken(alice):
        with pytest.raises(TooBusy):
            await asyncio.create_task(sit(seats, alice))
        async with seats.taken(bob):
            with pytest.raises(TooBusy):
                await asyncio.create_task(sit(seats, bob))
        await sit(seats, bob)
    await sit(seats, alice)
    await asyncio.sleep(0)  # the loop lets go of what it has just raised
    gc.collect()

    assert not seats._of_users


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
