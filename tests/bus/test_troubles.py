"""What the bus over Redis does when the server, a connection or a message is no good."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from jobs import notices, retelling
from jobs.aws import Clients
from jobs.event_log import Cursor, EventLog
from jobs.events import UserEvent
from jobs.ids import JobId, UserId
from jobs.job_table import JobTable, Tables
from jobs.notices import Word
from jobs.redis_bus import HANG_UP_SECONDS, PROGRESS_PER_USER, STOP_SECONDS, UNSENT_NOTICES, RedisBus
from jobs.retelling import Retelling
from tests.bus.conftest import StartTask
from tests.bus.load import USERS, numbers, watched
from tests.bus.redis_server import RedisServer
from tests.bus.stage import ALICE, WAIT_SECONDS, completed, confirmed, job, new_task, progress, watch

one_server = pytest.mark.parametrize("server", ["redis"], indirect=True)


@one_server
async def test_a_hung_server_does_not_make_publishing_wait(server: RedisServer, start_task: StartTask) -> None:
    """More than the bus can hold is dropped; local watchers get it all before publish returns."""
    here = await start_task()
    ear, _ = await watch(here.bus)
    server.hang()

    for number in range(2 * UNSENT_NOTICES):
        here.bus.publish(completed(number))
    server.resume()

    assert [completed(number) for number in range(2 * UNSENT_NOTICES)] == await ear.take(2 * UNSENT_NOTICES)
    assert here.count("event_bus_dropped_total") >= UNSENT_NOTICES


async def test_a_user_watched_while_the_server_is_down_is_heard_once_it_is_up(
    server: RedisServer, start_task: StartTask
) -> None:
    """Nobody waits long for it, and what was missed meanwhile is healed first."""
    here, there = await start_task(), await start_task()
    server.kill()
    await here.cut()

    async with asyncio.timeout(3):
        ear, _ = await watch(here.bus)
    assert [] == here.healed
    await asyncio.to_thread(server.start)
    await here.whole()
    await there.whole()
    assert [ALICE] == here.healed

    there.bus.publish(completed(1))
    assert completed(1) == await ear.next()


@one_server
async def test_who_has_gone_while_the_server_was_down_is_not_listened_to(
    server: RedisServer, start_task: StartTask
) -> None:
    """Only those who are watched are subscribed."""
    here = await start_task()
    _, end = await watch(here.bus)
    assert "test:u:alice" in server.command("PUBSUB", "CHANNELS")
    server.kill()
    await here.cut()

    end()
    await asyncio.to_thread(server.start)
    await here.whole()

    assert "test:u:alice" not in server.command("PUBSUB", "CHANNELS")
    assert [] == here.healed


@one_server
async def test_a_channel_is_left_with_the_last_watcher(server: RedisServer, start_task: StartTask) -> None:
    """The server is not asked for what nobody wants."""
    here = await start_task()
    _, end_first = await watch(here.bus)
    _, end_second = await watch(here.bus)

    end_first()
    await here.bus.listening(ALICE)
    assert "test:u:alice" in server.command("PUBSUB", "CHANNELS")

    end_second()
    await here.until(lambda: "test:u:alice" not in server.command("PUBSUB", "CHANNELS"))


@one_server
async def test_a_connection_that_is_cut_is_a_gap(server: RedisServer, start_task: StartTask) -> None:
    """The bus is whole again by itself, with all users healed."""
    here, there = await watched(start_task)

    server.command("CLIENT", "KILL", "TYPE", "pubsub")
    await here.until(lambda: [True, False, True] == here.reports)
    await there.until(lambda: [True, False, True] == there.reports)
    there.bus.publish(completed(7, USERS[0]))
    await here.until(lambda: 7 in numbers(here, USERS[0]))

    assert set(USERS) == set(here.healed)


@one_server
async def test_a_message_that_cannot_be_read_is_a_gap(
    server: RedisServer, start_task: StartTask, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, its user healed, and the next message is told."""
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus)
    foreign = notices.encode(b"x", replace(completed(2), job=job(UserId("mallory"))))
    unreadable = [b"", b"x", b"x []", b"x {}", b'x {"word":"boo"}', b'x {"job":{}}', b"x \xff", foreign]

    for payload in unreadable:
        server.command("PUBLISH", "test:u:alice", payload)
    there.bus.publish(completed(1))

    assert completed(1) == await ear.next()
    assert ear.is_empty
    assert [ALICE] * len(unreadable) == here.healed
    assert ["A message of another task cannot be read"] * len(unreadable) == caplog.messages
    assert here.bus.is_whole


