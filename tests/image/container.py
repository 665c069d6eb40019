"""Runs the image without an engine: process 1 of its own, another user, and a file system on which nothing can be written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

READY_SECONDS = 60
END_SECONDS = 60
# What a container runtime does, in the mount namespace that `unshare` has just made: $1 is the root file system.
MOUNT = """
set -e
root=$1 user=$2 group=$3 folder=$4
shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777,size=64m,nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k,nosuid tmpfs "$root/dev"
for device in null urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro "$root/dev"
exec unshare --root "$root" --wd "$folder" --setgid "$group" --setuid "$user" -- "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image's root file system, and what it says of how it is run, in Docker's words."""

    root: Path
    config: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> Image:
        """Read what ``scripts/image`` has left."""
        return cls(root=root.resolve(), config=json.loads((root.parent / "config.json").read_text(encoding="utf-8")))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @property
    def command(self) -> tuple[str, ...]:
        """What a container of the image runs."""
        return (*self.config["Entrypoint"], *self.config["Cmd"])

    @property
    def health_command(self) -> tuple[str, ...]:
        """How a container of the image is probed."""
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", "the probe needs a shell"
        return tuple(command)

    async def run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Run a command to its end in a container of its own; returns its exit code, its stdout and its stderr."""
        process = await self._spawn(command, environment, asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(END_SECONDS):
                said, complained = await process.communicate()
        finally:
            await _end(process)
        assert process.returncode is not None
        return process.returncode, said.decode(), complained.decode()

    async def start(self, environment: Mapping[str, str], log: Path) -> Container:
        """Start the service in a container and return it once it is ready; ``log`` takes its stderr.

        Nothing but ``environment`` and what the image sets is handed on.
        """
        with log.open("xb") as errors:
            process = await self._spawn(self.command, environment, errors.fileno())
        try:
            assert process.stdout is not None
            async with asyncio.timeout(READY_SECONDS):
                line = (await process.stdout.readline()).decode()
            assert "http://" in line, f"the service did not start; it says why in {log}"
            return Container(url=line.split()[-1], pid=_first_process(process), log=log, process=process)
        except BaseException:
            await _end(process)
            raise

    async def _spawn(
        self, command: Sequence[str], environment: Mapping[str, str], errors: int
    ) -> asyncio.subprocess.Process:
        user, _, group = self.config["User"].partition(":")
        folder = self.config["WorkingDir"]
        return await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--propagation=private"),
            *("sh", "-c", MOUNT, "container", str(self.root), user, group, folder, *command),
            env=self.environment | dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Container:
    """A container whose service was ready. ``pid`` is the number that its process 1 has outside, ``process`` is its parent."""

    url: str
    pid: int
    log: Path
    process: asyncio.subprocess.Process

    @property
    def temporary_files(self) -> list[Path]:
        """What lies in the one folder that can be written to."""
        return list(Path(f"/proc/{self.pid}/root/tmp").rglob("*"))

    async def stop(self) -> int:
        """Send SIGTERM, as ECS does, and wait for the end; returns the exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Send SIGKILL and wait for the end; harmless when it has ended already."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        if self.process.returncode is None:
            os.kill(self.pid, number)
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self.process.wait()
        finally:
            await _end(self.process)


def _first_process(parent: asyncio.subprocess.Process) -> int:
    (child,) = psutil.Process(parent.pid).children()
    return child.pid


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()  # and with it, by --kill-child, all that is inside
        await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # asyncio keeps the pipe of a killed process open
