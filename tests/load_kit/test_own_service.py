"""The service that the load kit starts for itself: what it is told, and that it does not outlive its starter."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.conftest import CHECKOUT

PATIENCE_SECONDS = 30


async def python(program: str, **environment: str) -> asyncio.subprocess.Process:
    """Run a program beside tests/load/run.py."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=CHECKOUT / "tests" / "load",
        env={"PATH": os.environ["PATH"]} | environment,
        stdout=asyncio.subprocess.PIPE,
    )


async def test_it_hears_nothing_of_a_deployment() -> None:
    """Whose bus, tables and key the caller's environment may name: it would talk to real tasks."""
    foreign = ("EVENT_BUS_URL", "HOST", "PUBLIC_URL", "USERS_TABLE", "AWS_PROFILE", "GEMINI_API_KEY", "ALLOWED_ORIGINS")
    told = {"WORKER_SLOTS": "3", "https_proxy": "http://proxy:3128", **dict.fromkeys(foreign, "real")}
    process = await python("import run; print(*run.service_environment())", **told)
    async with asyncio.timeout(PATIENCE_SECONDS):
        names = (await process.communicate())[0].decode().split()

    assert {"PATH", "WORKER_SLOTS", "https_proxy", "DAILY_LIMIT"} == {*names}


async def test_it_ends_with_a_starter_that_is_killed() -> None:
    """Its end of the pipe closes, and nothing else holds that open."""
    child = "subprocess.Popen(['sleep', '60'], start_new_session=True, preexec_fn=run.ends_with_us(run.signal.SIGTERM))"
    process = await python(f"import run, subprocess; {child}; print('up', flush=True); run.signal.pause()")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert b"up\n" == await process.stdout.readline()
        process.kill()
        assert b"" == await process.stdout.read()
        await process.wait()
