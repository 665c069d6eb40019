"""What clients are told of the day's figures."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import replace

import pytest

from jobs import clock, moves
from jobs.aws import Clients
from jobs.errors import CloudUnavailable
from jobs.event_log import EventLog
from jobs.events import EventType, InProcessBus, JobEvent
from jobs.files import Files
from jobs.ids import EventId, UserId, new_job_id
from jobs.job_table import JobTable, Limits, Tables
from jobs.model import Charge, Failure, Job, Output, Quota, Status
from jobs.moves import Move, Transition
from jobs.views import JobViews
from tests.push.stage import WAIT_SECONDS, Client, Log, Message, Push, Theatre, happened, job
from websocket.quota import moves_quota
from websocket.snapshot import SnapshotReader

DAILY_LIMIT = 10
NOW = clock.now_milliseconds()
FAILURE = Failure(code="invalid_image", message="It is no photo.", retryable=False)
OUTPUT = Output(url="s3://results/1.png", model_name="a-model", generation_milliseconds=1, facts={})
QUEUED = replace(job(status=Status.QUEUED, version=2), charge=Charge.TAKEN)
RUNNING = replace(job(version=3), owner="worker", started_at=NOW, lease_until=NOW + 10_000)


class Day:
    """Figures that a test moves, and who has asked for them. ``go`` holds back the answers, ``is_readable`` False fails them."""

    def __init__(self) -> None:
        self.used = 0
        self.reads: Counter[UserId] = Counter()
        self.is_readable = True
        self.go = asyncio.Event()
        self.go.set()
        self._is_read = asyncio.Condition()

    async def read(self, user_id: UserId) -> Quota:
        """Read as the table does."""
        async with self._is_read:
            self.reads[user_id] += 1
            self._is_read.notify_all()
        await self.go.wait()
        if not self.is_readable:
            raise CloudUnavailable
        return Quota(daily_limit=DAILY_LIMIT, used=self.used, resets_at=clock.next_utc_midnight(NOW))

    async def been_read(self, times: int) -> None:
        """Wait until it has been read so many times."""
        async with asyncio.timeout(WAIT_SECONDS), self._is_read:
            await self._is_read.wait_for(lambda: self.reads.total() >= times)


@pytest.fixture
def day() -> Day:
    """Make a day."""
    return Day()


@pytest.fixture
async def push(theatre: Theatre, day: Day) -> Push:
    """Start a push floor that looks soon."""
    return await theatre.start(read_quota=day.read, quota_seconds=0.02)


def queued(user: str = "alice", *, version: int = 2, job_id: str = "job_1") -> JobEvent:
    """Return the event of a job that has taken a unit."""
    after = job(user, job_id=job_id, version=version, status=Status.QUEUED)
    return JobEvent(event_id=EventId(f"{version:028x}"), type=EventType.QUEUED, at=0, job=after)


async def used_told(client: Client) -> int:
    """Read one message, which must tell the day's figures, and return how many units are used."""
    (message,) = await client.read_types("quota")
    assert {"type", "time", "data"} == message.keys()
    used: int = message["data"]["usedToday"]
    return used


async def test_every_client_of_the_user_is_told_the_new_figures(push: Push, day: Day) -> None:
    """After the event that moved them; and nobody else."""
    first, second, bob = [await push.connect_live(name) for name in ("alice", "alice", "bob")]
    day.used = 1
    push.bus.publish(queued())
    for client in (first, second):
        _, told = await client.read_types("job.queued", "quota")

        assert told["data"] == {
            "dailyLimit": 10,
            "usedToday": 1,
            "remainingQuota": 9,
            "resetsAt": clock.iso(clock.next_utc_midnight(NOW)),
        }

    await bob.assert_silent()

    assert {UserId("alice"): 1} == day.reads


