"""Sending a request once more: the same key, the same job, one charge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict

from tests.rest.api import Answer, Api, complete
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = {"Idempotency-Key": "a-key"}


async def generate(api: Api, wish: Any, key: str = "a-key") -> Answer:
    """Ask for a picture under a key."""
    return await api.post("/generate", wish, headers={"Idempotency-Key": key})


async def wish_of(api: Api) -> dict[str, Any]:
    """Upload something and wish for a picture of it."""
    return {"fileKey": await api.uploaded(), "style": "professional", "prompt": "a blue tie"}


def is_replayed(answer: Answer) -> bool:
    """Tell whether an answer says that it was given before."""
    return answer.headers.get("Idempotency-Replayed") == "true"


async def test_the_same_request_gives_the_same_job(api: Api) -> None:
    """Spaces, order and unknown fields do not count; nothing is charged again, and the answer has the same form."""
    wish = await wish_of(api)
    first = await generate(api, wish)
    again = await generate(api, dict(reversed(wish.items())) | {"quality": "high", "format": "original"})
    text = json.dumps(wish, indent=7)
    spaced = await api.call("POST", "/generate", data=text, headers=KEY | {"Content-Type": "application/json"})

    assert (200, 200, 200) == (first.status, again.status, spaced.status)
    assert first.body == again.body == spaced.body
    assert [False, True, True] == [is_replayed(answer) for answer in (first, again, spaced)]
    assert [first.body["jobId"]] == [job.job_id for job in await api.stored_jobs()]
    assert await api.usage() == (1, 1)


async def test_ten_at_once_make_one_job(api: Api) -> None:
    """One charge, and nine answers that say they were given before."""
    wish = await wish_of(api)
    answers = await asyncio.gather(*(generate(api, wish) for _ in range(10)))
    [job] = await api.stored_jobs()

    assert [200] * 10 == [answer.status for answer in answers]
    assert {job.job_id} == {answer.body["jobId"] for answer in answers}
    assert 9 == sum(map(is_replayed, answers))
    assert await api.usage() == (1, 1)


async def test_without_a_key_each_request_is_a_job(api: Api) -> None:
    """As with clients of the originals."""
    wish = await wish_of(api)
    answers = [await api.post("/generate", wish) for _ in range(2)]

    assert 2 == len(await api.stored_jobs())
    assert not any(map(is_replayed, answers))


@pytest.mark.parametrize(
    "change", [{"style": "formal_interview"}, {"prompt": "a red tie"}, {"prompt": None}, {"format": "square"}]
)
async def test_a_key_stands_for_one_wish(api: Api, change: dict[str, Any]) -> None:
    """Another one is refused, and nothing is stored or charged for it."""
    wish = await wish_of(api)
    await generate(api, wish)
    answer = await generate(api, wish | change)

    assert answer.error == (422, "idempotency_key_reused")
    assert 1 == len(await api.stored_jobs())
    assert await api.usage() == (1, 1)


async def test_a_key_stands_for_one_route_and_one_job(api: Api) -> None:
    """A retry is no generate, and no retry of another job."""
    wish = await wish_of(api)
    job_id = str((await generate(api, wish)).body["jobId"])
    await complete(api.services.jobs, await api.stored(job_id))
    other_id = await api.ended()
    used = await api.post(f"/jobs/{job_id}/retry", None, headers=KEY)
    first = await api.post(f"/jobs/{job_id}/retry", None, headers={"Idempotency-Key": "k2"})
    other = await api.post(f"/jobs/{other_id}/retry", None, headers={"Idempotency-Key": "k2"})

    assert (422, "idempotency_key_reused") == used.error == other.error
    assert 200 == first.status
    assert 3 == len(await api.stored_jobs())


async def test_a_retry_is_replayed_too(api: Api) -> None:
    """With or without a body, for it says nothing."""
    job_id = await api.ended()
    first = await api.post(f"/jobs/{job_id}/retry", {}, headers=KEY)
    again = await api.call("POST", f"/jobs/{job_id}/retry", headers=KEY)

    assert (200, job_id) == (first.status, first.body["retryOf"])
    assert first.body == again.body
    assert (False, True) == (is_replayed(first), is_replayed(again))
    assert await api.usage() == (2, 2)


@pytest.mark.parametrize("key", ["", "a key", "k" * 256, "열쇠", "tab\tkey"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    """1 to 255 visible ASCII characters, by the header's name; nothing is stored or charged."""
    answer = await generate(api, await wish_of(api), key)

    assert (400, "invalid_request", "Idempotency-Key") == (*answer.error, answer.body["field"])
    assert await api.has_left_nothing()


