"""What clients are told of a service that is not well."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import partial

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from consumers.failures import FailureClass
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics
from jobs.conditions import Conditions, Degradation
from jobs.ids import EventId, UserId
from service.readiness import report_gate
from tests.consumers.gate.scene import MovedTime
from tests.push.stage import Client, FullTransport, Message, Push, Theatre, completed
from websocket import messages
from websocket.connection import Connection
from websocket.messages import Snapshot

PART = "gemini:a-model"
RECOVERY_SECONDS = 5
SPACING_SECONDS = 3


@pytest.fixture
async def time() -> MovedTime:
    """Make a clock that the test moves."""
    return MovedTime()


@pytest.fixture
async def conditions(time: MovedTime) -> Conditions:
    """Make a house that is well, under that clock."""
    return Conditions(recovery_seconds=RECOVERY_SECONDS, spacing_seconds=SPACING_SECONDS, timekeeper=time)


@pytest.fixture
async def push(theatre: Theatre, conditions: Conditions) -> Push:
    """Start a push floor in that house."""
    return await theatre.start(conditions=conditions)


@pytest.fixture
def gate(time: MovedTime, conditions: Conditions) -> Iterator[Gate]:
    """Make a gate that tells the house how it stands."""
    gate = Gate(
        "a-model",
        GateConfig(most=8),
        GateMetrics(CollectorRegistry()),
        partial(report_gate, conditions),
        timekeeper=time,
        wall_clock=time.wall,
        chance=random.Random(1),
    )
    yield gate
    gate.close()


def busy(retry_after_seconds: float | None = None, *, part: str = PART, condition: str = "throttled") -> Degradation:
    """Say that a part is busy."""
    return Degradation(part=part, condition=condition, reason="It is busy.", retry_after_seconds=retry_after_seconds)


async def parts_told(client: Client) -> list[Message]:
    """Read one message, which must tell how the service is, and return the parts that are not well."""
    (message,) = await client.read_types("system.degraded")
    parts: list[Message] = message["data"]["parts"]
    return parts


async def assert_silent(client: Client) -> None:
    """Show that nothing was said to the client: the answer to its ping comes first."""
    await client.send({"type": "ping"})
    await client.read_types("ping")


async def test_everybody_is_told_at_once(push: Push) -> None:
    """Every socket of every user, with when to try again where that is known."""
    clients = [await push.connect_live(name) for name in ("alice", "alice", "bob")]
    push.conditions.report(PART, busy(11.2))
    push.conditions.report("the bus", busy(part="the bus", condition="away"))

    for client in clients:
        message = await client.read()
        while len(message["data"]["parts"]) < 2:  # the newest replaces what is still unsent, or follows it
            message = await client.read()

        assert {"type", "time", "data"} == message.keys()
        assert message["data"] == {
            "parts": [
                {"part": PART, "condition": "throttled", "reason": "It is busy.", "retryAfterSeconds": 12},
                {"part": "the bus", "condition": "away", "reason": "It is busy."},
            ]
        }


async def test_who_comes_later_is_told_after_the_snapshot(push: Push, time: MovedTime) -> None:
    """With what is left of the wait; and not at all once it is over."""
    push.conditions.report(PART, busy(20))
    await time.move(15)
    client = await push.connect_live()
    (part,) = await parts_told(client)
    push.conditions.report(PART, None)
    await time.move(RECOVERY_SECONDS)
    latest = await push.connect_live("bob")

    assert part["retryAfterSeconds"] == 5
    assert await parts_told(client) == []

    await assert_silent(latest)


async def test_a_change_while_the_snapshot_is_read_is_told(theatre: Theatre) -> None:
    """Interleaving: registered, snapshot being read, trouble reported, snapshot read."""
    reading, may_finish = asyncio.Event(), asyncio.Event()

    async def slow_snapshot(_: UserId) -> Snapshot:
        reading.set()
        await may_finish.wait()
        return Snapshot(position=EventId("5"), jobs=[], has_more=False, quota={})

    push = await theatre.start(read_snapshot=slow_snapshot)
    client = await push.connect()
    await reading.wait()
    push.conditions.report(PART, busy())
    may_finish.set()
    await client.read_types("welcome", "snapshot")

    assert [part["part"] for part in await parts_told(client)] == [PART]


async def test_a_recovery_is_told_once_it_has_held(push: Push, time: MovedTime) -> None:
    """An empty list says that all is well again."""
    client = await push.connect_live()
    push.conditions.report(PART, busy())
    await parts_told(client)
    push.conditions.report(PART, None)
    await time.move(RECOVERY_SECONDS - 1)
    await assert_silent(client)
    still = [degradation.part for degradation in push.conditions.current()]
    push.conditions.report(PART, None)  # heard again, it does not begin anew
    await time.move(1)

    assert still == [PART]
    assert await parts_told(client) == []
    assert time.pending == 0


async def test_a_part_that_wavers_is_told_of_once(push: Push, time: MovedTime) -> None:
    """Well and unwell by turns within seconds, as under a steady rate limit, is one trouble with one beginning."""
    client = await push.connect_live()
    push.conditions.report(PART, busy())
    await parts_told(client)
    (first,) = push.conditions.current()
    for _ in range(10):
        push.conditions.report(PART, None)
        await time.move(RECOVERY_SECONDS - 1)
        push.conditions.report(PART, busy())
    (last,) = push.conditions.current()

    await assert_silent(client)

    assert first.since == last.since
    assert time.pending == 0


async def test_a_part_that_is_still_unwell_is_told_when_another_recovers(push: Push, time: MovedTime) -> None:
    """The message is the whole state, not a change of it."""
    client = await push.connect_live()
    for part in ("one", "two"):
        push.conditions.report(part, busy(part=part))
    push.conditions.report("one", None)
    await time.move(RECOVERY_SECONDS)
    parts: list[str] = []
    while parts != ["two"]:
        parts = [part["part"] for part in await parts_told(client)]


async def test_another_trouble_of_the_same_part_is_told_at_once(push: Push) -> None:
    """Busy is not the same as away."""
    client = await push.connect_live()
    push.conditions.report(PART, busy())
    before = await parts_told(client)
    push.conditions.report(PART, busy(condition="open"))
    after = await parts_told(client)

    assert ["throttled", "open"] == [part["condition"] for part in (*before, *after)]


async def test_a_mere_change_of_the_wait_is_told_now_and_then(push: Push, time: MovedTime) -> None:
    """Only the newest of some seconds; a difference below a second is none, and neither is the passing of time."""
    client = await push.connect_live()
    push.conditions.report(PART, busy(10))
    await parts_told(client)
    for wait in (9.5, 20, 30):
        push.conditions.report(PART, busy(wait))
    await time.move(SPACING_SECONDS - 1)
    push.conditions.report(PART, busy(28.4))
    await assert_silent(client)
    await time.move(1)
    (part,) = await parts_told(client)
    await time.move(10)
    push.conditions.report(PART, busy(17))
    await time.move(SPACING_SECONDS)
    await assert_silent(client)

    assert part["retryAfterSeconds"] == 27


async def test_a_gate_under_a_steady_limit_is_one_trouble_to_the_outside(
    push: Push, time: MovedTime, gate: Gate
) -> None:
    """From the provider's refusal to the socket; every success between makes the gate well for a moment."""
    client = await push.connect_live()
    told: list[list[str]] = []
    push.conditions.subscribe(lambda: told.append([degradation.reason for degradation in push.conditions.current()]))
    for _ in range(5):
        async with gate.admit(1000) as permit:
            permit.failed(FailureClass.THROTTLED, 2)
        await time.move(SPACING_SECONDS)
        async with gate.admit(1000) as permit:
            permit.succeeded()
        await time.move(RECOVERY_SECONDS - 1)
    (part,) = await parts_told(client)
    await time.move(1)
    while await parts_told(client):
        pass

    assert (PART, "throttled") == (part["part"], part["condition"])
    assert told[-1] == []
    assert all(reasons == ["The image service is busy."] for reasons in told[:-1])


