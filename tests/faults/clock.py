"""A wall clock that one process has for itself and that can be set while it runs, by libfaketime."""

from __future__ import annotations

from pathlib import Path

# Where Debian's libfaketime lies; the dynamic loader knows what $LIB is on this machine.
_LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"


class WallClock:
    """A process started with ``environment`` reads this clock, which ``file`` keeps; its monotonic clock stays the real one.

    ``time.sleep`` does not work in such a process: libfaketime misreads the absolute time that Python sleeps until.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """What the process is started with."""
        return {
            "LD_PRELOAD": _LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds_ahead: int) -> None:
        """Step to so many seconds ahead of the real time, negative for behind; the next look at the clock sees it."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{seconds_ahead:+d}\n")
        draft.rename(self._file)
