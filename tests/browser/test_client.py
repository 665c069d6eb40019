"""The client in a real browser, against real services: whatever breaks, each change of each job is told, and told once."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from itertools import groupby

import pytest
from playwright.async_api import expect

from jobs import clock
from jobs.actions import event_item
from jobs.aws import AWSConfig, open_clients
from jobs.events import UserEvent
from jobs.ids import EventIds, UserId
from tests.browser.stage import PHOTO, Follower, Stage, developed, running_service
from tests.browser.wire import EVENT_STREAM, WEBSOCKET
from tests.person import Person

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

EVENT_IDS = EventIds()
SLOW = "[[sim:slow=30]]"
VERSIONS = [2, 3, 4]
"""Those of a job that was queued, at work and completed."""


@pytest.fixture
def user() -> str:
    """Name a user nobody has seen."""
    return f"user-{uuid.uuid4().hex[:8]}"


def happened(user: str, version: int) -> UserEvent:
    """Return an event that says so of a report."""
    return UserEvent(
        event_id=EVENT_IDS.next(),
        user_id=UserId(user),
        type="report.confirmed",
        at=clock.now_milliseconds(),
        about="report_1",
        data={"reportId": "report_1", "version": version, "latitude": 37.5665, "reportBool": True},
    )


async def miss(stage: Stage, follower: Follower, *events: UserEvent) -> None:
    """Have this happen while the connection is cut."""
    cloud = stage.environment
    config = AWSConfig(
        region=cloud["AWS_REGION"],
        endpoint_url=cloud["AWS_ENDPOINT_URL"],
        access_key_id=cloud["AWS_ACCESS_KEY_ID"],
        secret_access_key=cloud["AWS_SECRET_ACCESS_KEY"],
    )
    await stage.wire.down()
    await follower.until_state("connecting")
    async with open_clients(config) as clients:
        for event in events:
            await clients.dynamodb.put_item(TableName=cloud["JOB_EVENTS_TABLE"], Item=event_item(event))
    await stage.wire.up()


async def test_a_job_is_followed_and_canceled_over_the_socket(stage: Stage, user: str) -> None:
    """Each change is told as it happens, and the answer to a cancel says what it came to."""
    person = stage.person(user)
    async with stage.follower(user) as follower:
        await follower.follow()
        await follower.until_state("live")
        done = await developed(person)
        await follower.until_status(done, "completed")
        slow = await person.generate(PHOTO.read_bytes(), SLOW)
        await follower.until_status(slow, "processing")
        canceled = await follower.cancel(slow)
        await follower.until_status(slow, "canceled")

        assert (slow, "while_running") == (canceled["jobId"], canceled["outcome"])
        assert VERSIONS == await follower.versions(done)
        assert ["connecting", "live"] == await follower.states()
        assert [[]] == [snapshot["jobs"] for snapshot in await follower.told("snapshot")]


@pytest.mark.parametrize(("state", "refused_ms"), [("live", 500), ("streaming", 60_000)])
async def test_a_person_who_is_blocked_for_a_while_is_told_why_and_comes_back(
    stage: Stage, user: str, state: str, refused_ms: int
) -> None:
    """That is a state of its own, however the news come; it asks again by itself, and at once when it is told to."""
    token = stage.issuer.id_token("boss", **{"cognito:groups": ["operators"]})
    operator = Person(stage.session, stage.service.url, token)
    await stage.person(user).get("/user/me")
    if state == "streaming":
        stage.wire.refused.add(WEBSOCKET)
    async with stage.follower(user) as follower:
        await follower.follow(refusedMs=refused_ms)
        await follower.until_state(state)
        await operator.post(f"/ops/users/{user}", {"blocked": True})
        await follower.until_state("refused")
        await operator.post(f"/ops/users/{user}", {"blocked": False})
        if state == "streaming":
            await follower.page.evaluate("window.client.connect()")
        await follower.until_state(state)
        refused = {detail["code"] for detail in await follower.told("state") if detail["state"] == "refused"}

        assert {"user_blocked"} == refused
        assert ["connecting", state, "refused", state] == [state for state, _ in groupby(await follower.states())]


async def test_many_jobs_are_canceled_at_once(stage: Stage, user: str) -> None:
    """A socket takes a few at a time; the others go over REST. And the day's figures follow."""
    person = stage.person(user)
    async with stage.follower(user) as follower:
        await follower.follow()
        await follower.until_state("live")
        jobs = [await person.generate(PHOTO.read_bytes(), SLOW) for _ in range(8)]
        canceled = await follower.page.evaluate("ids => Promise.all(ids.map((id) => window.client.cancel(id)))", jobs)
        for job_id in jobs:
            await follower.until_status(job_id, "canceled")
        await follower.until_told("quota", times=2)

        assert jobs == [one["jobId"] for one in canceled]
        assert [] == await follower.told("error")


