"""Tasks of the service behind a proxy, put up, exchanged and taken away as ECS does it."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from yarl import URL

from tests.conftest import CHECKOUT
from tests.image.container import Container
from tests.rehearsal.operator import Operator
from tests.rehearsal.proxy import Proxy

READY_SECONDS: Final = 60
Launch: TypeAlias = Callable[[Mapping[str, str], Path], Awaitable[Container]]
"""Starts the service with this environment, its log in that file, and returns once it says that it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One running container. ``name`` is what the proxy calls it."""

    name: str
    release: str
    container: Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """What one exchange of tasks came to. ``exit_codes`` and ``stop_seconds`` are those of the tasks that were taken away.

    A kill takes no time: ``seconds`` is None then, and nobody had a chance to leave.
    """

    name: str
    seconds: float | None
    exit_codes: tuple[int, ...]
    stop_seconds: tuple[float, ...]


@dataclass(slots=True, kw_only=True)
class Fleet:
    """So many tasks as there should be, of one release, all of them behind the proxy.

    ``delay_seconds`` is the load balancer's deregistration delay, ``patience_seconds`` how long a new task may take to be well.
    """

    proxy: Proxy
    launch: Launch
    settings: Mapping[str, str]
    folder: Path
    size: int
    delay_seconds: float
    patience_seconds: float
    tasks: list[Task] = field(default_factory=list)
    start_seconds: list[float] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def put_up(self, release: str) -> None:
        """Start the first tasks; returns when all get requests."""
        self.tasks = await self._start_all(release)
        await asyncio.gather(*(self.proxy.admit(task.name) for task in self.tasks))

    async def roll(self, release: str) -> Roll:
        """Start as many new tasks as there should be, wait until all are well, and only then take the old ones away."""
        began = time.monotonic()
        return await self._admit_or_roll_back(await self._start_all(release), began)

    async def roll_bad(self, release: str) -> Roll:
        """Start the first new task of a release that listens on another port than the load balancer asks."""
        began = time.monotonic()
        return await self._admit_or_roll_back([await self._start(release, port_shift=1)], began)

    async def _admit_or_roll_back(self, new: list[Task], began: float) -> Roll:
        """Exchange the tasks; when the new ones do not become well in time they leave instead: the circuit breaker of ECS."""
        try:
            async with asyncio.timeout(self.patience_seconds):
                await asyncio.gather(*(self.proxy.admit(task.name) for task in new))
            leaving, self.tasks = self.tasks, new
        except TimeoutError:
            leaving = new
        ends = await asyncio.gather(*(self._retire(task) for task in leaving))
        return _roll(f"asked for {new[0].release}, got {self.tasks[0].release}", began, ends)

    async def lose_one(self, operator: Operator) -> Roll:
        """Have the operator drain the task with the most sockets: the proxy learns of it by its checks alone.

        SIGTERM comes while it leaves, once, as ECS says it to a task that is not ready any more.
        """
        began = time.monotonic()
        sockets = {task.name: (await operator.look(task.container.url)).sockets for task in self.tasks}
        leaving = max(self.tasks, key=lambda task: sockets[task.name])
        self.tasks.remove(leaving)
        await operator.drain(leaving.container.url)
        end = await self._stop(leaving)
        return _roll("one left by itself", began, [end])

    async def kill_one(self) -> Roll:
        """Kill a task, as no platform should."""
        await self.tasks.pop(0).container.kill()
        return Roll(name="one was killed", seconds=None, exit_codes=(), stop_seconds=())

    async def take_down(self) -> None:
        """Kill what still runs."""
        await asyncio.gather(*(task.container.kill() for task in self.tasks))

    async def _start_all(self, release: str) -> list[Task]:
        return await asyncio.gather(*(self._start(release) for _ in range(self.size)))

    async def _start(self, release: str, port_shift: int = 0) -> Task:
        name = f"{release}-{next(self._numbers)}"
        began = time.monotonic()
        container = await self.launch({**self.settings, "RELEASE": release}, self.folder / f"{name}.log")
        self.start_seconds.append(time.monotonic() - began)
        await self.proxy.register(name, (URL(container.url).port or 0) + port_shift)
        return Task(name=name, release=release, container=container)

    async def _retire(self, task: Task) -> tuple[int, float]:
        """Deregister it, wait for the delay, and only then say SIGTERM: the order of ECS."""
        await self.proxy.deregister(task.name, self.delay_seconds)
        return await self._stop(task)

    async def _stop(self, task: Task) -> tuple[int, float]:
        began = time.monotonic()
        return await task.container.stop(), time.monotonic() - began


def _roll(name: str, began: float, ends: Sequence[tuple[int, float]]) -> Roll:
    return Roll(
        name=name,
        seconds=time.monotonic() - began,
        exit_codes=tuple(code for code, _ in ends),
        stop_seconds=tuple(seconds for _, seconds in ends),
    )


async def launch_plainly(environment: Mapping[str, str], log: Path) -> Container:
    """Start the service as a process of this checkout, for those who are not root."""
    with log.open("xb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service"),
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    container = Container(url="", pid=process.pid, log=log, process=process)
    try:
        async with asyncio.timeout(READY_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert "http://" in line, f"the service did not start; it says why in {log}"
    except BaseException:
        await container.kill()
        raise
    return Container(url=line.split()[-1], pid=process.pid, log=log, process=process)
