"""``smoke`` against a running service, against one of another release, and where nobody is."""

from __future__ import annotations

import json
import socket
import uuid
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.commands.client import why
from tests.cli.conftest import within

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHOTO = "tests/data/astronaut.png"


async def test_a_service_that_works_passes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every look is well, the whole job too, which leaves nothing behind."""
    code = await within("smoke", f"--url={url}", f"--photo={PHOTO}", f"--demo-user=smoke-{uuid.uuid4().hex[:8]}")
    lines = capsys.readouterr().out.splitlines()

    assert 0 == code, lines
    assert ["alive", "ready", "API", "page", "strangers", "sockets", "a"] == [line.split()[1] for line in lines[:-2]]
    assert lines[-3].endswith("and deleted.")
    assert "7 ok, 0 warning, 0 failed" == lines[-1]


async def test_another_release_is_waited_for_and_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What runs is named; nothing else is asked then."""
    code = await within("smoke", f"--url={url}", "--release=sha256:new", "--within=1", "--json")
    told = json.loads(capsys.readouterr().out)

    assert (1, False) == (code, told["ok"])
    assert ["What runs is unnamed, and not sha256:new."] == [finding["message"] for finding in told["findings"]]


async def test_nobody_is_told_apart_from_somebody_else(
    capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    """A server that says healthy and can nothing else fails look by look; a closed port fails once."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"} if request.path == "/healthz" else {})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        somebody = await within("smoke", f"--url={server.make_url('')}")
    failed = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    nobody = await within("smoke", f"--url=http://127.0.0.1:{unused_tcp_port}")

    assert (1, 1) == (somebody, nobody)
    assert ["API", "page", "strangers", "sockets"] == failed
    assert f"http://127.0.0.1:{unused_tcp_port} does not answer: Connection refused." in capsys.readouterr().out


async def test_a_bad_name_and_a_bad_certificate_are_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """Their errors have numbers of their own, which are no errors of the system."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    async with TestServer(web.Application()) as server:
        code = await within("smoke", f"--url=https://127.0.0.1:{server.port}")

    assert 1 == code
    assert "does not answer: [SSL: " in capsys.readouterr().out
    assert ": Name or service not known" == why(aiohttp.ClientConnectorDNSError(cast("Any", None), unknown))
