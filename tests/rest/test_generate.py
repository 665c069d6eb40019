"""Starting a job, and everything that does not start one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.jobs import story
from tests.rest.api import Api, complete
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

ID_PHOTO = {"style": "color_id_photo"}
COLOURS = "background must be white, light-blue, grey or a colour such as #8899aa"


async def test_a_job_is_stored_sent_and_charged(api: Api) -> None:
    """The answer has the original's fields, and the job is the caller's."""
    key = await api.uploaded()
    answer = await api.post("/generate", {"fileKey": key, "style": "formal_interview", "prompt": "파란 넥타이"})
    [job] = await api.stored_jobs()

    assert answer.status == 200
    assert {"jobId": job.job_id, "status": "queued", "remainingQuota": 9} == {
        name: answer.body[name] for name in ("jobId", "status", "remainingQuota")
    }
    assert isinstance(answer.body["message"], str)
    assert (job.status, job.style, job.prompt) == ("queued", "formal_interview", "파란 넥타이")
    assert f"s3://{api.upload_bucket}/{key}" == job.input_url
    assert await api.usage() == (1, 1)


@pytest.mark.parametrize(
    ("wish", "style", "prompt"),
    [
        ({"style": "professional"}, "professional", None),
        ({"style": "professional", "prompt": "  "}, "professional", None),
        ({"prompt": "as a painting"}, "custom", "as a painting"),
        ({"prompt": "as a painting", "style": ""}, "custom", "as a painting"),
        ({"prompt": "as a painting", "style": "custom"}, "custom", "as a painting"),
        ({"prompt": "가" * 2000, "style": "professional", "quality": "high"}, "professional", "가" * 2000),
    ],
)
async def test_a_style_or_a_prompt_is_enough(api: Api, wish: dict[str, Any], style: str, prompt: str | None) -> None:
    """A prompt alone is the caller's own style; blank text counts as none."""
    answer = await api.post("/generate", {"fileKey": await api.uploaded(), **wish})
    [job] = await api.stored_jobs()

    assert answer.status == 200
    assert (style, prompt) == (job.style, job.prompt)


@pytest.mark.parametrize(
    ("wish", "field", "sentence"),
    [
        ({"prompt": "p" * 2001}, "prompt", "prompt must have at most 2000 characters"),
        ({"style": "vaporwave"}, "style", None),
        ({"style": ["professional"]}, "style", "style must be a string"),
        ({"style": "custom"}, "prompt", "prompt is required for the style custom"),
        ({"style": "professional", "format": "A4"}, "format", "format must be one of original, id-35x45, square, 4:5"),
        ({"style": "professional", "format": 4.5}, "format", "format must be a string"),
        ({**ID_PHOTO, "background": "plaid"}, "background", COLOURS),
        ({**ID_PHOTO, "background": "#fff"}, "background", COLOURS),
        ({**ID_PHOTO, "background": ["white"]}, "background", "background must be a string"),
        (
            {"style": "professional", "background": "white"},
            "background",
            "the style professional has a background of its own",
        ),
        ({}, "prompt", "prompt or style is required"),
        ({"prompt": "", "style": None}, "prompt", "prompt or style is required"),
    ],
)
async def test_a_wish_that_cannot_be_granted_starts_nothing(
    api: Api, wish: dict[str, Any], field: str, sentence: str | None
) -> None:
    """The field is named, and neither a job nor a unit of quota is left behind."""
    answer = await api.post("/generate", {"fileKey": await api.uploaded(), **wish})

    assert (400, "invalid_request", field) == (*answer.error, answer.body["field"])
    assert sentence in (None, answer.body["error"])
    assert await api.has_left_nothing()


@pytest.mark.parametrize("body", [{"style": "professional"}, {"fileKey": None, "prompt": "p"}, {"fileKey": ""}, {}])
async def test_a_missing_file_key_is_told_in_the_originals_words(api: Api, body: dict[str, Any]) -> None:
    """Original clients show this sentence."""
    answer = await api.post("/generate", body)

    assert answer.error == (400, "invalid_request")
    assert (answer.body["error"], answer.body["field"]) == ("fileKey is required", "fileKey")
    assert await api.has_left_nothing()


async def test_a_file_key_that_is_no_text_is_refused(api: Api) -> None:
    """By its field's name, and nothing is stored or charged."""
    for key in (7, ["k"], {"k": 1}):
        answer = await api.post("/generate", {"fileKey": key, "style": "professional"})
        assert (400, "invalid_request", "fileKey") == (*answer.error, answer.body["field"])
    assert await api.has_left_nothing()


async def test_a_refusal_charges_nothing_on_top_of_what_was_used(api: Api) -> None:
    """A job of today keeps its unit, and a bad request takes none."""
    job_id = await api.started()
    answer = await api.post("/generate", {"fileKey": await api.uploaded(), "style": "vaporwave"})

    assert answer.error == (400, "invalid_request")
    assert [job_id] == [job.job_id for job in await api.stored_jobs()]
    assert await api.usage() == (1, 1)


async def test_another_users_upload_is_answered_like_one_that_never_was(api: Api, as_other: Callable[[], Api]) -> None:
    """The answer tells nothing about what others have."""
    other = as_other()
    theirs = await other.uploaded()
    answer = await api.post("/generate", {"fileKey": theirs, "style": "professional"})
    never = await api.post("/generate", {"fileKey": f"uploads/{api.user}/1_b.jpg", "style": "professional"})

    assert (404, "file_not_found") == answer.error == never.error
    assert "Uploaded file not found in S3" == answer.body["error"] == never.body["error"]
    assert await api.has_left_nothing()
    assert await other.has_left_nothing()


