"""The gates of several models before one pool: none holds up the jobs of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

import pytest

from consumers.failures import FailureClass
from consumers.gate_state import NotNow
from consumers.gates import Gates
from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from jobs.model import Status
from tests.consumers.gate.conftest import scenes as scenes  # noqa: PLC0414 - a fixture
from tests.consumers.gate.scene import MONDAY_NOON, MakeScene, Scene, settle
from tests.consumers.house import House, open_house
from tests.consumers.pipelines.desk import Desk
from tests.drawings import Crack, save_jpeg, wall

VISION = "gemini-3.5-flash-lite"
PAINTER, READER = "painter", "reader"


class Pair:
    """Two models' gates, each with a clock of its own."""

    def __init__(self, make: MakeScene) -> None:
        self.painter: Scene = make()
        self.reader: Scene = make()
        self.gates = Gates({PAINTER: self.painter.gate, READER: self.reader.gate})


@pytest.fixture
def pair(scenes: MakeScene) -> Pair:
    """Make two gates."""
    return Pair(scenes)


def shut(scene: Scene, seconds: float = 60) -> None:
    """Let no call start for so long."""
    scene.gate.close_until(MONDAY_NOON + seconds, "Shut.")


async def test_each_model_has_its_gate(pair: Pair) -> None:
    """And one that nobody knows has none."""
    assert pair.painter.gate is pair.gates[PAINTER]
    assert pair.reader.gate is pair.gates[READER]
    with pytest.raises(KeyError):
        pair.gates["sculptor"]


async def test_they_are_split_while_some_are_shut_and_others_open(pair: Pair) -> None:
    """Then jobs of the shut one make way until it opens; where there is nothing to make way for, they wait."""
    states = [(pair.gates.are_split, pair.gates.hold_up_seconds(READER), pair.gates.hold_up_seconds(PAINTER))]
    for scene in (pair.reader, pair.painter):
        shut(scene)
        states.append((pair.gates.are_split, pair.gates.hold_up_seconds(READER), pair.gates.hold_up_seconds(PAINTER)))
    await pair.reader.time.move(61)
    await pair.painter.time.move(61)

    assert [(False, 0, 0), (True, 60, 0), (False, 0, 0)] == states
    assert not pair.gates.are_split


async def test_held_up_is_who_waits_where_it_is_shut(pair: Pair) -> None:
    """Not whom a busy model keeps waiting, as long as it takes more; nor who was refused."""
    await pair.painter.calls(6)  # four run, and two wait
    busy = pair.gates.held_up
    shut(pair.reader, 30)
    waiting = await pair.reader.calls(3)
    hopeless = await pair.reader.call(patience_seconds=5)
    held_up = pair.gates.held_up
    await hopeless.refusal()
    await pair.reader.time.move(31)

    assert 0 == busy
    assert 3 == held_up
    assert 0 == pair.gates.held_up
    assert all(call.is_running for call in waiting)


async def test_only_probes_where_nothing_else_can_be_made(pair: Pair) -> None:
    """One model is being tried: that is all there is to do while the other is shut, and not while it is open."""
    await pair.reader.open_breaker()
    before = pair.gates.only_probes
    await pair.reader.time.move(300)
    with_painter = pair.gates.only_probes
    shut(pair.painter)
    alone = pair.gates.only_probes
    await pair.reader.one()

    assert [False, False, True] == [before, with_painter, alone]
    assert not pair.gates.only_probes


async def test_fetching_goes_on_when_the_first_opens(pair: Pair) -> None:
    """At once while any is open; when all are shut, it waits for the first and for no other."""
    shut(pair.reader, 60)
    async with asyncio.timeout(1):
        await pair.gates.wait_until_fetching_makes_sense()
    shut(pair.painter, 600)
    waiting = asyncio.create_task(pair.gates.wait_until_fetching_makes_sense())
    await settle()
    waited = not waiting.done()
    await pair.reader.time.move(61)
    async with asyncio.timeout(1):
        await waiting

    assert waited
    assert not pair.painter.gate.is_open_for_fetching


