"""The chaos run with sockets: tasks killed -9, Redis restarted and lines cut, and every client knows every end of its jobs.

python -m benchmarks.socket_chaos [--jobs 500] [--seconds 90] [--users 20] [--sockets-each 3] [--services 2] [--kill-every 9]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from benchmarks import chaos, push_crowd, tables
from benchmarks.push_crowd import Process
from benchmarks.push_line import Line
from jobs.ids import JobId
from tests.bus.redis_server import RedisServer
from tests.chaos.audit import Audit, audit
from tests.chaos.stage import Service, chaos_stage

GEMINI_SECONDS: Final = 1.0
REDIS_GONE_SECONDS: Final = 1.5
STILL_SECONDS: Final = 1.0
DEAD_SECONDS: Final = 1.0
LEAST_LIVES: Final = 2
SETTLE_SECONDS: Final = 60
"""What clients may take to learn of everything once nothing goes wrong any more."""


@dataclass(slots=True, kw_only=True)
class Troubles:
    """How often what went wrong."""

    kills: int = 0
    redis_restarts: int = 0
    cuts: int = 0
    stills: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to. ``known`` are the ends that each client knows in the end, by the client's user."""

    accepted: frozenset[JobId]
    books: Audit
    clients: Sequence[Mapping[str, Any]]
    users: Sequence[str]
    troubles: Troubles
    settle_seconds: float
    seconds: float

    @property
    def zeros(self) -> dict[str, int]:
        """What must not have happened, and how often it did."""
        pairs = [(self.truth(user), known) for user, known in self.known()]
        return {
            "lost jobs": len(self.books.lost(self.accepted)),
            "faults in the books": len(self.books.faults),
            "ends missing at a client": sum(len(truth - known) for truth, known in pairs),
            "ends a client made up": sum(len(known - truth) for truth, known in pairs),
        }

    def truth(self, user_id: str) -> set[tuple[str, int]]:
        """Return the ends of a user's jobs as the table has them."""
        jobs = self.books.jobs.values()
        return {(job.job_id, job.version) for job in jobs if job.terminal and job.user_id == user_id}

    def known(self) -> Iterator[tuple[str, set[tuple[str, int]]]]:
        """Give what each client knows, with its user."""
        each = len(self.clients) // len(self.users)
        for number, client in enumerate(self.clients):
            yield self.users[number // each], set(client["ended"].items())

    def rows(self) -> Iterator[tuple[str, str]]:
        """Give the table's rows."""
        count = len(self.clients)
        yield "clients", f"{count}, of {len(self.users)} users"
        yield "jobs accepted", str(len(self.accepted))
        yield "ends that clients had to learn of", str(sum(len(self.truth(user)) for user, _ in self.known()))
        for name, number in self.zeros.items():
            yield f"{name} (must be 0)", str(number)
        yield "services killed -9", str(self.troubles.kills)
        yield "Redis killed and restarted", str(self.troubles.redis_restarts)
        yield "all lines cut, and stood still", f"{self.troubles.cuts}, {self.troubles.stills}"
        yield "connections of a client", f"{self._total('connections') / count:.1f}"
        yield "snapshots of a client", f"{self._total('snapshots') / count:.1f}"
        yield "told to read everything anew", str(self._total("resyncs"))
        yield "updates told again, which clients ignore", str(self._total("repeated"))
        yield "from the last end until all clients knew all", f"{self.settle_seconds:.1f} s"
        yield "wall time", f"{self.seconds:.0f} s"

    def _total(self, name: str) -> int:
        return sum(client[name] for client in self.clients)


@dataclass(slots=True, kw_only=True, eq=False)
class Run(chaos.Run):
    """A chaos run whose trouble is the clients'. ``services`` are those that run, or did until a moment ago."""

    services: list[Service]
    settings: Mapping[str, str]
    line: Line
    redis: RedisServer | None
    troubles: Troubles = field(default_factory=Troubles)

    async def _make_trouble(self, until: float) -> None:
        """Do one bad thing after the other, and kill a service in turn, or all of them."""
        third = self.options.kill_every / 3
        for life in itertools.count():
            await asyncio.sleep(third)
            await self._disturb_line(is_cut=life % 2 == 0)
            await asyncio.sleep(third)
            await self._restart_redis()
            await asyncio.sleep(third)
            await self._kill(life)
            if time.monotonic() > until and life + 1 >= LEAST_LIVES:
                return

    async def _disturb_line(self, *, is_cut: bool) -> None:
        if is_cut:
            self.troubles.cuts += 1
            await self.line.cut()
        else:
            self.troubles.stills += 1
            self.line.stand_still()
            await asyncio.sleep(STILL_SECONDS)
            self.line.move()

    async def _restart_redis(self) -> None:
        if self.redis is not None:
            self.troubles.redis_restarts += 1
            await asyncio.to_thread(self.redis.kill)
            await asyncio.sleep(REDIS_GONE_SECONDS)
            await asyncio.to_thread(self.redis.start)

    async def _kill(self, life: int) -> None:
        """Kill one of the services, in their turn, and after that all at once."""
        turn = life % (len(self.services) + 1)
        chosen = [turn] if turn < len(self.services) else list(range(len(self.services)))
        for index in chosen:
            self.troubles.kills += 1
            await self.stage.kill(self.services[index])
        await asyncio.sleep(DEAD_SECONDS)
        for index in chosen:
            self.services[index] = await self.stage.start_service(self.settings)
        self.service = self.services[0]


async def measure(options: argparse.Namespace, folder: Path) -> Report:
    """Play a run, its state and the services' logs in the folder; read the books, and what the clients know."""
    began = time.monotonic()
    async with chaos_stage(folder, gemini_latency_seconds=GEMINI_SECONDS) as stage, _redis(options, folder) as redis:
        settings = chaos.service_settings(options) | ({"EVENT_BUS_URL": redis.url} if redis else {})
        services = [await stage.start_service(settings) for _ in range(options.services)]
        async with Line(lambda: [service.url for service in services]) as line:
            run = Run(
                stage=stage,
                options=options,
                service=services[0],
                services=services,
                settings=settings,
                line=line,
                redis=redis,
            )
            tokens, users = await sign_in(services[0].url, options.users)
            async with push_crowd.resuming_clients(line.url, tokens, sockets_each=options.sockets_each) as clients:
                await run.play()
                settling = time.monotonic()
                books = await audit(stage.clients, stage.tables, set(users))
                known = await settled(clients, books, users, options.sockets_each)
        return Report(
            accepted=frozenset(run.accepted),
            books=books,
            clients=known,
            users=users,
            troubles=run.troubles,
            settle_seconds=time.monotonic() - settling,
            seconds=time.monotonic() - began,
        )


async def sign_in(url: str, count: int) -> tuple[list[str], list[Any]]:
    """Sign in the users that the run will submit for; returns their tokens and ids."""
    tokens, users = [], []
    async with aiohttp.ClientSession() as session:
        for number in range(count):
            async with session.post(f"{url}/auth/demo", json={"user": f"chaos-{number}"}) as answer:
                answer.raise_for_status()
                tokens.append((await answer.json())["idToken"])
            async with session.get(f"{url}/user/me", headers={"Authorization": f"Bearer {tokens[-1]}"}) as answer:
                users.append((await answer.json())["userId"])
    return tokens, users


async def settled(clients: Process, books: Audit, users: Sequence[str], each: int) -> list[dict[str, Any]]:
    """Wait until every client knows as many ends as its user has; what it does not know by then it has missed."""
    ends = [sum(job.terminal and job.user_id == user for job in books.jobs.values()) for user in users]
    known: list[dict[str, Any]] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                known = await clients.ask()
                if all(len(client["ended"]) >= ends[number // each] for number, client in enumerate(known)):
                    break
                await asyncio.sleep(0.2)
    return known


@asynccontextmanager
async def _redis(options: argparse.Namespace, folder: Path) -> AsyncIterator[RedisServer | None]:
    """Run a server for the bus between several services; one alone has its own."""
    if options.services == 1:
        yield None
        return
    server = RedisServer(folder)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.kill)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.socket_chaos", description=description)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=90, help="how long jobs are submitted and things go wrong")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--sockets-each", type=int, default=3)
    parser.add_argument("--services", type=int, default=2, help="one has no Redis")
    parser.add_argument(
        "--lease", type=int, default=4, help="seconds, which are also the messages' visibility time-out"
    )
    parser.add_argument("--kill-every", type=float, default=9, help="seconds of work between two kills")
    return parser.parse_args(arguments)


async def main() -> int:
    """Run and print the table; returns 1 when something happened that must not."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-chaos-"))
    report = await measure(parse(), folder)
    return tables.conclude(report.rows(), report.zeros, report.books.faults[: chaos.SHOWN_FAULTS], folder)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
