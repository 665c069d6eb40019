"""What is told of events that are no change of a job: all that is told of those that are, but for the day's figures."""

from __future__ import annotations

import pytest

from jobs import clock
from jobs.event_log import Cursor
from jobs.events import Event
from jobs.ids import UserId
from jobs.model import Quota
from tests.push.stage import GappyBus, Log, Message, Push, Theatre, completed, confirmed, happened, progress

MINUTE = 60
REPORT = "report.confirmed"


@pytest.fixture
def bus() -> GappyBus:
    """Make a bus that can be cut."""
    return GappyBus()


@pytest.fixture
def log() -> Log:
    """Make a log."""
    return Log()


@pytest.fixture
def reads() -> list[UserId]:
    """Note whose figures are read."""
    return []


@pytest.fixture
async def push(theatre: Theatre, bus: GappyBus, log: Log, reads: list[UserId]) -> Push:
    """Start a push floor that heals without delay, and tells the day's figures soon."""

    async def read_quota(user_id: UserId) -> Quota:
        reads.append(user_id)
        return Quota(daily_limit=10, used=3, resets_at=clock.next_utc_midnight(0))

    return await theatre.start(
        bus=bus, log=log, read_quota=read_quota, quota_seconds=0.02, healing_reads_per_second=10_000, healing_seconds=30
    )


def versions(told: list[Message]) -> list[int]:
    """Name reports by their versions."""
    return [message["data"]["version"] for message in told]


async def test_every_client_of_the_user_is_told_and_nobody_else(push: Push, bus: GappyBus) -> None:
    """The data with id and time, and no job; in its place among what else happens."""
    first, second, bob = [await push.connect_live(name) for name in ("alice", "alice", "bob")]
    event = confirmed()
    for notice in (progress(0.5), event, completed()):
        bus.publish(notice)
    told = [await client.read_types("job.progress", REPORT, "job.completed") for client in (first, second)]
    await bob.assert_silent()

    assert told[0] == told[1]
    assert {"type": REPORT, "id": event.event_id, "time": clock.iso(event.at), "data": event.data} == told[0][1]


async def test_a_ping_names_it_as_the_newest(push: Push, bus: GappyBus) -> None:
    """A client that has not seen it knows that it has missed something."""
    client = await push.connect_live()
    event = confirmed()
    bus.publish(event)
    await client.read_types(REPORT)
    await client.send({"type": "ping"})
    (ping,) = await client.read_types("ping")

    assert event.event_id == ping["data"]["newestId"]


async def test_a_client_that_comes_back_is_told_what_it_has_missed(push: Push, log: Log) -> None:
    """In the order of the log; it may leave off after either kind."""
    missed: list[Event] = [happened(4), confirmed(3), happened(2, version=3), confirmed(1, version=2)]
    log.write(*missed, confirmed(user="bob"))
    client = await push.connect_since(missed[0].event_id)
    told = await client.read_types("job.completed", REPORT, "job.completed", REPORT)
    again = await push.connect_since(missed[-1].event_id)
    await again.read_types("job.completed", REPORT, "job.completed", REPORT)

    assert [event.event_id for event in missed] == [message["id"] for message in told]


async def test_only_jobs_among_what_was_missed_have_the_figures_told(push: Push, log: Log, reads: list[UserId]) -> None:
    """Whatever was the last of it."""
    log.write(confirmed(user="bob"), happened(), confirmed())
    bob = await push.connect_since(Cursor.at(clock.now_milliseconds()), "bob")
    await bob.read_types(REPORT)
    alice = await push.connect_since(Cursor.at(clock.now_milliseconds()))
    await alice.read_types("job.completed", REPORT, "quota")
    await bob.assert_silent()

    assert ["alice"] == reads


async def test_a_report_alone_moves_no_figures(push: Push, bus: GappyBus, reads: list[UserId]) -> None:
    """Those that follow are a job's."""
    client = await push.connect_live()
    bus.publish(confirmed())
    await client.read_types(REPORT)
    bus.publish(happened(version=2))
    await client.read_types("job.completed", "quota")

    assert ["alice"] == reads


async def test_what_the_bus_has_missed_is_told_once(push: Push, bus: GappyBus, log: Log) -> None:
    """Healed from the log; and the next healing, whose overlap has it, does not tell it again."""
    client = await push.connect_live()
    for version in (1, 2):
        log.write(confirmed(version=version))
        bus.is_whole = False
        bus.mend("alice")
        assert [version] == versions(await client.read_types(REPORT))
    await client.assert_silent()


async def test_while_something_may_be_missing_it_is_no_place_to_leave_off(push: Push, bus: GappyBus, log: Log) -> None:
    """Told at once by its own task, without an id; and with one when the gap is healed."""
    client = await push.connect_live()
    missed, event = confirmed(1), confirmed(version=2)
    log.write(missed, event)
    bus.is_whole = False
    bus.publish(missed)
    bus.publish_here(event)
    (early,) = await client.read_types(REPORT)
    bus.mend("alice")
    healed = await client.read_types(REPORT, REPORT)

    assert (2, False) == (early["data"]["version"], "id" in early)
    assert [missed.event_id, event.event_id] == [message["id"] for message in healed]


async def test_one_that_is_told_live_and_in_the_recovery_is_the_same(theatre: Theatre, log: Log) -> None:
    """Interleaving: register, commit, publish (buffered), read, flush. Whoever compares ids or versions counts it once."""
    push = await theatre.start(log=log)
    log.go.clear()
    event = confirmed()
    log.write(event)
    client = await push.connect_since(happened(MINUTE).event_id)
    await log.reached.wait()
    push.bus.publish(event)
    await push.hub._notices.join()
    log.go.set()
    first, second = await client.read_types(REPORT, REPORT)

    assert first == second
