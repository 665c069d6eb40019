"""How often one may call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.errors import CloudUnavailable, DarkroomError
from jobs.ids import UserId
from service import errors
from service.rate_limits import RateLimit, client_address
from tests.rest.api import Api
from tests.rest.conftest import Start

on_a_server = pytest.mark.asyncio(loop_scope="session")
BURST = 20


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def passed(limit: RateLimit, key: str, tries: int) -> int:
    """Return how many of so many requests come through."""
    return sum(limit.take(key) == 0 for _ in range(tries))


@pytest.mark.parametrize(("per_minute", "burst"), [(600, 150), (3000, 750), (120, 30), (60, 20), (1, 20)])
def test_a_quarter_of_a_minute_may_come_at_once(per_minute: int, burst: int) -> None:
    """And never less than twenty."""
    assert burst == passed(RateLimit(per_minute, clock=Clock()), "a", burst + 50)


def test_the_bucket_fills_evenly() -> None:
    """A refusal says when the next one comes through and costs nothing; a long absence saves up no more than the burst."""
    clock = Clock()
    limit = RateLimit(120, clock=clock)
    passed(limit, "a", 30)
    wait = [limit.take("a") for _ in range(3)]
    clock.now += 0.5
    after_half_a_second = passed(limit, "a", 3)
    clock.now += 5
    after_five_seconds = passed(limit, "a", 30)
    clock.now += 3600

    assert [0.5, 0.5, 0.5] == pytest.approx(wait)
    assert (1, 10) == (after_half_a_second, after_five_seconds)
    assert 30 == passed(limit, "a", 100)


def test_each_key_has_a_bucket_of_its_own() -> None:
    """One caller's flood is not another's."""
    limit = RateLimit(60, clock=Clock())
    passed(limit, "a", 100)

    assert (0, 20) == (passed(limit, "a", 1), passed(limit, "b", 100))


def test_zero_is_no_limit() -> None:
    """And remembers nobody."""
    limit = RateLimit(0, clock=Clock())

    assert 10_000 == passed(limit, "a", 10_000)
    assert not limit._buckets


def test_memory_is_bounded() -> None:
    """Those who have been away the longest are forgotten, and who keeps calling is not."""
    limit = RateLimit(60, clock=Clock(), most_keys=100)
    for number in range(1000):
        limit.take("busy")
        limit.take(f"passing-{number}")

    assert 100 == len(limit._buckets)
    assert 0 == passed(limit, "busy", 1)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "hops", "expected"),
    [
        ("10.0.0.1", [], 0, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], 0, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], 1, "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], 1, "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1"], 1, "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1, 10.0.0.9"], 2, "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1"], 2, "10.0.0.1"),
        ("10.0.0.1", [], 1, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown"], 1, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1,"], 1, "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", [], 0, "2001:db8:1:2::/64"),
        ("10.0.0.1", ["2001:db8:1:2::7"], 1, "2001:db8:1:2::/64"),
        ("::ffff:1.1.1.1", [], 0, "1.1.1.1"),
        (None, [], 0, ""),
    ],
)
def test_the_address_is_what_our_own_proxies_saw(
    peer: str | None, forwarded_for: list[str], hops: int, expected: str
) -> None:
    """Counted from the right: the left end is the caller's to make up."""
    assert expected == client_address(peer, forwarded_for, hops)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (CloudUnavailable(), "2"),
        (CloudUnavailable(retry_after_seconds=0.2), "1"),
        (CloudUnavailable(retry_after_seconds=0), "2"),
        (CloudUnavailable(retry_after_seconds=7.1), "8"),
        (errors.TooManyRequests(0.001), "1"),
        (errors.TooManyRequests(1.2), "2"),
    ],
)
def test_whoever_is_sent_away_is_told_for_how_many_seconds(error: DarkroomError, seconds: str) -> None:
    """Whole ones, rounded up, and one at least."""
    assert seconds == errors.answer(error, "an-id").headers["Retry-After"]


async def refused(api: Api, path: str, tries: int, **options: object) -> list[tuple[int, str]]:
    """Send so many requests; return the errors among their answers, each of which must say how long to wait."""
    answers = [await api.get(path, **options) for _ in range(tries)]
    failed = [answer for answer in answers if answer.status >= 400]
    for answer in failed:
        assert 1 <= int(answer.headers.get("Retry-After", "1")) <= 60
    return [answer.error for answer in failed]


TOO_MANY = (429, "too_many_requests")


@on_a_server
async def test_one_user_may_call_so_often(start: Start) -> None:
    """Others are served meanwhile, and a page learns how long to wait."""
    api = await start(user_requests_per_minute=1)
    other = replace(api, user=UserId(f"{api.user}-other"))
    errors_of_one = await refused(api, "/jobs", BURST + 2)
    answer = await api.get("/jobs", headers={"Origin": "http://127.0.0.1:8080"})

    assert [TOO_MANY] * 2 == errors_of_one
    assert answer.headers["Retry-After"] in ("59", "60")
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert [] == await refused(other, "/jobs", 2)
    assert [] == await refused(api, "/styles", 2)


@on_a_server
async def test_one_user_may_start_so_many_jobs_a_minute(start: Start) -> None:
    """Reading goes on, and nothing is stored or charged for what is refused, be it a new job or a retry."""
    api = await start(submits_per_minute=1)
    for _ in range(BURST):
        await api.post("/generate", {})
    wish = {"fileKey": await api.uploaded(), "style": "professional"}
    new = await api.post("/generate", wish)
    again = await api.post("/jobs/job_1/retry", {})

    assert TOO_MANY == new.error == again.error
    assert await api.has_left_nothing()
    assert 200 == (await api.post("/upload", {"fileName": "a.jpg", "contentType": "image/jpeg", "fileSize": 7})).status


@on_a_server
async def test_one_address_may_call_so_often_whoever_it_says_it_is(start: Start) -> None:
    """Before its token is looked at; what load balancers and browsers need is never refused."""
    api = await start(address_requests_per_minute=1)
    bad_tokens = await refused(api, "/jobs", BURST + 1, token="nonsense")
    free = [(await api.get(path, token="")).status for path in ("/healthz", "/", "/page/app.js", "/app-config.json")]

    assert [(401, "unauthorized")] * BURST + [TOO_MANY] == bad_tokens
    assert [TOO_MANY] * 3 == [(await api.get(path)).error for path in ("/jobs", "/styles", "/nothing/here")]
    assert [200] * 4 == free
    assert 503 == (await api.get("/readyz", token="")).status


@on_a_server
async def test_behind_a_proxy_callers_are_told_apart(start: Start) -> None:
    """By what the proxy says, and not by what they say themselves."""
    api = await start(address_requests_per_minute=1, trusted_proxy_hops=1)
    flood = [
        (await api.get("/styles", headers={"X-Forwarded-For": f"9.9.9.{number}, 1.1.1.1"})).status
        for number in range(BURST + 2)
    ]
    other = await api.get("/styles", headers={"X-Forwarded-For": "1.1.1.1, 2.2.2.2"})

    assert [200] * BURST + [429] * 2 == flood
    assert 200 == other.status


@on_a_server
async def test_the_embedded_mode_counts_nobody(start: Start) -> None:
    """It serves one person, and measurements."""
    api = await start(embedded=True)

    assert [] == await refused(api, "/styles", 800, token="")
