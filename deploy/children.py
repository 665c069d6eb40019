"""Child processes that stop when we do: their stdin is a pipe that closes with us."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

STOP_SECONDS: Final = 6.0
TERMINATE_SECONDS: Final = 2.0


class ChildFailed(Exception):
    """A child process ended or kept silent before it was ready."""


class Child:
    """A process that says when it is ready and stops when its stdin closes."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._gone = asyncio.create_task(process.wait(), name=f"wait for {name}")

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path
    ) -> Self:
        """Start the process with stderr appended to `log`.

        Call it on the main thread: on Linux the child asks to die with the thread that made it.
        """
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,  # Ctrl-C is for us; we then stop our children in order
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def ready(self, timeout_seconds: float) -> dict[str, Any]:
        """Return the JSON object of its first line; raise ChildFailed if that is an error or does not come."""
        assert self._process.stdout is not None  # noqa: S101 - help mypy
        try:
            async with asyncio.timeout(timeout_seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ChildFailed(f"The {self.name} was not ready within {timeout_seconds:g} s; see {self.log}.") from None
        try:
            message: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ChildFailed(f"The {self.name} did not start; see {self.log}.") from None
        if "error" in message:
            raise ChildFailed(f"The {self.name} did not start: {message['error']}.")
        return message

    async def exited(self) -> int:
        """Wait until the process is gone and return its exit code."""
        return await asyncio.shield(self._gone)

    async def stop(self, patience_seconds: float = STOP_SECONDS) -> None:
        """Close its stdin and wait; terminate, then kill, one that does not listen."""
        assert self._process.stdin is not None  # noqa: S101 - help mypy
        self._process.stdin.close()
        for seconds, insist in ((patience_seconds, self._process.terminate), (TERMINATE_SECONDS, self._process.kill)):
            done, _ = await asyncio.wait({self._gone}, timeout=seconds)
            if done:
                return
            with contextlib.suppress(ProcessLookupError):
                insist()
        await asyncio.wait({self._gone}, timeout=TERMINATE_SECONDS)