async def test_a_client_that_does_not_read_is_owed_the_newest_only(push: Push, time: MovedTime) -> None:
    """And everybody the same frame: it is written once."""
    alice, bob = [_unstarted_connection(push) for _ in range(2)]
    with push.hub.holding(alice), push.hub.holding(bob):
        for connection, user in ((alice, "alice"), (bob, "bob")):
            push.hub.join(connection, UserId(user))
        for condition in ("throttled", "open", "closed_until"):
            push.conditions.report(PART, busy(condition=condition))
            await time.move(1)
        owed = [list(connection._outbox._frames.values()) for connection in (alice, bob)]

    assert [1, 1] == [len(frames) for frames in owed]
    assert owed[0][0] is owed[1][0]
    assert b"closed_until" in owed[0][0].content


async def test_a_client_whose_outbox_is_full_is_owed_the_newest_all_the_same(
    theatre: Theatre, conditions: Conditions, time: MovedTime
) -> None:
    """Nothing else would ever say that all is well again; what does not fit is the next event."""
    push = await theatre.start(conditions=conditions, outbox_frames=2)
    alice = _unstarted_connection(push)
    with push.hub.holding(alice):
        push.hub.join(alice, UserId("alice"))
        for number in (1, 2):
            alice.put(messages.event(completed(number=number), {}))
        push.conditions.report(PART, busy())
        await time.move(1)
        push.conditions.report(PART, None)
        await time.move(RECOVERY_SECONDS)
        owed = [frame.type for frame in alice._outbox._frames.values()]
        newest = list(alice._outbox._frames.values())[-1]

    assert owed == ["job.completed", "job.completed", "system.degraded"]
    assert b'"parts":[]' in newest.content


async def test_a_bad_watcher_hurts_nobody(conditions: Conditions, caplog: pytest.LogCaptureFixture) -> None:
    """Neither who reports nor the other watchers; and one that has left hears nothing."""
    heard: list[str] = []

    def bad() -> None:
        raise ValueError("a bug")

    conditions.subscribe(bad)
    conditions.subscribe(lambda: heard.append("stays"))
    leave = conditions.subscribe(lambda: heard.append("left"))
    leave()
    leave()
    conditions.report(PART, busy())

    assert heard == ["stays"]
    assert "A watcher failed" in caplog.text


async def test_a_closed_house_says_nothing_more(conditions: Conditions, time: MovedTime) -> None:
    """No timer is left, and a gate that ends after it may still report."""
    heard: list[str] = []
    conditions.subscribe(lambda: heard.append("told"))
    conditions.report(PART, busy(10))
    conditions.report(PART, busy(20))
    conditions.report(PART, None)
    conditions.close()
    conditions.report("another", busy(part="another"))
    await time.move(100)

    assert heard == ["told"]
    assert time.pending == 0


async def test_it_works_on_the_loops_own_clock() -> None:
    """No fake is needed to run it."""
    conditions = Conditions(recovery_seconds=0.01)
    changed = asyncio.Event()
    conditions.report(PART, busy())
    conditions.subscribe(changed.set)
    conditions.report(PART, None)
    async with asyncio.timeout(5):
        await changed.wait()

    assert conditions.current() == ()


def _unstarted_connection(push: Push) -> Connection:
    """Return a connection that gathers frames and has no writer to send them."""
    return Connection(web.WebSocketResponse(), FullTransport(), limits=push.hub.limits, metrics=push.hub.metrics)
