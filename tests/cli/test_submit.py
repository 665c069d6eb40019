"""``submit`` and ``watch`` against a running service."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.commands.client import demo_token
from service.commands.display import describe
from service.process import CannotStart
from tests.browser.wire import Wire
from tests.cli.conftest import PATIENCE_SECONDS, end, run, start, within
from tests.conftest import CHECKOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHOTO = "tests/data/astronaut.png"
SLOW = "[[sim:slow=1.5]]"


def somebody() -> str:
    """Name a demo user of the test's own."""
    return f"--demo-user=cli-{uuid.uuid4().hex[:8]}"


async def read_until(stream: asyncio.StreamReader | None, text: bytes) -> None:
    """Read lines until one has the text."""
    assert stream is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while text not in (line := await stream.readline()):
            assert line, f"{text!r} never came"


async def test_a_photo_becomes_a_picture(url: str, tmp_path: Path) -> None:
    """Elsewhere than on a terminal each stage is a line, and stdout has the file's name alone; nothing is overwritten."""
    picture = tmp_path / "picture.png"
    arguments = ("submit", PHOTO, "--style=professional", f"--url={url}", somebody(), f"--output={picture}")
    ran = await run(*arguments)
    content = picture.read_bytes()
    again = await run(*arguments)

    assert (0, f"{picture}\n") == (ran.code, ran.told), ran.said
    assert b"\x89PNG" == content[:4]
    assert "Uploading astronaut.png" == ran.said.splitlines()[0]
    assert ran.said.splitlines()[-1].startswith("Completed in ")
    assert (2, f"{picture} is there already; --force overwrites it.\n") == (again.code, again.said)
    assert ["picture.png"] == os.listdir(tmp_path)