async def test_the_figures_follow_the_table(
    theatre: Theatre, clients: Clients, tables: Tables, bus: InProcessBus, views: JobViews
) -> None:
    """A unit is taken, kept by what completes and given back by what fails."""
    table, user = JobTable(clients.dynamodb, tables, bus), UserId(f"alice-{uuid.uuid4()}")
    log = EventLog(clients.dynamodb, tables.events)
    reader = SnapshotReader(table, log, views, daily_limit=DAILY_LIMIT, jobs=50)
    push = await theatre.start(bus=bus, read_snapshot=reader.read, read_quota=reader.quota, quota_seconds=0.02)
    client = await push.connect_live(user)
    completes, fails = [await submit(table, user) for _ in range(2)]
    told = await until_used(client, 2)
    completes = await table.apply(completes, moves.claimed("worker", NOW + 60_000, NOW))
    await table.apply(completes, moves.completed("worker", OUTPUT, NOW))
    await table.apply(fails, moves.failed(FAILURE, NOW, owner=None, keeps_charge=False))
    after = await until_used(client, 1)

    # The second unit is taken before its job is queued: its figures may come first.
    changes = [message["type"] for message in (*told, *after) if message["type"] != "quota"]
    assert ["job.queued", "job.queued", "job.processing", "job.completed", "job.failed"] == changes
    assert (await reader.quota(user)).remaining == after[-1]["data"]["remainingQuota"] == DAILY_LIMIT - 1


async def test_what_happens_together_is_read_once(theatre: Theatre, day: Day) -> None:
    """A hundred jobs in a moment cost one read, and one message."""
    push = await theatre.start(read_quota=day.read, quota_seconds=0.3)
    client = await push.connect_live()
    day.used = 100
    for version in range(2, 102):
        push.bus.publish(queued(version=version))
    await client.read_types(*["job.queued"] * 100)

    assert 100 == await used_told(client)

    await client.assert_silent()

    assert 1 == day.reads.total()


async def test_a_unit_that_was_given_back_at_once_is_told(push: Push, day: Day) -> None:
    """The figures are those told last; but the answer to the request that took the unit has said otherwise."""
    client = await push.connect_live()
    push.bus.publish(queued())
    told = [await client.read_types("job.queued", "quota")]
    push.bus.publish(queued(version=3))
    told.append(await client.read_types("job.queued", "quota"))

    assert [0, 0] == [quota["data"]["usedToday"] for _, quota in told]


async def test_nobody_is_read_without_a_client_here(push: Push, day: Day) -> None:
    """Interleaving: event, its user leaves, look; and an event of somebody who has never been here."""
    alice, bob = [await push.connect_live(name) for name in ("alice", "bob")]
    push.bus.publish(queued())
    await alice.read_types("job.queued")
    await alice.socket.close()
    push.bus.publish(queued("carol"))
    push.bus.publish(queued("bob"))
    await bob.read_types("job.queued", "quota")

    assert day.reads.keys() <= {UserId("alice"), UserId("bob")}