@pytest.mark.parametrize(
    "key",
    [
        "uploads/{user}/../{user}/1.jpg",
        "uploads/{user}/a\0.jpg",
        "uploads/{user}/a\n.jpg",
        "uploads/{user}/..",
        "uploads/{user}/",
        "uploads/{user}",
        "uploads/{user}/" + "a" * 2000,
        "/uploads/{user}/1.jpg",
        "s3://bucket/key",
        "generated/{user}/job_1.png",
    ],
)
async def test_a_key_that_is_no_upload_is_not_found(api: Api, key: str) -> None:
    """Keys are never resolved, only matched; nothing is stored or charged."""
    answer = await api.post("/generate", {"fileKey": key.format(user=api.user), "style": "professional"})

    assert answer.error == (404, "file_not_found")
    assert await api.has_left_nothing()


async def test_two_requests_race_for_the_last_unit_of_quota(start: Start) -> None:
    """One gets it, the other gets the original's body."""
    api = await start(daily_limit=1)
    wish = {"fileKey": await api.uploaded(), "style": "professional"}
    answers = await asyncio.gather(api.post("/generate", wish), api.post("/generate", wish))
    won, lost = sorted(answers, key=lambda answer: answer.status)

    assert (won.status, won.body["remainingQuota"]) == (200, 0)
    assert lost.error == (429, "quota_exceeded")
    assert (lost.body["error"], lost.body["remainingQuota"]) == ("Daily quota exceeded", 0)
    assert isinstance(lost.body["message"], str)
    assert await api.usage() == (1, 1)
    assert len(await api.stored_jobs()) == 1


async def test_a_job_the_queue_refuses_has_failed_and_costs_nothing(
    start: Start, cloud_environment: dict[str, str]
) -> None:
    """The answer names the job, and the unit is back."""
    api = await start(sqs_queue_url=f"{cloud_environment['SQS_QUEUE_URL']}-that-is-not-there")
    answer = await api.post("/generate", {"fileKey": await api.uploaded(), "style": "professional"})
    [job] = await api.stored_jobs()

    assert answer.error == (500, "queue_refused")
    assert answer.body["error"] == "Failed to queue image generation request"
    assert (job.job_id, "failed") == (answer.body["jobId"], job.status)
    assert await api.usage() == (0, 0)


async def test_a_job_that_must_wait_is_in_the_log_before_it_is_answered(start: Start) -> None:
    """So every client of its owner is told of it; a newer one does not overtake it."""
    api = await start(max_user_in_flight=1)
    flying, *waiting = [await api.started() for _ in range(3)]
    before = await story.log_of(api.clients, api.tables, api.user)
    await api.post(f"/jobs/{flying}/cancel", {})
    newest = await api.started()
    after = [await api.stored(job_id) for job_id in (*waiting, newest)]

    assert [(job_id, "job.pending", 1) for job_id in waiting] == before[1:]
    assert ["queued", "pending", "pending"] == [job.status for job in after]


async def test_the_styles_are_listed_without_a_token(api: Api) -> None:
    """One is the default, one needs a prompt, and each has its names."""
    answer = await api.get("/styles", token="")
    styles = answer.body["styles"]

    assert (answer.status, len(styles)) == (200, 10)
    assert {"id", "name", "description", "takesPrompt", "takesBackground", "default"} == styles[0].keys()
    assert [style["id"] for style in styles if style["default"]] == ["professional"]
    assert [style["id"] for style in styles if style["takesPrompt"]] == ["custom"]
    assert next(style["name"]["ko"] for style in styles if style["id"] == "formal_interview") == "정장 면접용"
    assert {"color_id_photo", "formal_interview"} == {style["id"] for style in styles if style["takesBackground"]}
    assert ["original", "id-35x45", "square", "4:5"] == [each["id"] for each in answer.body["formats"]]
    assert {"id": "id-35x45", "ratio": [7, 9], "pixels": [413, 531]} == answer.body["formats"][1]
    assert {"id": "white", "color": "#ffffff"} == answer.body["backgrounds"][0]


async def test_format_and_background_are_the_jobs_parameters(api: Api) -> None:
    """As they were said, on the job as JSON and in its retry; saying what holds anyway is saying nothing."""
    asked = {**ID_PHOTO, "format": "id-35x45", "background": "#8899AA"}
    answer = await api.post("/generate", {"fileKey": await api.uploaded(), **asked})
    job_id = str(answer.body["jobId"])
    shown = (await api.get(f"/jobs/{job_id}")).body["parameters"]
    await complete(api.services.jobs, await api.stored(job_id))
    again = await api.post(f"/jobs/{job_id}/retry", None)
    plain = await api.post(
        "/generate", {"fileKey": await api.uploaded(), **ID_PHOTO, "format": "original", "background": ""}
    )
    jobs = [await api.stored(str(each.body["jobId"])) for each in (answer, again, plain)]

    assert {"format": "id-35x45", "background": "#8899AA"} == shown
    assert [shown, shown, {}] == [dict(job.parameters) for job in jobs]
