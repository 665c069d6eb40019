"""A whole process, as an operator and Prometheus see it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from jobs.redis_bus import BusMetrics
from tests.browser.stage import running_service
from tests.conftest import CHECKOUT
from tests.person import Person, until
from tests.rest import issuer as issuers
from tests.rest.issuer import Issuer
from tests.rest.test_ops import operators_token, read_events

PHOTO = CHECKOUT / "tests" / "data" / "astronaut.png"

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.timeout(90)
async def test_a_whole_process_shows_its_work_and_leaves_when_told(
    cloud_environment: Mapping[str, str], queues: dict[str, str], issuer: Issuer, user: str
) -> None:
    """Figures move with a job; the dashboard and the table in the docs name the metrics there are; a drain ends the process.

    What is in hand is finished although a signal comes as well: it is the first.
    """
    async with TestServer(issuer.app()) as keys, aiohttp.ClientSession() as session:
        port = free_port()
        environment = {
            **cloud_environment,
            **{name.upper(): url for name, url in queues.items()},
            "HOST": "127.0.0.1",
            "PUBLIC_URL": "http://127.0.0.1:8080",
            "TOKEN_ISSUER": issuers.NAME,
            "TOKEN_JWKS_URL": str(keys.make_url("/jwks.json")),
            "COGNITO_CLIENT_ID": issuers.CLIENT_ID,
            "METRICS_PORT": str(port),
            "STOP_TIMEOUT_SECONDS": "16",
            "LOG_LEVEL": "ERROR",
        }
        async with running_service(environment) as service:
            operator = {"Authorization": f"Bearer {operators_token(issuer)}"}
            person = Person(session, service.url, issuer.id_token(user))
            async with person.socket() as opened:
                await person.generate(PHOTO.read_bytes())
                await until(opened, "job.completed")
                seen = await _figures_with_a_job(session, operator, service.url)
                exposed = await _exposed(session, port)
                in_hand = await person.generate(PHOTO.read_bytes(), "[[sim:slow=2]]")
                await until(opened, "job.processing")
                drained = await _drain(session, operator, service.url, seen["task"]["name"])
                service.process.terminate()  # as ECS does, once, when it sees that the task is not ready any more
                ended = await until(opened, "job.completed")
            async with asyncio.timeout(30):
                code = await service.process.wait()

    assert (202, in_hand, 0) == (drained, ended["job"]["jobId"], code)
    assert 1 == seen["now"]["figures"]["sockets"]
    assert seen["now"]["figures"]["job.p50"] > 0
    assert {1} == {seen["now"]["counts"][kind] for kind in ("job", "queueWait", "gemini")}
    assert {"waiting", "inFlight", "delayed", "dead"} == seen["now"]["queues"]["jobs"].keys()
    assert {"ok"} == {gate["condition"] for gate in seen["now"]["gates"].values()}
    assert set() == _dashboard_names() - _sample_names(exposed)
    assert exposed == _documented()


async def _figures_with_a_job(session: aiohttp.ClientSession, operator: Mapping[str, str], url: str) -> dict[str, Any]:
    """Follow the stream until it tells of a job."""
    async with asyncio.timeout(20), session.get(f"{url}/ops/stream", headers=operator) as answer:
        async for event in read_events(answer):
            if event["now"]["counts"]["job"]:
                return event
    raise AssertionError("the stream has ended")


async def _drain(session: aiohttp.ClientSession, operator: Mapping[str, str], url: str, task: str) -> int:
    async with session.post(f"{url}/ops/drain", json={"task": task}, headers=operator) as answer:
        return answer.status


async def _exposed(session: aiohttp.ClientSession, port: int) -> dict[str, str]:
    """Read the names and kinds of all metrics but every process's own, and of those there are with a bus."""
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    bus = CollectorRegistry()
    BusMetrics(bus)
    told = [line.split()[2:4] for line in lines if line.startswith("# TYPE ")]
    told += [
        [f"{family.name}_total" if family.type == "counter" else family.name, family.type] for family in bus.collect()
    ]
    return {
        name: kind
        for name, kind in told
        if not name.startswith(("process_", "python_")) and not name.endswith("_created")
    }


def _sample_names(exposed: Mapping[str, str]) -> set[str]:
    parts = [
        f"{name}{part}"
        for name, kind in exposed.items()
        if kind == "histogram"
        for part in ("_bucket", "_count", "_sum")
    ]
    return {*exposed, *parts, "process_resident_memory_bytes", "process_cpu_seconds_total"}


def _dashboard_names() -> set[str]:
    """Read which metrics the dashboard asks for: what stands before a selector or a bracket, and is no function."""
    dashboard = json.loads((CHECKOUT / "deploy" / "grafana" / "darkroom.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    bare = [
        re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without) \([^)]*\)", " ", query.replace("{job_id}", ""))
        for query in queries
    ]
    return {name for query in bare for name in re.findall(r"[a-z][a-z0-9_]*_[a-z0-9_]+(?![a-z0-9_]*\()", query)}


def _documented() -> dict[str, str]:
    rows = (CHECKOUT / "docs" / "metrics.md").read_text().splitlines()
    return {row[1]: row[2] for row in (re.match(r"\| `(\w+)` \| (\w+) \|", line) for line in rows) if row}


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
