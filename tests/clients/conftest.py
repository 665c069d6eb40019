"""What the old clients call: a service in a process of its own, one for all of them."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import aiohttp
import pytest
import pytest_asyncio

from tests.clients.gotcha import Gotcha
from tests.clients.parking import Join, Member
from tests.clients.replies import call
from tests.journey.running import embedded_service
from tests.person import Person

SETTINGS = {"DAILY_LIMIT": "1000", "WORKER_SLOTS": "16"}
Register: TypeAlias = Callable[[], Awaitable[str]]
"""Signs somebody in whom nobody has seen before, and returns the token."""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Run the service as a developer does who opens nothing and closes nothing."""
    folder = tmp_path_factory.mktemp("clients")
    async with embedded_service(folder, "--gemini-latency=0.05", settings=SETTINGS) as service:
        yield service.url


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def closed_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Run a service that knows nobody without a token."""
    settings = SETTINGS | {"ANONYMOUS_PIPELINES": "off"}
    async with embedded_service(tmp_path_factory.mktemp("closed"), settings=settings) as service:
        yield service.url


@pytest_asyncio.fixture(loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open what sockets are opened with."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def register(url: str) -> Register:
    """Return how to come in for the first time."""

    async def sign_in() -> str:
        answer = await call("POST", f"{url}/auth/demo", json={"user": f"user-{secrets.token_hex(6)}"})
        return str(answer.json["idToken"])

    return sign_in


@pytest.fixture
def somewhere() -> tuple[float, float]:
    """Name a place where nobody has seen a car, in the middle of a cell: the sightings are shared by all tests."""
    latitude, longitude = random.randint(330_000, 380_000), random.randint(1_260_000, 1_290_000)
    return float(f"{latitude / 10_000:.4f}4"), float(f"{longitude / 10_000:.4f}4")


@pytest.fixture
def join(url: str, register: Register, session: aiohttp.ClientSession) -> Join:
    """Return how to become a member."""

    async def become(device_id: str) -> Member:
        token = await register()
        device = Gotcha(url=url, device_id=device_id, headers={"Authorization": f"Bearer {token}"})
        return Member(device=device, page=Person(session, url, token))

    return become
