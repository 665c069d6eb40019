"""What every test stands on: the embedded cloud, started once for the whole suite."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from jobs.aws import AWSConfig, Clients, open_clients
from jobs.ids import UserId
from jobs.job_table import Tables

CHECKOUT = Path(__file__).parents[1]
PAGE_ORIGIN = "http://127.0.0.1:8080"
BOOT_SECONDS = 50


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own AWS account and Gemini key out of every test."""
    for name in os.environ:
        if name.startswith(("AWS_", "GEMINI_", "GOOGLE_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def cloud_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Run the embedded cloud, its simulator without latency, and return the environment that a service there has."""
    folder = tmp_path_factory.mktemp("cloud")
    env_file = folder / "environment"
    command = [sys.executable, "-m", "deploy.cloud", "--data-dir", str(folder), "--env-file", str(env_file)]
    command += ["--gemini-latency=0", "--page-origin", PAGE_ORIGIN]
    with (folder / "output").open("w+") as output:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _await_file(env_file, process, Path(output.name))
            yield _read_exports(env_file)
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
async def clients(cloud_environment: Mapping[str, str]) -> AsyncIterator[Clients]:
    """Open the clients of the embedded cloud."""
    config = AWSConfig(
        region=cloud_environment["AWS_REGION"],
        endpoint_url=cloud_environment["AWS_ENDPOINT_URL"],
        access_key_id=cloud_environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=cloud_environment["AWS_SECRET_ACCESS_KEY"],
    )
    async with open_clients(config) as opened:
        yield opened


@pytest.fixture
def tables(cloud_environment: Mapping[str, str]) -> Tables:
    """Name the tables of the embedded cloud."""
    return Tables(
        jobs=cloud_environment["IMAGE_JOBS_TABLE"],
        events=cloud_environment["JOB_EVENTS_TABLE"],
        usage=cloud_environment["USAGE_LOG_TABLE"],
        users=cloud_environment["USERS_TABLE"],
    )


@pytest.fixture
def user() -> UserId:
    """Name a user nobody has seen: the cloud is shared by all tests."""
    return UserId(str(uuid.uuid4()))


def _await_file(file: Path, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"The embedded cloud did not start: {output.read_text()}")
        time.sleep(0.05)


def _read_exports(file: Path) -> dict[str, str]:
    lines = (line.removeprefix("export ") for line in file.read_text().splitlines())
    return dict(shlex.split(line)[0].split("=", 1) for line in lines)
