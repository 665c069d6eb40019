"""A service of the embedded mode on the suite's cloud, and commands that are really run."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from service.__main__ import parse_arguments
from tests.browser.stage import running_service
from tests.conftest import CHECKOUT

PATIENCE_SECONDS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    told: str
    said: str


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start a command."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "120"} | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end(process: asyncio.subprocess.Process) -> Ran:
    """Wait for its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        told, said = await process.communicate()
    assert process.returncode is not None
    return Ran(code=process.returncode, told=told.decode(), said=(said or b"").decode())


async def run(*arguments: str, **environment: str) -> Ran:
    """Run a command to its end."""
    return await end(await start(*arguments, **environment))


async def within(*arguments: str) -> int:
    """Run a command in this process, where it begins at once."""
    options = parse_arguments(arguments)
    code: int = await options.run(options)
    return code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(cloud_environment: Mapping[str, str]) -> AsyncIterator[str]:
    """Run a service with demo users."""
    own = {
        "EMBEDDED": "true",
        "METRICS_PORT": "off",
        "LOG_LEVEL": "ERROR",
        "STOP_TIMEOUT_SECONDS": "8",
        "DAILY_LIMIT": "1000",
    }
    async with running_service({**cloud_environment, **own}) as service:
        yield service.url


@pytest.fixture
def deployment(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the suite's cloud into the environment of commands within this process, and take back what they do to the log."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def settings(cloud_environment: Mapping[str, str]) -> dict[str, str]:
    """Name the suite's cloud, as the environment would."""
    return dict(cloud_environment)
