"""How sockets end when the service does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from jobs.model import JSON, Job
from tests.push.stage import Theatre, completed, plain_view
from websocket.close_codes import CloseCode


async def test_closing_tells_everybody_to_come_back(theatre: Theatre) -> None:
    """Signed in or not."""
    push = await theatre.start()
    live, waiting = await push.connect_live(), await push.connect(None)
    closing = asyncio.create_task(push.hub.close())

    asked, live_code = await live.read_end()
    not_signed_in, waiting_code = await waiting.read_end()
    await closing

    assert (1012, 1012) == (live_code, waiting_code)
    assert ["reconnect"] == [message["type"] for message in asked]
    assert 0 <= asked[0]["data"]["afterMs"] <= 100
    assert [] == not_signed_in

    assert push.count("ws_closed_total", code="1012", transport="socket") == 2


async def test_what_was_published_before_the_close_is_told_before_it(theatre: Theatre) -> None:
    """The last events of a draining pool still arrive."""
    push = await theatre.start()
    client = await push.connect_live()
    for number in range(1, 4):
        push.bus.publish(completed(number=number))
    closing = asyncio.create_task(push.hub.close())
    found, close_code = await client.read_end()
    await closing

    assert [message["job"]["version"] for message in found[:-1]] == [1, 2, 3]
    assert "reconnect" == found[-1]["type"]
    assert close_code == 1012


async def test_a_hung_client_does_not_hold_up_the_close(theatre: Theatre) -> None:
    """The others are closed at once, and the hub ends within its bound."""

    async def large_view(job: Job) -> dict[str, JSON]:
        return {**await plain_view(job), "prompt": "x" * 100_000}

    push = await theatre.start(view=large_view, outbox_frames=10_000, outbox_bytes=10**9, drain_seconds=2)
    healthy = await push.connect_live("bob")
    with await push.connect_hung("alice"):
        for number in range(100):
            push.bus.publish(completed(number=number))
        await push.hub._notices.join()
        loop = asyncio.get_running_loop()
        began = loop.time()
        closing = asyncio.create_task(push.hub.close())

        assert 1012 == (await healthy.read_end())[1]
        assert loop.time() - began < 1

        await closing

        assert loop.time() - began < 5
        assert push.count("ws_connections", transport="socket") == 0


async def test_a_socket_that_comes_during_the_close_is_sent_away(theatre: Theatre) -> None:
    """The listeners may still be open."""
    push = await theatre.start()
    await push.hub.close()
    client = await push.connect()

    assert await client.read_end() == ([], 1012)


async def test_clients_that_have_gone_elsewhere_do_not_hold_up_the_close(theatre: Theatre) -> None:
    """Make before break: asked to reconnect, a client opens another socket and leaves this one, and is told all until then."""
    push = await theatre.start(reconnect_spread_seconds=30)
    client = await push.connect_live()
    closing = asyncio.create_task(push.hub.close())
    (asked,) = await client.read_types("reconnect")
    push.bus.publish(completed())
    await client.read_types("job.completed")
    await client.socket.close()
    async with asyncio.timeout(5):
        await closing

    assert 0 <= asked["data"]["afterMs"] <= 30_000
    assert push.count("ws_closed_total", code="1000", transport="socket") == 1


async def test_clients_are_asked_to_come_back_one_after_the_other(theatre: Theatre) -> None:
    """Ten thousand at once would be an outage of its own."""
    push = await theatre.start(reconnect_spread_seconds=1)
    clients = [await push.connect_live() for _ in range(8)]
    closing = asyncio.create_task(push.hub.close())
    asked = [(await client.read_types("reconnect"))[0]["data"]["afterMs"] for client in clients]
    for client in clients:
        await client.socket.close()
    await closing

    assert len(set(asked)) > 1


async def test_closing_twice_is_closing_once(theatre: Theatre) -> None:
    """The second call finds nothing to do."""
    push = await theatre.start()

    await push.hub.close()
    await push.hub.close()


def test_the_documented_close_codes_are_those_of_the_code() -> None:
    """docs/api.md lists each code the server sends, with the same advice."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| (\d{4}) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)

    documented = {int(code): advice for code, advice in rows}

    assert documented == {int(code): code.reconnect for code in CloseCode}
