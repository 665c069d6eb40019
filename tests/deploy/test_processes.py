"""The embedded cloud's processes: they say when they are ready, say why not, and never outlive their parent."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest

from deploy.children import Child, ChildFailed
from deploy.cloud import Cloud
from deploy.emulator_environment import EmulatorUnavailable, emulator_python

CHECKOUT = Path(__file__).resolve().parents[2]
TIMEOUT = aiohttp.ClientTimeout(total=10)


async def start_alone(tmp_path: Path, *arguments: str) -> tuple[asyncio.subprocess.Process, list[psutil.Process]]:
    """Start `python -m deploy.cloud` and return it with its children once it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.cloud",
        f"--data-dir={tmp_path}",
        f"--env-file={tmp_path / 'cloud.env'}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert line.startswith(b"The embedded cloud is ready")
    return process, psutil.Process(process.pid).children(recursive=True)


async def until_gone(processes: list[psutil.Process]) -> None:
    """Wait for processes that are not ours to reap."""
    async with asyncio.timeout(10):
        while any(  # noqa: ASYNC110 - nothing tells of the end of a process that is not ours
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
        ):
            await asyncio.sleep(0.02)


async def test_killing_the_parent_leaves_no_orphan(tmp_path: Path) -> None:
    """After kill -9 of the parent both children end by themselves, and the folder is free again."""
    process, children = await start_alone(tmp_path, "--gemini-latency=0")

    process.kill()
    await process.wait()
    await until_gone(children)

    assert len(children) == 2
    assert (tmp_path / "emulator" / "state" / "dynamodb.json").stat().st_size > 0


async def test_the_cloud_alone_serves_the_simulator_and_stops_clean(tmp_path: Path) -> None:
    """The environment file is private and complete, and SIGTERM ends all with code 0."""
    process, children = await start_alone(tmp_path, "--gemini-latency=0")
    lines = (tmp_path / "cloud.env").read_text().splitlines()
    environment = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(environment["GEMINI_BASE_URL"]) as reply,
    ):
        status = reply.status

    process.send_signal(signal.SIGTERM)
    code = await asyncio.wait_for(process.wait(), 15)
    await until_gone(children)

    assert code == 0
    assert status < 500
    assert environment["GEMINI_API_KEY"] == "simulated"
    assert (tmp_path / "cloud.env").stat().st_mode & 0o777 == 0o600


async def start_toy(folder: Path, program: str, name: str = "toy") -> Child:
    return await Child.start(
        name, [sys.executable, "-u", "-c", program], environment={}, log=folder / "toy.log", directory=folder
    )


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("print('hello')", "The toy did not start; see"),
        ("import time; time.sleep(30)", "The toy was not ready within 0.5 s; see"),
        ('print(\'{"error": "no colour left"}\')', "The toy did not start: no colour left."),
    ],
)
async def test_a_child_that_is_not_ready_says_why(tmp_path: Path, program: str, sentence: str) -> None:
    """Noise, silence and a given reason each become one sentence."""
    child = await start_toy(tmp_path, program)
    try:
        with pytest.raises(ChildFailed, match=f"^{sentence}"):
            await child.ready(0.5 if "sleep" in program else 10)
    finally:
        await child.stop(patience_seconds=0.1)


async def test_an_emulator_that_cannot_be_installed_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing installer is one clear line, and nothing half-made is taken for whole afterwards."""
    monkeypatch.setenv("UV", "/bin/false")

    for _ in range(2):
        with pytest.raises(EmulatorUnavailable, match=r"^The AWS emulator cannot be installed: exit code 1$"):
            await asyncio.to_thread(emulator_python, tmp_path)


async def test_the_service_learns_of_a_lost_child(tmp_path: Path) -> None:
    """The cloud names the child that died under it."""
    lasting, lost = [await start_toy(tmp_path, "input()", name) for name in ("lasting", "lost")]

    psutil.Process(lost.pid).kill()
    async with asyncio.timeout(10):
        name = await Cloud({}, (lasting, lost)).broken()
    await lasting.stop()

    assert name == "lost"
    assert await lasting.exited() != 0, "its stdin closed under it"
