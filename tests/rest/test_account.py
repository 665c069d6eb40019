"""The caller's account as a whole: erased, handed over, limited, and blocked."""

from __future__ import annotations

import asyncio
import io
import json
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from jobs import clock
from jobs.accounts_export import MOST_AT_ONCE
from jobs.errors import ExportUnderWay
from jobs.ids import UserId
from tests.rest.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEBIBYTE = 2**20
WEBHOOK = {"url": "https://93.184.216.34/hook", "description": "mine"}


async def exported(api: Api) -> zipfile.ZipFile:
    """Download the caller's archive."""
    async with api.http.get("/user/me/export", headers=bearer(api)) as response:
        assert 200 == response.status
        assert "application/zip" == response.content_type
        day = clock.utc_day(clock.now_milliseconds())
        assert f'attachment; filename="darkroom-{day}.zip"' == response.headers["Content-Disposition"]
        assert "no-store" == response.headers["Cache-Control"]
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))
    assert archive.testzip() is None
    return archive


def bearer(api: Api) -> dict[str, str]:
    """Sign the caller in."""
    return {"Authorization": f"Bearer {api.issuer.id_token(api.user)}"}


def later(api: Api) -> str:
    """Sign the caller in once more, after whatever has just happened."""
    return api.issuer.id_token(api.user, auth_time=int(time.time()) + 1)


def lines(archive: zipfile.ZipFile, name: str) -> list[Any]:
    """Read a table of the archive."""
    return [json.loads(line) for line in archive.read(name).splitlines()]


async def with_pictures(api: Api, *sizes_bytes: int) -> None:
    """Give the caller pictures that no job names."""
    for number, size in enumerate(sizes_bytes):
        key = f"generated/{api.user}/job_{number}.png"
        await api.clients.s3.put_object(Bucket=api.result_bucket, Key=key, Body=bytes(size))


async def test_erasing_takes_all_and_says_what(api: Api, as_other: Callable[[], Api]) -> None:
    """A plain DELETE; whoever signs in again begins anew, but for the day's quota."""
    other = as_other()
    kept = await other.ended()
    await api.ended()
    await api.started()
    token = api.issuer.id_token(api.user, email="alice@example.com")
    answer = await api.delete("/user/me", token=token)
    fresh = later(api)
    me = (await api.get("/user/me", token=fresh)).body

    counts = answer.body["erased"]
    assert (200, True, 2, 1) == (answer.status, answer.body["complete"], counts["jobs"], counts["files"])
    assert {"jobs", "files", "events", "sightings", "reports", "webhooks"} == counts.keys()
    assert [] == (await api.get("/jobs", token=fresh)).body["jobs"]
    assert ("", 0, 1) == (me["email"], me["totalImages"], me["usedToday"])
    assert kept == (await other.get(f"/jobs/{kept}")).body["jobId"]


@pytest.mark.parametrize("is_remembered", [False, True])
async def test_a_token_from_before_the_erasure_writes_nothing(api: Api, is_remembered: bool) -> None:
    """It is 401, so that clients sign in anew; also where a task remembers the sign-in, for all that would be written."""
    then = int(time.time()) - 60
    token = api.issuer.id_token(api.user, email="alice@example.com", auth_time=then)
    await api.get("/user/me", token=token)
    await api.delete("/user/me", token=token)
    if is_remembered:  # as on another task
        api.services.users._seen[api.user, then] = None
    photo = {"fileName": "a.jpg", "contentType": "image/jpeg", "fileSize": 7}
    asked = {
        "/diary": {"text": "친구와 공원을 산책했다.", "date": "2026-11-20"},
        "/upload": photo,
        "/webhooks": WEBHOOK,
    }
    refused = [await api.post(path, body, token=token) for path, body in asked.items()]
    refused.append(await api.get("/user/me/export", token=token))
    refused.append(await api.delete("/user/me", token=token))
    row = await api.clients.dynamodb.get_item(TableName=api.tables.users, Key={"userId": api.user})

    assert {(401, "unauthorized")} == {answer.error for answer in refused}
    assert {"userId", "erasedAt"} == row["Item"].keys()
    assert await api.has_left_nothing()
    assert 200 == (await api.post("/upload", photo, token=later(api))).status


