"""Running the simulator as a child, and the SDK set up as the service sets it up."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from google import genai
from google.genai import types

ROOT: Final = Path(__file__).parents[2]
COMMAND: Final = (sys.executable, "-m", "deploy.gemini_simulator")
STOP_SECONDS: Final = 5


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """Run a simulator and yield its address; closing its stdin stops it."""
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield f"http://127.0.0.1:{ready['port']}"
        finally:
            process.stdin.close()
            process.wait(timeout=STOP_SECONDS)


@asynccontextmanager
async def connected(address: str, key: str = "test") -> AsyncIterator[genai.Client]:
    """Open the SDK's client on a session of our own, without its retries."""
    async with aiohttp.ClientSession(read_bufsize=2**22) as session:
        client = genai.Client(
            api_key=key,
            http_options=types.HttpOptions(
                base_url=address,
                api_version="v1beta",
                timeout=20_000,
                aiohttp_client=session,
                headers={"Accept-Encoding": "identity"},
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )
        try:
            yield client
        finally:
            await client.aio.aclose()
            client.close()


async def read_stats(address: str) -> dict[str, Any]:
    """Read what the simulator counted."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/simulator/stats") as response:
        stats: dict[str, Any] = await response.json()
        return stats


async def reset_stats(address: str) -> None:
    """Let the simulator count from zero."""
    async with aiohttp.ClientSession() as session, session.post(f"{address}/simulator/stats/reset") as response:
        response.raise_for_status()
