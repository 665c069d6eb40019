"""Users who may not come any more: their sockets, streams and polls end, wherever they are, and nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from jobs import clock
from jobs.aws import Clients
from jobs.errors import CloudUnavailable, UserBlocked
from jobs.event_log import Cursor
from jobs.events import ACCOUNT_ERASED, UserEvent
from jobs.ids import EventId, UserId
from jobs.job_table import Tables
from jobs.model import Caller
from jobs.user_table import UserTable
from tests.push.stage import Push, Theatre, authenticate, completed
from websocket.polling import poll
from websocket.streams import Stream

ALICE = UserId("alice")


class Blocked:
    """Who is blocked, and how often that was asked."""

    def __init__(self, *users: UserId) -> None:
        self.users = frozenset(users)
        self.is_readable = True
        self.reads = 0
        self.is_read = asyncio.Event()

    async def read(self) -> frozenset[UserId]:
        """Read it, if it can be read."""
        self.reads += 1
        self.is_read.set()
        if not self.is_readable:
            raise CloudUnavailable
        return self.users


@pytest.fixture
def blocked() -> Blocked:
    """Block nobody yet."""
    return Blocked()


async def start(theatre: Theatre, blocked: Blocked) -> Push:
    """Start a push floor that looks often."""
    return await theatre.start(read_blocked=blocked.read, blocked_seconds=0.02)


async def test_a_blocked_user_is_told_and_closed_for_good(theatre: Theatre, blocked: Blocked) -> None:
    """On all sockets at once; the others go on."""
    push = await start(theatre, blocked)
    sockets = [await push.connect_live("alice") for _ in range(2)]
    bob = await push.connect_live("bob")
    blocked.users = frozenset({ALICE, UserId("carol")})
    ends = [await socket.read_end() for socket in sockets]
    push.bus.publish(completed("bob", number=7))

    for told, code in ends:
        assert (["error"], 4403) == ([message["type"] for message in told], code)
        assert ("user_blocked", UserBlocked().message) == (told[0]["data"]["code"], told[0]["data"]["message"])
    await bob.read_versions(1)


async def test_whoever_is_blocked_already_does_not_get_in(theatre: Theatre) -> None:
    """The sign-in is refused with the same code."""

    async def refuse(token: str) -> Caller:
        if token.startswith("alice"):
            raise UserBlocked
        return await authenticate(token)

    push = await theatre.start(authenticate=refuse)
    client = await push.connect("alice")
    told, code = await client.read_end()
    await push.connect_live("bob")

    assert (4403, "user_blocked") == (code, told[0]["data"]["code"])


async def test_nothing_is_asked_while_nobody_is_connected(theatre: Theatre, blocked: Blocked) -> None:
    """Nor does a cloud that cannot be reached close anybody, or end the looking."""
    push = await start(theatre, blocked)
    await asyncio.sleep(0.1)  # so many looks would have been due
    assert 0 == blocked.reads

    blocked.is_readable = False
    client = await push.connect_live("alice")
    await blocked.is_read.wait()
    await client.assert_silent()
    blocked.is_readable, blocked.users = True, frozenset({ALICE})

    assert 4403 == (await client.read_end())[1]


async def test_an_erased_account_is_left_by_all_its_clients(theatre: Theatre, blocked: Blocked) -> None:
    """The bus tells every task; what it tells is no event for a client, and no place to come back to."""
    push = await start(theatre, blocked)
    alice, bob = await push.connect_live("alice"), await push.connect_live("bob")
    push.bus.publish(erased(ALICE))
    told, code = await alice.read_end()

    assert (["error"], 4403) == ([message["type"] for message in told], code)
    assert "account_erased" == told[0]["data"]["code"]
    await bob.assert_silent()


async def test_a_waiting_poll_is_answered_at_once(theatre: Theatre, blocked: Blocked) -> None:
    """With nothing; the next one is refused before it comes here."""
    push = await start(theatre, blocked)
    now = str(Cursor.at(clock.now_milliseconds()))
    waiting = asyncio.create_task(poll(push.hub, ALICE, now, 50, lambda: False))
    while ALICE not in push.hub.watched():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.005)
    blocked.users = frozenset({ALICE})

    async with asyncio.timeout(5):
        assert b'{"events":[]' == (await waiting)[:12]


async def test_a_stream_ends_with_the_reason(theatre: Theatre, blocked: Blocked) -> None:
    """As the last thing that it tells."""
    push = await start(theatre, blocked)
    stream = Stream(push.hub, await as_named(ALICE))
    with push.hub.holding(stream):
        push.hub.join(stream, ALICE)
        blocked.users = frozenset({ALICE})
        while not stream.is_closed:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)

    assert 4403 == stream.close_code


async def test_a_block_said_elsewhere_is_read_from_the_table(
    theatre: Theatre, clients: Clients, tables: Tables, user: UserId
) -> None:
    """By one small row, whoever is connected here, and after it was taken back no more."""
    users = UserTable(clients.dynamodb, tables.users)
    push = await theatre.start(read_blocked=users.blocked, blocked_seconds=0.02, authenticate=as_named)
    client = await push.connect_live(user)
    await UserTable(clients.dynamodb, tables.users).set_blocked(user, True)

    assert 4403 == (await client.read_end())[1]

    await UserTable(clients.dynamodb, tables.users).set_blocked(user, False)
    again = await push.connect_live(user)
    await asyncio.sleep(0.1)  # it was looked at, and nothing happened
    await again.assert_silent()


async def as_named(token: str) -> Caller:
    """Take a token for its user's name."""
    return Caller(user_id=UserId(token), expires_at=clock.now_milliseconds() // 1000 + 3600)


def erased(user: UserId) -> UserEvent:
    """Say that an account is gone."""
    return UserEvent(
        event_id=EventId(f"{clock.now_milliseconds():012x}{1:016x}"),
        user_id=user,
        type=ACCOUNT_ERASED,
        at=clock.now_milliseconds(),
        about=user,
        data={},
    )
