"""A process that leaves while its load balancer has yet to notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.browser.stage import running_service
from tests.person import Person, until
from tests.rest import issuer as issuers
from tests.rest.issuer import Issuer

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEREGISTRATION_SECONDS = 5
STOP_TIMEOUT_SECONDS = 20


@pytest.mark.timeout(60)
async def test_until_the_load_balancer_has_noticed_a_task_that_leaves_serves_on(
    cloud_environment: Mapping[str, str], queues: dict[str, str], issuer: Issuer, user: str
) -> None:
    """Requests and new sockets too; only then are sockets sent elsewhere, and the process ends in its time."""
    async with TestServer(issuer.app()) as keys, aiohttp.ClientSession() as session:
        environment = {
            **cloud_environment,
            **{name.upper(): url for name, url in queues.items()},
            "HOST": "127.0.0.1",
            "PUBLIC_URL": "http://127.0.0.1:8080",
            "TOKEN_ISSUER": issuers.NAME,
            "TOKEN_JWKS_URL": str(keys.make_url("/jwks.json")),
            "COGNITO_CLIENT_ID": issuers.CLIENT_ID,
            "METRICS_PORT": "off",
            "STOP_TIMEOUT_SECONDS": str(STOP_TIMEOUT_SECONDS),
            "DEREGISTRATION_SECONDS": str(DEREGISTRATION_SECONDS),
            "LOG_LEVEL": "ERROR",
        }
        async with running_service(environment) as service:
            person = Person(session, service.url, issuer.id_token(user))
            async with person.socket() as early:
                service.process.terminate()
                began = time.monotonic()
                async with asyncio.timeout(DEREGISTRATION_SECONDS):
                    while await person.readiness() == 200:  # noqa: ASYNC110 - it is asked, it tells nothing
                        await asyncio.sleep(0.05)
                me = await person.get("/user/me")
                async with person.socket() as late:
                    served_after = time.monotonic() - began
                    moved = [await until(socket, "reconnect") for socket in (early, late)]
                    asked_after = time.monotonic() - began
                    closed = [await socket.receive() for socket in (early, late)]
            code = await service.process.wait()
            ended_after = time.monotonic() - began

    assert (user, 0) == (me["userId"], code)
    assert [True, True] == ["afterMs" in message["data"] for message in moved]
    assert [1012, 1012] == [message.data for message in closed]
    assert served_after < DEREGISTRATION_SECONDS <= asked_after
    assert ended_after < STOP_TIMEOUT_SECONDS
