"""What a client is told that left off somewhere, in every order in which things can happen meanwhile."""

from __future__ import annotations

import asyncio
import re
import uuid

import pytest

from jobs import clock
from jobs.actions import event_item
from jobs.aws import Clients
from jobs.event_log import Cursor, EventLog
from jobs.ids import EventId, UserId
from jobs.job_table import Tables
from jobs.model import JSON, Job
from tests.push.stage import GappyBus, Log, Theatre, happened, plain_view
from websocket.messages import Snapshot

MINUTE = 60
DAY = clock.DAY_SECONDS
UNKNOWN = "The cursor is not one of this log, or is older than it."


async def test_a_client_is_told_what_it_has_missed_and_what_follows(theatre: Theatre) -> None:
    """From its cursor on, in order, and no snapshot."""
    seen, *missed = (happened(MINUTE - number, version=number) for number in (2, 20, 30))
    push = await theatre.start(log=Log(seen, *missed))
    client = await push.connect_since(seen.event_id)
    told = await client.read_types(*["job.completed"] * 3)
    push.bus.publish(happened(version=31))

    assert [event.event_id for event in (seen, *missed)] == [message["id"] for message in told]
    assert await client.read_versions(1) == [31]


async def test_an_event_committed_before_the_log_is_read_is_replayed(theatre: Theatre) -> None:
    """Interleaving: commit, publish (nobody listens), register, read, flush."""
    log = Log()
    push = await theatre.start(log=log)
    since = Cursor.at(clock.now_milliseconds())
    event = happened()
    log.write(event)
    push.bus.publish(event)
    client = await push.connect_since(since)

    assert await client.read_versions(1) == [2]

    await client.assert_silent()


async def test_an_event_committed_and_published_while_the_log_is_read_follows_the_replay(theatre: Theatre) -> None:
    """Interleaving: register, read, commit, publish (buffered), read answered, flush."""
    log = Log(happened(MINUTE / 2))
    push = await theatre.start(log=log)
    log.go.clear()
    client = await push.connect_since(happened(MINUTE).event_id)
    await log.reached.wait()
    late = happened(version=3)
    log.write(late)
    push.bus.publish(late)
    await push.hub._notices.join()
    log.go.set()

    assert await client.read_versions(2) == [2, 3]

    await client.assert_silent()


async def test_an_event_committed_before_the_read_and_published_after_it_is_told_twice(theatre: Theatre) -> None:
    """Interleaving: register, commit, read, flush, publish: once replayed, once live, with the same version and id."""
    event = happened()
    push = await theatre.start(log=Log(event))
    client = await push.connect_since(happened(MINUTE).event_id)
    (replayed,) = await client.read_types("job.completed")
    push.bus.publish(event)
    (live,) = await client.read_types("job.completed")

    assert replayed == live


async def test_an_event_published_while_the_log_that_has_it_is_read_is_told_twice(theatre: Theatre) -> None:
    """Interleaving: register, commit, publish (buffered), read, flush."""
    log = Log()
    push = await theatre.start(log=log)
    log.go.clear()
    event = happened()
    log.write(event)
    client = await push.connect_since(happened(MINUTE).event_id)
    await log.reached.wait()
    push.bus.publish(event)
    await push.hub._notices.join()
    log.go.set()

    assert await client.read_versions(2) == [2, 2]


async def test_an_event_committed_after_the_read_is_told_live(theatre: Theatre) -> None:
    """Interleaving: register, read, flush, commit, publish."""
    log = Log()
    push = await theatre.start(log=log)
    client = await push.connect_since(happened(MINUTE).event_id)
    await client.assert_silent()  # it has recovered
    event = happened()
    log.write(event)
    push.bus.publish(event)

    assert await client.read_versions(1) == [2]


async def test_a_commit_that_became_visible_behind_the_cursor_is_told(theatre: Theatre) -> None:
    """Its id was made before that of the newest event the client has seen; the overlap has both."""
    newest, late = happened(MINUTE), happened(MINUTE + 4, job_id="job_late")
    push = await theatre.start(log=Log(newest, late))
    client = await push.connect_since(newest.event_id)
    told = await client.read_types("job.completed", "job.completed")

    assert [late.event_id, newest.event_id] == [message["id"] for message in told]


async def test_a_commit_older_than_the_overlap_is_told_by_its_second_event(theatre: Theatre) -> None:
    """Whoever committed so late has put it again, under a fresh id."""
    newest = happened(MINUTE)
    first, again = happened(MINUTE + 20, job_id="job_late"), happened(MINUTE - 1, job_id="job_late")
    push = await theatre.start(log=Log(newest, first, again))
    client = await push.connect_since(newest.event_id)
    told = await client.read_types("job.completed", "job.completed")

    assert [newest.event_id, again.event_id] == [message["id"] for message in told]


