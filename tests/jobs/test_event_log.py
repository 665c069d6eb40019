"""The log of a user's events as a reader finds it, however late and by whatever way they got there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from consumers.attempt import Attempt
from jobs import clock, event_log, moves, told_writes
from jobs.actions import event_item
from jobs.aws import Clients
from jobs.errors import CursorUnknown
from jobs.event_log import OVERLAP_SECONDS, Cursor, EventLog
from jobs.events import EventType, InProcessBus, JobEvent, Notice
from jobs.ids import EventId, UserId
from jobs.job_table import JobTable, Tables
from jobs.model import Job
from jobs.work_queue import Delivery
from tests.aws_faults import AnswersLost
from tests.consumers.house import open_house
from tests.jobs.mishaps import NotesEventIds, table_on
from tests.jobs.story import claim, complete, new_job, output_of, stored

BEHIND_SECONDS = 2 * OVERLAP_SECONDS
"""An event so old is behind every reader that has seen one of now."""


@pytest.fixture
def log(clients: Clients, tables: Tables) -> EventLog:
    """Open the log."""
    return EventLog(clients.dynamodb, tables.events)


def id_of(milliseconds: int, tail: int = 0) -> EventId:
    """Make an event's id."""
    return EventId(f"{milliseconds:012x}{tail:016x}")


def now(seconds_ago: float = 0) -> int:
    """Return a moment in milliseconds."""
    return clock.now_milliseconds() - round(seconds_ago * 1000)


async def read(log: EventLog, user: UserId, cursor: Cursor) -> list[JobEvent]:
    """Read what a reader with this cursor is given."""
    return [event async for event in log.since(user, cursor) if isinstance(event, JobEvent)]


async def write(clients: Clients, tables: Tables, user: UserId, *ids: EventId) -> None:
    """Put events with these ids into the log."""
    job = new_job(user)
    for version, event_id in enumerate(ids, 1):
        event = JobEvent(event_id=event_id, type=EventType.QUEUED, at=now(), job=replace(job, version=version))
        await clients.dynamodb.put_item(TableName=tables.events, Item=event_item(event))


