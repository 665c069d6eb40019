"""Where chaos plays: an embedded cloud behind fault proxies, and service processes that may be killed at any instant."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from deploy.cloud import CloudOptions, embedded_cloud
from jobs.aws import AWSConfig, Clients, open_clients
from jobs.job_table import Tables
from tests.conftest import CHECKOUT, PAGE_ORIGIN
from tests.faults.proxy import FaultProxy

READY_SECONDS = 60
END_SECONDS = 60
LEASE_SECONDS = 4
TOKEN_SECONDS = 86_400
"""Longer than any test sets a clock ahead."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Service:
    """A service process that was ready. ``log`` is what it wrote to stderr, in JSON lines."""

    url: str
    log: Path
    process: asyncio.subprocess.Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """``aws`` and ``gemini`` stand between the services and the cloud; ``clients`` reach the same cloud past them.

    ``environment`` is what every service is started with; ``tables`` and ``queue_url`` are those of the cloud.
    """

    aws: FaultProxy
    gemini: FaultProxy
    clients: Clients
    tables: Tables
    queue_url: str
    environment: Mapping[str, str]
    simulator_url: str
    folder: Path
    services: list[Service] = field(default_factory=list)

    async def start_service(self, settings: Mapping[str, str] | None = None) -> Service:
        """Start ``python -m service`` on a free port and return it once it is ready; ``settings`` win over ``environment``."""
        log = self.folder / f"service-{len(list(self.folder.glob('service-*.log'))) + 1}.log"
        with log.open("xb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "--port=0"),
                cwd=CHECKOUT,
                env=_own_environment() | dict(self.environment) | dict(settings or {}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        service = Service(url=await _read_url(process, log), log=log, process=process)
        self.services.append(service)
        return service

    async def kill(self, service: Service) -> None:
        """Send SIGKILL and wait for the end; harmless when it is dead already."""
        await self._end(service, signal.SIGKILL)

    async def stop(self, service: Service) -> int:
        """Send SIGTERM and wait for the end; returns the exit code."""
        return await self._end(service, signal.SIGTERM)

    async def kill_all(self) -> None:
        """Kill every service that still runs."""
        for service in tuple(self.services):
            await self.kill(service)

    async def simulator_stats(self) -> dict[str, Any]:
        """Read the Gemini simulator's counters: ``calls``, ``inFlight``, ``byOutcome``, ``mostCallsPerPrompt``."""
        return await self._simulator("GET", "stats")

    async def reset_simulator_stats(self) -> None:
        """Let the simulator count from zero."""
        await self._simulator("POST", "stats/reset")

    async def _simulator(self, method: str, path: str) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=10)
        url = f"{self.simulator_url}/simulator/{path}"
        async with aiohttp.ClientSession(timeout=timeout) as session, session.request(method, url) as answer:
            answer.raise_for_status()
            stats: dict[str, Any] = await answer.json()
            return stats

    async def _end(self, service: Service, number: signal.Signals) -> int:
        if service in self.services:
            self.services.remove(service)
        return await _end(service.process, number)


@asynccontextmanager
async def chaos_stage(
    folder: Path,
    *,
    gemini_latency_seconds: float = 0,
    gemini_error_rate: float = 0,
    gemini_requests_per_minute: int | None = None,
) -> AsyncIterator[Stage]:
    """Run an embedded cloud of its own, its state and all logs in ``folder``; in the end nothing of it is left running."""
    options = CloudOptions(
        data_dir=folder,
        page_origins=(PAGE_ORIGIN,),
        gemini_latency_seconds=gemini_latency_seconds,
        gemini_error_rate=gemini_error_rate,
        gemini_requests_per_minute=gemini_requests_per_minute,
        token_seconds=TOKEN_SECONDS,
    )
    async with (
        embedded_cloud(options) as cloud,
        FaultProxy(cloud.environment["AWS_ENDPOINT_URL"]) as aws,
        FaultProxy(cloud.environment["GEMINI_BASE_URL"]) as gemini,
        open_clients(_config(cloud.environment)) as clients,
    ):
        stage = Stage(
            aws=aws,
            gemini=gemini,
            clients=clients,
            tables=_tables(cloud.environment),
            queue_url=cloud.environment["SQS_QUEUE_URL"],
            environment=_service_environment(cloud.environment, aws, gemini),
            simulator_url=cloud.environment["GEMINI_BASE_URL"],
            folder=folder,
        )
        try:
            yield stage
        finally:
            await stage.kill_all()


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GEMINI_", "GOOGLE_"))}


def _config(cloud: Mapping[str, str]) -> AWSConfig:
    return AWSConfig(
        region=cloud["AWS_REGION"],
        endpoint_url=cloud["AWS_ENDPOINT_URL"],
        access_key_id=cloud["AWS_ACCESS_KEY_ID"],
        secret_access_key=cloud["AWS_SECRET_ACCESS_KEY"],
    )


def _tables(cloud: Mapping[str, str]) -> Tables:
    return Tables(
        jobs=cloud["IMAGE_JOBS_TABLE"],
        events=cloud["JOB_EVENTS_TABLE"],
        usage=cloud["USAGE_LOG_TABLE"],
        users=cloud["USERS_TABLE"],
    )


def _service_environment(cloud: Mapping[str, str], aws: FaultProxy, gemini: FaultProxy) -> dict[str, str]:
    direct = cloud["AWS_ENDPOINT_URL"]
    return {
        **{name: value.replace(direct, aws.url) for name, value in cloud.items()},
        "GEMINI_BASE_URL": gemini.url,
        "EMBEDDED": "true",
        "HOST": "127.0.0.1",
        "DAILY_LIMIT": "1000000",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "GEMINI_TIMEOUT_SECONDS": str(LEASE_SECONDS * 0.7),
        "METRICS_PORT": "off",
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "json",
    }


async def _read_url(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert "http://" in line, f"the service did not start; it says why in {log}"
    except BaseException:
        await _end(process, signal.SIGKILL)
        raise
    return line.split()[-1]


async def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> int:
    if process.returncode is None:
        process.send_signal(number)
    try:
        async with asyncio.timeout(END_SECONDS):
            return await process.wait()
    finally:
        process._transport.close()  # type: ignore[attr-defined]  # asyncio keeps the pipe of a killed process open
