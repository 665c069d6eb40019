"""AI Diary's call: what an entry says, in the same request or told later, with a picture or without one."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
import pytest
from PIL import Image, ImageStat

from tests.clients.ai_diary import AIDiary
from tests.clients.conftest import Register
from tests.clients.replies import call, shape
from tests.person import PATIENCE_SECONDS, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

HAPPY = "친구와 공원에서 산책을 했다. 정말 행복했다."
SAD = "할머니가 그리워서 눈물이 났다. 너무 슬펐다."
CHEERFUL = "What a wonderful day! I love this park, and we laughed all afternoon."
GLOOMY = "I cried all night. I miss my cat so much."
EMOTIONS = ("joy", "calm", "sadness", "anger", "fear", "surprise")
WAIT = "wait=30"
READ = {
    "sentiment": {"label": "text", "score": "number", "emotions": dict.fromkeys(EMOTIONS, "number")},
    "keywords": ["text"],
}


@pytest.fixture
async def token(register: Register) -> str:
    """Be a writer."""
    return await register()


def is_sound(result: dict[str, Any]) -> bool:
    """Say whether all shares lie between 0 and 1, and the keywords are few."""
    sentiment = result["sentiment"]
    shares = [sentiment["score"], *sentiment["emotions"].values()]
    return all(0 <= share <= 1 for share in shares) and 1 <= len(result["keywords"]) <= 8


@pytest.mark.parametrize(
    ("text", "label", "most", "least"),
    [
        (HAPPY, "positive", "joy", "sadness"),
        (CHEERFUL, "positive", "joy", "sadness"),
        (SAD, "negative", "sadness", "joy"),
        (GLOOMY, "negative", "sadness", "joy"),
    ],
)
async def test_an_entry_is_answered_in_the_same_request(
    url: str, token: str, text: str, label: str, most: str, least: str
) -> None:
    """Mood, keywords of the entry and a picture that can be fetched; a sad entry is not a happy one."""
    asked = {"date": "2026-11-20", "style": "watercolour"}
    reply = await AIDiary(url=url, token=token).write(text, prefer=WAIT, **asked)
    job = reply.json
    result = job["result"]
    emotions = result["sentiment"]["emotions"]
    picture = await call("GET", result["imageUrl"])

    assert (200, WAIT) == (reply.status, reply.headers["Preference-Applied"])
    assert ("diary", "completed", True) == (job["pipeline"], job["status"], job["terminal"])
    assert ({"text": text, "date": "2026-11-20"}, "watercolour") == (job["parameters"], job["style"])
    assert READ | {"imageUrl": "text"} == shape(result)
    assert is_sound(result)
    assert label == result["sentiment"]["label"]
    assert emotions[most] > emotions[least]
    assert all(word in text.lower() for word in result["keywords"])
    assert result["imageUrl"] == job["outputImageUrl"]
    with Image.open(io.BytesIO(picture.body)) as painted:
        light = ImageStat.Stat(painted.convert("L")).mean[0]
    assert (label == "positive") == (light > 128)


async def test_without_a_wish_to_wait_it_is_queued(url: str, token: str) -> None:
    """As a picture is."""
    reply = await AIDiary(url=url, token=token).write(HAPPY)

    assert 200 == reply.status
    assert {"jobId": "text", "status": "text", "remainingQuota": "integer", "message": "text"} == shape(reply.json)
    assert "queued" == reply.json["status"]


async def test_whoever_does_not_wait_is_told(url: str, token: str, session: aiohttp.ClientSession) -> None:
    """202 with the job and its address; then what the entry says, and at last the picture, over the socket."""
    diary = AIDiary(url=url, token=token)
    async with Person(session, url, token).socket() as socket:
        reply = await diary.write(SAD, prefer="wait=0")
        told = await story_of(socket, reply.json["jobId"])
    end = told[-1]["job"]
    partial = [message["data"]["partial"] for message in told if "partial" in message.get("data", {})]

    assert (202, "wait=0") == (reply.status, reply.headers["Preference-Applied"])
    assert f"/jobs/{reply.json['jobId']}" == reply.headers["Location"]
    assert not reply.json["terminal"]
    assert ["job.queued", "job.processing", "job.completed"] == [
        message["type"] for message in told if message["type"] != "job.progress"
    ]
    assert [READ] * len(partial) == [shape(part) for part in partial]
    assert partial[0] == {name: end["result"][name] for name in READ}
    assert "negative" == end["result"]["sentiment"]["label"]
    assert end == (await diary.job(end["jobId"])).json


async def story_of(socket: aiohttp.ClientWebSocketResponse, job_id: str) -> list[dict[str, Any]]:
    """Read what is told of a job, to its end."""
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not told or not told[-1]["job"].get("terminal"):
            message = await socket.receive_json()
            told += [message] if message.get("job", {}).get("jobId") == job_id else []
    return told


async def test_an_entry_whose_picture_is_refused_keeps_its_text(url: str, token: str) -> None:
    """It is completed, and says why there is no picture."""
    reply = await AIDiary(url=url, token=token).write(GLOOMY, prefer=WAIT, style="ink [[sim:safety]]")
    job = reply.json

    assert (200, "completed") == (reply.status, job["status"])
    assert READ | {"imageFailure": {"code": "text", "message": "text"}} == shape(job["result"])
    assert ("negative", "content_rejected") == (
        job["result"]["sentiment"]["label"],
        job["result"]["imageFailure"]["code"],
    )
    assert "outputImageUrl" not in job


async def test_an_entry_that_is_refused_is_a_failed_job(url: str, token: str) -> None:
    """Whoever waited gets it as an answer."""
    reply = await AIDiary(url=url, token=token).write(f"{SAD} [[sim:safety]]", prefer=WAIT)

    assert (200, "failed", "content_rejected") == (reply.status, reply.json["status"], reply.json["failure"]["code"])
    assert reply.json["error"] == reply.json["failure"]["message"]
    assert "result" not in reply.json


@pytest.mark.parametrize(
    ("text", "more", "field"),
    [
        ("", {}, "text"),
        (" \n", {}, "text"),
        ("가" * 5001, {}, "text"),
        (HAPPY, {"date": "20.11.2026"}, "date"),
        (HAPPY, {"date": "2026-02-30"}, "date"),
        (HAPPY, {"style": "s" * 101}, "style"),
    ],
)
async def test_an_entry_that_cannot_be_is_refused(
    url: str, token: str, text: str, more: dict[str, str], field: str
) -> None:
    """The field is named."""
    reply = await AIDiary(url=url, token=token).write(text, **more)

    assert (400, "invalid_request", field) == (*reply.error[:2], reply.json["field"])


async def test_the_longest_entry_is_read(url: str, token: str) -> None:
    """Five thousand Korean characters."""
    reply = await AIDiary(url=url, token=token).write((HAPPY * 300)[:5000], prefer=WAIT)

    assert (200, "completed") == (reply.status, reply.json["status"])
    assert is_sound(reply.json["result"])


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_an_entry_needs_its_writers_token(url: str, token: str) -> None:
    """Diaries are open to strangers nowhere unless somebody says so."""
    assert (401, "unauthorized") == (await AIDiary(url=url, token=token).write(HAPPY)).error[:2]