async def test_what_completes_while_the_connection_is_cut_is_told_after(stage: Stage, user: str) -> None:
    """The service cannot be reached for a while; nothing is missed, and what was told before is not told again."""
    person = stage.person(user)
    async with stage.follower(user) as follower:
        await follower.follow()
        await follower.until_state("live")
        before = await developed(person)
        await follower.until_status(before, "completed")
        await stage.wire.down()
        await follower.until_state("connecting")
        meanwhile = await developed(person)
        await stage.wire.up()
        await follower.until_status(meanwhile, "completed")
        await follower.until_state("live")

        assert VERSIONS == await follower.versions(before) == await follower.versions(meanwhile)
        assert 1 == len(await follower.told("snapshot"))


async def test_a_dead_line_is_noticed_by_its_silence(stage: Stage, user: str) -> None:
    """A quiet one that answers is kept; one that swallows everything is left."""
    person = stage.person(user)
    await developed(person)
    async with stage.follower(user) as follower:
        await follower.follow(pingMs=300, graceMs=600, openingMs=2000)
        await follower.until_state("live")
        await follower.page.wait_for_timeout(1500)
        quiet = await follower.states()
        stage.wire.swallow()
        await follower.until_state("connecting")
        job_id = await developed(person)
        stage.wire.heal()
        await follower.until_status(job_id, "completed")

        assert ["connecting", "live"] == quiet
        assert VERSIONS == await follower.versions(job_id)


async def test_a_page_that_slept_past_its_tokens_end_shows_every_result(stage: Stage, user: str) -> None:
    """Standing still, its connection lost, its token expired: seen again, it gets a fresh token and all that happened."""
    person = stage.person(user)
    await developed(person)
    async with stage.follower(user) as follower:
        await follower.follow(probingMs=500)
        await follower.until_state("live")
        devtools = await follower.page.context.new_cdp_session(follower.page)
        # Chromium freezes hidden pages only, and without a screen none is hidden: a debugger lets no script run either.
        await devtools.send("Debugger.enable")
        await devtools.send("Debugger.pause")
        stage.wire.swallow()
        job_ids = [await developed(person), await developed(person)]
        stage.wire.heal()
        expired = stage.token(user, -60)
        follower.next_tokens.append(expired)
        await devtools.send("Debugger.disable")
        await follower.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        for job_id in job_ids:
            await follower.until_status(job_id, "completed")

        assert [VERSIONS, VERSIONS] == [await follower.versions(job_id) for job_id in job_ids]
        assert {"refused": expired} in follower.asked


async def test_a_service_that_goes_away_hands_its_pages_over(stage: Stage, user: str) -> None:
    """The page is connected to the next one before it leaves the first; it never was without a connection."""
    async with stage.follower(user) as follower, running_service(stage.environment) as leaving:
        stage.wire.lead_to(leaving.url)
        await follower.follow()
        await follower.until_state("live")
        stage.wire.lead_to(stage.service.url)
        job_id = await stage.person(user, leaving).generate(PHOTO.read_bytes(), "[[sim:slow=1]]")
        assert 0 == await leaving.end()
        await follower.until_status(job_id, "completed")
        later = await developed(stage.person(user))
        await follower.until_status(later, "completed")

        assert ["connecting", "live"] == await follower.states()
        assert VERSIONS == await follower.versions(job_id) == await follower.versions(later)


