"""What happens to a user's jobs, as server-sent events."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from jobs import clock, moves
from jobs.events import EventType, JobEvent, JobProgress, Stage
from jobs.ids import EventId
from jobs.model import Quota
from tests.rest.api import Answer, Api
from tests.rest.feed.live import WAIT_SECONDS, Live, StartLive, a_cursor
from websocket import messages

TRANSPORTS = ("socket", "stream", "poll")

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_stream_tells_how_things_are_and_what_happens(live: Live) -> None:
    """The very messages of a socket; what comes from the log has its id as the stream's."""
    job = await live.job()
    async with live.stream() as stream:
        welcome, snapshot = await stream.read_types("welcome", "snapshot")
        await live.completed(job)
        processing, done = await stream.read_types("job.processing", "job.completed")

    assert welcome["data"].keys() == {"userId", "tokenExpiresAt", "pingSeconds"}
    assert [shown["jobId"] for shown in snapshot["data"]["jobs"]] == [job.job_id]
    assert None is welcome["lastEventId"]
    assert snapshot["id"] == snapshot["lastEventId"] < processing["lastEventId"] < done["lastEventId"] == done["id"]
    assert done["job"] == (await live.api.get(f"/jobs/{job.job_id}")).body | {
        name: done["job"][name] for name in ("inputImageSignedUrl", "outputImageUrl")
    }


@pytest.mark.parametrize("how", ["Last_Event_ID", "after"])
async def test_a_stream_resumes_where_its_client_left_off(live: Live, how: str) -> None:
    """As EventSource says it by itself, or in the address; the header is newer and counts."""
    await live.log(await live.job(), 60)
    missed = await live.log(await live.job(), 30)
    cursor = a_cursor(45)
    path, headers = ("/events?after=nonsense", {how: cursor}) if how != "after" else (f"/events?after={cursor}", {})
    async with live.stream(path, **headers) as stream:
        _, first, *_ = await stream.read_types("welcome", *["job.queued"] * 3)

    assert missed == first["id"]


async def test_a_stream_with_an_unknown_cursor_says_so(live: Live) -> None:
    """And begins anew."""
    async with live.stream(Last_Event_ID="nonsense") as stream:
        await stream.read_types("welcome", "resync", "snapshot")


async def test_a_stream_tells_progress_and_pings(start_live: StartLive) -> None:
    """Neither has an id: they are no place to leave off."""
    live = await start_live(ping_message_seconds=0.05)
    job = await live.job()
    async with live.stream() as stream:
        await stream.read_types("welcome", "snapshot")
        live.publish(JobProgress(job=job, at=0, stage=Stage.GENERATING, fraction=0.5, message="Working"))
        found = [await stream.read() or {} for _ in range(2)]

    assert {"ping", "job.progress"} == {message["type"] for message in found}
    assert [None, None] == [message["lastEventId"] for message in found]


async def test_a_jobs_stream_begins_with_the_job_and_ends_with_its_end(live: Live) -> None:
    """Of other jobs it tells nothing."""
    job, other = await live.job(), await live.job()
    async with live.stream(f"/jobs/{job.job_id}/events") as stream:
        (snapshot,) = await stream.read_types("snapshot")
        await live.completed(other)
        await live.completed(job)
        await stream.read_types("job.processing", "job.completed", "the end")
    await live.all_left()

    assert snapshot["data"] == {"jobs": [snapshot["data"]["jobs"][0]], "hasMore": False}
    assert (job.job_id, "queued") == tuple(snapshot["data"]["jobs"][0][name] for name in ("jobId", "status"))


async def test_a_stream_tells_what_is_no_change_of_a_job_too(live: Live) -> None:
    """As it happens and to a client that comes back; a job's own stream has no place for it."""
    job = await live.job()
    async with live.stream(f"/jobs/{job.job_id}/events") as own, live.stream() as stream:
        await own.read_types("snapshot")
        await stream.read_types("welcome", "snapshot")
        event = await live.confirm()
        (told,) = await stream.read_types("report.confirmed")
        await live.completed(job)
        await own.read_types("job.processing", "job.completed", "the end")
    async with live.stream(Last_Event_ID=event.event_id) as stream:
        _, _, again, *_ = await stream.read_types(
            "welcome", "job.queued", "report.confirmed", "job.processing", "job.completed"
        )

    assert told == again
    assert told == {
        "type": "report.confirmed",
        "id": event.event_id,
        "time": clock.iso(event.at),
        "data": event.data,
        "lastEventId": event.event_id,
    }


