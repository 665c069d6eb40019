"""What becomes of events that the bus has missed while clients are connected."""

from __future__ import annotations

import asyncio

import pytest

from jobs.ids import UserId
from jobs.model import JSON, Job
from tests.push.stage import GappyBus, Log, Push, Theatre, happened, plain_view

MINUTE = 60


@pytest.fixture
def bus() -> GappyBus:
    """Make a bus that can be cut."""
    return GappyBus()


@pytest.fixture
def log() -> Log:
    """Make a log."""
    return Log()


@pytest.fixture
async def push(theatre: Theatre, bus: GappyBus, log: Log) -> Push:
    """Start a push floor that heals without delay, but by itself only now and then."""
    return await theatre.start(bus=bus, log=log, healing_reads_per_second=10_000, healing_seconds=30)


def lose(bus: GappyBus, log: Log, *, user: str = "alice", version: int = 2) -> None:
    """Commit an event whose notice gets lost."""
    event = happened(user=user, version=version)
    log.write(event)
    bus.is_whole = False
    bus.publish(event)


async def test_what_was_missed_is_told_when_the_gap_is_known(push: Push, bus: GappyBus, log: Log) -> None:
    """To every client of that user, and to nobody else."""
    first, second, bob = [await push.connect_live(name) for name in ("alice", "alice", "bob")]
    lose(bus, log)
    bus.mend("alice")

    assert [await client.read_versions(1) for client in (first, second)] == [[2], [2]]

    await bob.assert_silent()

    assert log.reads == 1


async def test_while_the_bus_is_down_everybody_is_told_from_the_log(theatre: Theatre, bus: GappyBus, log: Log) -> None:
    """Over and over, each event once."""
    push = await theatre.start(bus=bus, log=log, healing_seconds=0.02)
    alice, bob = [await push.connect_live(name) for name in ("alice", "bob")]
    lose(bus, log)
    lose(bus, log, user="bob")
    first = [await client.read_versions(1) for client in (alice, bob)]
    await log.read_again(4)
    lose(bus, log, version=3)

    assert first == [[2], [2]]
    assert await alice.read_versions(1) == [3]

    await log.read_again(4)
    for client in (alice, bob):
        await client.assert_silent()


async def test_known_gaps_are_healed_first_while_the_bus_is_down(theatre: Theatre, bus: GappyBus, log: Log) -> None:
    """All others may have missed nothing, and a thousand of them would take seconds."""
    push = await theatre.start(bus=bus, log=log, healing_seconds=30, healing_reads_at_once=1)
    clients = [await push.connect_live(name) for name in ("alice", "alice-2", "alice-3", "bob")]
    bus.is_whole = False
    bus.note_gap("bob", "alice-3")
    await log.read_again(len(clients))

    assert ["bob", "alice-3", "alice", "alice-2"] == log.readers


async def test_a_gap_in_the_midst_of_a_round_does_not_wait_for_its_end(
    theatre: Theatre, bus: GappyBus, log: Log
) -> None:
    """Neither does one of somebody who has had a turn in it; and once the bus is whole, nobody else has one."""
    push = await theatre.start(bus=bus, log=log, healing_seconds=30, healing_reads_at_once=1)
    clients = [await push.connect_live(name) for name in ("alice", "alice-2", "alice-3", "bob")]
    assert len(clients) == 4
    log.go.clear()
    bus.is_whole = False
    bus.note_gap("alice")
    await log.reached.wait()
    bus.note_gap("bob")
    bus.mend("alice")
    log.go.set()
    await log.read_again(3)

    assert ["alice", "alice", "bob"] == log.readers


async def test_what_was_told_before_the_gap_is_told_again_only_within_the_overlap(
    push: Push, bus: GappyBus, log: Log
) -> None:
    """Ten seconds before the newest event that is known to be told."""
    client = await push.connect_live()
    for version, seconds_ago in ((2, 30), (3, 15), (4, 8)):
        event = happened(seconds_ago, version=version)
        log.write(event)
        bus.publish(event)
    before = await client.read_versions(3)
    lose(bus, log, version=5)
    bus.mend("alice")

    assert before == [2, 3, 4]
    assert await client.read_versions(3) == [3, 4, 5]

    await client.assert_silent()


