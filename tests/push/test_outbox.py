"""What one socket is owed, and what is given up first."""

from __future__ import annotations

import asyncio

from jobs.ids import JobId
from websocket.messages import Frame
from websocket.outbox import Outbox


def _frame(text: str) -> Frame:
    return Frame(type="test", content=text.encode())


def _progress(text: str) -> Frame:
    return Frame(type="job.progress", content=text.encode(), job_id=JobId("job_2"))


def _outbox(*, max_frames: int = 10, max_bytes: int = 100) -> Outbox:
    return Outbox(max_frames=max_frames, max_bytes=max_bytes)


async def _contents(outbox: Outbox) -> list[str]:
    outbox.finish()
    found: list[str] = []
    while (frame := await outbox.take()) is not None:
        found.append(frame.content.decode())
    return found


async def test_frames_leave_in_the_order_they_came() -> None:
    """First in, first out."""
    outbox = _outbox()
    for text in ("a", "b", "c"):
        assert outbox.put(_frame(text))

    assert await _contents(outbox) == ["a", "b", "c"]


async def test_only_the_newest_progress_of_a_job_is_kept() -> None:
    """Others' progress is left alone."""
    outbox = _outbox()
    for key, text in (("job_1", "10 %"), ("job_2", "20 %"), ("job_1", "90 %")):
        outbox.put_newest(key, _frame(text))

    assert await _contents(outbox) == ["20 %", "90 %"]


async def test_new_progress_does_not_overtake_an_event() -> None:
    """A progress that replaces an older one takes a place of its own, behind the event between them."""
    outbox = _outbox()
    outbox.put_newest("job_1", _frame("90 %"))
    outbox.put(_frame("retrying"))
    outbox.put_newest("job_1", _frame("10 %"))

    assert await _contents(outbox) == ["retrying", "10 %"]


async def test_a_frame_too_many_is_refused() -> None:
    """The bound on frames holds."""
    outbox = _outbox(max_frames=2)

    assert [outbox.put(_frame(text)) for text in ("a", "b", "c")] == [True, True, False]
    assert await _contents(outbox) == ["a", "b"]


async def test_a_byte_too_many_is_refused_until_there_is_room() -> None:
    """The bound on bytes holds, and what was taken or replaced no longer counts."""
    outbox = _outbox(max_bytes=10)
    outbox.put_newest("job_1", _frame("12345678"))
    outbox.put_newest("job_1", _frame("1234"))

    assert outbox.put(_frame("123456"))
    assert not outbox.put(_frame("1"))

    await outbox.take()

    assert outbox.put(_frame("1"))


async def test_an_empty_outbox_takes_a_frame_of_any_size() -> None:
    """Refused, it would be refused after every reconnect."""
    assert _outbox(max_bytes=3).put(_frame("larger"))


async def test_progress_without_room_is_dropped() -> None:
    """It closes nobody: the next one says as much."""
    outbox = _outbox(max_frames=1)
    outbox.put(_frame("completed"))
    outbox.put_newest("job_2", _progress("10 %"))

    assert await _contents(outbox) == ["completed"]


async def test_a_replacement_needs_no_room() -> None:
    """Larger than what it replaces, in an outbox that is full: dropping both would leave the client with neither."""
    outbox = _outbox(max_bytes=10)
    outbox.put_newest("job_2", _progress("10 %"))
    outbox.put(_frame("123456"))
    outbox.put_newest("job_2", _progress("100 %"))

    assert not outbox.put(_frame(""))
    assert await _contents(outbox) == ["123456", "100 %"]


async def test_what_is_not_about_a_job_needs_no_room() -> None:
    """How the service is, that a token expires, that a client must go elsewhere: nobody would say it again."""
    outbox = _outbox(max_frames=1)
    outbox.put(_frame("completed"))
    outbox.put_newest("system.degraded", _frame("degraded"))
    outbox.put_newest("system.degraded", _frame("well again"))
    outbox.put_newest("reconnect", _frame("reconnect"))

    assert not outbox.put(_frame("one more"))
    assert await _contents(outbox) == ["completed", "well again", "reconnect"]


async def test_a_waiting_writer_is_woken() -> None:
    """By a frame, and by the end."""
    outbox = _outbox()
    writer = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.put(_frame("a"))
    first = await writer
    writer = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.finish()

    assert _frame("a") == first
    assert await writer is None


async def test_a_finished_outbox_takes_nothing_and_complains_of_nothing() -> None:
    """Its socket is being closed already."""
    outbox = _outbox()
    outbox.finish()

    assert outbox.put(_frame("late"))
    assert await outbox.take() is None
