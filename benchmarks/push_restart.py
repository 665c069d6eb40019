"""A restart of the whole service while thousands of sockets hang on it and jobs go on: until all are back and know everything."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import chaos, push_crowd, socket_chaos
from benchmarks.push_line import Line
from tests.chaos.audit import audit
from tests.chaos.stage import chaos_stage
from tests.faults.messages import Request

SOCKETS_EACH: Final = 20
JOBS: Final = 100
JOB_SECONDS: Final = 20.0
GEMINI_SECONDS: Final = 1.0
READS: Final = frozenset({"Query", "GetItem", "BatchGetItem", "Scan"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What a restart came to; the seconds begin when the new process is ready."""

    sockets: int
    half_seconds: float
    all_seconds: float
    log_reads: float
    lost: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Run(chaos.Run):
    """Submits jobs evenly and kills the service in their midst."""

    clients: push_crowd.Process
    ready_at: float = 0
    resumed_at: Sequence[float] = ()
    reads: int = 0

    async def _make_trouble(self, until: float) -> None:
        await asyncio.sleep(self.options.seconds / 3)
        await self.stage.kill(self.service)
        self.reads = 0
        self.service = await self.stage.start_service(chaos.service_settings(self.options))
        self.ready_at = time.monotonic()
        while True:
            clients: list[dict[str, Any]] = await self.clients.ask()
            self.resumed_at = sorted(client["resumedAt"] for client in clients)
            if self.resumed_at[0] > self.ready_at - 1:
                return
            await asyncio.sleep(0.5)

    def count_reads(self) -> None:
        """Count what is read from the event log."""
        self.stage.aws.when(self._note_read)

    def _note_read(self, request: Request) -> bool:
        self.reads += request.action in READS and not self._are_back and request.says(self.stage.tables.events)
        return False  # only a look

    @property
    def _are_back(self) -> bool:
        return bool(self.resumed_at) and self.resumed_at[0] > self.ready_at - 1


async def measure(sockets: int) -> Restart:
    """Kill the service -9 under so many sockets and start it again."""
    users = max(1, sockets // SOCKETS_EACH)
    options = argparse.Namespace(jobs=JOBS, seconds=JOB_SECONDS, users=users, lease=4)
    with tempfile.TemporaryDirectory() as folder:
        async with chaos_stage(Path(folder), gemini_latency_seconds=GEMINI_SECONDS) as stage:
            service = await stage.start_service(chaos.service_settings(options))
            async with Line(lambda: [running.url for running in stage.services]) as line:
                tokens, user_ids = await socket_chaos.sign_in(service.url, users)
                async with push_crowd.resuming_clients(
                    line.url, tokens, sockets_each=SOCKETS_EACH, ping_seconds=25
                ) as clients:
                    run = _Run(stage=stage, options=options, service=service, clients=clients)
                    run.count_reads()
                    await run.play()
                    books = await audit(stage.clients, stage.tables, set(user_ids))
                    known = await socket_chaos.settled(clients, books, user_ids, SOCKETS_EACH)
    report = socket_chaos.Report(
        accepted=frozenset(run.accepted),
        books=books,
        clients=known,
        users=user_ids,
        troubles=socket_chaos.Troubles(kills=1),
        settle_seconds=0,
        seconds=0,
    )
    return Restart(
        sockets=len(known),
        half_seconds=run.resumed_at[len(run.resumed_at) // 2] - run.ready_at,
        all_seconds=run.resumed_at[-1] - run.ready_at,
        log_reads=run.reads / len(known),
        lost=report.zeros["ends missing at a client"],
    )
