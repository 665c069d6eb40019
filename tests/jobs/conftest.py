"""The ground floor's fixtures."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping

import pytest
from hypothesis import settings

from jobs.aws import AWSConfig, Clients, open_clients
from jobs.events import InProcessBus
from jobs.job_table import JobTable, Tables
from jobs.work_queue import WorkQueue
from tests.jobs.estate import Estate
from tests.jobs.ground import Ground, open_ground
from tests.jobs.parking_lot import open_lot

# ``.venv/bin/pytest tests/jobs/test_life.py --hypothesis-profile=search`` looks for lives that the suite does not live through.
settings.register_profile("search", derandomize=False, max_examples=400)


@pytest.fixture
def bus() -> InProcessBus:
    """Make a bus."""
    return InProcessBus()


@pytest.fixture
def table(clients: Clients, tables: Tables, bus: InProcessBus) -> JobTable:
    """Open the table."""
    return JobTable(clients.dynamodb, tables, bus)


@pytest.fixture
async def ground(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> Ground:
    """Open the ground floor."""
    return await open_ground(clients, tables, cloud_environment)


@pytest.fixture
async def unreachable_queue() -> AsyncIterator[WorkQueue]:
    """Point a queue at a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        config = AWSConfig(region="us-east-1", endpoint_url=url, access_key_id="nobody", secret_access_key="nothing")
        async with open_clients(config) as clients:
            yield WorkQueue(clients.sqs, clients.receiver, url=f"{url}/000000000000/jobs", visibility_seconds=20)


@pytest.fixture
def estate(clients: Clients, ground: Ground, cloud_environment: Mapping[str, str]) -> Estate:
    """Open all that a user can have here."""
    lot = open_lot(clients, ground.tables, cloud_environment)
    return Estate(ground=ground, environment=cloud_environment, lot=lot)
