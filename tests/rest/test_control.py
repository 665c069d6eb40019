"""Canceling, repeating and deleting jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jobs.aws import Clients
from jobs.events import JobEvent, Notice
from jobs.model import Status
from tests.aws_faults import Refuses
from tests.rest.api import Api, claim, complete
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTROLS = [("POST", "/jobs/{job_id}/cancel"), ("POST", "/jobs/{job_id}/retry"), ("DELETE", "/jobs/{job_id}")]


def tells_of(notice: Notice, job_id: str) -> bool:
    """Tell whether it is an event of this job."""
    return isinstance(notice, JobEvent) and notice.job.job_id == job_id


async def has_result(api: Api, job_id: str) -> bool:
    """Tell whether the job's result lies in its bucket."""
    key = f"generated/{api.user}/{job_id}.png"
    try:
        await api.clients.s3.head_object(Bucket=api.result_bucket, Key=key)
    except ClientError:
        return False
    return True


async def test_a_queued_job_is_canceled_and_given_back(api: Api) -> None:
    """It says so, and saying it again changes nothing."""
    job_id = await api.started()
    first = await api.post(f"/jobs/{job_id}/cancel", {})
    again = await api.post(f"/jobs/{job_id}/cancel", {})

    assert first.status == 200
    assert {"jobId", "status", "outcome", "givenBack", "message", "job"} == first.body.keys()
    assert (job_id, "canceled", "before_start", True) == tuple(
        first.body[name] for name in ("jobId", "status", "outcome", "givenBack")
    )
    assert ("canceled", True, 3) == tuple(first.body["job"][name] for name in ("status", "terminal", "version"))
    assert (200, "already_canceled", True) == (again.status, again.body["outcome"], again.body["givenBack"])
    assert first.body["job"] == again.body["job"]
    assert await api.usage() == (0, 0)


async def test_a_job_at_gemini_is_canceled_and_kept_charged(api: Api) -> None:
    """Where nobody can say that Gemini was not called yet, it counts as called."""
    job_id = await api.started()
    await claim(api.services.jobs, await api.stored(job_id))
    answer = await api.post(f"/jobs/{job_id}/cancel", {})

    assert (200, "canceled", "while_running", False) == (
        answer.status,
        *(answer.body[name] for name in ("status", "outcome", "givenBack")),
    )
    assert await api.usage() == (1, 1)


async def test_a_cancel_may_come_too_late(api: Api) -> None:
    """The job is as it was."""
    job_id = await api.ended()
    before = await api.stored(job_id)
    answer = await api.post(f"/jobs/{job_id}/cancel", {})

    assert (200, "completed", "too_late", False) == (
        answer.status,
        *(answer.body[name] for name in ("status", "outcome", "givenBack")),
    )
    assert "completed" == answer.body["job"]["status"]
    assert before == await api.stored(job_id)
    assert await api.usage() == (1, 1)


async def test_ten_cancels_at_once_are_one(api: Api) -> None:
    """One of them did it, and the unit is given back once."""
    await api.started()
    job_id = await api.started()
    answers = await asyncio.gather(*(api.post(f"/jobs/{job_id}/cancel", {}) for _ in range(10)))
    outcomes = sorted(answer.body["outcome"] for answer in answers)

    assert ["already_canceled"] * 9 + ["before_start"] == outcomes
    assert all(answer.body["givenBack"] for answer in answers)
    assert await api.usage() == (1, 1)


async def test_a_job_that_waits_for_its_turn_is_canceled(start: Start) -> None:
    """It was never sent, and never is."""
    api = await start(max_user_in_flight=1)
    await api.started()
    job_id = await api.started()
    waited = (await api.stored(job_id)).waiting
    answer = await api.post(f"/jobs/{job_id}/cancel", {})

    assert waited
    assert ("before_start", True) == (answer.body["outcome"], answer.body["givenBack"])
    assert await api.services.submission.admit(api.user) is False
    assert await api.usage() == (1, 1)


async def test_an_ended_job_is_repeated(api: Api) -> None:
    """As a new job of the same input that names the old one and is charged like any other."""
    job_id = await api.ended()
    answer = await api.post(f"/jobs/{job_id}/retry", {})
    old, new = await api.stored(job_id), await api.stored(answer.body["jobId"])
    shown = await api.get(f"/jobs/{new.job_id}")

    assert answer.status == 200
    assert {"jobId", "status", "remainingQuota", "message", "retryOf"} == answer.body.keys()
    assert ("queued", 8, job_id) == tuple(answer.body[name] for name in ("status", "remainingQuota", "retryOf"))
    assert (old.pipeline, old.style, old.prompt, old.input_url) == (new.pipeline, new.style, new.prompt, new.input_url)
    assert ("queued", job_id) == (shown.body["status"], shown.body["retryOf"])
    assert Status.COMPLETED is old.status
    assert await api.usage() == (2, 2)


async def test_a_job_under_way_is_not_repeated(api: Api) -> None:
    """And nothing is stored or charged for the wish."""
    job_id = await api.started()
    answer = await api.post(f"/jobs/{job_id}/retry", {})

    assert answer.error == (409, "job_not_ended")
    assert 1 == len(await api.stored_jobs())
    assert await api.usage() == (1, 1)


async def test_a_retry_is_refused_like_a_new_job(start: Start) -> None:
    """Where the day is used up, and where the upload is gone."""
    api = await start(daily_limit=1)
    job_id = await api.ended()
    used_up = await api.post(f"/jobs/{job_id}/retry", {})
    await api.post(f"/jobs/{job_id}/cancel", {})
    key = (await api.stored(job_id)).input_url or ""
    await api.clients.s3.delete_object(Bucket=api.upload_bucket, Key=key.split("/", 3)[3])
    gone = await api.post(f"/jobs/{job_id}/retry", {})

    assert (429, "quota_exceeded", 0) == (*used_up.error, used_up.body["remainingQuota"])
    assert gone.error == (404, "file_not_found")
    assert 1 == len(await api.stored_jobs())
    assert await api.usage() == (1, 1)


