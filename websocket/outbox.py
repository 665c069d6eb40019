"""What one socket is still owed."""

from __future__ import annotations

import asyncio

from websocket.messages import Frame


class Outbox:
    """Frames for one writer, in order, bounded in number and bytes. Putting never waits.

    There is one for each socket, so it is small: a dict keeps the order, and a future is there only while a writer waits.
    """

    __slots__ = (
        "_bytes",
        "_finished",
        "_frames",
        "_max_bytes",
        "_max_frames",
        "_number",
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

    def put(self, frame: Frame) -> bool:
        """Add a frame that must not be lost; False says that there is no room and it is."""
        if self._finished:
            return True  # the socket is being closed: its client will read everything anew
        # An empty outbox takes a frame of any size: refused, it would be refused again after every reconnect.
        if self._frames and not self._has_room(frame):
            return False
        self._number += 1
        self._add(self._number, frame)
        return True

    def put_newest(self, key: str, frame: Frame) -> None:
        """Add a frame that replaces an older one of the same key; a job's progress is dropped when there is no room.

        What is not about a job is always taken: there are a handful of such keys, and nothing would say it again.
        """
        if self._finished:
            return
        replaced = self._frames.pop(key, None)
        if replaced is not None:
            self._bytes -= len(replaced.content)
        # At the end, not in the old one's place: it must not overtake an event of the same job.
        if replaced is not None or frame.job_id is None or self._has_room(frame):
            self._add(key, frame)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is owed."""
        return not self._frames

    def pop(self) -> Frame:
        """Take the next frame; there must be one."""
        frame = self._frames.pop(next(iter(self._frames)))
        self._bytes -= len(frame.content)
        return frame

    async def take(self) -> Frame | None:
        """Wait for the next frame; None says that there will be no more."""
        while not self._frames:
            if self._finished:
                return None
            self._writer_waits = asyncio.get_running_loop().create_future()
            await self._writer_waits
        return self.pop()

    def finish(self) -> None:
        """Take nothing more in; what is there can still be taken."""
        self._finished = True
        self._wake_writer()

    def _has_room(self, frame: Frame) -> bool:
        return len(self._frames) < self._max_frames and self._bytes + len(frame.content) <= self._max_bytes

    def _add(self, key: int | str, frame: Frame) -> None:
        self._frames[key] = frame
        self._bytes += len(frame.content)
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._writer_waits is not None and not self._writer_waits.done():
            self._writer_waits.set_result(None)
