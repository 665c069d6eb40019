"""What reaches which socket, and in which order."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from jobs.ids import EventId, UserId
from jobs.model import JSON, Job
from tests.push.stage import FullTransport, Push, Theatre, completed, plain_view, progress
from websocket.connection import Connection
from websocket.messages import Snapshot


async def test_a_live_socket_is_told_what_happens(theatre: Theatre) -> None:
    """An event comes whole, with its id; progress comes without one."""
    push = await theatre.start()
    client = await push.connect_live()
    push.bus.publish(progress(0.5))
    push.bus.publish(completed(number=7))

    moving, done = await client.read_types("job.progress", "job.completed")

    assert "id" not in moving
    assert moving["job"] == {"jobId": "job_1", "version": 1, "status": "processing"}
    assert moving["data"] == {"stage": "generating", "fraction": 0.5, "message": "Working"}
    assert f"{7:028x}" == done["id"]
    assert done["time"] == "1970-01-01T00:00:00.000Z"
    assert done["job"]["status"] == "completed"


async def test_what_happens_while_the_snapshot_is_read_follows_it(theatre: Theatre) -> None:
    """Interleaving: registered, snapshot being read, event published, snapshot read."""
    reading, may_finish = asyncio.Event(), asyncio.Event()

    async def slow_snapshot(_: UserId) -> Snapshot:
        reading.set()
        await may_finish.wait()
        return Snapshot(position=EventId("5"), jobs=[{"jobId": "job_1"}], has_more=True, quota={"usedToday": 1})

    push = await theatre.start(read_snapshot=slow_snapshot)
    client = await push.connect()
    await reading.wait()
    push.bus.publish(completed())
    await push.hub._notices.join()
    may_finish.set()

    _, snapshot, _ = await client.read_types("welcome", "snapshot", "job.completed")

    assert snapshot["id"] == "5"
    assert snapshot["data"] == {"jobs": [{"jobId": "job_1"}], "hasMore": True, "quota": {"usedToday": 1}}


async def test_a_snapshot_of_an_empty_log_has_no_id(theatre: Theatre) -> None:
    """There is no position to resume from."""

    async def no_events(_: UserId) -> Snapshot:
        return Snapshot(position=None, jobs=[], has_more=False, quota={})

    push = await theatre.start(read_snapshot=no_events)
    client = await push.connect()

    _, snapshot = await client.read_types("welcome", "snapshot")

    assert "id" not in snapshot


async def test_every_socket_of_the_owner_is_told_and_nobody_else(theatre: Theatre) -> None:
    """Two tabs of alice hear of her job; bob hears of his own only."""
    push = await theatre.start()
    first, second, bob = [await push.connect_live(name) for name in ("alice", "alice", "bob")]
    push.bus.publish(completed("alice"))
    push.bus.publish(completed("bob", job_id="job_of_bob"))

    heard = [(await client.read())["job"]["jobId"] for client in (first, second, bob)]

    assert heard == ["job_1", "job_1", "job_of_bob"]


async def test_a_notice_is_written_once_for_all_sockets(theatre: Theatre) -> None:
    """Both connections are handed the same frame, and the job's links are signed once."""
    views: list[str] = []

    async def counting_view(job: Job) -> dict[str, JSON]:
        views.append(job.job_id)
        return await plain_view(job)

    push = await theatre.start(view=counting_view)
    first, second = [_unstarted_connection(push) for _ in range(2)]
    with push.hub.holding(first), push.hub.holding(second):
        for connection in (first, second):
            push.hub.join(connection, UserId("alice"))
        push.bus.publish(completed())
        frames = [await connection._outbox.take() for connection in (first, second)]

    assert views == ["job_1"]
    assert frames[0] is not None
    assert frames[0] is frames[1]


async def test_the_bus_is_watched_only_while_a_user_is_connected(theatre: Theatre) -> None:
    """One subscription for all sockets of a user; the last to leave ends it."""
    push = await theatre.start()
    first, second = [await push.connect_live() for _ in range(2)]

    assert len(push.bus._watchers[UserId("alice")]) == 1

    await first.socket.close()
    await second.socket.close()
    await push.all_gone()

    assert push.bus._watchers == {}
    assert push.count("ws_connections", transport="socket") == 0


async def test_a_ping_is_answered_with_the_newest_event(theatre: Theatre) -> None:
    """The position of the snapshot counts until an event comes."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.send({"type": "ping"})
    (before,) = await client.read_types("ping")
    push.bus.publish(completed(number=9))
    await client.read_types("job.completed")
    await client.send({"type": "ping"})
    (after,) = await client.read_types("ping")

    assert ["0", f"{9:028x}"] == [ping["data"]["newestId"] for ping in (before, after)]


async def test_the_hub_pings_by_itself(theatre: Theatre) -> None:
    """A silent line still shows that it is alive."""
    push = await theatre.start(ping_message_seconds=0.05)
    client = await push.connect_live()

    await client.read_types("ping", "ping")


async def test_a_view_that_fails_closes_its_user_and_nobody_else(theatre: Theatre) -> None:
    """The dispatcher lives on; the closed client reads everything anew."""

    async def view(job: Job) -> dict[str, JSON]:
        if job.user_id == "alice":
            raise ValueError("no links today")
        return await plain_view(job)

    push = await theatre.start(view=view)
    alice, bob = [await push.connect_live(name) for name in ("alice", "bob")]
    push.bus.publish(completed("alice"))
    push.bus.publish(completed("bob"))

    await bob.read_types("job.completed")

    assert await alice.read_error() == ("unavailable", 4503)
    assert not push.hub.failed.done()


async def test_notices_beyond_the_bound_close_their_user(theatre: Theatre) -> None:
    """A notice is never left out in silence."""
    push = await theatre.start(undelivered_notices=1)
    alice, bob = [await push.connect_live(name) for name in ("alice", "bob")]
    push.bus.publish(completed("bob"))
    push.bus.publish(completed("alice"))

    assert await alice.read_error() == ("unavailable", 4503)

    await bob.read_types("job.completed")


async def test_a_snapshot_that_cannot_be_read_closes_the_socket(theatre: Theatre) -> None:
    """A client is never left live without knowing how things are."""

    async def hung_snapshot(_: UserId) -> Snapshot:
        await asyncio.Event().wait()
        raise AssertionError

    push = await theatre.start(read_snapshot=hung_snapshot, snapshot_seconds=0.05)
    client = await push.connect()
    await client.read_types("welcome")

    assert await client.read_error() == ("unavailable", 4503)


@pytest.mark.parametrize("error", [KeyError("a bug"), ConnectionResetError("not the client's")])
async def test_an_unforeseen_failure_stays_on_its_socket(theatre: Theatre, error: Exception) -> None:
    """Nothing reaches the HTTP middleware, which would write an HTTP answer into the stream."""

    async def broken_snapshot(_: UserId) -> Snapshot:
        raise error

    push = await theatre.start(read_snapshot=broken_snapshot)
    client = await push.connect()
    await client.read_types("welcome")

    assert await client.read_error() == ("unavailable", 4503)


def _unstarted_connection(push: Push) -> Connection:
    """Return a connection that gathers frames and has no writer to send them."""
    socket = web.WebSocketResponse()
    return Connection(socket, FullTransport(), limits=push.hub.limits, metrics=push.hub.metrics)
