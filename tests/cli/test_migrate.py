"""``migrate``: the tables of ProfilePhotoAI, taken over by real processes while a service runs on them."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt
import pytest

from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from tests.browser.stage import running_service
from tests.cli.conftest import PATIENCE_SECONDS, end, run, start, within
from tests.conftest import CHECKOUT
from tests.jobs import original
from tests.person import Person, until

PHOTO = (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()


@pytest.fixture
async def theirs(clients: Clients, tables: Tables) -> Tables:
    """Make the original's tables."""
    return await original.make_tables(clients, tables.events)


@pytest.fixture
async def environment(clients: Clients, theirs: Tables, cloud_environment: Mapping[str, str]) -> dict[str, str]:
    """Name them, as whoever takes them over would; the queue is the service's own."""
    queue = (await clients.sqs.create_queue(QueueName=theirs.jobs))["QueueUrl"]
    own = {"USERS_TABLE": theirs.users, "USAGE_LOG_TABLE": theirs.usage, "IMAGE_JOBS_TABLE": theirs.jobs}
    return {**cloud_environment, **own, "SQS_QUEUE_URL": queue}


async def test_a_service_takes_over_tables_that_are_in_use(
    environment: dict[str, str], theirs: Tables, clients: Clients
) -> None:
    """Indexes first; then old jobs are shown before and after they are mended, today's quota counts on, and new jobs work.

    A client that comes back is told what became of the unfinished ones.
    """
    made = await run("migrate", "--indexes", **environment)
    name = f"kim-{secrets.token_hex(4)}"
    own = {"EMBEDDED": "true", "METRICS_PORT": "off", "LOG_LEVEL": "ERROR", "SWEEP_SECONDS": "600"}
    async with running_service({**environment, **own}) as service, aiohttp.ClientSession() as session:
        person = await Person.sign_in(session, service.url, name)
        me = await _id_of(session, service.url, name)
        old, stuck, unsent = await _fill(clients, theirs, environment, me)
        before = await person.get("/user/jobs")
        position = (await person.get("/events"))["cursor"]
        first = await run("migrate", "--unfinished", **environment)
        missed = await person.get(f"/events?after={position}")
        again = await run("migrate", "--unfinished", **environment)
        after = await person.get("/user/jobs")
        account = await person.get("/user/me")
        picture = await person.fetch((await person.get(f"/jobs/{old['jobId']}"))["outputImageUrl"])
        async with person.socket() as socket:
            await _send_as_the_original(clients, environment, stuck)
            taken_over = await until(socket, "job.completed")
            new = await person.generate(PHOTO)
            completed = await until(socket, "job.completed")
        last = await person.get("/user/me")

    assert (0, 0, 0) == (made.code, first.code, again.code), made.said + first.said
    assert "StatusIndex is taken away, to be made anew" in made.told
    assert "taken over              1" in first.told
    assert [] == [line for line in again.told.splitlines() if line.startswith("  ") and "as ours" not in line]
    assert _ended(before) == [job for job in _ended(after) if job["jobId"] != unsent["jobId"]]
    assert ["failed", "completed"] == [job["status"] for job in _ended(before)]
    news = {stuck["jobId"]: "job.queued", unsent["jobId"]: "job.failed"}
    assert news == {event["job"]["jobId"]: event["type"] for event in missed["events"]}
    assert (4, 6, 41) == (account["usedToday"], account["remainingQuota"], account["totalImages"])
    assert b"its picture" == picture
    assert [stuck["jobId"], new] == [taken_over["job"]["jobId"], completed["job"]["jobId"]]
    assert (5, 43) == (last["usedToday"], last["totalImages"])


async def _id_of(session: aiohttp.ClientSession, url: str, name: str) -> UserId:
    async with session.post(f"{url}/auth/demo", json={"user": name}) as answer:
        token = (await answer.json())["idToken"]
    return UserId(jwt.decode(token, options={"verify_signature": False})["sub"])