@pytest.mark.parametrize(
    "cursor",
    ["", "0", "x" * 28, "F" * 28, Cursor.at(0), happened(8 * DAY).event_id, happened(-DAY).event_id],
    ids=["empty", "short", "letters", "capitals", "1970", "older than the log", "of the future"],
)
async def test_an_unknown_cursor_gets_a_resync_and_a_snapshot(theatre: Theatre, cursor: object) -> None:
    """A recovery is complete, or says that it is not."""
    push = await theatre.start(log=Log(happened()))
    client = await push.connect_since(cursor)
    resync, snapshot = await client.read_types("resync", "snapshot")
    await client.assert_silent()

    assert resync["data"] == {"reason": UNKNOWN}
    assert snapshot["data"]["jobs"] == []


async def test_too_many_events_get_a_resync_and_a_snapshot(theatre: Theatre) -> None:
    """One more than may be told; exactly so many are told."""
    events = [happened(ago, version=version) for version, ago in enumerate((40, 30, 29, 28))]
    push = await theatre.start(log=Log(*events), recovered_events=3)
    client = await push.connect_since(happened(MINUTE).event_id)
    resync, _ = await client.read_types("resync", "snapshot")
    fitting = await push.connect_since(Cursor.at(clock.now_milliseconds() - 25_000))

    assert re.match("Too much has happened", resync["data"]["reason"])
    assert await fitting.read_versions(3) == [1, 2, 3]


async def test_a_hello_says_where_its_client_left_off(theatre: Theatre) -> None:
    """A browser's does, and what is said there counts before the address."""
    push = await theatre.start(log=Log(happened(MINUTE), happened(5, version=3)))
    client = await push.connect(None, params={"since": "nonsense"})
    await client.send({"type": "hello", "token": "alice", "since": happened(20).event_id})
    await client.read_types("welcome")

    assert await client.read_versions(1) == [3]

    without = await push.connect(None, params={"since": happened(20).event_id})
    await without.send({"type": "hello", "token": "alice"})
    await without.read_types("welcome")

    assert await without.read_versions(1) == [3]


async def test_a_cursor_too_long_is_a_bad_frame(theatre: Theatre) -> None:
    """In a hello as in a resume."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.send({"type": "resume", "since": "0" * 101})

    assert await client.read_error() == ("invalid_request", 4400)


async def test_a_log_that_cannot_be_read_closes_the_socket(theatre: Theatre) -> None:
    """The client comes back; it is never left live with something missing."""
    log = Log()
    log.is_readable = False
    push = await theatre.start(log=log)
    client = await push.connect_since(happened().event_id)

    assert await client.read_error() == ("unavailable", 4503)


async def test_a_log_that_hangs_is_given_up(theatre: Theatre) -> None:
    """Reading has a time-out."""
    log = Log()
    log.go.clear()
    push = await theatre.start(log=log, snapshot_seconds=0.05)
    client = await push.connect_since(happened().event_id)

    assert await client.read_error() == ("unavailable", 4503)


async def test_after_a_deploy_only_so_many_are_read_for_at_once(theatre: Theatre) -> None:
    """All are welcome meanwhile, and each has its turn."""
    log = Log(happened(5))
    log.go.clear()
    push = await theatre.start(log=log, recoveries_at_once=2)
    clients = [await push.connect_since(happened(MINUTE).event_id) for _ in range(5)]
    log.go.set()
    versions = [await client.read_versions(1) for client in clients]

    assert [[2]] * 5 == versions
    assert log.most_at_once == 2


async def test_nothing_is_read_for_who_did_not_wait(theatre: Theatre) -> None:
    """Clients give up and come back: read for nobody, their earlier selves would hold up the later."""
    log = Log(happened(5))
    log.go.clear()
    push = await theatre.start(log=log, recoveries_at_once=1)
    cursor = happened(MINUTE).event_id
    first, *left, last = [await push.connect_since(cursor) for _ in range(5)]
    for client in left:
        response = client.socket._response
        assert response.connection is not None
        assert response.connection.transport is not None
        response.connection.transport.abort()
    await push.noticed_gone(len(left))
    log.go.set()
    versions = [await client.read_versions(1) for client in (first, last)]

    assert versions == [[2], [2]]
    assert 2 == log.reads


async def test_who_waits_too_long_for_a_turn_is_sent_away(theatre: Theatre) -> None:
    """To come back a little later, where there may be room."""
    log = Log()
    log.go.clear()
    push = await theatre.start(log=log, recoveries_at_once=1, recovery_seconds=0.2)
    clients = [await push.connect_since(happened().event_id) for _ in range(3)]

    assert [("unavailable", 4503)] * 3 == [await client.read_error() for client in clients]


async def test_the_first_resume_does_not_wait_and_is_answered_at_once(theatre: Theatre) -> None:
    """The pause between resumes is the next one's alone."""
    push = await theatre.start(resume_pause_seconds=60)
    client = await push.connect_live()
    await client.send({"type": "resume", "since": happened(MINUTE).event_id})

    await client.assert_silent()