async def test_the_stream_of_an_ended_job_ends_at_once(live: Live) -> None:
    """With the job as it ended."""
    job = await live.completed(await live.job())
    async with live.stream(f"/jobs/{job.job_id}/events") as stream:
        snapshot, _ = await stream.read_types("snapshot", "the end")

    assert snapshot["data"]["jobs"][0]["status"] == "completed"


async def test_a_job_that_ends_while_its_stream_opens_ends_it(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interleaving: job read, job ends and that is told to nobody, stream joins; what is read after that tells it."""
    job = await live.job()

    async def listening(_: str) -> None:
        bus = live.hub._bus
        live.api.services.jobs.writes._bus = type(bus)()
        await live.completed(job)

    monkeypatch.setattr(live.hub, "listening", listening)
    async with live.stream(f"/jobs/{job.job_id}/events") as stream:
        snapshot, _ = await stream.read_types("snapshot", "the end")

    assert snapshot["data"]["jobs"][0]["status"] == "completed"


async def test_the_stream_of_a_deleted_job_ends_with_that(live: Live) -> None:
    """Nothing can follow."""
    job = await live.job()
    async with live.stream(f"/jobs/{job.job_id}/events") as stream:
        await stream.read_types("snapshot")
        canceled = await live.api.services.jobs.apply(job, moves.canceled_if(lambda _: False, clock.now_milliseconds()))
        await stream.read_types("job.canceled", "the end")
        await live.api.services.jobs.delete(canceled)

    assert (404, "job_not_found") == (await live.api.get(f"/jobs/{job.job_id}/events")).error


async def test_streams_are_refused_before_they_begin(live: Live, as_other: Callable[[], Api]) -> None:
    """By a status, as everything else is: another's job, nobody's job, nobody's token."""
    job = await live.job()

    assert (403, "forbidden") == (await as_other().get(f"/jobs/{job.job_id}/events")).error
    assert (404, "job_not_found") == (await live.api.get("/jobs/job_none/events")).error
    assert (401, "unauthorized") == (await live.api.get("/events", token="no token")).error


@pytest.mark.parametrize("headers", [{"Accept": "text/event-stream"}, {}])
async def test_a_user_has_only_so_many_streams_and_polls(start_live: StartLive, headers: dict[str, str]) -> None:
    """One too many is told when to come back; a job's stream counts as well."""
    live = await start_live(connections_per_user=1)
    job = await live.job()
    async with live.stream() as stream:
        await stream.read_types("welcome", "snapshot")
        refused: list[Answer] = [
            await live.api.get(path, headers=headers) for path in ("/events", f"/jobs/{job.job_id}/events")
        ]

    assert [(429, "too_many_requests")] * 2 == [answer.error for answer in refused]
    assert ["10", "10"] == [answer.headers["Retry-After"] for answer in refused]


@pytest.mark.parametrize("headers", [{"Accept": "text/event-stream"}, {}])
async def test_a_process_has_only_so_many_streams_and_polls(start_live: StartLive, headers: dict[str, str]) -> None:
    """It says so before it reads anything; answered with nothing, a poll would be repeated at once."""
    live = await start_live(connections_per_task=1)
    async with live.stream() as stream:
        await stream.read_types("welcome", "snapshot")
        refused = await live.api.get("/events", headers=headers)

    assert (503, "not_ready") == refused.error
    assert int(refused.headers["Retry-After"]) > 0


async def test_an_expired_token_ends_a_stream(start_live: StartLive) -> None:
    """A stream cannot take a fresh one: its client is warned, and comes back with it."""
    live = await start_live(expired_token_seconds=0)
    token = live.api.issuer.id_token(live.api.user, exp=int(time.time()) + 2)
    async with live.stream(token=token) as stream:
        found = await stream.read_types("welcome", "snapshot", "auth.expiring", "error", "the end")

    assert found[3]["data"]["code"] == "unauthorized"


async def test_a_stream_with_a_short_lived_token_is_not_asked_for_another_at_once(live: Live) -> None:
    """A client whose tokens all live that long would open one stream after the other."""
    token = live.api.issuer.id_token(live.api.user, exp=int(time.time()) + 30)
    async with live.stream(token=token) as stream:
        await stream.read_types("welcome", "snapshot")
        await asyncio.sleep(0.1)  # some checks
        live.hub._conditions_changed.set()
        await stream.read_types("system.degraded")


async def test_the_days_figures_are_told_by_the_streams_of_all_jobs_alone(live: Live) -> None:
    """Who follows one job wants to know of that one."""
    job = await live.job()
    figures = messages.quota(Quota(daily_limit=10, used=1, resets_at=0))
    async with live.stream() as stream, live.stream(f"/jobs/{job.job_id}/events") as stream_of_job:
        await stream.read_types("welcome", "snapshot")
        await stream_of_job.read_types("snapshot")
        live.hub._tell_quota(live.api.user, figures)
        await live.completed(job)
        told = await stream.read_types("quota", "job.processing", "job.completed")
        await stream_of_job.read_types("job.processing", "job.completed", "the end")

    assert None is told[0]["lastEventId"]


async def test_clients_are_counted_by_what_carries_their_messages(live: Live) -> None:
    """When they come and when they go."""
    cursor = (await live.poll())[1]
    polling = asyncio.create_task(live.poll(cursor, 25))
    async with live.stream() as stream:
        await stream.read_types("welcome", "snapshot")
        await live.joined(2)
        open_now = [live.count("ws_connections", transport=name) for name in TRANSPORTS]
        await live.hub.close()
    await polling

    assert [0, 1, 1] == open_now
    assert [0, 0, 0] == [live.count("ws_connections", transport=name) for name in TRANSPORTS]
    # The snapshot's poll ended as it should, the other with the service.
    assert [0, 1, 1] == [live.count("ws_closed_total", transport=name, code="1012") for name in TRANSPORTS]
    assert [0, 0, 1] == [live.count("ws_closed_total", transport=name, code="1000") for name in TRANSPORTS]


async def test_a_drain_asks_streams_to_come_back_and_ends_them(live: Live) -> None:
    """What was published before is told before; a long poll that waits is answered."""
    job = await live.job()
    _, cursor = await live.poll()
    _, cursor = await live.poll(cursor)
    polling = asyncio.create_task(live.poll(cursor, 25))
    async with live.stream() as stream:
        await stream.read_types("welcome", "snapshot")
        await live.joined(2)
        live.publish(JobEvent(event_id=EventId("f" * 28), type=EventType.RETRYING, at=0, job=job))
        closing = asyncio.create_task(live.hub.close())
        found = await stream.read_types("job.retrying", "reconnect", "the end")
    await closing

    assert 0 <= found[1]["data"]["afterMs"] <= 100
    assert ([], cursor) == await polling
    assert (503, "not_ready") == (await live.api.get("/events", params={"after": cursor})).error
    assert (503, "not_ready") == (await live.api.get("/events", headers={"Accept": "text/event-stream"})).error


async def test_a_stream_whose_client_does_not_read_is_cut(start_live: StartLive) -> None:
    """It harms itself only: nothing of it stays, although its line is never closed politely."""
    live = await start_live(write_seconds=0.2, outbox_frames=4, outbox_bytes=10**6)
    job = replace(await live.job(), prompt="x" * 200_000)
    before = live.connections
    with await _hung(live):
        await live.joined()
        async with asyncio.timeout(WAIT_SECONDS):
            number = 0
            while live.hub._listeners:
                number += 1
                event_id = EventId(f"{clock.now_milliseconds():012x}{number:016x}")
                live.publish(JobEvent(event_id=event_id, type=EventType.RETRYING, at=0, job=job))
                await asyncio.sleep(0.01)
            while live.connections > before:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
async def test_a_client_that_is_gone_is_noticed(live: Live, accept: str) -> None:
    """Within a second or so, not at the next ping: it counts as one of its user's."""
    headers = {"Authorization": f"Bearer {live.api.issuer.id_token(live.api.user)}", "Accept": accept}
    cursor = a_cursor(0)
    request = asyncio.create_task(_read_for_ever(live, f"/events?after={cursor}&wait=55", headers))
    await live.joined()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)

    await live.all_left()


async def _read_for_ever(live: Live, path: str, headers: dict[str, str]) -> None:
    async with live.api.http.get(path, headers=headers) as response:
        while await response.content.readany():
            pass


async def _hung(live: Live) -> socket.socket:
    """Open a stream whose client never reads, and has hardly room for what it is sent."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    host, port = live.api.http.host, live.api.http.port
    await loop.sock_connect(raw, (host, port))
    token = live.api.issuer.id_token(live.api.user)
    request = (
        f"GET /events HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    await loop.sock_sendall(raw, request.encode())
    return raw