async def test_who_gives_up_waiting_leaves_nothing_behind(pair: Pair) -> None:
    """The pool stops while all are shut."""
    pair.gates.close_until(MONDAY_NOON + 60, "Shut.")
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(pair.gates.wait_until_fetching_makes_sense())
    await settle()
    waiting.cancel()
    await settle()

    assert waiting.cancelled()
    assert not asyncio.all_tasks() - before


async def test_an_order_shuts_all(pair: Pair) -> None:
    """As that of a used-up budget does."""
    pair.gates.close_until(MONDAY_NOON + 60, "No more money today.")
    reasons = [pair.gates[model].state.reason for model in (PAINTER, READER)]
    await pair.painter.time.move(61)

    assert ["No more money today."] * 2 == reasons
    assert pair.gates.are_split


async def test_the_end_refuses_who_waits_everywhere(pair: Pair) -> None:
    """And whoever comes later."""
    pair.gates.close_until(MONDAY_NOON + 60, "Shut.")
    waiting = [await scene.call() for scene in (pair.painter, pair.reader)]
    pair.gates.close()
    await settle()

    for call in waiting:
        await call.refusal()
    with pytest.raises(NotNow):
        async with pair.gates[PAINTER].admit(1000):
            pass


# --- before a real pool


@pytest.fixture
async def house(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> AsyncIterator[House]:
    """Open the consumers' floor with the gates of all models."""
    async with open_house(clients, tables, cloud_environment, all_models=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def cracked() -> bytes:
    """Photograph a cracked wall."""
    return save_jpeg(wall([Crack(x=60, y=80, width=160, height=150)], size=(640, 480)).image)


async def test_a_model_that_is_shut_for_long_does_not_hold_up_the_others(
    house: House, user: UserId, cracked: bytes
) -> None:
    """More of its jobs than there are slots come first: they are put off unclaimed; the others are done at once."""
    readers, painters = Desk(house, user), Desk(house, UserId(f"{user}-painters"))
    photo = await readers.upload(cracked)
    cracks = [await readers.submit("crack-detection", photo) for _ in range(10)]
    portraits = [await painters.submit("profile-photo", photo, style="custom") for _ in range(4)]
    house.gates[VISION].close_until(time.time() + 3600, "Shut.")
    done = await painters.ended(*portraits)
    async with house.pool():
        async with asyncio.timeout(20):
            while await house.messages(house.queue_url):  # noqa: ASYNC110 - those that are delayed are not counted
                await asyncio.sleep(0.05)
    after = [await house.table.get(job.job_id) for job in cracks]

    assert [Status.COMPLETED] * 4 == [job.status for job in done]
    assert [(Status.QUEUED, 0)] * 10 == [(job.status, job.attempt) for job in after]
    assert (10, 10) == await house.usage(user)
    assert 0 == await house.messages(house.dead_letters_url)


async def test_a_throttled_model_is_tried_again_and_all_its_jobs_end(
    house: House, user: UserId, cracked: bytes
) -> None:
    """A short hold: its jobs wait or are put off, and none fails; portraits are done in any case."""
    readers, painters = Desk(house, user), Desk(house, UserId(f"{user}-painters"))
    photo = await readers.upload(cracked)
    async with house.gates[VISION].admit(5) as permit:
        permit.failed(FailureClass.THROTTLED, 1)
    cracks = [await readers.submit("crack-detection", photo) for _ in range(6)]
    portraits = [await painters.submit("profile-photo", photo, style="custom") for _ in range(2)]
    async with house.pool(slots=4):
        ended = [await readers.end_of(job) for job in cracks] + [await painters.end_of(job) for job in portraits]

    assert [Status.COMPLETED] * 8 == [job.status for job in ended]
    assert "job.retrying" not in readers.story.events