@pytest.mark.parametrize("path", ["/generate", "/jobs/{job_id}/retry"])
async def test_jobs_beyond_those_in_flight_wait_for_their_turn(start: Start, path: str) -> None:
    """They are taken in like any other, and sent when an earlier one has ended."""
    api = await start(max_user_in_flight=1)
    ended, running = await api.ended(), await api.started()
    wish = {"fileKey": await api.uploaded(), "style": "professional"}
    answer = await api.post(path.format(job_id=ended), wish)
    waiting = await api.stored(answer.body["jobId"])
    sent = asyncio.Event()
    api.services.admission._bus.subscribe(
        api.user, lambda notice: sent.set() if tells_of(notice, waiting.job_id) else None
    )
    api.services.admission.start()
    await complete(api.services.jobs, await api.stored(running))
    async with asyncio.timeout(10):
        await sent.wait()
    await api.services.admission.stop()

    assert (200, "queued") == (answer.status, answer.body["status"])
    assert (True, False) == (waiting.waiting, (await api.stored(waiting.job_id)).waiting)
    assert await api.usage() == (3, 3)


@pytest.mark.parametrize("path", ["/generate", "/jobs/{job_id}/retry"])
async def test_a_user_may_have_so_many_unfinished_jobs(start: Start, path: str) -> None:
    """One more is refused for some seconds, and neither stored nor charged."""
    api = await start(max_user_unfinished=1)
    ended, _ = await api.ended(), await api.started()
    wish = {"fileKey": await api.uploaded(), "style": "professional"}
    answer = await api.post(path.format(job_id=ended), wish)

    assert (429, "too_many_jobs", "5") == (*answer.error, answer.headers["Retry-After"])
    assert 2 == len(await api.stored_jobs())
    assert await api.usage() == (2, 2)


async def test_an_ended_job_is_deleted_with_its_result(api: Api) -> None:
    """Nothing shows it any more, its charge is kept, and a second time it is not found."""
    job_id = await api.ended()
    await api.clients.s3.put_object(Bucket=api.result_bucket, Key=f"generated/{api.user}/{job_id}.png", Body=b"png")
    assert await has_result(api, job_id)
    answer = await api.delete(f"/jobs/{job_id}")
    again = await api.delete(f"/jobs/{job_id}")

    assert (200, {"jobId": job_id, "deleted": True}) == (answer.status, answer.body)
    assert again.error == (404, "job_not_found")
    assert (404, "job_not_found") == (await api.get(f"/jobs/{job_id}")).error
    assert await api.stored_jobs() == []
    assert not await has_result(api, job_id)
    assert await api.usage() == (1, 1)


async def test_a_job_under_way_is_canceled_and_deleted(api: Api) -> None:
    """What was not begun is given back, and there is room for other jobs."""
    queued, running = await api.started(), await api.started()
    await claim(api.services.jobs, await api.stored(running))
    answers = [await api.delete(f"/jobs/{job_id}") for job_id in (queued, running)]
    row: Any = (await api.clients.dynamodb.get_item(TableName=api.tables.users, Key={"userId": api.user}))["Item"]

    assert [200, 200] == [answer.status for answer in answers]
    assert await api.stored_jobs() == []
    assert (0, 0) == (row["unfinishedJobs"], row["jobsInFlight"])
    assert await api.usage() == (1, 1)


@pytest.mark.parametrize(("method", "path"), CONTROLS)
async def test_another_users_job_cannot_be_touched(
    api: Api, as_other: Callable[[], Api], method: str, path: str
) -> None:
    """It stays as it was, and nothing of it is told."""
    other = as_other()
    job_id = await other.ended()
    before = await other.stored(job_id)
    answer = await api.call(method, path.format(job_id=job_id))

    assert answer.error == (403, "forbidden")
    assert {"error", "code", "requestId"} == answer.body.keys()
    assert before == await other.stored(job_id)
    assert await api.has_left_nothing()


@pytest.mark.parametrize(("method", "path"), CONTROLS)
@pytest.mark.parametrize("job_id", ["job_000000000000aaaaaaaaaaaaaaaa", "7", "job_%00", "idempotency%23a%23b"])
async def test_an_unknown_job_cannot_be_touched(api: Api, method: str, path: str, job_id: str) -> None:
    """It is not found, whatever the id looks like."""
    answer = await api.call(method, path.format(job_id=job_id))

    assert answer.error == (404, "job_not_found")


@pytest.mark.parametrize(("method", "path"), CONTROLS)
async def test_nobody_in_particular_may_touch_a_job(api: Api, method: str, path: str) -> None:
    """A token is needed."""
    answer = await api.call(method, path.format(job_id=await api.started()), token="")

    assert answer.error == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), [("POST", "/generate"), *CONTROLS])
async def test_a_database_that_does_not_answer_is_503(start: Start, clients: Clients, method: str, path: str) -> None:
    """With whole seconds to wait; the job is as it was, and nothing is stored or charged for the request."""
    api = await start()
    job_id = await (api.ended() if "retry" in path else api.started())
    before, usage = await api.stored(job_id), await api.usage()
    refusing: Any = Refuses(clients.dynamodb, 1000)
    failing = await start(clients=replace(clients, dynamodb=refusing))
    wish = {"fileKey": await api.uploaded(), "style": "professional"}
    answer = await failing.call(method, path.format(job_id=job_id), json=wish)

    assert answer.error == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert [before] == await api.stored_jobs()
    assert usage == await api.usage()
