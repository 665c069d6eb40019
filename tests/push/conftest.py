"""Fixtures of the push floor."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.push.stage import StartServer, Theatre


@pytest.fixture
async def theatre(aiohttp_server: StartServer) -> AsyncIterator[Theatre]:
    """Start push floors, as many as a test wants; they end with it."""
    async with aiohttp.ClientSession() as session:
        theatre = Theatre(start_server=aiohttp_server, session=session)
        yield theatre
        for hub in theatre.hubs:
            await hub.close()