async def test_an_erasure_that_takes_long_asks_to_be_sent_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """202 and when; nothing new can be started, and nothing handed over, until it has ended."""
    from jobs.accounts import ErasureTimes  # noqa: PLC0415 - for this test alone

    await api.started()
    monkeypatch.setattr(api.services.accounts, "_times", ErasureTimes(most=0))
    answer = await api.delete("/user/me")
    photo = {"fileName": "a.jpg", "contentType": "image/jpeg", "fileSize": 7}
    refused = [
        await api.post("/generate", {"fileKey": await api.uploaded(), "style": "professional"}),
        await api.post("/upload", photo),
        await api.post("/webhooks", WEBHOOK),
        await api.get("/user/me/export"),
    ]
    monkeypatch.setattr(api.services.accounts, "_times", ErasureTimes())

    assert (202, False, "1") == (answer.status, answer.body["complete"], answer.headers["Retry-After"])
    assert [(409, "account_erasing")] * 4 == [answer.error for answer in refused]
    assert 200 == (await api.delete("/user/me")).status


async def test_the_archive_holds_all_that_is_the_callers(api: Api, as_other: Callable[[], Api]) -> None:
    """Tables to read and pictures to look at, each named where it belongs; what is another's, and secrets, are not in it."""
    other = as_other()
    await other.ended()
    job_id = await api.ended()
    await api.clients.s3.put_object(
        Bucket=api.result_bucket, Key=f"generated/{api.user}/{job_id}.png", Body=b"a picture"
    )
    webhook = (await api.post("/webhooks", WEBHOOK)).body
    archive = await exported(api)
    [job] = lines(archive, "jobs.jsonl")
    account = json.loads(archive.read("account.json"))
    [shown] = json.loads(archive.read("webhooks.json"))

    upload = f"uploads/1_{'a' * 32}.jpg"
    assert {
        "README.txt",
        "account.json",
        "jobs.jsonl",
        "events.jsonl",
        "sightings.jsonl",
        "reports.json",
        "webhooks.json",
        upload,
        f"results/{job_id}.png",
        "missing.json",
    } == set(archive.namelist())
    assert (api.user, 1) == (account["userId"], account["usage"][0]["taken"])
    assert (job_id, {"input": upload, "result": f"results/{job_id}.png"}) == (job["jobId"], job["files"])
    assert (b"a photo", b"a picture") == (archive.read(upload), archive.read(f"results/{job_id}.png"))
    told = [event["type"] for event in lines(archive, "events.jsonl")]
    assert ["job.queued", "job.processing", "job.completed"] == told
    assert (webhook["webhookId"], WEBHOOK["url"]) == (shown["webhookId"], shown["url"])
    whole = b"".join(archive.read(name) for name in archive.namelist())
    assert webhook["secret"].encode() not in whole
    assert other.user.encode() not in whole
    assert [] == json.loads(archive.read("missing.json")) == json.loads(archive.read("reports.json"))


async def test_a_picture_that_is_gone_is_named_instead(api: Api) -> None:
    """Its job says what it was called; the rest of the archive is whole."""
    job_id = await api.ended()
    archive = await exported(api)
    [missing] = json.loads(archive.read("missing.json"))

    assert f"results/{job_id}.png" == missing["file"]
    assert f"results/{job_id}.png" not in archive.namelist()


async def test_an_account_that_nobody_has_used_is_an_archive_too(api: Api) -> None:
    """With empty tables."""
    archive = await exported(api)

    assert [] == lines(archive, "jobs.jsonl") == json.loads(archive.read("webhooks.json"))