async def test_a_second_gap_does_not_tell_again_what_the_first_healing_told(
    push: Push, bus: GappyBus, log: Log
) -> None:
    """The healings overlap, their stories do not."""
    client = await push.connect_live()
    lose(bus, log, version=2)
    bus.mend("alice")
    first = await client.read_versions(1)
    lose(bus, log, version=3)
    bus.mend("alice")

    assert first == [2]
    assert await client.read_versions(1) == [3]

    await client.assert_silent()


async def test_an_event_after_an_unhealed_gap_is_no_place_to_leave_off(push: Push, bus: GappyBus, log: Log) -> None:
    """Interleaving: event lost, bus back, next event told, client cut, healing. It must not come back behind the lost one."""
    client = await push.connect_live()
    log.is_readable = False
    lose(bus, log)
    bus.mend("alice")
    await log.read_again()
    after = happened(version=3)
    log.write(after)
    bus.publish(after)
    (told,) = await client.read_types("job.completed")

    assert told["job"]["version"] == 3
    assert "id" not in told

    log.is_readable = True
    bus.note_gap("alice")
    healed = await client.read_types("job.completed", "job.completed")

    assert [message["job"]["version"] for message in healed] == [2, 3]
    assert healed[-1]["id"] == after.event_id


async def test_this_tasks_own_events_are_no_place_to_leave_off_while_the_bus_is_down(
    push: Push, bus: GappyBus, log: Log
) -> None:
    """They arrive all the same; what other tasks have done meanwhile may be missing."""
    client = await push.connect_live()
    bus.is_whole = False
    own = happened(version=3)
    bus.publish_here(own)
    (during,) = await client.read_types("job.completed")
    log.write(happened(MINUTE / 20, job_id="job_elsewhere"), own)
    bus.mend("alice")
    healed = await client.read_types("job.completed", "job.completed")
    bus.publish(happened(version=4))
    (later,) = await client.read_types("job.completed")

    assert "id" not in during
    assert ["job_elsewhere", "job_1"] == [message["job"]["jobId"] for message in healed]
    assert "id" in later


async def test_the_position_does_not_move_past_a_gap(push: Push, bus: GappyBus, log: Log) -> None:
    """Neither by an event told live meanwhile nor by the recovery of another client."""
    client = await push.connect_live()
    lost = happened(MINUTE)
    log.write(lost, happened(1, version=3))
    told = happened(MINUTE + 1, version=1)
    push.hub.note_told(UserId("alice"), told.event_id)
    whole_until = push.hub._audiences[UserId("alice")].whole_until
    log.is_readable = False
    bus.note_gap("alice")
    await log.read_again()
    bus.publish(happened(2, version=4))
    await client.read_versions(1)
    push.hub.note_told(UserId("alice"), happened().event_id)
    still = push.hub._audiences[UserId("alice")].whole_until
    log.is_readable = True
    bus.note_gap("alice")

    assert whole_until.event_id == told.event_id
    assert still == whole_until
    assert await client.read_versions(2) == [2, 3]


async def test_a_healing_that_fails_is_repeated_until_it_works(theatre: Theatre, bus: GappyBus, log: Log) -> None:
    """The bus is back and nobody will say again that something was missed."""
    push = await theatre.start(bus=bus, log=log, healing_seconds=0.02)
    client = await push.connect_live()
    log.is_readable = False
    lose(bus, log)
    bus.mend("alice")
    await log.read_again(3)
    log.is_readable = True

    assert await client.read_versions(1) == [2]
    assert not push.hub.failed.done()

    await client.assert_silent()

    assert push.hub._healer._gaps == {}


