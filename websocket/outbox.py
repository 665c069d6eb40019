"""What one socket is still owed."""

from __future__ import annotations

import asyncio

from websocket.messages import Frame


class Outbox:
    """Frames for one writer, in order, bounded in number and bytes. Putting never waits.

    There is one for each socket, so it is small: a dict keeps the order, and a future is there only while the writer waits.
    """

    __slots__ = (
        "_bytes",
        "_finished",
        "_frames",
        "_max_bytes",
        "_max_frames",
        "_number",
        "_room_waits",
        "_writer_waits",
    )

    def __init__(self, *, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: dict[int | str, Frame] = {}
        self._number = 0
        self._bytes = 0
        self._finished = False
        self._writer_waits: asyncio.Future[None] | None = None
        self._room_waits: asyncio.Future[None] | None = None

    def put(self, frame: Frame) -> bool:
        """Add a frame that must not be lost; False says that there is no room and it is."""
        self._number += 1
        return self._add(self._number, frame)

    def put_newest(self, key: str, frame: Frame) -> None:
        """Add a frame that replaces an older one of the same key, or is dropped when there is no room."""
        replaced = self._frames.pop(key, None)
        if replaced is not None:
            self._bytes -= len(replaced.content)
        # At the end, not in the old one's place: it must not overtake an event of the same job.
        self._add(key, frame)

    async def take(self) -> Frame | None:
        """Wait for the next frame; None says that there will be no more."""
        while not self._frames:
            if self._finished:
                return None
            self._writer_waits = asyncio.get_running_loop().create_future()
            await self._writer_waits
        frame = self._frames.pop(next(iter(self._frames)))
        self._bytes -= len(frame.content)
        if self._is_half_empty():
            _wake(self._room_waits)
        return frame

    async def wait_for_room(self) -> None:
        """Wait until it is half empty, or finished. For one at a time."""
        if not self._finished and not self._is_half_empty():
            self._room_waits = asyncio.get_running_loop().create_future()
            await self._room_waits

    def finish(self) -> None:
        """Take nothing more in; what is there can still be taken."""
        self._finished = True
        self._wake_writer()
        _wake(self._room_waits)

    def _is_half_empty(self) -> bool:
        return len(self._frames) <= self._max_frames // 2 and self._bytes <= self._max_bytes // 2

    def _add(self, key: int | str, frame: Frame) -> bool:
        if self._finished:
            return True  # the socket is being closed: its client will read everything anew
        # An empty outbox takes a frame of any size: refused, it would be refused again after every reconnect.
        if self._frames and (
            len(self._frames) >= self._max_frames or self._bytes + len(frame.content) > self._max_bytes
        ):
            return False
        self._frames[key] = frame
        self._bytes += len(frame.content)
        self._wake_writer()
        return True

    def _wake_writer(self) -> None:
        _wake(self._writer_waits)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
