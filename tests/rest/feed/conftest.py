"""Fixtures of the streams and the long poll."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio
from prometheus_client import CollectorRegistry

from tests.rest.conftest import Start
from tests.rest.feed.live import Live, StartLive
from websocket.hub import Hub
from websocket.metrics import SocketMetrics

NEVER: dict[str, float] = {"ping_message_seconds": 3600, "healing_seconds": 3600}
QUICK = {
    "drain_seconds": 0.3,
    "close_seconds": 0.3,
    "reconnect_spread_seconds": 0.1,
    "reconnect_grace_seconds": 0.1,
    "write_check_seconds": 0.02,
}


@pytest_asyncio.fixture(loop_scope="session")
async def start_live(start: Start) -> AsyncIterator[StartLive]:
    """Hand over what starts the service with its push floor, some limits changed."""
    hubs: list[Hub] = []

    async def start_all(**limits: float) -> Live:
        api = await start()
        hub = api.services.hub
        registry = CollectorRegistry()
        hub.metrics = SocketMetrics(registry)
        hub.limits = replace(hub.limits, **{**NEVER, **QUICK, **limits})  # type: ignore[arg-type]
        handlers = api.http.server.handler
        assert handlers is not None
        handlers.handler_cancellation = False  # as in the service; aiohttp's test server cancels whoever is left alone
        await hub.start()
        hubs.append(hub)
        return Live(api=api, registry=registry)

    yield start_all
    for hub in hubs:
        await hub.close()


@pytest_asyncio.fixture(loop_scope="session")
async def live(start_live: StartLive) -> Live:
    """Start it as it is by default."""
    return await start_live()