async def test_two_keys_are_refused(api: Api) -> None:
    """Nobody could say which one counts."""
    headers = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    headers["Authorization"] = f"Bearer {api.issuer.id_token(api.user)}"
    async with api.http.post("/generate", json=await wish_of(api), headers=headers) as response:
        body = await response.json()

    assert (400, "Idempotency-Key") == (response.status, body["field"])
    assert await api.has_left_nothing()


@pytest.mark.parametrize("key", ["!", "~" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
async def test_any_visible_characters_are_a_key(api: Api, key: str) -> None:
    """Quoted or not."""
    wish = await wish_of(api)
    answers = [await generate(api, wish, key) for _ in range(2)]

    assert [False, True] == [is_replayed(answer) for answer in answers]


async def test_a_key_is_one_users(api: Api, as_other: Callable[[], Api]) -> None:
    """Two users may have the same idea."""
    other = as_other()
    mine, theirs = await generate(api, await wish_of(api)), await generate(other, await wish_of(other))

    assert (200, 200) == (mine.status, theirs.status)
    assert mine.body["jobId"] != theirs.body["jobId"]
    assert not is_replayed(theirs)


async def test_a_replay_tells_what_is_left_now(start: Start) -> None:
    """And comes through where a new job would not: the day is used up and nothing more may be unfinished."""
    api = await start(daily_limit=2, max_user_unfinished=2)
    wish = await wish_of(api)
    first = await generate(api, wish)
    await api.started()
    again = await generate(api, wish)
    new = await generate(api, wish, "another-key")

    assert (1, 0) == (first.body["remainingQuota"], again.body["remainingQuota"])
    assert (200, first.body["jobId"], True) == (again.status, again.body["jobId"], is_replayed(again))
    assert 429 == new.status
    assert await api.usage() == (2, 2)


async def test_a_replay_finds_the_job_however_far_it_is(api: Api) -> None:
    """Ended as well."""
    wish = await wish_of(api)
    first = await generate(api, wish)
    await complete(api.services.jobs, await api.stored(first.body["jobId"]))
    again = await generate(api, wish)

    assert (first.body, True) == (again.body, is_replayed(again))


@pytest.mark.parametrize("path", ["/generate", "/jobs/{job_id}/retry"])
async def test_a_replay_outlives_the_upload(api: Api, path: str) -> None:
    """What was taken in stays so; without its key the same request finds no file."""
    job_id = await api.ended()
    file_key = ((await api.stored(job_id)).input_url or "").split("/", 3)[3]
    path, wish = path.format(job_id=job_id), {"fileKey": file_key, "style": "professional"}
    first = await api.post(path, wish, headers=KEY)
    await api.clients.s3.delete_object(Bucket=api.upload_bucket, Key=file_key)
    again = await api.post(path, wish, headers=KEY)
    without = await api.post(path, wish)
    other = await api.post(path, wish, headers={"Idempotency-Key": "another-key"})

    assert (200, first.body, True) == (again.status, again.body, is_replayed(again))
    assert (404, "file_not_found") == without.error == other.error
    assert await api.usage() == (2, 2)


async def test_a_deleted_job_does_not_come_back(api: Api) -> None:
    """Its key stays taken, so that a late repetition makes no second job."""
    wish = await wish_of(api)
    first = await generate(api, wish)
    await api.delete(f"/jobs/{first.body['jobId']}")
    again = await generate(api, wish)

    assert again.error == (404, "job_not_found")
    assert await api.stored_jobs() == []


async def test_a_key_is_free_again_when_the_queue_refused(start: Start, cloud_environment: dict[str, str]) -> None:
    """So the client may simply try again."""
    refusing = await start(sqs_queue_url=f"{cloud_environment['SQS_QUEUE_URL']}-that-is-not-there")
    wish = await wish_of(refusing)
    refused = [await generate(refusing, wish) for _ in range(2)]
    api = await start()
    accepted = await generate(api, wish)

    assert [(500, "queue_refused")] * 2 == [answer.error for answer in refused]
    assert 3 == len({answer.body["jobId"] for answer in (*refused, accepted)})
    assert (200, False) == (accepted.status, is_replayed(accepted))
    assert await api.usage() == (1, 1)
