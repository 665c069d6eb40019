"""Waiting for the end of a job within the request that starts it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from jobs.model import Status
from service.preferences import wait_seconds
from tests.rest.api import Answer, Api, claim, complete, fail
from tests.rest.conftest import Start

on_a_server = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["wait=10"], 10),
        (["wait=0"], 0),
        (["wait=55"], 55),
        (["wait=56"], 55),
        (["wait=" + "9" * 900], 55),
        (["wait=0000000000000000007"], 7),
        (['wait="10"'], 10),
        (["Wait = 10"], 10),
        (["\twait\t=\t10"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["wait=10, respond-async"], 10),
        (["wait=10; because=tea, handling=lenient"], 10),
        (["wait=10;"], 10),
        (["foo; wait=10"], None),
        (['foo; some="wait=10"'], None),
        (['foo="a, wait=9", wait=10'], 10),
        (['foo="a\\", wait=9", wait=10'], 10),
        (['foo="a; b", wait=10'], 10),
        ([",, ,wait=10,"], 10),
        (["wait=10, wait=20"], 10),
        (["wait=10", "wait=20"], 10),
        (["wait=soon, wait=20"], None),
        (["wait"], None),
        (["wait="], None),
        (['wait=""'], None),
        (["wait=-1"], None),
        (["wait=+1"], None),
        (["wait=1.5"], None),
        (["wait=1 0"], None),
        (["wait=٣"], None),
        (["wait=10s"], None),
        (['wait="10'], None),
        (["waiting=10"], None),
        (["wait:10"], None),
        (["x" * 1001 + ", wait=10"], None),
        (["x" * 1001, "wait=10"], 10),
        (['"' * 900], None),
        (['"\\' * 450], None),
    ],
)
def test_the_preference_is_read_as_the_rfc_has_it(lines: list[str], expected: int | None) -> None:
    """The first counts, 55 is the most, and what cannot be understood is as if it had not been said."""
    headers = CIMultiDict([("Prefer", line) for line in lines])

    assert expected == wait_seconds(make_mocked_request("POST", "/generate", headers=headers))


def generate(api: Api, wish: Any, prefer: str, **headers: str) -> asyncio.Task[Answer]:
    """Ask for a picture, and go on meanwhile."""
    sending = api.post("/generate", wish, headers={"Prefer": prefer, **headers})
    return asyncio.create_task(sending, name="generate")


async def wish_of(api: Api) -> dict[str, Any]:
    """Upload something and wish for a picture of it."""
    return {"fileKey": await api.uploaded(), "style": "professional"}


@on_a_server
async def test_a_job_that_ends_in_time_is_the_answer(api: Api) -> None:
    """With all that a later look at it shows."""
    asking = generate(api, await wish_of(api), "wait=20")
    job = await api.newest_job()
    await api.waiters()
    await complete(api.services.jobs, job, result_bucket=api.result_bucket)
    answer = await asking
    shown = await api.get(f"/jobs/{job.job_id}")

    assert (200, "wait=20", "completed") == (answer.status, answer.headers["Preference-Applied"], answer.body["status"])
    assert shown.body == answer.body
    assert "Location" not in answer.headers
    assert api.services.waiting.count == 0


@on_a_server
async def test_a_job_that_fails_in_time_is_the_answer_too(api: Api) -> None:
    """It has finished; how, it says itself."""
    asking = generate(api, await wish_of(api), "wait=20")
    await api.waiters()
    await fail(api.services.jobs, await api.newest_job(), "content_rejected")
    answer = await asking

    assert (200, "failed", "content_rejected") == (
        answer.status,
        answer.body["status"],
        answer.body["failure"]["code"],
    )


@on_a_server
@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_job_that_does_not_end_in_time_runs_on(api: Api, seconds: int) -> None:
    """The answer is the job as it is, and says where to look for it; 0 is not to wait at all."""
    answer = await generate(api, await wish_of(api), f"wait={seconds}")
    [job] = await api.stored_jobs()

    assert (202, f"wait={seconds}") == (answer.status, answer.headers["Preference-Applied"])
    assert f"/jobs/{job.job_id}" == answer.headers["Location"]
    assert (job.job_id, "queued", False) == tuple(answer.body[name] for name in ("jobId", "status", "terminal"))
    assert await api.usage() == (1, 1)


@on_a_server
async def test_what_a_caller_waits_is_no_time_of_the_service(api: Api) -> None:
    """However many wait, the figures say how quick it is."""
    await generate(api, await wish_of(api), "wait=1")
    labels = {"route": "/generate", "method": "POST", "status": "202"}
    seconds = api.services.registry.get_sample_value("http_request_duration_seconds_sum", labels)

    assert seconds is not None
    assert 0 < seconds < 0.9


@on_a_server
async def test_the_answer_has_how_the_job_is_at_the_end_of_the_time(api: Api) -> None:
    """Not how it was when the waiting began."""
    asking = generate(api, await wish_of(api), "wait=1")
    await api.waiters()
    await claim(api.services.jobs, await api.newest_job())
    answer = await asking

    assert (202, "processing") == (answer.status, answer.body["status"])


@on_a_server
@pytest.mark.parametrize("prefer", ["wait=soon", "respond-async", "wait=", ""])
async def test_without_the_preference_all_is_as_ever(api: Api, prefer: str) -> None:
    """What is not understood is no preference."""
    answer = await generate(api, await wish_of(api), prefer)

    assert (200, "queued", "Your job is in the queue") == (
        answer.status,
        answer.body["status"],
        answer.body["message"],
    )
    assert answer.body["remainingQuota"] == 9
    assert "Preference-Applied" not in answer.headers


@on_a_server
async def test_a_replay_waits_too(api: Api) -> None:
    """For the same job, and says that it is one; one that has ended is answered at once."""
    wish = await wish_of(api)
    first = await generate(api, wish, "wait=0", **{"Idempotency-Key": "k"})
    again = generate(api, wish, "wait=20", **{"Idempotency-Key": "k"})
    await api.waiters()
    await complete(api.services.jobs, await api.newest_job())
    second, third = await again, await generate(api, wish, "wait=20", **{"Idempotency-Key": "k"})

    assert (202, 200, 200) == (first.status, second.status, third.status)
    assert first.body["jobId"] == second.body["jobId"] == third.body["jobId"]
    assert [None, "true", "true"] == [each.headers.get("Idempotency-Replayed") for each in (first, second, third)]
    assert await api.usage() == (1, 1)


@on_a_server
async def test_a_retry_may_be_waited_for(api: Api) -> None:
    """Like every request that starts a job."""
    job_id = await api.ended()
    answer = await api.post(f"/jobs/{job_id}/retry", {}, headers={"Prefer": "wait=0"})

    assert (202, job_id) == (answer.status, answer.body["retryOf"])
    assert f"/jobs/{answer.body['jobId']}" == answer.headers["Location"]


@on_a_server
async def test_a_job_that_is_canceled_or_deleted_has_ended(api: Api) -> None:
    """Deleting cancels first, and of that the waiting owner hears at once."""
    answers = []
    for method, path in (("POST", "/jobs/{}/cancel"), ("DELETE", "/jobs/{}")):
        asking = generate(api, await wish_of(api), "wait=20")
        await api.waiters()
        [job] = [job for job in await api.stored_jobs() if not job.terminal]
        await api.call(method, path.format(job.job_id))
        answers.append(await asking)

    assert [(200, "canceled")] * 2 == [(answer.status, answer.body["status"]) for answer in answers]


@on_a_server
async def test_a_hundred_wait_at_once(start: Start) -> None:
    """Each is told of its own job's end."""
    api = await start(embedded=True, daily_limit=100, max_user_in_flight=100)
    wish = await wish_of(api)
    asking = [generate(api, wish, "wait=50") for _ in range(100)]
    await api.waiters(100)
    for job in await api.stored_jobs():
        await complete(api.services.jobs, job)
    answers = await asyncio.gather(*asking)

    assert [(200, "completed")] * 100 == [(answer.status, answer.body["status"]) for answer in answers]
    assert 100 == len({answer.body["jobId"] for answer in answers})
    assert api.services.waiting.count == 0


@on_a_server
async def test_a_client_that_leaves_changes_nothing(api: Api) -> None:
    """Nobody is waited for any more, and the job goes on to its end."""
    handlers = api.http.server.handler
    assert handlers is not None
    handlers.handler_cancellation = False  # as in the service
    api.services.waiting._look_seconds = 0.05
    asking = generate(api, await wish_of(api), "wait=50")
    await api.waiters()
    asking.cancel()
    await api.waiters(0)
    job = await api.newest_job()

    assert job.status is Status.QUEUED
    assert (await complete(api.services.jobs, job)).status is Status.COMPLETED
    assert await api.usage() == (1, 1)


@on_a_server
async def test_a_drain_lets_everybody_go(api: Api) -> None:
    """At once, with the job as it is, which another task goes on with; and nobody is held from then on."""
    asking = generate(api, await wish_of(api), "wait=50")
    await api.waiters()
    api.services.waiting.close()
    async with asyncio.timeout(5):
        answers = [await asking, await generate(api, await wish_of(api), "wait=50")]

    assert [(202, "queued")] * 2 == [(answer.status, answer.body["status"]) for answer in answers]
