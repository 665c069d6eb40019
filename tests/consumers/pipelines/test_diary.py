"""Diary entries: the mood and the keywords first, then the picture, and nothing of the text in any log."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from PIL import ImageStat

from consumers.attempt import Attempt
from consumers.diary import MAX_CHARACTERS
from consumers.failures import FailureClass
from jobs import clock
from jobs.control import Control
from jobs.events import JobProgress, Stage
from jobs.ids import UserId
from jobs.model import Charge, Status
from tests.consumers.house import House
from tests.consumers.in_hand import only_delivery
from tests.consumers.pipelines.desk import Desk, facts, failure, others_being_served
from tests.consumers.pipelines.wire import Wire

DIARY = "diary"
HAPPY = "친구와 공원에서 산책을 했다. 정말 행복했다."
SAD = "할머니가 그리워서 눈물이 났다. 너무 슬펐다."
CHEERFUL = "What a wonderful day! I love this park, and we laughed all afternoon."
GLOOMY = "I cried all night. I miss my cat so much."
VISION = "gemini-3.5-flash-lite"
SECRET = "Xylophonia"
"""A word that only one entry has."""


async def pictures_of(desk: Desk) -> int:
    """Read how many pictures are counted as the user's."""
    key = {"userId": desk.user}
    answer = await desk.house.clients.dynamodb.get_item(TableName=desk.house.tables.users, Key=key)
    row: dict[str, Any] = answer.get("Item", {})
    return int(row.get("totalImagesGenerated", 0))


async def test_a_sad_entry_is_not_happy(desk: Desk) -> None:
    """In Korean and in English: label, score, emotions, words of the entry, and a picture that follows the mood."""
    entries = [HAPPY, CHEERFUL, SAD, GLOOMY]
    jobs = await desk.ended(*[await desk.submit(DIARY, text=entry, date="2026-11-20") for entry in entries])
    moods = [facts(job)["sentiment"] for job in jobs]
    light = [ImageStat.Stat((await desk.picture(job)).convert("L")).mean[0] for job in jobs]

    assert ["positive"] * 2 + ["negative"] * 2 == [mood["label"] for mood in moods]
    assert all(mood["emotions"]["joy"] > mood["emotions"]["sadness"] for mood in moods[:2])
    assert all(mood["emotions"]["sadness"] > mood["emotions"]["joy"] for mood in moods[2:])
    assert {"joy", "calm", "sadness", "anger", "fear", "surprise"} == moods[0]["emotions"].keys()
    assert all(0 <= part <= 1 for mood in moods for part in [mood["score"], *mood["emotions"].values()])
    assert min(light[:2]) > max(light[2:]) + 20
    for entry, job in zip(entries, jobs, strict=True):
        assert 1 <= len(facts(job)["keywords"]) <= 8
        assert all(word in entry.lower() for word in facts(job)["keywords"])
    assert "공원" in facts(jobs[0])["keywords"]
    assert 4 == await pictures_of(desk)


async def test_a_long_entry_has_eight_keywords_at_most(desk: Desk) -> None:
    """As long as an entry may be; one that is longer is refused, and so is an empty one."""
    words = " ".join(f"{letter * 3} {letter * 4}" for letter in "abcdefghijklmnop")
    longest = (words * 60)[:MAX_CHARACTERS]
    fine, *refused = await desk.ended(
        await desk.submit(DIARY, text=longest),
        await desk.submit(DIARY, text=longest + "!"),
        await desk.submit(DIARY, text=""),
        await desk.submit(DIARY),
        await desk.submit(DIARY, text=HAPPY, style="s" * 101),
    )

    assert 8 == len(facts(fine)["keywords"])
    assert [("invalid_input", Charge.RETURNED)] * 4 == [(failure(job)[0], job.charge) for job in refused]


