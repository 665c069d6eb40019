"""One simulator for all tests that need nothing special of it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from google import genai

from tests.simulator.process import connected, running


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The address of a simulator that answers without delay."""
    with running("--latency", "0") as address:
        yield address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gemini(simulator: str) -> AsyncIterator[genai.Client]:
    """The SDK, pointed at the simulator; one for all tests, because opening it costs more than most of them."""
    async with connected(simulator) as client:
        yield client