async def test_what_cannot_be_read_is_told_with_the_next_event(
    push: Push, day: Day, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is closed for it."""
    client = await push.connect_live()
    day.is_readable, day.used = False, 1
    push.bus.publish(queued())
    await day.been_read(1)
    day.is_readable = True
    push.bus.publish(queued(version=3))
    await client.read_types("job.queued", "job.queued")

    assert 1 == await used_told(client)
    assert ["The day's figures cannot be read"] == [record.getMessage() for record in caplog.records]
    assert not push.hub.failed.done()


async def test_one_hung_read_does_not_hold_up_the_others_for_long(theatre: Theatre, day: Day) -> None:
    """It has a time-out."""
    push = await theatre.start(read_quota=day.read, quota_seconds=0.02, quota_read_seconds=0.1)
    client = await push.connect_live()
    day.go.clear()
    push.bus.publish(queued())
    await day.been_read(1)
    bob = await push.connect_live("bob")
    push.bus.publish(queued("bob"))
    await day.been_read(2)
    day.go.set()

    await bob.read_types("job.queued", "quota")
    await client.read_types("job.queued")


async def test_a_defect_in_reading_ends_nothing(theatre: Theatre, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    read = asyncio.Event()

    async def broken(_: UserId) -> Quota:
        read.set()
        raise ValueError("a bug")

    push = await theatre.start(read_quota=broken, quota_seconds=0.02)
    client = await push.connect_live()
    push.bus.publish(queued())
    await read.wait()
    await client.read_types("job.queued")
    await client.assert_silent()

    assert not push.hub.failed.done()
    assert "a bug" in caplog.text


async def test_a_client_that_comes_back_is_told_what_it_has_missed(theatre: Theatre, day: Day) -> None:
    """Another of its user's was told; no snapshot tells it here."""
    log = Log()
    push = await theatre.start(read_quota=day.read, quota_seconds=0.02, log=log)
    stays = await push.connect_live()
    day.used = 1
    push.bus.publish(queued())
    await stays.read_types("job.queued", "quota")
    log.write(happened())
    back = await push.connect_since(happened(60).event_id)
    await back.read_types("job.completed")

    assert [1, 1] == [await used_told(client) for client in (back, stays)]


async def test_a_client_that_has_missed_nothing_costs_no_read(push: Push, day: Day) -> None:
    """Neither do those that begin with a snapshot: it has the figures."""
    await push.connect_live()
    back = await push.connect_since(happened(60).event_id)
    await back.assert_silent()
    push.bus.publish(queued("nobody"))
    bob = await push.connect_live("bob")
    push.bus.publish(queued("bob"))
    await bob.read_types("job.queued", "quota")

    assert {UserId("bob"): 1} == day.reads


@pytest.mark.parametrize(
    ("before", "move", "expected"),
    [
        (replace(QUEUED, status=Status.PENDING, version=1), moves.queued(NOW), True),
        (replace(QUEUED, status=Status.PENDING, version=1), moves.claimed("worker", NOW + 1, NOW), True),
        (RUNNING, moves.failed(FAILURE, NOW, owner="worker", keeps_charge=False), True),
        (RUNNING, moves.canceled_if(lambda _: False, NOW), True),
        (RUNNING, moves.canceled_if(lambda _: True, NOW), True),
        (replace(RUNNING, status=Status.FAILED, charge=Charge.RETURNED), moves.brought_back(NOW), True),
        (replace(QUEUED, charge=Charge.CHARGED), moves.expired(NOW), True),
        (QUEUED, moves.claimed("worker", NOW + 1, NOW), False),
        (RUNNING, moves.failed(FAILURE, NOW, owner="worker", keeps_charge=True), False),
        (RUNNING, moves.completed("worker", OUTPUT, NOW), False),
        (RUNNING, moves.released("worker", NOW), False),
        (RUNNING, moves.put_off("worker", NOW), False),
    ],
)
def test_the_moves_that_may_change_the_figures_are_known(before: Job, move: Move, expected: bool) -> None:
    """By their events alone: no read for the others."""
    transition = move(before)

    assert expected == moves_quota(event_of(transition))
    assert expected or transition.taken_delta == 0


def test_a_job_that_waits_has_taken_its_unit() -> None:
    """It is told as it is stored."""
    waiting = replace(QUEUED, status=Status.PENDING, version=1, waiting=True)

    assert moves_quota(JobEvent(event_id=EventId("1"), type=EventType.PENDING, at=NOW, job=waiting))


def event_of(transition: Transition) -> JobEvent:
    """Tell of a move."""
    assert transition.event is not None
    return JobEvent(event_id=EventId("1"), type=transition.event, at=NOW, job=transition.after)


@pytest.fixture
def bus() -> InProcessBus:
    """Make a bus."""
    return InProcessBus()


@pytest.fixture
def views(clients: Clients, bus: InProcessBus) -> JobViews:
    """Make what writes jobs as JSON."""
    return JobViews(
        Files(
            clients.s3,
            clients.find_credentials,
            upload_bucket="uploads",
            result_bucket="results",
            upload_link_seconds=60,
        ),
        bus,
    )


async def submit(table: JobTable, user: UserId) -> Job:
    """Store a job and call it queued."""
    now = clock.now_milliseconds()
    new = replace(QUEUED, job_id=new_job_id(), user_id=user, status=Status.PENDING, version=1, created_at=now)
    new = replace(new, quota_day=clock.utc_day(now))
    await table.create(new, Limits(daily=DAILY_LIMIT))
    return await table.apply(new, moves.queued(now))


async def until_used(client: Client, used: int) -> list[Message]:
    """Read until so many units are told to be used."""
    found = [await client.read()]
    while (found[-1]["type"], found[-1].get("data", {}).get("usedToday")) != ("quota", used):
        found.append(await client.read())
    return found