async def test_what_the_entry_says_is_told_before_the_picture(desk: Desk) -> None:
    """Once it is read it stays told to the end, for each progress replaces all before."""
    done = await desk.done(DIARY, text=SAD)
    told = [notice for notice in desk.story.notices if isinstance(notice, JobProgress)]
    said = {name: facts(done)[name] for name in ("sentiment", "keywords")}

    assert [{}, {}, said, said, said] == [notice.partial for notice in told]
    assert [Stage.PREPARING, *[Stage.GENERATING] * 3, Stage.STORING] == [notice.stage for notice in told]
    assert sorted(notice.fraction for notice in told) == [notice.fraction for notice in told]
    assert said == facts(done)


async def test_a_painter_that_is_busy_does_not_keep_the_text_back(desk: Desk) -> None:
    """It is told at once, although the picture cannot be had for an hour; the job waits for it without a failed try."""
    desk.house.gate.close_until(time.time() + 3600, "Shut.")
    job = await desk.submit(DIARY, text=HAPPY)
    async with desk.house.pool(), asyncio.timeout(20):
        while not any(isinstance(notice, JobProgress) and notice.partial for notice in desk.story.notices):
            desk.story.news.clear()
            await desk.story.news.wait()
    after = await desk.house.table.get(job.job_id)

    assert (Status.QUEUED, 0) == (after.status, after.crashes)


@pytest.mark.parametrize(
    ("marker", "code"), [("[[sim:safety]]", "content_rejected"), ("[[sim:no-image]]", "unusable_answer")]
)
async def test_an_entry_whose_picture_is_refused_keeps_its_text(desk: Desk, marker: str, code: str) -> None:
    """It is completed and charged; no picture is counted, and why there is none is said."""
    job = await desk.done(DIARY, text=GLOOMY, style=f"ink {marker}")
    result = facts(job)

    assert Status.COMPLETED is job.status
    assert "negative" == result["sentiment"]["label"]
    assert code == result["imageFailure"]["code"]
    assert result["imageFailure"]["message"].endswith(".")
    assert "imageUrl" not in result
    assert job.output is not None
    assert (None, 0) == (job.output.url, job.output.pictures)
    assert 0 == await pictures_of(desk)
    assert (1, 1) == await desk.house.usage(desk.user)


async def test_an_entry_that_is_refused_fails(desk: Desk) -> None:
    """There is nothing to say of it, and nothing is painted."""
    await desk.house.reset_simulator()
    job = await desk.done(DIARY, text=f"{SAD} [[sim:safety]]")

    assert ("content_rejected", 1) == (failure(job)[0], job.attempt)
    assert {VISION: 1} == (await desk.house.simulator_stats())["byModel"]


async def test_a_painter_that_fails_once_is_asked_again(desk: Desk) -> None:
    """The entry is not read a second time."""
    await desk.house.reset_simulator()
    job = await desk.done(DIARY, text=f"{CHEERFUL} Once.", style="[[sim:500-once]]")

    assert "imageFailure" not in facts(job)
    assert 1 == job.attempt
    assert 1 == (await desk.house.simulator_stats())["byModel"][VISION]


async def test_a_painter_that_keeps_failing_brings_the_job_back_and_costs_only_the_picture(desk: Desk) -> None:
    """Others are painted for meanwhile, so it is the job's own: two more tries, and after the third the text stands.

    The entry is read once, and paid for once.
    """
    await desk.house.reset_simulator()
    job = await desk.submit(DIARY, text=GLOOMY, style="[[sim:503]]")
    async with desk.house.pool(), others_being_served(desk.house.gate):
        done = await desk.end_of(job)

    assert (Status.COMPLETED, 3) == (done.status, done.attempt)
    assert 2 == desk.story.events.count("job.retrying")
    assert "provider_failure" == facts(done)["imageFailure"]["code"]
    assert "negative" == facts(done)["sentiment"]["label"]
    assert 1 == (await desk.house.simulator_stats())["byModel"][VISION]
    assert {} == done.kept


