"""What happens to a user's jobs, for a client that can hold neither a socket nor a stream."""

from __future__ import annotations

import asyncio

import pytest

from jobs import clock
from jobs.event_log import Cursor
from jobs.events import EventType, JobEvent, JobProgress, Stage
from jobs.ids import EventId
from tests.rest.api import claim
from tests.rest.feed.live import Live, a_cursor, caught_up
from websocket.polling import MAX_WAIT_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_poll_without_a_cursor_begins_with_a_snapshot(live: Live) -> None:
    """Its cursor leads on."""
    job = await live.job()
    (snapshot,), cursor = await live.poll(wait=25)
    after, _ = await live.poll(cursor, 25)

    assert ("snapshot", snapshot["id"]) == (snapshot["type"], cursor)
    assert [job.job_id] == [event["job"]["jobId"] for event in after]


async def test_a_poll_of_somebody_without_a_job_leads_on_too(live: Live) -> None:
    """Without a cursor it would be told the same over and over, as fast as it can ask."""
    (snapshot,), cursor = await live.poll()
    polling = asyncio.create_task(live.poll(cursor, 25))
    await live.joined()
    job = await live.job()
    (event,), _ = await polling

    assert [] == snapshot["data"]["jobs"]
    assert (job.job_id, "job.queued") == (event["job"]["jobId"], event["type"])


async def test_a_poll_waits_and_answers_at_the_event(live: Live) -> None:
    """With the very object that a socket is sent."""
    job = await live.job()
    cursor = await caught_up(live)
    polling = asyncio.create_task(live.poll(cursor, 25))
    await live.joined()
    await claim(live.api.services.jobs, job)
    (event,), later = await polling

    assert {"type", "id", "time", "job"} == event.keys()
    assert ("job.processing", 3) == (event["type"], event["job"]["version"])
    assert Cursor.read(later).event_id == event["id"]
    assert ([], later) == await live.poll(later)


async def test_a_poll_is_answered_by_what_is_no_change_of_a_job_too(live: Live) -> None:
    """Told as a socket is, once; and what appears late, inside the overlap, is told as any event is."""
    cursor = await caught_up(live)
    polling = asyncio.create_task(live.poll(cursor, 25))
    await live.joined()
    event = await live.confirm(version=2)
    (told,), cursor = await polling
    settled = await live.poll(cursor)
    late = await live.confirm(5)
    events, _ = await live.poll(cursor, 25)

    assert {"type": event.type, "id": event.event_id, "time": clock.iso(event.at), "data": event.data} == told
    assert ([], cursor) == settled
    assert [late.event_id, event.event_id] == [one["id"] for one in events]


async def test_an_empty_answer_keeps_the_cursor(live: Live) -> None:
    """Nothing has happened in the time."""
    await live.job()
    cursor = await caught_up(live)

    assert ([], cursor) == await live.poll(cursor, 0.1)


async def test_an_event_of_the_overlap_is_not_told_again(live: Live) -> None:
    """Neither alone, nor with what is new, nor because its notice comes late."""
    first, second = await live.job(), await live.job()
    cursor = await caught_up(live)
    claimed = await claim(live.api.services.jobs, second)
    events, cursor = await live.poll(cursor, 25)
    polling = asyncio.create_task(live.poll(cursor, 0.3))
    await live.joined()
    live.publish(JobEvent(event_id=EventId(events[0]["id"]), type=EventType.PROCESSING, at=0, job=claimed))

    assert [second.job_id] == [event["job"]["jobId"] for event in events]
    assert ([], cursor) == await polling
    assert first.job_id != second.job_id


async def test_a_late_commit_inside_the_overlap_is_told(live: Live) -> None:
    """Its id is older than the newest that was told; the digest shows that something has appeared."""
    job = await live.job()
    cursor = await caught_up(live)
    late = await live.log(job, 5)
    events, after = await live.poll(cursor, 25)

    assert late == events[0]["id"]
    assert 2 == len(events)
    assert Cursor.read(cursor).event_id == Cursor.read(after).event_id
    assert ([], after) == await live.poll(after)


async def test_a_late_commit_while_a_poll_waits_is_told(live: Live) -> None:
    """Interleaving: poll waits, an event with an older id is committed and published."""
    job = await live.job()
    cursor = await caught_up(live)
    polling = asyncio.create_task(live.poll(cursor, 25))
    await live.joined()
    late = await live.log(job, 3)
    live.publish(JobEvent(event_id=late, type=EventType.QUEUED, at=0, job=job))
    events, _ = await polling

    assert late in [event["id"] for event in events]


async def test_an_unknown_cursor_is_answered_with_a_resync_and_a_snapshot(live: Live) -> None:
    """At once, and with a cursor that leads on."""
    for after in ("nonsense", a_cursor(8 * clock.DAY_SECONDS)):
        events, cursor = await live.poll(after, 25)

        assert ["resync", "snapshot"] == [event["type"] for event in events]
        assert ([], cursor) == await live.poll(cursor)


@pytest.mark.parametrize("wait", ["-1", "55.1", "x", "nan", "inf"])
async def test_a_poll_cannot_wait_as_long_as_it_likes(live: Live, wait: str) -> None:
    """Nor can its cursor be of any length."""
    answer = await live.api.get("/events", params={"wait": wait})
    too_long = await live.api.get("/events", params={"after": "0" * 101})

    assert (400, "invalid_request") == answer.error == too_long.error
    assert ("wait", "after") == (answer.body["field"], too_long.body["field"])
    assert f"wait must be a number of seconds from 0 to {MAX_WAIT_SECONDS}" == answer.body["error"]


async def test_progress_does_not_end_a_poll(live: Live) -> None:
    """Only what lasts does."""
    job = await live.job()
    cursor = await caught_up(live)
    polling = asyncio.create_task(live.poll(cursor, 0.2))
    await live.joined()
    live.publish(JobProgress(job=job, at=0, stage=Stage.GENERATING, fraction=0.5, message="Working"))

    assert ([], cursor) == await polling
