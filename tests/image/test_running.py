"""The image does its work as another user, on a file system that cannot be written to, and ends when it is told to."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.conftest import CHECKOUT
from tests.image.build import BUILD_SECONDS
from tests.image.container import Container, Image
from tests.person import Person, until

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 60)  # whichever test is the first builds the image

PHOTO = CHECKOUT / "tests" / "data" / "astronaut.png"
STOP_SECONDS = 15
END_SECONDS = 30
CLIENT = re.compile(r"""\b(?:client|resource)\((?:[^"\n]*,\s*)?"([a-z0-9-]+)\"""")
AFTER_START = "import os, sys; print(os.getuid(), os.getgid(), os.getgroups(), os.getpid())"


@pytest.fixture
async def container(image: Image, environment: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Container]:
    """Start the service."""
    started = await image.start(environment, tmp_path / "service.log")
    yield started
    await started.kill()


async def test_a_job_is_done_through_the_image(container: Container) -> None:
    """Signed in, uploaded, submitted, pushed and fetched: every floor of the house has what it needs, and writes no file."""
    async with aiohttp.ClientSession() as session:
        person = await Person.sign_in(session, container.url, "image")
        async with person.socket() as socket:
            job_id = await person.generate(PHOTO.read_bytes())
            completed = await until(socket, "job.completed")
        job = await person.get(f"/jobs/{job_id}")
        result = await person.fetch(job["outputImageUrl"])

    assert job_id == completed["job"]["jobId"]
    assert "completed" == job["status"]
    assert result.startswith(b"\x89PNG")
    assert [] == container.temporary_files


async def test_sigterm_to_process_1_ends_it_cleanly_with_its_work_done(container: Container) -> None:
    """What ECS does: the job in hand is finished, the exit code is 0, and nothing was complained of."""
    async with aiohttp.ClientSession() as session:
        person = await Person.sign_in(session, container.url, "image-leaver")
        async with person.socket() as socket:
            await person.generate(PHOTO.read_bytes())
            async with asyncio.timeout(END_SECONDS):
                while (await socket.receive_json())["type"] != "job.processing":
                    pass
            heard = asyncio.create_task(_all_that_comes(socket))
            began = time.monotonic()
            code = await container.stop()
            seconds = time.monotonic() - began
            types = await heard

    assert "job.completed" in types
    assert 0 == code
    assert seconds < STOP_SECONDS
    assert "" == container.log.read_text()


async def test_the_probe_tells_a_service_that_answers_from_none(container: Container, image: Image) -> None:
    """Exit code 0 and 1, without a word."""
    port = URL(container.url).port
    answering = await image.run(image.health_command, {"PORT": str(port)})
    await container.kill()
    gone = await image.run(image.health_command, {"PORT": str(port)})
    nonsense = await image.run(image.health_command, {"PORT": "no number"})

    assert (0, "", "") == answering
    assert (1, "", "") == gone
    assert (1, "", "") == nonsense


async def test_missing_settings_are_named(image: Image) -> None:
    """An image that is started with nothing says what it lacks, and nothing else."""
    code, said, complained = await image.run(image.command, {})

    assert (2, "") == (code, said)
    assert "The settings are not complete:" == complained.splitlines()[0]
    assert {"UPLOAD_BUCKET", "SQS_QUEUE_URL", "IMAGE_JOBS_TABLE", "COGNITO_CLIENT_ID"} <= set(
        re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", complained)
    )


async def test_the_embedded_mode_says_that_it_is_not_here(image: Image) -> None:
    """Its flag is known, its code is not."""
    code, said, complained = await image.run((*image.config["Entrypoint"], "--embedded"), {})

    assert (2, "", "This installation has no embedded mode: the folder deploy is missing.\n") == (
        code,
        said,
        complained,
    )


async def test_the_user_is_nobody_special(image: Image) -> None:
    """A number that no system knows, in no further group, and process 1."""
    code, said, complained = await image.run(("python", "-c", AFTER_START), {})

    assert (0, "10001 10001 [] 1\n", "") == (code, said, complained)


async def test_only_the_temporary_folder_takes_files(image: Image) -> None:
    """Everywhere else a write fails, with no doubt that it is the file system that refuses it."""
    attempt = "import pathlib, sys; pathlib.Path(sys.argv[1], 'note').write_text('hello')"
    refused = [await image.run(("python", "-c", attempt, folder), {}) for folder in ("/app", "/dev", "/var/tmp")]
    code, _, complained = await image.run(("python", "-c", attempt, "/tmp"), {})

    assert [1, 1, 1] == [answer[0] for answer in refused]
    assert all("OSError" in answer[2] or "PermissionError" in answer[2] for answer in refused)
    assert (0, "") == (code, complained)


async def test_every_aws_service_that_the_code_calls_is_described_in_the_image(image: Image) -> None:
    """What the build takes out of botocore is what nobody calls: clients can be made of all that the sources name."""
    named = {name for path in _sources() for name in re.findall(CLIENT, path.read_text(encoding="utf-8"))}
    code = (
        "import sys, botocore.session; session = botocore.session.get_session()\n"
        "for name in sys.argv[1:]: session.create_client(name, region_name='eu-west-1')"
    )
    outcome = await image.run(("python", "-c", code, *sorted(named)), {})

    assert {"dynamodb", "s3", "sqs", "secretsmanager", "sts", "cognito-idp"} == named
    assert (0, "", "") == outcome


async def _all_that_comes(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
    return [message.json()["type"] async for message in socket]


def _sources() -> list[Path]:
    return [path for floor in ("jobs", "consumers", "service") for path in (CHECKOUT / floor).rglob("*.py")]
