"""The fixtures of the pipelines' tests."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping

import pytest

from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from tests.consumers.house import House, open_house
from tests.consumers.pipelines.desk import Desk
from tests.consumers.pipelines.wire import Wire, open_wire


@pytest.fixture
async def house(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> AsyncIterator[House]:
    """Open the consumers' floor with all pipelines and the gates of all models."""
    async with open_house(clients, tables, cloud_environment, all_models=True) as opened:
        yield opened


@pytest.fixture
def desk(house: House, user: UserId) -> Desk:
    """Open the user's desk."""
    return Desk(house, user)


@pytest.fixture
def somewhere() -> tuple[str, str]:
    """Name a place where nobody has seen a car: the sightings are shared by all tests."""
    return f"{random.uniform(10, 80):.6f}", f"{random.uniform(10, 170):.6f}"


@pytest.fixture
async def wired(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]
) -> AsyncIterator[tuple[House, Wire]]:
    """Open the consumers' floor with a line to the simulator that can be watched."""
    async with open_wire(cloud_environment["GEMINI_BASE_URL"]) as (wire, url):
        environment = {**cloud_environment, "GEMINI_BASE_URL": url}
        async with open_house(clients, tables, environment, all_models=True) as opened:
            yield opened, wire
