"""Callers without a token: for which pipelines they are allowed, and what keeps them apart."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.ids import UserId, anonymous_user
from service.process import CannotStart
from tests.conftest import PAGE_ORIGIN
from tests.rest.api import Answer, Api, a_form
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHOTO = {"fileName": "me.jpg", "contentType": "image/jpeg", "fileSize": 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody without a token, at an address of their own."""

    api: Api
    address: str

    @property
    def user(self) -> UserId:
        """Who the service takes them for."""
        return anonymous_user(self.address)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request."""
        headers = {"X-Forwarded-For": self.address} | options.pop("headers", {})
        return await self.api.call(method, path, token="", headers=headers, **options)

    async def detect(self, **headers: str) -> Answer:
        """Send a photo, and do not wait."""
        form = a_form()
        return await self.call("POST", "/detect-crack", data=form, headers={"Prefer": "wait=0", **headers})


def an_address() -> str:
    """Make up an address: the cloud is shared by all tests."""
    return f"10.{random.randint(0, 255)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


async def stranger_at(start: Start, pipelines: str = "crack-detection", **settings: Any) -> Stranger:
    """Start a service that lets some in."""
    api = await start(anonymous_pipelines=pipelines, trusted_proxy_hops=1, **settings)
    return Stranger(api=api, address=an_address())


async def test_whoever_may_come_without_a_token_is_a_user_by_address(start: Start) -> None:
    """With jobs of their own, which another address may not see; and the name does not show the address."""
    one = await stranger_at(start)
    other = Stranger(api=one.api, address=an_address())
    answer = await one.detect()
    path = f"/jobs/{answer.body['jobId']}"
    mine, theirs = await one.call("GET", path), await other.call("GET", path)

    assert (202, one.user, "crack-detection") == (answer.status, answer.body["userId"], answer.body["pipeline"])
    assert one.address not in one.user
    assert (200, answer.body["jobId"]) == (mine.status, mine.body["jobId"])
    assert theirs.error == (403, "forbidden")


async def test_without_leave_everybody_needs_a_token(api: Api) -> None:
    """By default no pipeline is open."""
    form = a_form()
    answers = [
        await api.call("POST", "/detect-crack", token="", data=form),
        await api.post("/generate", {}, token=""),
        await api.get("/jobs/job_1", token=""),
        await api.post("/upload", PHOTO, token=""),
    ]

    assert [(401, "unauthorized")] * 4 == [answer.error for answer in answers]
    assert await api.has_left_nothing()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs"),
        ("DELETE", "/jobs/job_1"),
        ("POST", "/jobs/job_1/cancel"),
        ("POST", "/jobs/job_1/retry"),
        ("GET", "/jobs/job_1/events"),
        ("GET", "/jobs/job_1/download"),
        ("GET", "/user/me"),
        ("GET", "/user/jobs"),
        ("GET", "/events"),
        ("GET", "/webhooks"),
        ("POST", "/webhooks"),
        ("POST", "/generate"),
        ("POST", "/upload"),
        ("POST", "/upload/presigned"),
    ],
)
async def test_nothing_else_is_open(start: Start, method: str, path: str) -> None:
    """Neither lists nor other pipelines."""
    stranger = await stranger_at(start)
    assert (401, "unauthorized") == (await stranger.call(method, path)).error


async def test_a_pipeline_is_opened_with_its_uploads(start: Start) -> None:
    """Under the caller's own prefix; a path that serves several asks which one."""
    stranger = await stranger_at(start, "profile-photo")
    link = await stranger.call("POST", "/upload", json=PHOTO)
    async with stranger.api.http.session.put(
        link.body["uploadUrl"], data=b"a photo", headers=link.body["uploadHeaders"]
    ) as put:
        assert put.status == 200
    wish = {"fileKey": link.body["fileKey"], "style": "professional"}
    job = await stranger.call("POST", "/generate", json=wish)
    closed = await stranger.call("POST", "/detect-crack", data=a_form())

    assert link.body["fileKey"].startswith(f"uploads/{stranger.user}/")
    assert (200, 999) == (job.status, job.body["remainingQuota"])
    assert closed.error == (401, "unauthorized")


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Basic YTpi", ""])
async def test_whoever_sends_a_token_is_never_anonymous(start: Start, header: str) -> None:
    """A bad one is refused, as everywhere."""
    stranger = await stranger_at(start)
    answer = await stranger.detect(Authorization=header)

    assert answer.error == (401, "unauthorized")


async def test_a_good_token_works_as_ever(start: Start) -> None:
    """The job is that user's."""
    stranger = await stranger_at(start)
    answer = await stranger.api.call("POST", "/detect-crack", data=a_form(), headers={"Prefer": "wait=0"})

    assert (202, stranger.api.user) == (answer.status, answer.body["userId"])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", f"{PAGE_ORIGIN}.evil.example"])
async def test_a_foreign_page_may_not_send_forms_in_its_readers_name(start: Start, origin: str) -> None:
    """Such a form needs no preflight, and there is no token that the page would have to have."""
    stranger = await stranger_at(start)
    answer = await stranger.detect(Origin=origin)

    assert answer.error == (403, "forbidden")
    assert (await stranger.detect(Origin=PAGE_ORIGIN)).status == 202


async def test_strangers_have_a_daily_limit_of_their_own(start: Start) -> None:
    """Each address, and whoever signs in has the other one."""
    one = await stranger_at(start, anonymous_daily_limit=2, daily_limit=5)
    other = Stranger(api=one.api, address=an_address())
    answers = [await one.detect() for _ in range(3)]
    shown = await one.api.get("/user/me")

    assert [202, 202, 429] == [answer.status for answer in answers]
    assert answers[-1].error == (429, "quota_exceeded")
    assert (await other.detect()).status == 202
    assert shown.body["dailyLimit"] == 5


async def test_strangers_are_counted_like_others(start: Start) -> None:
    """By address, so one does not use up another's."""
    one = await stranger_at(start, submits_per_minute=1)
    for _ in range(20):
        await one.call("POST", "/detect-crack")
    other = Stranger(api=one.api, address=an_address())

    assert (await one.detect()).error == (429, "too_many_requests")
    assert (await other.detect()).status == 202


async def test_no_token_may_claim_to_be_a_stranger(start: Start) -> None:
    """Whoever signs tokens may not make one that sees a stranger's jobs."""
    stranger = await stranger_at(start)
    job_id = (await stranger.detect()).body["jobId"]
    answer = await stranger.api.get(f"/jobs/{job_id}", token=stranger.api.issuer.id_token(stranger.user))

    assert answer.error == (401, "unauthorized")


async def test_strangers_are_not_written_down_as_users(start: Start) -> None:
    """Their row has their counts, and no sign-in."""
    stranger = await stranger_at(start)
    await stranger.detect()
    user = await stranger.api.services.users.get(stranger.user)

    assert ("", "", "") == (user.created_at, user.last_login_at, user.provider)


async def test_a_pipeline_that_is_none_stops_the_start(start: Start) -> None:
    """Also one that no path leads to."""
    for name in ("cracks", "parking-comparison"):
        with pytest.raises(
            CannotStart, match=rf"^ANONYMOUS_PIPELINES: {name} is no pipeline; there are profile-photo, "
        ):
            await start(anonymous_pipelines=f"crack-detection,{name}")
