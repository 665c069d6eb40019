"""The pool's fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from tests.conftest import CHECKOUT
from tests.consumers.house import House, Story, open_house


@pytest.fixture
async def house(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> AsyncIterator[House]:
    """Open the consumers' floor."""
    async with open_house(clients, tables, cloud_environment) as opened:
        yield opened


@pytest.fixture
def story(house: House, user: UserId) -> Story:
    """Follow the user's notices from the start."""
    return Story(house.bus, user)


@pytest.fixture(scope="session")
def photo() -> bytes:
    """Read the real photo."""
    return (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()
