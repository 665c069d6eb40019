"""A client that does not read harms itself only."""

from __future__ import annotations

import asyncio
import socket

from jobs.model import JSON, Job
from tests.push.stage import Client, Push, Theatre, completed, plain_view
from websocket.close_codes import CloseCode

EVENT_BYTES = 100_000
_CLOSED_AS_SLOW = (4208).to_bytes(2, "big") + CloseCode.SLOW.meaning.encode()


async def _large_view(job: Job) -> dict[str, JSON]:
    return {**await plain_view(job), "prompt": "x" * EVENT_BYTES}


async def test_a_client_that_stops_reading_is_closed_alone(theatre: Theatre) -> None:
    """Its outbox overflows; the other socket of the same user gets every event meanwhile, at once."""
    push = await theatre.start(view=_large_view, outbox_frames=4, outbox_bytes=10 * EVENT_BYTES)
    with await push.connect_hung():
        healthy = await push.connect_live()
        delays: list[float] = []
        async with asyncio.timeout(5):
            while push.count("ws_slow_client_closed_total") == 0:
                delays.append(await _seconds_to_reach(healthy, push))

        assert max(delays) < push.hub.limits.write_seconds / 5
        assert push.count("ws_closed_total", code="4208", transport="socket") == 1
        assert push.count("ws_connections", transport="socket") == 1


async def test_a_write_that_takes_too_long_closes_the_socket(theatre: Theatre) -> None:
    """Also when the outbox has room."""
    push = await theatre.start(
        view=_large_view, write_seconds=0.1, write_check_seconds=0.05, outbox_frames=10_000, outbox_bytes=10**9
    )
    with await push.connect_hung():
        for number in range(100):
            push.bus.publish(completed(number=number))

        await push.all_gone()

    assert push.count("ws_slow_client_closed_total") == 1


async def test_a_slow_client_that_reads_on_learns_why(theatre: Theatre) -> None:
    """What was sent arrives whole, then the close code."""
    push = await theatre.start(view=_large_view, outbox_frames=2, close_seconds=1)
    with await push.connect_hung() as hung:
        await _overflow(push)
        received = await _read_to_end(hung)

    assert _CLOSED_AS_SLOW in received


async def test_the_transport_of_a_hung_client_is_cut(theatre: Theatre) -> None:
    """Closed politely it would wait for ever, with all its buffers."""
    push = await theatre.start(view=_large_view, outbox_frames=2, close_seconds=0.1)
    with await push.connect_hung() as hung:
        await _overflow(push)
        await push.all_gone()
        await asyncio.sleep(0.2)
        received = await _read_to_end(hung)

    assert _CLOSED_AS_SLOW not in received


async def _seconds_to_reach(client: Client, push: Push) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    push.bus.publish(completed())
    await client.read_types("job.completed")
    return loop.time() - began


async def _overflow(push: Push) -> None:
    number = 0
    while push.hub._audiences:
        number += 1
        push.bus.publish(completed(number=number))
        await push.hub._notices.join()
        await asyncio.sleep(0)


async def _read_to_end(hung: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(5):
        while chunk := await loop.sock_recv(hung, 2**20):
            received += chunk
    return received