async def test_cracks_are_found(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The finished job is there as JSON."""
    drawn = tmp_path / "cracks.jpg"
    arguments = ("tests/data/wall.jpg", "--pipeline=crack-detection", "--json", f"--url={url}", somebody())
    code = await within("submit", *arguments, f"--output={drawn}")
    job = json.loads(capsys.readouterr().out)

    assert (0, "completed", str(drawn)) == (code, job["status"], job["savedAs"])
    assert job["result"]["hasCrack"]
    assert b"\xff\xd8" == drawn.read_bytes()[:2]


async def test_a_failed_job_says_why(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code and sentence; so does a request that is refused."""
    output = f"--output={tmp_path / 'picture.png'}"
    code = await within("submit", PHOTO, "--prompt=[[sim:safety]]", f"--url={url}", somebody(), output)
    failed = capsys.readouterr()
    refused_code = await within("submit", PHOTO, "--style=cubist", f"--url={url}", somebody(), output)
    refused = capsys.readouterr()

    assert (1, "") == (code, failed.out), failed.err
    assert failed.err.splitlines()[-1].startswith("content_rejected: ")
    assert (1, "") == (refused_code, refused.out)
    assert refused.err.splitlines()[-1].startswith("invalid_request: style must be one of ")
    assert [] == os.listdir(tmp_path)


async def test_ctrl_c_leaves_the_job_alone(url: str, tmp_path: Path) -> None:
    """It says how to come back, and whoever does gets the picture."""
    who, picture = somebody(), tmp_path / "picture.png"
    leaving = await start("submit", PHOTO, f"--prompt={SLOW}", f"--url={url}", who)
    await read_until(leaving.stderr, b"Generating")
    leaving.send_signal(signal.SIGINT)
    left = await end(leaving)
    command = left.said.strip().rpartition("python -m service ")[2]
    ran = await run(*command.split(), f"--output={picture}")

    assert (130, "") == (left.code, left.told)
    assert left.said.startswith("The job goes on. To follow it: python -m service watch job_")
    assert (0, f"{picture}\n") == (ran.code, ran.told), ran.said
    assert b"\x89PNG" == picture.read_bytes()[:4]


async def test_ctrl_c_may_cancel(url: str) -> None:
    """Where that was asked for."""
    process = await start("submit", PHOTO, f"--prompt={SLOW}", f"--url={url}", somebody(), "--cancel-on-interrupt")
    await read_until(process.stderr, b"Generating")
    process.send_signal(signal.SIGINT)
    left = await end(process)

    assert (130, "") == (left.code, left.told)
    assert "The job was canceled while it ran" in left.said


@asynccontextmanager
async def holding(url: str) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """Stand before the service and keep back the answer about a new job: it is made at the first event, told at the second."""
    made, go = asyncio.Event(), asyncio.Event()

    async def forward(request: web.Request) -> web.Response:
        own = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        content = await request.read()
        async with session.request(request.method, url + request.path, data=content, headers=own) as answer:
            said = await answer.read()
        if request.path == "/generate":
            made.set()
            await go.wait()
        return web.Response(status=answer.status, body=said, content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    async with aiohttp.ClientSession() as session, TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/"), made, go


@pytest.mark.parametrize(
    ("number", "code", "options", "said"),
    [
        (signal.SIGINT, 130, [], "The job goes on. To follow it: python -m service watch job_"),
        (signal.SIGTERM, 143, ["--cancel-on-interrupt"], "The job was canceled"),
    ],
)
async def test_leaving_while_the_job_is_made_loses_nothing(
    url: str, number: signal.Signals, code: int, options: list[str], said: str
) -> None:
    """Its id is waited for, and SIGTERM is as good as Ctrl-C."""
    async with holding(url) as (address, made, go):
        process = await start("submit", PHOTO, f"--prompt={SLOW}", f"--url={address}", somebody(), *options)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await made.wait()
        process.send_signal(number)
        await read_until(process.stderr, b"its id is waited for")
        go.set()
        left = await end(process)

    assert (code, "") == (left.code, left.told)
    assert left.said.startswith(said)


async def test_sigterm_leaves_the_job_alone(url: str) -> None:
    """Like Ctrl-C, with an exit code of its own."""
    process = await start("submit", PHOTO, f"--prompt={SLOW}", f"--url={url}", somebody())
    await read_until(process.stderr, b"Generating")
    process.send_signal(signal.SIGTERM)
    left = await end(process)

    assert (143, "") == (left.code, left.told)
    assert left.said.startswith("The job goes on. To follow it: python -m service watch job_")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://[::1", "--url http://[::1 is no http or https address."),
        ("http://h:abc", "--url http://h:abc is no http or https address."),
        ("http://h:99999", "--url http://h:99999 is no http or https address."),
        ("ftp://user:sekret@h:0", "--url ftp://********@h:0 is no http or https address."),
        ("http://user:sekret@h", "--url must be an address alone: no user, no query. The token says who calls."),
    ],
)
async def test_what_is_no_address_is_said(address: str, sentence: str) -> None:
    """In one sentence, before anything is sent."""
    with pytest.raises(CannotStart) as refused:
        await within("watch", f"--url={address}")

    assert sentence == str(refused.value)


async def test_what_is_no_token_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break at its end is none of it."""
    monkeypatch.setenv("DARKROOM_TOKEN", "abc\ndef")
    with pytest.raises(CannotStart, match=r"^What DARKROOM_TOKEN holds is no token: "):
        await within("watch", f"--url={url}")
    async with aiohttp.ClientSession() as session:
        token = await demo_token(session, url, "cli-token")
    monkeypatch.setenv("DARKROOM_TOKEN", f" {token.text}\r\n")

    assert 0 == await within("watch", f"--url={url}")


@pytest.mark.parametrize("command", [("submit", PHOTO, "--style=professional"), ("watch", "job_1")])
async def test_a_picture_that_cannot_be_saved_is_said_before_there_is_one(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """A folder is no file, whatever is forced."""
    arguments = (*command, "--url=http://127.0.0.1:1")
    with pytest.raises(CannotStart, match=r"is a folder; --output names a file\.$"):
        await within(*arguments, f"--output={tmp_path}", "--force")
    with pytest.raises(CannotStart, match=r"^There is no folder "):
        await within(*arguments, f"--output={tmp_path / 'nowhere' / 'picture.png'}")


async def test_a_cut_line_is_made_good(url: str, tmp_path: Path) -> None:
    """The job ends while nobody hears of it."""
    picture = tmp_path / "picture.png"
    async with Wire() as wire:
        wire.lead_to(url)
        arguments = (f"--prompt={SLOW}", f"--url={wire.url}", somebody(), f"--output={picture}")
        process = await start("submit", PHOTO, *arguments)
        await read_until(process.stderr, b"Generating")
        await wire.down()
        await read_until(process.stderr, b"The connection is cut")
        await wire.up()
        ran = await end(process)

    assert (0, f"{picture}\n") == (ran.code, ran.told), ran.said


async def test_all_jobs_can_be_watched(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Until all have ended, one line for each change."""
    who = somebody()
    for _ in range(2):
        await within("submit", PHOTO, f"--prompt={SLOW}", "--no-wait", f"--url={url}", who)
    ids = capsys.readouterr().out.split()
    code = await within("watch", f"--url={url}", who)
    lines = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert sorted(ids) == sorted(line.split()[1] for line in lines if line.endswith("Completed"))
    assert any(line.endswith("Generating 25%") for line in lines)
    assert (0, "") == (await within("watch", f"--url={url}", who), capsys.readouterr().out)