async def test_an_entry_that_has_waited_a_day_for_its_picture_is_completed_without(desk: Desk) -> None:
    """What it says is known; a day is as long as any job is put off."""
    house, day_ago = desk.house, clock.now_milliseconds() - (clock.DAY_SECONDS - 60) * 1000
    job = await desk.submit(DIARY, text=HAPPY)
    await house.clients.dynamodb.update_item(
        TableName=house.tables.jobs,
        Key={"jobId": job.job_id},
        UpdateExpression="SET deferredSince = :since",
        ExpressionAttributeValues={":since": day_ago},
    )
    house.gate.close_until(time.time() + 3600, "Shut.")
    [done] = await desk.ended(job)

    assert Status.COMPLETED is done.status
    assert "positive" == facts(done)["sentiment"]["label"]
    assert {"code": "provider_failure", "message": "Shut."} == facts(done)["imageFailure"]


async def test_what_another_version_has_kept_is_asked_for_again(desk: Desk) -> None:
    """A task of an older form may have begun the job."""
    job = await desk.submit(DIARY, text=HAPPY)
    await desk.house.clients.dynamodb.update_item(
        TableName=desk.house.tables.jobs,
        Key={"jobId": job.job_id},
        UpdateExpression="SET kept = :kept",
        ExpressionAttributeValues={":kept": {"reading": {"answer": {"mood": "fine"}, "modelName": "old"}}},
    )
    [done] = await desk.ended(job)

    assert (Status.COMPLETED, 1) == (done.status, done.attempt)
    assert "positive" == facts(done)["sentiment"]["label"]


async def test_a_cancel_while_the_reader_is_shut_is_free(desk: Desk) -> None:
    """The job is in hand, and no model has been called for it."""
    house = desk.house
    control = Control(house.table, house.files, house.submission, house.bus)
    async with house.gates[VISION].admit(5) as permit:
        permit.failed(FailureClass.THROTTLED, 8)
    job = await desk.submit(DIARY, text=HAPPY)
    async with house.pool(makes_way=False):
        await desk.waits_at(house.gates[VISION])
        canceled = await control.cancel(await house.table.get(job.job_id))

    assert canceled.given_back
    assert (0, 0) == await house.usage(desk.user)


async def test_no_word_of_an_entry_is_logged_or_measured(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """However the job ends: done, without a picture, refused, not taken in, or given up on."""
    caplog.set_level(logging.INFO)
    for name in ("consumers", "jobs"):
        caplog.set_level(logging.DEBUG, name)
    text = f"{SECRET} made me cry."
    jobs = await desk.ended(
        await desk.submit(DIARY, text=text),
        await desk.submit(DIARY, text=text, style="[[sim:safety]]"),
        await desk.submit(DIARY, text=text, style="[[sim:no-image]]"),
        await desk.submit(DIARY, text=f"{text} [[sim:safety]]"),
        await desk.submit(DIARY, text=f"{text} [[sim:text]]"),
        await desk.submit(DIARY, text=text * MAX_CHARACTERS),
        await desk.submit(DIARY, text=text, style=SECRET * 100),
    )

    assert [True] * 3 + [False] * 4 == [job.failure is None for job in jobs]
    assert {"A job is completed", "A job failed"} <= {record.message for record in caplog.records}
    assert SECRET.lower() not in caplog.text.lower()
    assert not any(SECRET.lower() in str(vars(record)).lower() for record in caplog.records)
    assert SECRET.lower() not in measured(desk.house)


def measured(house: House) -> str:
    """Write down all that the pool has counted, by name and label."""
    meters = vars(house.workshop.meters).values()
    return str([list(meter.collect()) for meter in meters]).lower()


async def test_an_answer_that_breaks_off_is_not_logged(
    wired: tuple[House, Wire], user: UserId, caplog: pytest.LogCaptureFixture
) -> None:
    """It quotes the entry: what is written down of it is that it could not be read."""
    house, wire = wired
    desk = Desk(house, user)
    job = await desk.submit(DIARY, text=f"{SECRET} made me cry. {SECRET}!")
    wire.breaks_off_at = SECRET
    delivery = await only_delivery(house)
    async with others_being_served(house.gates[VISION]):
        await Attempt(house.workshop, delivery).run()

    assert Status.QUEUED is (await house.table.get(job.job_id)).status
    assert "A job will be tried again" in caplog.text
    assert SECRET.lower() in wire.broken.decode().lower()
    assert SECRET.lower() not in caplog.text.lower()
