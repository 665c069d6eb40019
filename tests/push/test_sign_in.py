"""Who may open a socket, and what the others are told."""

from __future__ import annotations

import time

import aiohttp
import pytest

from tests.push.stage import ORIGIN, Theatre


async def test_a_program_signs_in_with_the_header(theatre: Theatre) -> None:
    """The Authorization header is enough, and no subprotocol is needed."""
    push = await theatre.start()
    client = await push.connect("alice")

    (welcome,) = await client.read_types("welcome")

    assert welcome["data"]["userId"] == "alice"
    assert welcome["data"]["pingSeconds"] == 25
    assert welcome["data"]["connectionId"].startswith("con_")
    assert welcome["data"]["tokenExpiresAt"].endswith("Z")


async def test_a_browser_signs_in_with_a_subprotocol_and_only_ours_is_echoed(theatre: Theatre) -> None:
    """The token is offered as a subprotocol and does not come back."""
    push = await theatre.start()
    client = await push.connect(None, protocols=["darkroom.v1", "bearer.alice"], headers={"Origin": ORIGIN})

    await client.read_types("welcome")

    assert client.socket.protocol == "darkroom.v1"


async def test_a_client_signs_in_with_a_hello(theatre: Theatre) -> None:
    """Without a token at the upgrade the first message brings it."""
    push = await theatre.start()
    client = await push.connect(None)
    await client.send({"type": "hello", "token": "alice"})

    await client.read_types("welcome", "snapshot")


async def test_a_refused_token_is_told_after_the_upgrade(theatre: Theatre) -> None:
    """The socket opens, because a page cannot see a refused upgrade, and closes with a code."""
    push = await theatre.start()
    client = await push.connect("mallory")

    assert await client.read_error() == ("unauthorized", 4401)


async def test_tokens_that_cannot_be_checked_are_not_refused(theatre: Theatre) -> None:
    """A failing key server asks the client to come back, not to sign in again."""
    push = await theatre.start()
    client = await push.connect("cloud is down")

    assert await client.read_error() == ("unavailable", 4503)


async def test_silence_instead_of_a_hello_is_closed(theatre: Theatre) -> None:
    """A client without a token has a few seconds."""
    push = await theatre.start(hello_seconds=0.05)
    client = await push.connect(None)

    assert await client.read_error() == ("unauthorized", 4408)


async def test_the_first_message_must_be_a_hello(theatre: Theatre) -> None:
    """Nothing else is served before sign-in."""
    push = await theatre.start()
    client = await push.connect(None)
    await client.send({"type": "ping"})

    assert await client.read_error() == ("invalid_request", 4400)


async def test_a_client_may_leave_instead_of_saying_hello(theatre: Theatre) -> None:
    """Leaving before sign-in is no error."""
    push = await theatre.start()
    client = await push.connect(None)
    await client.socket.close()

    await push.all_gone()

    assert push.count("ws_closed_total", code="1000", transport="socket") == 1


async def test_a_foreign_origin_is_refused_before_the_upgrade(theatre: Theatre) -> None:
    """Another site's page gets no socket, whatever token it has."""
    push = await theatre.start()

    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await push.connect("alice", headers={"Origin": "https://evil.example"})

    assert refusal.value.status == 403


async def test_an_offer_without_our_protocol_is_refused_before_aiohttp_logs_it(
    theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    """Aiohttp would write the offered token to its log."""
    push = await theatre.start()

    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await push.connect(None, protocols=["bearer.alice-secret"])

    assert refusal.value.status == 400
    assert "alice-secret" not in caplog.text


async def test_a_plain_request_is_refused(theatre: Theatre) -> None:
    """The path speaks WebSocket only."""
    push = await theatre.start()

    async with push.session.get(push.server.make_url("/ws")) as response:
        assert response.status == 400
        assert (await response.json())["code"] == "invalid_request"


async def test_an_expired_token_ends_a_live_socket(theatre: Theatre) -> None:
    """A socket outlives its token by the grace only."""
    push = await theatre.start(expired_token_seconds=0.2)
    client = await push.connect_live(f"alice@{int(time.time())}")

    assert await client.read_error() == ("unauthorized", 4401)


async def test_opening_and_closing_are_logged_once_each_without_the_token(
    theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says who came and how they left."""
    caplog.set_level("INFO")
    push = await theatre.start()
    client = await push.connect_live("alice@4000000000")
    await client.socket.close()
    await push.all_gone()

    lines = [record for record in caplog.records if record.name == "websocket.endpoint"]

    assert [record.getMessage() for record in lines] == ["Socket opened", "Socket closed"]
    assert [(record.__dict__["action"], record.__dict__["user_id"]) for record in lines] == [
        ("socket_open", "alice"),
        ("socket_close", "alice"),
    ]
    assert lines[1].__dict__["close_code"] == 1000
    assert "4000000000" not in caplog.text