async def test_many_pictures_are_never_in_memory_together(api: Api) -> None:
    """Fifty megabytes go through a few."""
    await with_pictures(api, *[8 * MEBIBYTE] * 6)
    tracemalloc.start()
    try:
        before, total = tracemalloc.get_traced_memory()[0], 0
        async for chunk in api.services.exports.archive(api.user):
            total += len(chunk)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()

    assert total > 48 * MEBIBYTE
    assert peak < 4 * MEBIBYTE


async def test_a_caller_who_leaves_ends_the_export(api: Api) -> None:
    """No task goes on, nothing stays reserved, and the next download may begin."""
    await with_pictures(api, *[8 * MEBIBYTE] * 3)
    await api.get("/user/me")  # the token's keys are fetched, over a connection that stays
    before = asyncio.all_tasks()
    async with api.http.get("/user/me/export", headers=bearer(api)) as response:
        await response.content.readexactly(1000)
        response.close()
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)

    with api.services.exports.reserving(api.user):
        pass


async def test_only_one_export_of_a_caller_is_under_way(api: Api, as_other: Callable[[], Api]) -> None:
    """The second is told so; another's is none of its business."""
    with api.services.exports.reserving(api.user):
        refused = await api.get("/user/me/export")
        await exported(as_other())

    assert (429, ExportUnderWay.code) == refused.error
    await exported(api)


async def test_a_task_hands_over_a_few_accounts_at_once(api: Api) -> None:
    """One more is told when to come again."""
    with ExitStack() as stack:
        for number in range(MOST_AT_ONCE):
            stack.enter_context(api.services.exports.reserving(UserId(f"{api.user}-{number}")))
        refused = await api.get("/user/me/export")

    assert (429, ExportUnderWay.code) == refused.error
    assert int(refused.headers["Retry-After"]) > 0
    await exported(api)


async def test_an_export_is_cut_when_its_caller_is_blocked(api: Api) -> None:
    """Within a file or so, and not at the end of an hour."""
    await with_pictures(api, *[8 * MEBIBYTE] * 4)
    async with api.http.get("/user/me/export", headers=bearer(api)) as response:
        await response.content.readexactly(1000)
        await api.services.users.set_blocked(api.user, True)
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_an_export_that_breaks_does_not_pass_for_a_whole_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is cut in its middle."""
    await with_pictures(api, MEBIBYTE)

    async def broken(*_: object) -> Any:
        yield bytes(100_000)
        raise TimeoutError

    monkeypatch.setattr(api.services.exports, "archive", broken)
    async with api.http.get("/user/me/export", headers=bearer(api)) as response:
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_the_callers_own_limit_is_told_and_kept(api: Api) -> None:
    """By GET /user/me, by what is left after a job, and by the refusal."""
    await api.services.users.set_daily_limit(api.user, 1)
    key = {"fileKey": await api.uploaded(), "style": "professional"}
    me = (await api.get("/user/me")).body
    accepted = await api.post("/generate", key)
    refused = await api.post("/generate", key)

    assert (1, 1) == (me["dailyLimit"], me["remainingQuota"])
    assert 0 == accepted.body["remainingQuota"]
    assert (429, "quota_exceeded") == refused.error


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/user/me"),
        ("GET", "/user/me/export"),
        ("DELETE", "/user/me"),
        ("GET", "/jobs"),
        ("POST", "/generate"),
        ("GET", "/events"),
        ("GET", "/jobs/job_1/events"),
        ("POST", "/webhooks"),
    ],
)
async def test_a_blocked_user_is_refused_everywhere(api: Api, method: str, path: str) -> None:
    """With one sentence and a code; and let in again once it is taken back."""
    await api.services.users.set_blocked(api.user, True)
    refused = await api.call(method, path, json={} if method == "POST" else None)
    await api.services.users.set_blocked(api.user, False)

    assert (403, "user_blocked") == refused.error
    assert 200 == (await api.get("/user/me")).status


async def test_what_needs_no_token_is_open_to_all(api: Api) -> None:
    """A block is of an account, not of a browser."""
    await api.services.users.set_blocked(api.user, True)

    assert 200 == (await api.get("/styles", token="")).status