async def test_watching_may_go_on(url: str) -> None:
    """With ``--all``, as lines of JSON, until Ctrl-C."""
    who = somebody()
    watcher = await start("watch", "--all", "--json", f"--url={url}", who)
    await read_until(watcher.stderr, b"Watching all your jobs")
    assert 0 == await within("submit", PHOTO, "--style=professional", "--no-wait", f"--url={url}", who)
    await read_until(watcher.stdout, b'"status": "completed"')
    watcher.send_signal(signal.SIGINT)

    assert 130 == (await end(watcher)).code


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
async def test_a_terminal_sees_one_line(url: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """It renews itself, and leaves no trace; under NO_COLOR the lines are plain."""
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "submit", PHOTO, "--style=professional", f"--url={url}", somebody()),
        f"--output={tmp_path / 'picture.png'}",
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "TERM": "xterm"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    seen = await asyncio.to_thread(_read_all, leader)
    ran = await end(process)
    os.close(leader)

    assert 0 == ran.code, seen
    assert ("\x1b" not in seen) == bool(environment)
    assert ("\r\x1b[K" in seen) != bool(environment)
    assert seen.splitlines()[-1].removeprefix("\x1b[K").startswith("Completed in ")


def _read_all(terminal: int) -> str:
    seen = b""
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    return seen.decode()


async def test_a_service_without_demo_users_wants_a_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is no Darkroom is told from nobody at all."""
    async with TestServer(web.Application()) as server:
        address = f"--url={server.make_url('/')}"
        with pytest.raises(CannotStart, match=r"Put an id token into the environment variable DARKROOM_TOKEN\.$"):
            await within("watch", address)
        monkeypatch.setenv("DARKROOM_TOKEN", "no token")
        foreign = await within("watch", "job_1", address)
    nobody = await within("watch", "--url=http://127.0.0.1:1")

    assert (1, 1) == (foreign, nobody)
    assert [
        "socket_refused: The socket is refused: HTTP 404.",
        "http://127.0.0.1:1 does not answer: Connection refused.",
    ] == capsys.readouterr().err.splitlines()


async def test_a_refused_token_is_said(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, without trying again."""
    monkeypatch.setenv("DARKROOM_TOKEN", "no.good.token")

    assert 1 == await within("watch", f"--url={url}")
    assert "unauthorized: The token is refused or has expired.\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("queue", "sentence"),
    [
        ({}, "In the queue"),
        ({"ahead": 0, "etaSeconds": 0}, "In the queue, it is next, begins in about 0 s"),
        ({"ahead": 1}, "In the queue, 1 job before it"),
        ({"ahead": 3999, "etaSeconds": 61.4}, "In the queue, 3,999 jobs before it, begins in about 61 s"),
        ({"ahead": 4000}, "In the queue, 4,000+ jobs before it"),
    ],
)
async def test_a_place_in_the_queue_is_a_sentence(queue: dict[str, float], sentence: str) -> None:
    """From 4,000 on the service counts no further."""
    assert sentence == describe({"status": "queued", "queue": queue})