class CommitsLate:
    """Commits the first event under an id that was made so long ago: as if the transaction had been under way since then."""

    def __init__(self, client: Any, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Make the id older, then write."""
        events = [action["Put"]["Item"] for action in arguments["TransactItems"] if "Put" in action]
        for item in events:
            if "eventId" in item and self._seconds:
                item["eventId"] = id_of(int(item["eventId"][:12], 16) - round(self._seconds * 1000))
                self._seconds = 0
        return await self._client.transact_write_items(**arguments)


def test_a_cursor_is_read_as_it_was_written() -> None:
    """With a digest and without."""
    for cursor in (Cursor.at(now()), Cursor.after([id_of(now(3)), id_of(now(1))], Cursor.at(now(9)))):
        assert cursor == Cursor.read(str(cursor))


def test_an_events_id_is_a_cursor() -> None:
    """Sockets and streams hand out nothing else."""
    event_id = id_of(now(), 7)

    assert Cursor(event_id=event_id) == Cursor.read(event_id)


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 27, "0" * 29, "g" * 28, "0" * 28 + ".", "0" * 28 + ".12", "0" * 28 + "\n"]
)
def test_what_is_no_cursor_is_unknown(text: str) -> None:
    """It says so, and not that it is old."""
    with pytest.raises(CursorUnknown):
        Cursor.read(text)


@pytest.mark.parametrize(("seconds_ago", "is_known"), [(-61, False), (-59, True), (604_790, True), (604_810, False)])
def test_a_cursor_is_known_as_long_as_the_log_is_and_a_minute_ahead(seconds_ago: float, is_known: bool) -> None:
    """Clocks differ; but a cursor of the far future would be told nothing for ever."""
    text = str(Cursor.at(now(seconds_ago)))
    try:
        assert Cursor.read(text) is not None
    except CursorUnknown:
        assert not is_known
    else:
        assert is_known


def test_a_cursor_begins_ten_seconds_earlier() -> None:
    """Just before every id of that millisecond."""
    moment = now()
    start = Cursor(event_id=id_of(moment, 5)).overlap_start

    assert id_of(moment - 10_001, 2**64 - 1) < start < id_of(moment - 10_000)
    assert len(Cursor.at(0).overlap_start) == 12


def test_a_cursor_after_events_is_at_the_newest_of_them_in_whatever_order_they_came() -> None:
    """The highest id seen, not the last received; and never behind where it was."""
    ids = [id_of(now(seconds_ago)) for seconds_ago in (3, 1, 2)]
    ahead = Cursor.at(now(0))

    assert max(ids) == Cursor.after(ids, Cursor.at(now(9))).event_id
    assert Cursor.after(ids, Cursor.at(now(9))) == Cursor.after(reversed(ids), Cursor.at(now(9)))
    assert ahead.event_id == Cursor.after(ids, ahead).event_id


def test_a_digest_tells_whether_the_overlap_is_the_same() -> None:
    """What is older does not count: nothing may appear there."""
    start, newest = Cursor.at(now(99)), id_of(now())
    seen, late, old = id_of(now(5)), id_of(now(6)), id_of(now(11))
    digests = [Cursor.after(ids, start).digest for ids in ({seen, newest}, {seen, newest, old}, {seen, newest, late})]

    assert digests[0] == digests[1] != digests[2]
    assert all(digests)


async def test_the_log_is_read_from_the_overlap_on_in_order_of_ids(
    clients: Clients, tables: Tables, log: EventLog, user: UserId
) -> None:
    """Whatever order they were committed in; the ten seconds count to the millisecond."""
    moment = now()
    inside = [id_of(moment - 10_000), id_of(moment - 5), id_of(moment, 1), id_of(moment, 2), id_of(moment + 3)]
    await write(clients, tables, user, *reversed(inside), id_of(moment - 10_001, 2**63))
    await write(clients, tables, UserId(f"{user}-other"), id_of(moment))
    found = await read(log, user, Cursor(event_id=id_of(moment, 1)))

    assert inside == [event.event_id for event in found]
    assert inside[-1] == await log.newest_id(user)


async def test_a_long_log_is_read_in_pages(
    clients: Clients, tables: Tables, log: EventLog, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its end, also when the last page is full."""
    monkeypatch.setattr(event_log, "_PAGE", 2)
    ids = [id_of(now() + number) for number in range(6)]
    await write(clients, tables, user, *ids)

    assert ids == [event.event_id for event in await read(log, user, Cursor.at(now()))]


async def test_every_read_of_the_log_is_consistent(clients: Clients, tables: Tables, user: UserId) -> None:
    """An eventual one may miss what was committed, and told to nobody here, a moment ago."""
    queries: list[Mapping[str, Any]] = []

    class NotesQueries:
        async def query(self, **arguments: Any) -> Any:
            queries.append(arguments)
            return await clients.dynamodb.query(**arguments)

    log = EventLog(cast(Any, NotesQueries()), tables.events)
    await read(log, user, Cursor.at(now()))
    await log.newest_id(user)

    assert [True, True] == [query["ConsistentRead"] for query in queries]


async def test_an_event_is_read_as_it_was_published(
    clients: Clients, tables: Tables, log: EventLog, user: UserId
) -> None:
    """A replayed frame and a live one are the same; who works on the job is nobody's business."""
    bus, seen = InProcessBus(), list[Notice]()
    bus.subscribe(user, seen.append)
    table = table_on(clients.dynamodb, tables, bus)
    await complete(table, await claim(table, await stored(table, user)))
    found = await read(log, user, Cursor.at(now()))
    published = [event for event in seen if isinstance(event, JobEvent)]

    assert [replace(event, job=replace(event.job, owner=None, lease_until=None)) for event in published] == found


async def test_each_attempt_to_commit_has_an_event_id_of_its_own(
    clients: Clients, tables: Tables, log: EventLog, user: UserId
) -> None:
    """Rule (a): one from before the tries would be as old as all of them."""
    job = await stored(table_on(clients.dynamodb, tables), user)
    noting = NotesEventIds(clients.dynamodb, 2)
    await claim(table_on(noting, tables), job)

    assert 3 == len(set(noting.event_ids))
    assert sorted(noting.event_ids) == noting.event_ids
    assert noting.event_ids[-1] == await log.newest_id(user)


async def test_a_commit_whose_answer_was_lost_reaches_a_reader_that_has_passed_it(
    clients: Clients, tables: Tables, log: EventLog, user: UserId
) -> None:
    """Rule (a): the second attempt finds that the first has landed, nobody knows when, and tells of it under a fresh id."""
    job = await claim(table_on(clients.dynamodb, tables), await stored(table_on(clients.dynamodb, tables), user))
    reader = Cursor(event_id=id_of(now()))
    late = AnswersLost(CommitsLate(clients.dynamodb, BEHIND_SECONDS), 1)
    await table_on(late, tables).apply(job, moves.completed("me", output_of(job), now()))
    before = await read(log, user, Cursor.at(now(99)))
    after = await read(log, user, reader)

    assert [4, 2, 3, 4] == [event.job.version for event in before]
    assert [(EventType.COMPLETED, 4)] == [(event.type, event.job.version) for event in after if event.job.version > 3]


async def test_a_late_commit_reaches_a_reader_that_has_passed_it(
    clients: Clients, tables: Tables, log: EventLog, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule (b): a commit later than four seconds is told again under a fresh id, which is also the one that is published."""
    bus, seen = InProcessBus(), list[Notice]()
    job = await stored(table_on(clients.dynamodb, tables), user)
    bus.subscribe(user, seen.append)
    reader = Cursor(event_id=id_of(now()))
    monkeypatch.setattr(told_writes, "LATE_COMMIT_SECONDS", 0.0)
    held = await claim(table_on(CommitsLate(clients.dynamodb, BEHIND_SECONDS), tables, bus), job)
    found = [event for event in await read(log, user, reader) if event.type is EventType.PROCESSING]

    assert [held.version] == [event.job.version for event in found]
    assert [found[0].event_id] == [event.event_id for event in seen if isinstance(event, JobEvent)]


def test_lateness_clocks_and_an_unnoticed_gap_fit_into_the_overlap() -> None:
    """What nobody tells again is a commit of four seconds; a hung bus is noticed after three."""
    assert told_writes.LATE_COMMIT_SECONDS == 4
    assert OVERLAP_SECONDS >= told_writes.LATE_COMMIT_SECONDS + 3 + 2  # two seconds for clocks that differ


async def test_a_timely_commit_is_told_once(clients: Clients, tables: Tables, log: EventLog, user: UserId) -> None:
    """Nothing is put again that needs it not."""
    table = table_on(clients.dynamodb, tables)
    await claim(table, await stored(table, user))

    assert [2, 3] == [event.job.version for event in await read(log, user, Cursor.at(now()))]


@pytest.mark.parametrize("late_seconds", [0, 3.5, 9])
async def test_a_commit_within_the_overlap_reaches_a_reader_that_has_passed_it(
    clients: Clients, tables: Tables, log: EventLog, user: UserId, late_seconds: float
) -> None:
    """Rule (d): its id is older than the newest that the reader has seen, and it is found all the same."""
    job = await stored(table_on(clients.dynamodb, tables), user)
    reader = Cursor(event_id=id_of(now()))
    await claim(table_on(CommitsLate(clients.dynamodb, late_seconds), tables), job)

    assert EventType.PROCESSING in [event.type for event in await read(log, user, reader)]


async def killed_between_commit_and_second_put(clients: Clients, tables: Tables, user: UserId) -> Job:
    """Complete a job so late that readers have passed the event, and die before it is put again."""
    table = table_on(clients.dynamodb, tables)
    job = await claim(table, await stored(table, user))
    return await complete(table_on(CommitsLate(clients.dynamodb, BEHIND_SECONDS), tables), job)


async def test_an_end_whose_writer_was_killed_is_told_again(
    clients: Clients, tables: Tables, log: EventLog, user: UserId
) -> None:
    """Rule (c): under a fresh id, as it was, to the log and to those who watch."""
    bus, seen = InProcessBus(), list[Notice]()
    ended = await killed_between_commit_and_second_put(clients, tables, user)
    reader = Cursor(event_id=id_of(now()))
    before = await read(log, user, reader)
    bus.subscribe(user, seen.append)
    await table_on(clients.dynamodb, tables, bus).tell_end_again(ended)
    after = await read(log, user, reader)

    assert EventType.COMPLETED not in [event.type for event in before]
    assert [*before, *seen] == after
    assert (EventType.COMPLETED, ended) == (after[-1].type, after[-1].job)


@pytest.mark.parametrize(("how", "told"), [("fail", EventType.FAILED), ("cancel", EventType.CANCELED)])
async def test_every_kind_of_end_can_be_told_again(
    clients: Clients, tables: Tables, log: EventLog, user: UserId, how: str, told: EventType
) -> None:
    """As what it was."""
    table = table_on(clients.dynamodb, tables)
    job = await stored(table, user)
    move = moves.canceled_if(lambda _: False, now()) if how == "cancel" else moves.expired(now())
    ended = await table.apply(job, move)
    await table.tell_end_again(ended)
    events = await read(log, user, Cursor.at(now()))

    assert [(told, ended.version)] * 2 == [(event.type, event.job.version) for event in events[1:]]


async def test_whoever_removes_the_message_of_an_ended_job_tells_its_end(
    clients: Clients, tables: Tables, log: EventLog, user: UserId, cloud_environment: Mapping[str, str]
) -> None:
    """Rule (c): a worker dies between its late commit and the second put; its message comes again, to another worker."""
    async with open_house(clients, tables, cloud_environment) as house:
        ended = await killed_between_commit_and_second_put(clients, tables, user)
        await house.queue.send(ended)
        (delivery,) = await _received(house.queue)
        reader = Cursor(event_id=id_of(now()))
        await Attempt(house.workshop, delivery).run()
    found = [event for event in await read(log, user, reader) if event.type is EventType.COMPLETED]

    assert [delivery.receipt] == house.workshop.acknowledger._receipts
    assert [ended] == [event.job for event in found]


async def test_a_message_of_an_ended_job_stays_until_its_end_is_told(
    clients: Clients, tables: Tables, user: UserId, cloud_environment: Mapping[str, str]
) -> None:
    """Rule (c): the log cannot be written just now; the message comes again."""

    class CannotTell(JobTable):
        async def tell_end_again(self, job: Job) -> None:
            raise ConnectionError

    async with open_house(clients, tables, cloud_environment) as house:
        ended = await killed_between_commit_and_second_put(clients, tables, user)
        await house.queue.send(ended)
        (delivery,) = await _received(house.queue)
        workshop = replace(house.workshop, table=CannotTell(clients.dynamodb, tables, house.bus))
        await Attempt(workshop, delivery).run()

    assert [] == workshop.acknowledger._receipts


async def _received(queue: Any) -> list[Delivery]:
    while not (deliveries := await queue.receive(1)):
        pass
    return cast(list[Delivery], deliveries)