async def test_a_healing_that_failed_while_the_bus_was_down_stays_due(
    theatre: Theatre, bus: GappyBus, log: Log
) -> None:
    """Whatever the bus says when it is back."""
    push = await theatre.start(bus=bus, log=log, healing_seconds=0.02)
    client = await push.connect_live()
    log.is_readable = False
    lose(bus, log)
    await log.read_again(3)
    bus.is_whole = log.is_readable = True

    assert await client.read_versions(1) == [2]


async def test_a_gap_that_is_noted_during_its_healing_is_healed_once_more(push: Push, bus: GappyBus, log: Log) -> None:
    """Interleaving: gap, log read, another event lost and its gap noted, read answered."""
    client = await push.connect_live()
    log.go.clear()
    lose(bus, log, version=2)
    bus.mend("alice")
    await log.reached.wait()
    lose(bus, log, version=3)
    bus.mend("alice")
    log.go.set()

    assert await client.read_versions(2) == [2, 3]


async def test_a_user_who_leaves_meanwhile_is_forgotten(push: Push, bus: GappyBus, log: Log) -> None:
    """Interleaving: gap, log read, the user leaves, read answered; and one who has left has no gaps."""
    client = await push.connect_live()
    log.go.clear()
    lose(bus, log)
    bus.mend("alice")
    await log.reached.wait()
    await client.socket.close()
    await push.all_gone()
    log.go.set()
    await log.read_again(0)
    bus.note_gap("alice", "nobody")
    bob = await push.connect_live("bob")
    lose(bus, log, user="bob")
    bus.mend("bob")

    assert await bob.read_versions(1) == [2]
    assert push.hub._healer._gaps == {}
    assert not push.hub.failed.done()


async def test_too_much_missed_closes_the_users_clients(theatre: Theatre, bus: GappyBus, log: Log) -> None:
    """They come back and are told so; others stay."""
    push = await theatre.start(bus=bus, log=log, recovered_events=2)
    alice, bob = [await push.connect_live(name) for name in ("alice", "bob")]
    for version in range(3):
        lose(bus, log, version=version)
    bus.mend("alice", "bob")

    assert await alice.read_error() == ("unavailable", 4503)

    await bob.assert_silent()


async def test_an_event_that_cannot_be_shown_closes_its_user_and_nobody_else(
    theatre: Theatre, bus: GappyBus, log: Log
) -> None:
    """A defect in one user's event must not end the process, and with it everybody's connection."""

    async def view(job: Job) -> dict[str, JSON]:
        if job.user_id == "alice":
            raise ValueError("a bug")
        return await plain_view(job)

    push = await theatre.start(bus=bus, log=log, view=view)
    alice, bob = [await push.connect_live(name) for name in ("alice", "bob")]
    lose(bus, log)
    lose(bus, log, user="bob")
    bus.mend("alice", "bob")

    assert await alice.read_error() == ("unavailable", 4503)
    assert await bob.read_versions(1) == [2]
    assert not push.hub.failed.done()


async def test_one_who_comes_while_the_bus_is_down_misses_nothing(push: Push, bus: GappyBus, log: Log) -> None:
    """Interleaving: bus cut, register, read, event lost, bus back."""
    bus.is_whole = False
    client = await push.connect_since(happened(MINUTE).event_id)
    await client.assert_silent()
    lose(bus, log)
    bus.mend("alice")

    assert await client.read_versions(1) == [2]


async def test_a_client_waits_until_the_bus_listens_for_its_user(theatre: Theatre) -> None:
    """Interleaving: register, event committed and lost (nobody listens yet), listening, read: the log must be read last."""

    class SlowBus(GappyBus):
        def __init__(self) -> None:
            super().__init__()
            self.asked, self.listens = asyncio.Event(), asyncio.Event()

        async def listening(self, user_id: UserId) -> None:
            self.asked.set()
            await self.listens.wait()

    bus, log = SlowBus(), Log()
    push = await theatre.start(bus=bus, log=log)
    client = await push.connect_since(happened(MINUTE).event_id)
    await bus.asked.wait()
    lose(bus, log)
    bus.is_whole = True
    reads = log.reads
    bus.listens.set()

    assert reads == 0
    assert await client.read_versions(1) == [2]
