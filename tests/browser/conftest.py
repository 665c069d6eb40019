"""A real Chromium, and services behind a wire."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, async_playwright

from tests.browser.stage import Stage, running_service
from tests.browser.wire import Wire
from tests.journey.running import Running, embedded_service
from tests.rest import issuer as issuers
from tests.rest.issuer import Issuer

CHROMIUM = "/usr/bin/chromium-headless-shell"
"""Chromium without its own windows, which costs half as much; what an installed app can do needs the whole one."""
WHOLE_CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Launch Debian's Chromium."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Run one embedded service for all tests that leave it as it is; each of them is a ``person`` of its own."""
    async with embedded_service(tmp_path_factory.mktemp("demo"), "--gemini-latency=0.2") as running:
        yield running


@pytest.fixture
def person() -> str:
    """Name a demo user nobody has seen."""
    return f"somebody-{uuid.uuid4().hex[:8]}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(cloud_environment: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Run a service behind a wire, with an issuer of tokens of the tests' own, for a whole module."""
    issuer = Issuer(issuers.new_key())
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM) as browser,
        TestServer(issuer.app()) as keys,
        Wire() as wire,
        aiohttp.ClientSession() as session,
    ):
        environment = {
            **cloud_environment,
            "HOST": "127.0.0.1",
            "PUBLIC_URL": wire.url,
            "TOKEN_ISSUER": issuers.NAME,
            "TOKEN_JWKS_URL": str(keys.make_url("/jwks.json")),
            "COGNITO_CLIENT_ID": issuers.CLIENT_ID,
            "DAILY_LIMIT": "1000",
            "STOP_TIMEOUT_SECONDS": "16",
            "METRICS_PORT": "off",
            "LOG_LEVEL": "WARNING",
        }
        async with running_service(environment) as service:
            yield Stage(
                wire=wire, environment=environment, service=service, issuer=issuer, session=session, browser=browser
            )


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> AsyncIterator[Stage]:
    """Give the stage with a whole wire to its service, and leave it so."""
    module_stage.wire.lead_to(module_stage.service.url)
    yield module_stage
    await module_stage.wire.up()
    module_stage.wire.heal()