@one_server
async def test_others_are_told_what_could_not_be_sent(server: RedisServer, start_task: StartTask) -> None:
    """A task that has to drop events says so on their users' channels."""
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus)

    for number in range(UNSENT_NOTICES + 3):
        there.bus.publish(completed(number))

    assert [completed(number) for number in range(UNSENT_NOTICES)] == await ear.take(UNSENT_NOTICES)
    await here.until(lambda: [ALICE] == here.healed)
    assert 3 == there.count("event_bus_dropped_total")
    assert here.bus.is_whole


@one_server
async def test_events_that_are_sent_late_are_noted(server: RedisServer, start_task: StartTask) -> None:
    """Those that waited when the bus was cut, and those that came while it was; they are sent all the same."""
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus)
    server.hang()
    there.bus.publish(completed(0))
    await asyncio.sleep(0.1)  # now it is under way; the others wait behind it
    there.bus.publish(completed(1))
    there.bus.publish(progress(0.5))
    there.bus.publish(confirmed(2))
    await there.cut()
    assert [completed(0), completed(1), confirmed(2)] == there.late

    there.bus.publish(completed(3))
    assert completed(3) == there.late[-1]
    server.resume()
    while await ear.next() != completed(3):
        pass
    await there.whole()
    there.bus.publish(completed(4))
    assert completed(4) == await ear.next()
    assert completed(4) not in there.late


@one_server
async def test_what_is_no_change_of_a_job_is_told_again_after_a_cut(
    server: RedisServer,
    start_task: StartTask,
    clients: Clients,
    tables: Tables,
    user: UserId,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its own task, to those who watch elsewhere and in the log, under an id that no client has passed."""
    monkeypatch.setattr(retelling, "LOOK_SECONDS", 0.01)
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus, user)
    again = Retelling(JobTable(clients.dynamodb, tables, there.bus), there.bus)
    there.bus.on_dropped(again.note)
    server.hang()
    await here.cut()
    await there.cut()
    there.bus.publish(confirmed(1, user))
    server.resume()
    await here.whole()  # until then it would read the log itself
    await there.whole()
    again.start()
    told = [await ear.next()]
    while told[-1] == confirmed(1, user):  # the first one is sent all the same
        told.append(await ear.next())
    await again.stop()
    log = EventLog(clients.dynamodb, tables.events)

    assert isinstance(told[-1], UserEvent)
    assert confirmed(1).data == told[-1].data
    assert told[-1] in [event async for event in log.since(user, Cursor.at(0))]


@one_server
async def test_a_user_who_comes_back_at_once_is_not_waited_for(server: RedisServer, start_task: StartTask) -> None:
    """The channel is subscribed still, so there is no answer to wait for, and nothing was missed."""
    here, there = await start_task(), await start_task()
    _, end = await watch(here.bus)

    end()
    async with asyncio.timeout(0.8):
        ear, _ = await watch(here.bus)
    there.bus.publish(completed(1))

    assert completed(1) == await ear.next()
    assert [] == here.healed


@one_server
async def test_a_user_who_comes_back_before_the_server_has_answered_has_missed_nothing(
    server: RedisServer, start_task: StartTask
) -> None:
    """The answer to the first is good for the second; nobody reads the log for that."""
    here, there = await start_task(), await start_task()
    end = here.watch(ALICE)
    for _ in range(3):
        await asyncio.sleep(0)  # now the server is asked

    end()
    ear, _ = await watch(here.bus)
    there.bus.publish(completed(1))

    assert completed(1) == await ear.next()
    assert [] == here.healed


@one_server
async def test_a_notice_that_cannot_be_written_costs_no_other(
    server: RedisServer, start_task: StartTask, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and other tasks are told that they have missed something."""
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus)
    unwritable = replace(completed(1), job=replace(job(), style=object()))  # type: ignore[arg-type]

    there.bus.publish(unwritable)
    there.bus.publish(completed(2))

    assert completed(2) == await ear.next()
    await here.until(lambda: [ALICE] == here.healed)
    assert ["A notice cannot be sent"] == caplog.messages


