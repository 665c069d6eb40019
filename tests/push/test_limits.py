"""What a client may not do, and what it costs."""

from __future__ import annotations

import aiohttp
import pytest

from tests.push.stage import Theatre
from websocket.limits import SocketLimits


async def test_a_frame_too_large_is_closed_with_1009(theatre: Theatre) -> None:
    """The bound holds before anything is parsed."""
    push = await theatre.start(inbound_bytes=1024)
    client = await push.connect_live()
    await client.socket.send_str("x" * 2000)

    assert await client.read_end() == ([], 1009)

    await push.all_gone()

    assert push.count("ws_closed_total", code="1009", transport="socket") == 1


async def test_bytes_that_are_no_text_are_closed_with_1007(theatre: Theatre) -> None:
    """A text frame must be UTF-8; the code is the web's own."""
    push = await theatre.start()
    client = await push.connect_live()
    writer = client.socket._writer
    await writer.send_frame(b'{"type":"ping\xff"}', aiohttp.WSMsgType.TEXT)

    assert await client.read_end() == ([], 1007)

    await push.all_gone()

    assert push.count("ws_closed_total", code="1007", transport="socket") == 1


async def test_a_frame_that_begins_to_be_too_large_is_closed_with_1009(theatre: Theatre) -> None:
    """In pieces as in one."""
    push = await theatre.start(inbound_bytes=1024)
    client = await push.connect_live()
    transport = client.socket._writer.transport
    masked = b"\x00\x00\x00\x00"
    transport.write(b"\x01\xfe\x03\xe8" + masked + b"x" * 1000)
    transport.write(b"\x00\xfe\x03\xe8" + masked + b"x" * 1000)

    assert await client.read_end() == ([], 1009)


async def test_a_binary_frame_is_not_understood(theatre: Theatre) -> None:
    """Messages are text."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.socket.send_bytes(b"{}")

    assert await client.read_error() == ("invalid_request", 4400)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"type":"dance"}',
        '{"type":"ping","more":1}',
        '{"type":"hello"}',
        '{"type":"hello","token":"alice"}',
        '{"type":"resume"}',
        '{"type":"resume","since":1}',
        '{"type":"auth"}',
        '{"type":"cancel"}',
        '{"type":"cancel","jobId":""}',
        '{"type":"cancel","jobId":"job_1","ref":{}}',
        "[" * 5000,
    ],
)
async def test_a_message_that_is_not_understood_closes_the_socket(theatre: Theatre, text: str) -> None:
    """Bad JSON, unknown types, unknown fields, and a second hello."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.socket.send_str(text)

    assert await client.read_error() == ("invalid_request", 4400)


async def test_a_bad_message_is_neither_echoed_nor_logged(theatre: Theatre, caplog: pytest.LogCaptureFixture) -> None:
    """It may hold a token."""
    push = await theatre.start()
    client = await push.connect(None)
    await client.send({"type": "hello", "token": "secret", "extra": 1})
    found, _ = await client.read_end()

    assert "secret" not in str(found)
    assert "secret" not in caplog.text


async def test_too_many_messages_a_second_close_the_socket(theatre: Theatre) -> None:
    """Messages above the rate are not served."""
    push = await theatre.start(inbound_frames_per_second=3)
    client = await push.connect_live()
    for _ in range(4):
        await client.send({"type": "ping"})
    found, close_code = await client.read_end()

    assert close_code == 4429
    assert found[-1]["data"]["code"] == "too_many_requests"


async def test_protocol_pings_count_as_messages(theatre: Theatre) -> None:
    """They cost as much; below the rate they are answered."""
    push = await theatre.start(inbound_frames_per_second=3)
    client = await push.connect_live(autoping=False)
    await client.socket.ping(b"hi")
    pong = await client.socket.receive()
    for _ in range(3):
        await client.socket.ping()
    found = [await client.socket.receive() for _ in range(4)]

    assert pong.data == b"hi"
    assert found[-1].data == 4429


async def test_a_user_has_only_so_many_sockets(theatre: Theatre) -> None:
    """One too many is told so; other users and the earlier sockets stay."""
    push = await theatre.start(connections_per_user=2)
    first, second = [await push.connect_live() for _ in range(2)]
    third = await push.connect()

    assert await third.read_error() == ("too_many_requests", 4429)

    bob = await push.connect_live("bob")
    for client in (first, second, bob):
        await client.send({"type": "ping"})
        await client.read_types("ping")


async def test_a_process_has_only_so_many_sockets(theatre: Theatre) -> None:
    """Sockets that have not signed in count too."""
    push = await theatre.start(connections_per_task=1)
    first, second = await push.connect(None), await push.connect()

    assert await second.read_error() == ("unavailable", 4503)

    await first.send({"type": "hello", "token": "alice"})
    await first.read_types("welcome", "snapshot")


async def test_strangers_do_not_keep_out_who_brings_a_token(theatre: Theatre) -> None:
    """There is less room for sockets that wait for a hello, and who has said it makes room for another."""
    push = await theatre.start(strangers_per_task=1)
    stranger, second = await push.connect(None), await push.connect(None)

    assert await second.read_error() == ("unavailable", 4503)

    await push.connect_live()
    await stranger.send({"type": "hello", "token": "alice"})
    await stranger.read_types("welcome", "snapshot")
    third = await push.connect(None)
    await third.send({"type": "hello", "token": "alice"})
    await third.read_types("welcome", "snapshot")


@pytest.mark.parametrize(
    ("lives_seconds", "asked_seconds"), [(3600, 3540), (120, 60), (90, 45), (30, 15), (0, 0), (-10, -5)]
)
def test_a_fresh_token_is_asked_for_a_minute_ahead_but_not_over_and_over(
    lives_seconds: float, asked_seconds: float
) -> None:
    """One that lives less than two minutes is used for half of its life; one that is over, not any longer."""
    now = 1_795_000_000.0

    assert now + asked_seconds == SocketLimits().asks_for_token_at(now + lives_seconds, now)