async def _fill(
    clients: Clients, theirs: Tables, environment: Mapping[str, str], user: UserId
) -> tuple[original.Row, original.Row, original.Row]:
    """Write what the original had of the user; return a job that is done, with its picture, one that is not, one never sent."""
    results, uploads = environment["RESULT_BUCKET"], environment["UPLOAD_BUCKET"]
    old = original.job(user, "completed", bucket=results)
    stuck, unsent = original.job(user, "processing"), original.job(user, "pending")
    stuck["inputImageUrl"] = f"s3://{uploads}/uploads/{user}/old.png"
    await clients.s3.put_object(Bucket=results, Key=old["metadata"]["outputKey"], Body=b"its picture")
    await clients.s3.put_object(Bucket=uploads, Key=f"uploads/{user}/old.png", Body=PHOTO)
    await original.put(clients, theirs.jobs, old, original.job(user, "failed", age_seconds=900), stuck, unsent)
    row = original.user_row(user)
    del row["profileImage"]
    await clients.dynamodb.update_item(
        TableName=theirs.users,
        Key={"userId": user},
        UpdateExpression="SET totalImagesGenerated = :total",
        ExpressionAttributeValues={":total": row["totalImagesGenerated"]},
    )
    await original.put(clients, theirs.usage, original.day(user, 4))
    return old, stuck, unsent


async def _send_as_the_original(clients: Clients, environment: Mapping[str, str], row: original.Row) -> None:
    """Put a message of its own form into our queue, as a queue would that both have used."""
    body = {"jobId": row["jobId"], "userId": row["userId"], "fileKey": "uploads/x.png", "prompt": "x", "style": "x"}
    await clients.sqs.send_message(
        QueueUrl=environment["SQS_QUEUE_URL"], MessageBody=json.dumps(body), MessageGroupId="x"
    )


def _ended(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ended jobs of a page, without links, which are signed anew."""
    signed = ("outputImageUrl", "inputImageSignedUrl")
    return [
        {name: value for name, value in job.items() if name not in signed} for job in page["jobs"] if job["terminal"]
    ]


async def test_a_run_that_was_killed_is_ended_by_the_next(
    environment: dict[str, str], theirs: Tables, clients: Clients, user: UserId
) -> None:
    """With the result of one run that was not."""
    rows = [original.job(user, "completed") for _ in range(60)]
    await original.put(clients, theirs.jobs, *rows)
    process = await start("migrate", "--writes-per-second=20", "--segments=1", **environment)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not 0 < await _mended(clients, theirs):  # noqa: ASYNC110 - what another process writes has no event
            await asyncio.sleep(0.05)
    process.kill()
    await end(process)
    half = await _mended(clients, theirs)
    ran = await run("migrate", **environment)

    assert 0 < half < 60
    assert (0, 60) == (ran.code, await _mended(clients, theirs))
    assert [f"as ours {half} need nothing", f"mended {60 - half} have now what was missing"] == [
        " ".join(line.split()) for line in ran.told.splitlines()[-2:]
    ]


async def test_a_dry_run_says_what_would_be(
    environment: dict[str, str], theirs: Tables, clients: Clients, user: UserId
) -> None:
    """And changes nothing."""
    await original.put(clients, theirs.jobs, original.job(user, "completed"), original.job(user, "pending"))
    ran = await run("migrate", "--dry-run", "--unfinished", **environment)
    words = " ".join(ran.told.split())

    assert (0, 0) == (ran.code, await _mended(clients, theirs))
    assert "mended 1 would get what is missing" in words
    assert "ended 1 unfinished jobs of the original that nobody will do, would fail" in words


async def _mended(clients: Clients, theirs: Tables) -> int:
    [rows] = (await original.read_all(clients, theirs.jobs)).values()
    return sum(1 for row in rows if "version" in row)


@pytest.mark.usefixtures("deployment")
async def test_what_is_lacking_and_what_is_wrong_is_said(
    environment: dict[str, str], theirs: Tables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables as the original made them work in part; a table that is none ends the command before a row is read."""
    for setting, value in environment.items():
        monkeypatch.setenv(setting, value)
    lacking = await within("migrate", "--check")
    told = capsys.readouterr().out
    monkeypatch.setenv("USERS_TABLE", f"nowhere-{secrets.token_hex(4)}")
    wrong = await within("migrate")

    assert (1, 1) == (lacking, wrong)
    assert (
        f"{theirs.jobs}: Its index StatusIndex on status is to be replaced by one on statusShard and updatedAt." in told
    )
    assert f"{theirs.usage}: Its rows do not expire by ttl." in told
    assert "Stopped: There is no table nowhere-" in capsys.readouterr().err
