"""A crowd of FairStay's calls, and callers whose answer does not come: they lose that, and nothing else."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from tests.clients.conftest import SETTINGS
from tests.clients.fairstay import FairStay, form_by_hand
from tests.clients.replies import Reply, call
from tests.drawings import Crack, Drawing, save_jpeg, wall
from tests.journey.running import embedded_service
from tests.person import Person, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CROWD: Final = 100
SIZE: Final = (640, 480)
QUICK, SLOW, VERY_SLOW = "--gemini-latency=0.05", "--gemini-latency=1", "--gemini-latency=60"
MORTAL: Final = SETTINGS | {"LEASE_SECONDS": "4", "STOP_TIMEOUT_SECONDS": "10", "SWEEP_SECONDS": "2"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Run a service whose 16 slots are all in use when a crowd comes: a call of Gemini takes a second."""
    async with embedded_service(tmp_path_factory.mktemp("many"), SLOW, settings=SETTINGS) as service:
        yield service.url


def wall_of(number: int) -> Drawing:
    """Draw a wall that no other number has."""
    x, y = 20 + 28 * (number % 10), 20 + 20 * (number // 10)
    return wall([Crack(x=x, y=y, width=180 + number, height=150 + number)], size=SIZE)


def shows(drawn: Drawing, reply: Reply) -> bool:
    """Say whether the one crack of the wall is in the answer, where it is, give or take a hundredth of the photo."""
    [box], [seen] = drawn.boxes, reply.json["bounding_boxes"]
    edges: tuple[int, ...] = seen["x"], seen["y"], seen["x"] + seen["width"], seen["y"] + seen["height"]
    return all(abs(one - other) <= max(SIZE) / 100 for one, other in zip(box.edges, edges, strict=True))


async def token_of(url: str, name: str) -> str:
    """Sign somebody in."""
    return str((await call("POST", f"{url}/auth/demo", json={"user": name})).json["idToken"])


def fairstay_of(url: str, token: str) -> FairStay:
    """Call in somebody's name, whose socket tells what becomes of it."""
    return FairStay(url=url, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.timeout(90)
async def test_a_hundred_calls_at_once_are_all_answered(slow_url: str) -> None:
    """On 16 slots, within their sixty seconds, each with its own photo's crack."""
    walls = [wall_of(number) for number in range(CROWD)]
    photos = [save_jpeg(each.image) for each in walls]
    replies = await asyncio.gather(*(FairStay(url=slow_url).detect_crack(photo) for photo in photos))

    assert [200] * CROWD == [reply.status for reply in replies]
    assert CROWD == len({reply.json["file_id"] for reply in replies})
    assert [True] * CROWD == [shows(drawn, reply) for drawn, reply in zip(walls, replies, strict=True)]


async def test_a_caller_that_hangs_up_leaves_its_job_alone(slow_url: str, session: aiohttp.ClientSession) -> None:
    """It hangs up while Gemini looks at the photo; the job completes, is charged once, and shows its result."""
    token = await token_of(slow_url, "leaver")
    leaver = Person(session, slow_url, token)
    async with leaver.socket() as socket:
        asking = asyncio.create_task(fairstay_of(slow_url, token).detect_crack(save_jpeg(wall_of(1).image)))
        await until(socket, "job.processing")
        asking.cancel()
        await asyncio.wait([asking])
        job = (await until(socket, "job.completed"))["job"]

    assert asking.cancelled()
    assert 1 == job["result"]["crackCount"]
    assert 200 == (await FairStay(url=slow_url).result(job["jobId"])).status
    assert 1 == (await leaver.get("/user/me"))["usedToday"]


async def test_a_caller_that_hangs_up_in_the_middle_of_its_photo_leaves_nothing(
    slow_url: str, session: aiohttp.ClientSession
) -> None:
    """There is no job, and the next call is answered."""
    token = await token_of(slow_url, "stutterer")
    photo = save_jpeg(wall_of(2).image)
    form = form_by_hand(photo, "file")
    assert isinstance(form.body, bytes)
    head = {"Host": "here", **form.headers, "Content-Length": str(len(form.body)), "Authorization": f"Bearer {token}"}
    lines = ["POST /detect-crack HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    host, port = slow_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join(lines).encode() + form.body[: len(form.body) // 2])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    reply = await fairstay_of(slow_url, token).detect_crack(photo)
    jobs = (await Person(session, slow_url, token).get("/jobs"))["jobs"]

    assert (200, [reply.json["file_id"]]) == (reply.status, [job["jobId"] for job in jobs])


@pytest.mark.timeout(120)
async def test_a_service_that_is_killed_does_the_job_when_it_is_back(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """The caller sees its connection break; the job of its photo completes, and there is no other."""
    async with embedded_service(tmp_path, VERY_SLOW, settings=MORTAL) as service:
        token = await token_of(service.url, "caller")
        async with Person(session, service.url, token).socket() as socket:
            asking = asyncio.create_task(fairstay_of(service.url, token).detect_crack(save_jpeg(wall_of(3).image)))
            job_id = (await until(socket, "job.processing"))["job"]["jobId"]
        code, left = await service.end(signal.SIGKILL)
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking
    async with embedded_service(tmp_path, QUICK, settings=MORTAL) as service:
        caller = Person(session, service.url, await token_of(service.url, "caller"))
        jobs = await completed(caller)
        result = await FairStay(url=service.url).result(job_id)
        me = await caller.get("/user/me")

    assert (-signal.SIGKILL, []) == (code, left)
    assert [(job_id, 1)] == [(job["jobId"], job["result"]["crackCount"]) for job in jobs]
    assert (200, "image/jpeg", 1) == (result.status, result.headers["Content-Type"], me["usedToday"])


@pytest.mark.timeout(120)
async def test_whoever_cannot_be_answered_in_time_is_told_where_to_look(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """202 for who has said how long it waits, 504 for who waits when the service leaves; both results are there later."""
    async with embedded_service(tmp_path, VERY_SLOW, settings=MORTAL) as service:
        token = await token_of(service.url, "caller")
        patient = fairstay_of(service.url, token)
        hasty = FairStay(url=service.url, headers={**patient.headers, "Prefer": "wait=1"})
        early = await hasty.detect_crack(save_jpeg(wall_of(4).image))
        async with Person(session, service.url, token).socket() as socket:
            asking = asyncio.create_task(patient.detect_crack(save_jpeg(wall_of(5).image)))
            await until(socket, "job.processing")
            ending = asyncio.create_task(service.end(signal.SIGTERM))
            late = await asking
        ended = await ending
    async with embedded_service(tmp_path, QUICK, settings=MORTAL) as service:
        caller = Person(session, service.url, await token_of(service.url, "caller"))
        jobs = await completed(caller)
        results = [await FairStay(url=service.url).result(job["jobId"]) for job in jobs]

    assert (202, "wait=1", False) == (early.status, early.headers["Preference-Applied"], early.json["terminal"])
    assert f"/jobs/{early.json['jobId']}" == early.headers["Location"]
    assert (504, "still_running") == late.error[:2]
    assert (0, []) == ended
    assert {early.json["jobId"], late.json["jobId"]} == {job["jobId"] for job in jobs}
    assert [(200, 1)] * 2 == [
        (result.status, job["result"]["crackCount"]) for job, result in zip(jobs, results, strict=True)
    ]


async def completed(caller: Person) -> list[dict[str, Any]]:
    """Wait until all of somebody's jobs are completed, and return them."""
    async with caller.socket() as socket:
        while True:
            jobs: list[dict[str, Any]] = (await caller.get("/jobs"))["jobs"]
            if all(job["status"] == "completed" for job in jobs):
                return jobs
            await until(socket, "job.completed")
