"""The life of the whole process: start, work, every way to end, and what is there after."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import CHECKOUT
from tests.journey.running import embedded_service
from tests.person import Person, until

LEASE = {"LEASE_SECONDS": "6"}


@pytest.mark.timeout(120)
async def test_the_main_job_from_sign_in_to_the_pushed_picture(tmp_path: Path, photo: bytes) -> None:
    """Upload, submit, hear of each step over the socket, and read the picture from the pushed link."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2") as service,
        aiohttp.ClientSession() as session,
    ):
        alice = await Person.sign_in(session, service.url, "alice")
        async with alice.socket() as opened:
            job_id = await alice.generate(photo)
            told = [await until(opened, kind) for kind in ("job.queued", "job.processing", "job.completed")]
        picture = await alice.fetch(told[-1]["job"]["outputImageUrl"])
        me = await alice.get("/user/me")

    assert [job_id] * 3 == [message["job"]["jobId"] for message in told]
    assert picture[:4] == b"\x89PNG"
    assert (me["usedToday"], me["totalImages"]) == (1, 1)
    assert "simulated" in service.banner


@pytest.mark.timeout(120)
async def test_sigterm_finishes_the_job_in_hand_and_leaves_nobody_behind(tmp_path: Path, photo: bytes) -> None:
    """The socket hears of the completion, then that the service restarts; the exit is clean."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=1") as service,
        aiohttp.ClientSession() as session,
    ):
        alice = await Person.sign_in(session, service.url, "alice")
        async with alice.socket() as opened:
            await alice.generate(photo)
            await until(opened, "job.processing")
            ending = asyncio.create_task(service.end(signal.SIGTERM))
            await until(opened, "job.completed")
            await until(opened, "reconnect")
            closed = await opened.receive()
        code, left = await ending

    assert closed.type == aiohttp.WSMsgType.CLOSE
    assert closed.data == 1012
    assert (code, left) == (0, [])


@pytest.mark.timeout(120)
async def test_a_second_sigterm_ends_it_at_once(tmp_path: Path, photo: bytes) -> None:
    """A job that takes half a minute is in hand; the second signal does not wait for it, and nobody is left behind."""
    async with (
        embedded_service(tmp_path, settings={"STOP_TIMEOUT_SECONDS": "120"}) as service,
        aiohttp.ClientSession() as session,
    ):
        alice = await Person.sign_in(session, service.url, "alice")
        async with alice.socket() as opened:
            await alice.generate(photo, "[[sim:slow=30]]")
            await until(opened, "job.processing")
            family = service.family
            service.process.terminate()
            while (await alice.readiness()) == 200:
                pass
            async with asyncio.timeout(5):
                code, left = await service.end(signal.SIGTERM)

    assert (128 + signal.SIGTERM, []) == (code, left)
    assert len(family) > 1


@pytest.mark.timeout(180)
async def test_kill_9_loses_nothing(tmp_path: Path, photo: bytes) -> None:
    """A job is in Gemini's hands and one is done when the process dies; after a restart both are there, each charged once."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2", settings=LEASE) as service,
        aiohttp.ClientSession() as session,
    ):
        alice = await Person.sign_in(session, service.url, "alice")
        async with alice.socket() as opened:
            first = await alice.generate(photo)
            await until(opened, "job.completed")
            second = await alice.generate(photo, "[[sim:slow=3]]")
            await until(opened, "job.processing")
        code, left = await service.end(signal.SIGKILL)

    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2", settings=LEASE) as service,
        aiohttp.ClientSession() as session,
    ):
        again = await Person.sign_in(session, service.url, "alice")
        async with again.socket() as opened:
            while (await again.get(f"/jobs/{second}"))["status"] != "completed":
                await until(opened, "job.completed")
        before = await again.get(f"/jobs/{first}")
        picture = await again.fetch(before["outputImageUrl"])
        me = await again.get("/user/me")

    assert (code, left) == (-signal.SIGKILL, [])
    assert picture[:4] == b"\x89PNG"
    assert (me["usedToday"], me["totalImages"]) == (2, 2)


@pytest.mark.timeout(120)
async def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    """SIGINT is what a terminal sends."""
    async with embedded_service(tmp_path) as service:
        assert await service.end(signal.SIGINT) == (0, [])


@pytest.mark.timeout(120)
async def test_a_lost_child_ends_the_service_with_a_line(tmp_path: Path) -> None:
    """The emulator is killed: the service does not go on without its cloud."""
    async with embedded_service(tmp_path) as service:
        emulator = next(child for child in service.family if "emulator.py" in " ".join(child.cmdline()))
        emulator.kill()
        async with asyncio.timeout(30):
            assert await service.process.wait() == 1


async def run(*arguments: str, settings: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command line to its end; returns the exit code and what it said on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]} | (settings or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """Nothing is started before the port is known to be free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = await run("--embedded", f"--port={port}", f"--data-dir={tmp_path / 'data'}")

    assert (2, f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another with --port.\n") == (
        code,
        said,
    )
    assert not (tmp_path / "data").exists()


async def test_the_embedded_mode_refuses_to_leave_this_machine(tmp_path: Path) -> None:
    """Its sign-in asks for no password."""
    code, said = await run("--embedded", "--host=0.0.0.0", f"--data-dir={tmp_path}")

    assert code == 2
    assert re.fullmatch(r"The embedded mode listens on this machine only .*\n", said)


async def test_missing_settings_are_named_one_a_line() -> None:
    """Without the embedded mode the environment must say where everything is."""
    code, said = await run()

    assert code == 2
    assert said.splitlines()[0] == "The settings are not complete:"
    assert "UPLOAD_BUCKET is missing" in said.splitlines()
    assert "Traceback" not in said