async def test_a_live_client_resumes_at_any_time(theatre: Theatre) -> None:
    """Once more from its cursor, or with a resync, and then on as before."""
    log = Log(happened(MINUTE, version=2), happened(MINUTE / 2, version=3))
    push = await theatre.start(log=log)
    client = await push.connect_live()
    await client.send({"type": "resume", "since": happened(MINUTE * 2).event_id})
    first = await client.read_versions(2)
    await client.send({"type": "resume", "since": "nonsense"})
    await client.read_types("resync", "snapshot")
    push.bus.publish(happened(version=4))

    assert first == [2, 3]
    assert await client.read_versions(1) == [4]


async def test_more_than_an_outbox_holds_is_resumed_at_the_readers_speed(theatre: Theatre) -> None:
    """A slow reader is no reason to close: nothing of this is urgent."""

    async def large_view(job: Job) -> dict[str, JSON]:
        return {**await plain_view(job), "prompt": "x" * 100_000}

    events = [happened(MINUTE - number * 0.1, version=number) for number in range(50)]
    push = await theatre.start(log=Log(*events), view=large_view, outbox_frames=4, outbox_bytes=1000)
    client = await push.connect_live()
    await client.send({"type": "resume", "since": happened(MINUTE * 2).event_id})
    versions = []
    for _ in events:
        versions += await client.read_versions(1)
        await asyncio.sleep(0.002)
    await client.assert_silent()

    assert versions == list(range(50))


async def test_what_happens_during_a_resume_follows_it(theatre: Theatre) -> None:
    """Interleaving: resume, read, live event, read answered. Told between, it would be where the client left off if cut there."""
    log = Log(*(happened(MINUTE - number, version=number) for number in range(3)))
    push = await theatre.start(log=log)
    client = await push.connect_live()
    log.go.clear()
    await client.send({"type": "resume", "since": happened(MINUTE * 2).event_id})
    await log.reached.wait()
    push.bus.publish(happened(version=9))
    await push.hub._notices.join()
    log.go.set()

    assert await client.read_versions(4) == [0, 1, 2, 9]


async def test_a_client_that_is_flooded_during_a_resume_is_closed_as_slow(theatre: Theatre) -> None:
    """What gathers is bounded, as it is for everybody."""
    log = Log()
    push = await theatre.start(log=log, outbox_frames=2)
    client = await push.connect_live()
    log.go.clear()
    await client.send({"type": "resume", "since": happened(MINUTE).event_id})
    await log.reached.wait()
    for version in range(3):
        push.bus.publish(happened(version=version))

    assert (await client.read_end())[1] == 4208


async def test_a_snapshot_is_where_a_client_can_leave_off(theatre: Theatre) -> None:
    """Its id is a cursor."""
    event = happened(20)

    async def read_snapshot(_: UserId) -> Snapshot:
        return Snapshot(position=event.event_id, jobs=[], has_more=False, quota={})

    log = Log(event)
    push = await theatre.start(log=log, read_snapshot=read_snapshot)
    client = await push.connect()
    _, snapshot = await client.read_types("welcome", "snapshot")
    await client.socket.close()
    log.write(happened(5, version=3))
    back = await push.connect_since(snapshot["id"])

    assert EventId(snapshot["id"]) == event.event_id
    assert await back.read_versions(2) == [2, 3]


async def test_an_event_of_a_type_that_only_newer_tasks_know_is_told_as_it_is(
    theatre: Theatre, clients: Clients, tables: Tables
) -> None:
    """While a release is rolled out: to a client that resumes, and to one that stays, for whom the log is read."""
    user, bus, log = f"alice-{uuid.uuid4()}", GappyBus(), EventLog(clients.dynamodb, tables.events)
    push = await theatre.start(log=log, bus=bus)
    older, unknown, newer = (happened(MINUTE - number, user=user, version=number) for number in (1, 2, 3))
    for event, changes in ((older, {}), (unknown, {"type": "job.archived"}), (newer, {})):
        await clients.dynamodb.put_item(TableName=tables.events, Item=event_item(event) | changes)
    client = await push.connect_since(older.event_id, token=user)
    told = await client.read_types("job.completed", "job.archived", "job.completed")
    live = happened(user=user, version=4)
    await clients.dynamodb.put_item(TableName=tables.events, Item=event_item(live) | {"type": "job.archived"})
    bus.note_gap(user)  # as the bus between tasks does when it cannot read a notice
    found = [await client.read()]
    while found[-1]["job"]["version"] < 4:
        found.append(await client.read())

    assert [event.event_id for event in (older, unknown, newer)] == [message["id"] for message in told]
    assert {"type", "id", "time", "job"} == told[1].keys()
    assert (user, 2) == (told[1]["job"]["userId"], told[1]["job"]["version"])
    assert ("job.archived", live.event_id) == (found[-1]["type"], found[-1]["id"])
