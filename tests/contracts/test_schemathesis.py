"""Schemathesis asks a whole service what its own OpenAPI document says it answers, and much that it must refuse."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.contracts.contract import FOLDER
from tests.journey.running import embedded_service

SECONDS = 240
"""For the run itself, which takes less than half a minute on a machine that does nothing else."""


@pytest.mark.timeout(SECONDS + 60)
async def test_the_service_answers_as_its_document_says(tmp_path: Path) -> None:
    """All checks of schemathesis, on every route: no 5xx, nothing undocumented, nothing invalid taken, nothing valid refused.

    The caller is no operator, so nothing under /ops is done. As many examples as take half a minute; the configuration says
    which refusals no schema can foretell.
    """
    async with embedded_service(
        tmp_path / "data", "--gemini-latency=0", settings={"DAILY_LIMIT": "1000000"}
    ) as service:
        async with aiohttp.ClientSession(service.url) as session:
            token = await sign_in(session)
            job_id = await finish_a_job(session, token)
        code, told = await run(service.url, token, job_id, tmp_path)

    assert 0 == code, told
    assert re.search(r"(\d+) generated, \1 passed", told), told


async def sign_in(session: aiohttp.ClientSession) -> str:
    """Become a demo user."""
    async with session.post("/auth/demo", json={"user": "fuzz"}) as answer:
        return str((await answer.json())["idToken"])


async def finish_a_job(session: aiohttp.ClientSession, token: str) -> str:
    """Have an entry read and painted."""
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=30"}
    async with session.post("/diary", json={"text": "A quiet day by the sea."}, headers=headers) as answer:
        return str((await answer.json())["jobId"])


async def run(url: str, token: str, job_id: str, folder: Path) -> tuple[int, str]:
    """Run schemathesis there, in a process of its own; return its exit code and what it says."""
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        *(program, f"--config-file={FOLDER / 'schemathesis.toml'}", "run", f"{url}/openapi.json", "--no-color"),
        *(f"--header=Authorization: Bearer {token}", "--continue-on-failure"),
        cwd=folder,
        env=os.environ | {"JOB_ID": job_id},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, told.decode()