@one_server
async def test_a_task_starts_without_its_server(server: RedisServer) -> None:
    """It says that it is not whole, and is, as soon as the server is there."""
    server.kill()
    task = new_task(server.url, "test")
    await task.bus.start()
    try:
        assert [False] == task.reports
        await asyncio.to_thread(server.start)
        await task.whole()
        assert [False, True] == task.reports
        assert 1 == task.count("event_bus_whole")
    finally:
        await task.bus.stop()


@one_server
async def test_a_task_that_stops_sends_what_is_due(server: RedisServer, start_task: StartTask) -> None:
    """Its last events are not lost, and nothing of it stays behind."""
    here = await start_task()
    ear, _ = await watch(here.bus)
    leaving = new_task(server.url, "test")
    await leaving.bus.start()

    for number in range(500):
        leaving.bus.publish(completed(number))
    await leaving.bus.stop()
    await leaving.bus.stop()

    assert [completed(number) for number in range(500)] == await ear.take(500)
    assert not [task for task in asyncio.all_tasks() if "redis" in task.get_name() and task.done()]
    assert not leaving.bus.failed.done()


@one_server
async def test_a_bus_that_dies_says_so(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """A process whose bus is dead must not go on as if it were well."""

    def fail(is_whole: bool) -> None:
        if is_whole:
            raise ZeroDivisionError

    bus = RedisBus(server.url, prefix="test", registry=CollectorRegistry(), report=fail)
    await bus.start()

    async with asyncio.timeout(WAIT_SECONDS):
        await bus.failed
    assert not bus.is_whole
    assert ["The event bus died"] == [record.message for record in caplog.records if record.levelname == "CRITICAL"]
    await bus.stop()


@one_server
async def test_a_stop_while_the_server_hangs_ends_soon(server: RedisServer) -> None:
    """No stop waits for a server."""
    task = new_task(server.url, "test")
    await task.bus.start()
    task.bus.publish(completed(1))
    server.hang()

    async with asyncio.timeout(STOP_SECONDS + HANG_UP_SECONDS + 0.5):
        await task.bus.stop()


@one_server
async def test_progress_of_other_tasks_is_remembered_within_bounds(server: RedisServer, start_task: StartTask) -> None:
    """The oldest goes first, and all with the last watcher."""
    here, there = await start_task(), await start_task()
    ear, end = await watch(here.bus)
    jobs = [f"job_{number}" for number in range(PROGRESS_PER_USER + 1)]

    for name in jobs:
        there.bus.publish(progress(0.5, job_id=name))
    await ear.take(len(jobs))
    assert here.bus.progress_of(JobId(jobs[0])) is None
    assert progress(0.5, job_id=jobs[1]) == here.bus.progress_of(JobId(jobs[1]))

    end()
    assert [] == [name for name in jobs if here.bus.progress_of(JobId(name))]


@one_server
async def test_the_bus_counts_what_it_does(server: RedisServer, start_task: StartTask) -> None:
    """Sent, received, gaps."""
    here, there = await start_task(), await start_task()
    ear, _ = await watch(here.bus)

    there.bus.publish(completed(1))
    there.bus.publish(progress(0.1))
    await ear.take(2)
    server.command("PUBLISH", "test:u:alice", notices.encode(b"other", Word.MISSED))
    await here.until(lambda: [ALICE] == here.healed)

    assert 2 == here.count("event_bus_received_total")
    assert 1 == here.count("event_bus_gaps_total")
    await there.until(lambda: there.count("event_bus_published_total") == 2)
    assert 1 == here.count("event_bus_whole")