async def test_where_no_socket_passes_a_stream_tells(stage: Stage, user: str) -> None:
    """The tab remembers it; once a socket passes it takes over, and nothing is lost or told twice on the way."""
    person = stage.person(user)
    stage.wire.refused.add(WEBSOCKET)
    async with stage.follower(user) as follower:
        await follower.follow(upgradeMs=1000, shortestWaitMs=100)
        await follower.until_state("streaming")
        first = await developed(person)
        await follower.until_status(first, "completed")
        remembered = await follower.page.evaluate("sessionStorage.getItem('darkroom.transport')")
        stage.wire.heal()
        await follower.until_state("live")
        second = await developed(person)
        await follower.until_status(second, "completed")

        assert "stream" == remembered
        assert ["connecting", "streaming", "live"] == await follower.states()
        assert VERSIONS == await follower.versions(first) == await follower.versions(second)
        assert [] != await follower.told("progress")


@pytest.mark.parametrize("is_held", [False, True], ids=["refused", "kept back"])
async def test_where_no_stream_passes_either_polls_tell(stage: Stage, user: str, is_held: bool) -> None:
    """A proxy refuses streams, or keeps them until they end, which they never do. A cancel goes over REST."""
    person = stage.person(user)
    stage.wire.refused.add(WEBSOCKET)
    (stage.wire.held if is_held else stage.wire.refused).add(EVENT_STREAM)
    async with stage.follower(user) as follower:
        await follower.follow(openingMs=1500, shortestWaitMs=100)
        await follower.until_state("polling")
        done = await developed(person)
        await follower.until_status(done, "completed")
        slow = await person.generate(PHOTO.read_bytes(), SLOW)
        await follower.until_status(slow, "processing")
        canceled = await follower.cancel(slow)
        await follower.until_status(slow, "canceled")

        assert "while_running" == canceled["outcome"]
        assert VERSIONS == await follower.versions(done)
        assert ["connecting", "polling"] == await follower.states()


@pytest.mark.parametrize("state", ["streaming", "polling"])
async def test_a_stream_or_poll_that_died_unseen_is_replaced_when_the_tab_is_shown(
    stage: Stage, user: str, state: str
) -> None:
    """Neither can be asked whether it lives, so another is opened beside it."""
    person = stage.person(user)
    stage.wire.refused |= {WEBSOCKET} if state == "streaming" else {WEBSOCKET, EVENT_STREAM}
    async with stage.follower(user) as follower:
        await follower.follow(shortestWaitMs=100, upgradeMs=60_000)
        await follower.until_state(state)
        await follower.until_told("snapshot")
        stage.wire.swallow()
        job_id = await developed(person)
        stage.wire.heal(forgets=True)
        await follower.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await follower.until_status(job_id, "completed")

        assert ["connecting", state] == await follower.states()


async def test_a_job_deleted_meanwhile_disappears(stage: Stage, user: str) -> None:
    """Elsewhere, while this page could not be told."""
    person = stage.person(user)
    job_id = await developed(person)
    async with stage.follower(user) as follower:
        await follower.follow()
        await follower.until_state("live")
        known = await follower.page.evaluate("[...client.jobs.keys()]")
        await stage.wire.down()
        await stage.delete(user, job_id)
        await stage.wire.up()
        await follower.page.wait_for_function("() => !window.client.jobs.size")

        assert [job_id] == known
        assert [{"jobId": job_id}] == await follower.told("deleted")


async def test_what_a_snapshot_leaves_out_is_looked_for(stage: Stage, user: str) -> None:
    """It has the newest jobs only: an open one that it lacks is read, and forgotten if it is not there."""
    async with stage.follower(user) as follower:
        await follower.follow()
        await follower.until_state("live")
        job_id = await stage.person(user).generate(PHOTO.read_bytes(), SLOW)
        await follower.until_status(job_id, "processing")
        await follower.page.evaluate(
            """() => {
              const old = { version: 1, status: 'queued', createdAt: '2026-01-01T00:00:00.000Z' };
              const [open, ended] = [{ ...old, jobId: 'job_gone' }, { ...old, jobId: 'job_ended', terminal: true }];
              client.learn([open, ended]);
              client.line.options.onFrame({ type: 'snapshot', time: old.createdAt, data: { jobs: [], hasMore: true } });
            }"""
        )
        await follower.page.wait_for_function("() => !window.client.jobs.has('job_gone')")

        assert {job_id, "job_ended"} == set(await follower.page.evaluate("[...client.jobs.keys()]"))
        await follower.cancel(job_id)


