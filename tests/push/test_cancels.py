"""Cancels over a socket: they take their time beside everything else that is said."""

from __future__ import annotations

import asyncio
import time

import pytest

from jobs.ids import JobId, UserId
from jobs.model import JSON
from tests.push.stage import WAIT_SECONDS, Client, Log, Theatre, happened


class Slow:
    """Cancels when it is told to ``go``; knows what has begun and how each ended."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.ended: list[str] = []
        self._changed = asyncio.Condition()

    async def cancel(self, user_id: UserId, job_id: JobId) -> dict[str, JSON]:
        """Cancel a job."""
        async with self._changed:
            self.begun += 1
            self._changed.notify_all()
        try:
            await self.go.wait()
            if job_id == "job_broken":
                raise ValueError("a bug")
        except asyncio.CancelledError:
            self.ended.append("broken off")
            raise
        self.ended.append("done")
        return {"jobId": job_id, "for": user_id}

    async def been_asked(self, times: int) -> None:
        """Wait until so many have begun."""
        async with asyncio.timeout(WAIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.begun >= times)


@pytest.fixture
def slow() -> Slow:
    """Make a desk that takes its time."""
    return Slow()


async def cancel(client: Client, *job_ids: str) -> None:
    """Ask to cancel jobs."""
    for job_id in job_ids:
        await client.send({"type": "cancel", "jobId": job_id, "ref": job_id})


async def test_a_cancel_keeps_nobody_waiting(theatre: Theatre, slow: Slow) -> None:
    """Pings, resumes and fresh tokens are answered meanwhile; its own answer comes when it is done."""
    log = Log(happened())
    push = await theatre.start(log=log, cancel=slow.cancel)
    client = await push.connect_live()
    await cancel(client, "job_1")
    await slow.been_asked(1)
    await client.send({"type": "ping"})
    await client.read_types("ping")
    await client.send({"type": "auth", "token": f"alice@{int(time.time()) + 600}"})
    await client.read_types("auth.ok")
    await client.send({"type": "resume", "since": log.events[0].event_id})
    await client.read_types("job.completed")
    slow.go.set()
    (answer,) = await client.read_types("cancel.ok")

    assert ("job_1", "alice") == (answer["data"]["ref"], answer["data"]["for"])


async def test_only_so_many_cancels_are_under_way(theatre: Theatre, slow: Slow) -> None:
    """One too many is told at once; the others are answered, and then there is room again. Another socket has its own."""
    push = await theatre.start(cancels_at_once=2, cancel=slow.cancel)
    client, other = [await push.connect_live() for _ in range(2)]
    await cancel(client, "job_1", "job_2", "job_3")
    (refused,) = await client.read_types("error")
    await cancel(other, "job_4")
    await slow.been_asked(3)
    slow.go.set()
    answers = await client.read_types("cancel.ok", "cancel.ok")
    await cancel(client, "job_3")
    answers += await client.read_types("cancel.ok")
    await other.read_types("cancel.ok")

    assert ("too_many_requests", "job_3") == (refused["data"]["code"], refused["data"]["ref"])
    assert ["job_1", "job_2", "job_3"] == sorted(answer["data"]["ref"] for answer in answers)


async def test_the_wish_of_a_client_that_leaves_is_granted(theatre: Theatre, slow: Slow) -> None:
    """Interleaving: cancel begins, the client leaves, cancel done."""
    push = await theatre.start(cancel=slow.cancel)
    client = await push.connect_live()
    await cancel(client, "job_1")
    await slow.been_asked(1)
    await client.socket.close()
    slow.go.set()
    await push.all_gone()

    assert ["done"] == slow.ended


async def test_no_cancel_outlives_its_socket(theatre: Theatre, slow: Slow) -> None:
    """Whoever ends it: here a second hello does, and then the service."""
    push = await theatre.start(cancel=slow.cancel)
    clients = [await push.connect_live() for _ in range(2)]
    for client in clients:
        await cancel(client, "job_1", "job_2")
    await slow.been_asked(4)
    await clients[0].send({"type": "hello", "token": "alice"})
    refused = await clients[0].read_error()
    closing = asyncio.create_task(push.hub.close())
    _, restarted = await clients[1].read_end()
    await closing

    assert (("invalid_request", 4400), 1012) == (refused, restarted)
    assert ["broken off"] * 4 == slow.ended
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("cancel for")]


async def test_a_defect_in_a_cancel_closes_its_socket_alone(
    theatre: Theatre, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    """Its client comes back, and asks again if it still wants to."""
    push = await theatre.start(cancel=slow.cancel)
    client, other = [await push.connect_live() for _ in range(2)]
    slow.go.set()
    await cancel(client, "job_broken")

    assert await client.read_error() == ("unavailable", 4503)
    assert "a bug" in caplog.text

    await other.assert_silent()
