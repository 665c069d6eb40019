"""The operator's view: who may use it, what it shows, and what it does."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Histogram

from jobs import clock, moves
from jobs.backlog import Backlog, Depth
from jobs.events import InProcessBus
from jobs.ids import anonymous_user
from jobs.job_table import JobTable
from jobs.model import Job, Status
from jobs.work_queue import WorkQueue
from service.metrics import TaskMetrics
from service.ops.figures import Registered
from service.ops.percentiles import percentile, since
from service.ops.sampler import Sampler
from service.process import task_name
from service.tokens import OPERATORS_GROUP
from tests.jobs import story
from tests.rest.api import Answer, Api
from tests.rest.conftest import TASK, Start
from tests.rest.issuer import Issuer

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS = [
    ("GET", "/ops/figures"),
    ("GET", "/ops/stream"),
    ("POST", "/ops/drain"),
    ("POST", "/ops/redrive"),
    ("GET", "/ops/users/somebody"),
    ("POST", "/ops/users/somebody"),
]


def operators_token(issuer: Issuer, **claims: Any) -> str:
    """Sign the token of an operator."""
    return issuer.id_token("the-operator", **{"cognito:groups": ["others", OPERATORS_GROUP]}, **claims)


async def ops(api: Api, method: str, path: str, body: Any = None) -> Answer:
    """Call as an operator who is somebody else."""
    return await api.call(method, path, token=operators_token(api.issuer), **({} if body is None else {"json": body}))


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_it_is_for_operators_alone(api: Api, method: str, path: str) -> None:
    """Whoever is in no group, or in another one, is refused before anything is read; without a token as everywhere."""
    nobody = await api.call(method, path, token="")
    users = await api.call(method, path, json={})
    token = api.issuer.access_token(api.user, **{"cognito:groups": ["operator", "Operators"]})
    others = await api.call(method, path, token=token)

    assert [(401, "unauthorized"), *[(403, "operators_only")] * 2] == [nobody.error, users.error, others.error]


async def test_the_page_itself_is_public_under_the_strict_policy(api: Api) -> None:
    """It holds no figure; a browser that has kept it is allowed its files."""
    first = await api.get("/ops", token="")
    again = await api.get("/ops", token="", headers={"If-None-Match": first.headers["ETag"]})

    assert (200, "no-cache", 304) == (first.status, first.headers["Cache-Control"], again.status)
    assert "script-src 'self'; style-src 'self'" in first.headers["Content-Security-Policy"]
    assert first.headers["Content-Security-Policy"] == again.headers["Content-Security-Policy"]


async def test_the_figures_name_their_task_and_follow_what_happens(api: Api) -> None:
    """Requests and clients of this task are counted from one reading to the next."""
    sampler = api.services.operator_desk.sampler
    before = (await ops(api, "GET", "/ops/figures")).body
    await asyncio.sleep(0.02)  # no rate without time
    sampler.take()
    answer = await ops(api, "GET", "/ops/figures")
    figures = answer.body["now"]["figures"]

    assert (TASK, "starting", False) == tuple(answer.body["task"][name] for name in ("name", "state", "embedded"))
    assert before["now"]["figures"]["requestsPerMinute"] is None
    assert figures["requestsPerMinute"] > 0
    assert {0} == {figures[name] for name in ("sockets", "streams", "polls")}
    assert (None, None) == (figures["queueWaiting"], figures["queueOldestSeconds"])
    assert 1 <= answer.body["now"]["counts"]["request"] <= 2
    assert len(answer.body["history"]["at"]) == len(answer.body["history"]["figures"]["requestsPerMinute"]) >= 1


async def test_the_stream_begins_with_the_hour_and_goes_on_with_each_sample(api: Api) -> None:
    """It ends when the task leaves, and with its reader's token."""
    sampler = api.services.operator_desk.sampler
    sampler.start()
    token = operators_token(api.issuer)
    try:
        told = [event async for event in _events(api, token, most=3)]
        async with asyncio.timeout(5):
            await _read_all(api, operators_token(api.issuer, exp=clock.now_milliseconds() // 1000 - 4))
        ending = asyncio.create_task(_read_all(api, token))
        await asyncio.sleep(0.05)
    finally:
        await sampler.stop()
    async with asyncio.timeout(5):
        await ending

    assert [True, False, False] == ["history" in event for event in told]
    assert told[0]["now"]["at"] < told[1]["now"]["at"] < told[2]["now"]["at"]


async def test_a_drain_is_for_the_task_that_is_meant(api: Api) -> None:
    """A load balancer leads to any; the one that is named leaves."""
    other = await ops(api, "POST", "/ops/drain", {"task": "another-task"})
    nameless = await ops(api, "POST", "/ops/drain", {})
    before = api.services.readiness.state
    answer = await ops(api, "POST", "/ops/drain", {"task": TASK})

    assert (409, "other_task") == other.error
    assert TASK in other.body["error"]
    assert (400, "task") == (nameless.status, nameless.body["field"])
    assert (202, {"task": TASK, "state": "draining"}) == (answer.status, answer.body)
    assert ("starting", "draining") == (before, api.services.readiness.state)


async def test_whoever_comes_without_a_token_can_be_blocked_too(api: Api) -> None:
    """There is no row of such a user, and that is where abuse comes from; operators cannot lock themselves out."""
    path = f"/ops/users/{anonymous_user('192.0.2.1')}"
    blocked = await ops(api, "POST", path, {"blocked": True})
    freed = await ops(api, "POST", path, {"blocked": False})
    themselves = await ops(api, "POST", "/ops/users/the-operator", {"blocked": True})

    assert (True, False) == (blocked.body["blocked"], freed.body["blocked"])
    assert (400, "blocked") == (themselves.status, themselves.body["field"])


async def test_a_backlog_that_breaks_ends_nothing(api: Api) -> None:
    """Not the sampler, and not the task whose charts it draws."""
    backlog = BreaksOnce()
    meters = TaskMetrics(registry := CollectorRegistry(), task=TASK, version="0")
    sampler = Sampler(registry, backlog, meters, kept_seconds=0.01, tick_seconds=0.01)  # type: ignore[arg-type]
    sampler.start()
    async with asyncio.timeout(5):
        await backlog.asked_again.wait()
    await sampler.stop()


class BreaksOnce:
    """A backlog whose first answer nobody expects."""

    queues: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.asked_again = asyncio.Event()
        self._asked = 0

    async def depths(self) -> dict[str, Depth]:
        self._asked += 1
        if self._asked == 1:
            raise ValueError
        self.asked_again.set()
        return {}

    async def oldest_queued_seconds(self) -> float:
        return 0


async def test_a_users_limit_and_standing_are_changed(api: Api) -> None:
    """The user's own limit holds at once and goes away again; a blocked user is refused, and let in again."""
    path = f"/ops/users/{api.user}"
    unknown = await ops(api, "POST", path, {"blocked": True})
    await api.get("/user/me")
    limited = await ops(api, "POST", path, {"dailyLimit": 1})
    mine = (await api.get("/user/me")).body
    usual = await ops(api, "POST", path, {"dailyLimit": None})
    blocked = await ops(api, "POST", path, {"blocked": True})
    refused = await api.get("/user/me")
    freed = await ops(api, "POST", path, {"blocked": False, "dailyLimit": 3})

    assert (404, "user_not_found") == unknown.error
    assert (1, 1, 10) == (limited.body["dailyLimit"], limited.body["remainingQuota"], limited.body["usualDailyLimit"])
    assert 1 == mine["dailyLimit"]
    assert (None, 10) == (usual.body["dailyLimit"], usual.body["remainingQuota"])
    assert (True, (403, "user_blocked")) == (blocked.body["blocked"], refused.error)
    assert (False, 3) == (freed.body["blocked"], freed.body["dailyLimit"])
    assert freed.body == (await ops(api, "GET", path)).body
    assert 200 == (await api.get("/user/me")).status


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/ops/users/somebody", {}, "dailyLimit"),
        ("/ops/users/somebody", {"dailyLimit": -1}, "dailyLimit"),
        ("/ops/users/somebody", {"dailyLimit": 100_001}, "dailyLimit"),
        ("/ops/users/somebody", {"dailyLimit": True}, "dailyLimit"),
        ("/ops/users/somebody", {"dailyLimit": "3"}, "dailyLimit"),
        ("/ops/users/somebody", {"blocked": "yes"}, "blocked"),
        ("/ops/users/somebody", {"blocked": True, "because": "so"}, "because"),
        ("/ops/users/some%20body", {"blocked": True}, "userId"),
        ("/ops/users/%23blocked", {"blocked": True}, "userId"),
        ("/ops/redrive", {"limit": 0}, "limit"),
        ("/ops/redrive", {"limit": 1.5}, "limit"),
        ("/ops/redrive", {"dryRun": 1}, "dryRun"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(api: Api, path: str, body: dict[str, object], field: str) -> None:
    """Nothing is done then."""
    answer = await ops(api, "POST", path, body)

    assert (*answer.error, answer.body["field"]) == (400, "invalid_request", field)


async def buried(api: Api, dead_url: str) -> Job:
    """Make a job that failed, its message among the dead."""
    table = JobTable(api.clients.dynamodb, api.tables, InProcessBus())
    job = await story.claim(table, await story.stored(table, api.user))
    now = clock.now_milliseconds()
    job = await table.apply(job, moves.failed(story.FAILURE, now, owner="me", keeps_charge=False))
    await WorkQueue(api.clients.sqs, api.clients.receiver, url=dead_url, visibility_seconds=20).send(job)
    return job


async def test_dead_letters_are_looked_at_and_brought_back(start: Start, queues: dict[str, str]) -> None:
    """A look changes nothing; of two who bring them back at once one is told to wait."""
    api = await start(sqs_queue_url=queues["sqs_queue_url"], sqs_dlq_url=queues["sqs_dlq_url"])
    job = await buried(api, queues["sqs_dlq_url"])
    look = await ops(api, "POST", "/ops/redrive", {"dryRun": True})
    status = (await api.stored(job.job_id)).status
    first, second = await asyncio.gather(*(ops(api, "POST", "/ops/redrive", {"limit": 1}) for _ in range(2)))

    assert ((True, True), Status.FAILED) == ((look.body["dryRun"], look.body["complete"]), status)
    assert 1 == look.body["letters"]["broughtBack"]
    assert [200, 409] == sorted(answer.status for answer in (first, second))
    done, refused = sorted((first, second), key=lambda answer: answer.status)
    assert (1, False, False) == (done.body["letters"]["broughtBack"], done.body["dryRun"], done.body["complete"])
    assert (409, "redrive_under_way") == refused.error
    assert Status.QUEUED is (await api.stored(job.job_id)).status


async def test_without_dead_letters_there_is_nothing_to_bring_back(start: Start) -> None:
    """It says which setting is missing."""
    api = await start(sqs_dlq_url=None)

    assert (409, "no_dead_letter_queue") == (await ops(api, "POST", "/ops/redrive", {})).error


async def test_the_backlog_is_read_from_the_queues_and_the_jobs(api: Api, queues: dict[str, str]) -> None:
    """How many wait, and for how long the first of them has; a queue that cannot be read leaves the others known."""
    table = JobTable(api.clients.dynamodb, api.tables, InProcessBus())
    job = await story.stored(table, api.user, age_seconds=900)
    await WorkQueue(api.clients.sqs, api.clients.receiver, url=queues["sqs_queue_url"], visibility_seconds=20).send(job)
    urls = {
        "jobs": queues["sqs_queue_url"],
        "jobs_dead": queues["sqs_dlq_url"],
        "gone": f"{queues['sqs_queue_url']}-gone",
    }
    backlog = Backlog(api.clients.sqs, urls, table)
    depths = await backlog.depths()
    oldest = await backlog.oldest_queued_seconds()
    await story.complete(table, await story.claim(table, job))

    assert {"jobs", "jobs_dead"} == depths.keys()
    assert (1, 0) == (depths["jobs"].waiting, depths["jobs_dead"].waiting)
    assert oldest >= 900


async def test_percentiles_lie_in_their_bucket() -> None:
    """As Prometheus reads them: evenly spread within a bucket, at its lower end past the last."""
    registry = CollectorRegistry()
    seconds = Histogram("wait", "A wait", buckets=(1, 2, 4), registry=registry)
    for value in (0.5, 1.5, 1.5, 3):
        seconds.observe(value)
    before = Registered(registry, 0).buckets("wait")
    for value in (3.0, 9.0):
        seconds.observe(value)
    now = Registered(registry, 10).buckets("wait")
    median, highest = percentile(before, 0.5), percentile(now, 0.99)
    assert median
    assert highest

    assert (1.5, 1, 2) == (median.value, median.low, median.high)
    assert (4, 4, None) == (highest.value, highest.low, highest.high)
    assert {1: 0, 2: 0, 4: 1, math.inf: 2} == since(now, before)
    assert percentile(since(now, now), 0.5) is None


async def test_the_name_of_a_task_is_that_of_ecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere it is host and process, so that two on one machine differ."""
    elsewhere = task_name()
    monkeypatch.setenv(
        "ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/cd189a933e5849daa93386466019ab50-2495160603"
    )

    assert "cd189a933e5849daa93386466019ab50" == task_name()
    assert re.fullmatch(rf"{re.escape(socket.gethostname())}-\d+", elsewhere)


async def _events(api: Api, token: str, most: int | None = None) -> AsyncIterator[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(10), api.http.get("/ops/stream", headers=headers) as answer:
        count = 0
        async for event in read_events(answer):
            yield event
            count += 1
            if count == most:
                return


async def _read_all(api: Api, token: str) -> list[dict[str, Any]]:
    return [event async for event in _events(api, token)]


async def read_events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Read what a stream tells."""
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))