async def test_a_token_is_renewed_in_place(stage: Stage, user: str) -> None:
    """Before its end the service asks for another, on the same socket."""
    async with stage.follower(user) as follower:
        frames: list[str] = []
        renewed = asyncio.Event()

        def note(frame: str | bytes) -> None:
            frames.append(str(frame))
            if '"auth.ok"' in str(frame):
                renewed.set()

        follower.page.on("websocket", lambda socket: socket.on("framereceived", note))
        follower.next_tokens.append(stage.token(user, 4))
        await follower.follow()
        async with asyncio.timeout(10):
            await renewed.wait()

        assert 2 == len(follower.given)
        assert ["connecting", "live"] == await follower.states()


async def test_a_token_refused_twice_is_the_end(stage: Stage, user: str) -> None:
    """The page is told that nobody is signed in, and the service is left alone."""
    async with stage.follower(user) as follower:
        follower.next_tokens += [stage.token(user, -60), stage.token(user, -90)]
        await follower.follow()
        await follower.until_state("signed-out")
        asked = len(follower.asked)
        await follower.page.wait_for_timeout(1000)

        assert (2, 2) == (asked, len(follower.asked))


async def test_a_report_is_told_once_in_each_version(stage: Stage, user: str) -> None:
    """However often the log has it; and from a message that the client does not know it goes on all the same."""
    sockets: list[str] = []
    async with stage.follower(user) as follower:
        follower.page.on("websocket", lambda socket: sockets.append(socket.url))
        await follower.follow()
        await follower.page.evaluate(
            "() => { window.client.on('report', (detail) => window.told.push(['report', detail])) }"
        )
        await follower.until_state("live")
        first, unknown = happened(user, 1), replace(happened(user, 1), type="weather.changed")
        await miss(stage, follower, first, unknown)
        await follower.until_told("report")
        await follower.until_state("live")
        await miss(stage, follower, happened(user, 2), happened(user, 1))
        await follower.until_told("report", times=2)
        await follower.until_state("live")

        told = await follower.told("report")
        assert [1, 2] == [report["version"] for report in told]
        assert {**first.data, "time": clock.iso(first.at)} == told[0]
        assert sockets[-1].endswith(f"since={unknown.event_id}")


@pytest.mark.parametrize("part", ["client", "line", "links"])
async def test_pages_of_allowed_origins_may_load_the_client(stage: Stage, part: str) -> None:
    """Its three modules lie beside each other, and are asked for anew each time."""
    headers = {"Origin": stage.wire.url}
    async with stage.session.get(f"{stage.service.url}/darkroom-{part}.js", headers=headers) as answer:
        shared, freshness = (answer.headers[name] for name in ("Access-Control-Allow-Origin", "Cache-Control"))

    assert (200, "no-cache") == (answer.status, freshness)
    assert answer.content_type.endswith("/javascript")
    assert stage.wire.url == shared


async def test_the_page_itself_says_how_it_is_connected(stage: Stage, user: str) -> None:
    """And shows what is made elsewhere, over whatever passes."""
    stage.wire.refused.add(WEBSOCKET)
    async with stage.page() as page:
        await page.click("summary")
        await page.fill("[data-testid='token']", stage.token(user))
        await page.click("[data-testid='token-sign-in']")
        connection = page.locator("[data-testid='connection']")
        await expect(connection).to_have_attribute("data-state", "streaming")
        await expect(connection).to_have_text("Live, over a stream")
        await developed(stage.person(user))
        await expect(page.locator("[data-testid='job'][data-status='completed']")).to_have_count(1)
