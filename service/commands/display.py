"""What a person sees of a job: one line that renews itself on a terminal, plain lines elsewhere and under NO_COLOR."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TextIO

AT_LEAST: Final = 4000
"""From here on the service's count of the jobs before one is a lower bound."""
_TICK_SECONDS: Final = 0.5


class Display:
    """Shows how far it is, on stderr so that stdout has the result alone."""

    def __init__(self, stream: TextIO, *, is_quiet: bool = False) -> None:
        self._stream = stream
        self._is_quiet = is_quiet
        self._is_live = (
            not is_quiet and stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        )
        self._text = ""
        self._key: object = None
        self._began = time.monotonic()

    def show(self, text: str, key: object) -> None:
        """Show it in place of the last; plain lines are written where `key` is another than the last one's."""
        is_new, self._text, self._key = key != self._key, text, key
        if self._is_live:
            self._draw()
        elif is_new and not self._is_quiet:
            self._write(f"{text}\n")

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._write(f"\r\x1b[K{line}\n" if self._is_live else f"{line}\n")
        if self._is_live and self._text:
            self._draw()

    def clear(self) -> None:
        """Take the line away."""
        if self._is_live and self._text:
            self._write("\r\x1b[K")
        self._text = ""

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Keep the time in the line going for the length of the block, and clear the line in the end."""
        ticks = asyncio.create_task(self._tick(), name="tick")
        try:
            yield
        finally:
            ticks.cancel()
            self.clear()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self._is_live and self._text:
                self._draw()

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r\x1b[K{f'{self.seconds:5.1f} s  {self._text}'[:width]}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def describe(job: Mapping[str, Any]) -> str:
    """Say in one sentence where a job is that has not ended."""
    match job["status"]:
        case "pending":
            return "Waiting for your earlier jobs"
        case "queued":
            return f"In the queue{_place(job.get('queue') or {})}"
        case "processing":
            progress = job.get("progress")
            return f"{progress['stage'].capitalize()} {progress['fraction']:.0%}" if progress else "Starting"
        case status:
            return str(status).capitalize()


def stage_of(job: Mapping[str, Any]) -> object:
    """Return what makes a new line where lines stay."""
    progress = job.get("progress") or {}
    return job["status"], progress.get("stage"), (job.get("queue") or {}).get("ahead")


def _place(queue: Mapping[str, Any]) -> str:
    ahead = queue.get("ahead")
    if ahead is None:
        return ""
    count = f"{ahead:,}+" if ahead >= AT_LEAST else f"{ahead:,}"
    place = ", it is next" if ahead == 0 else f", {count} {'job' if ahead == 1 else 'jobs'} before it"
    eta = queue.get("etaSeconds")
    return place if eta is None else f"{place}, begins in about {eta:.0f} s"
