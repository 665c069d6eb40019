"""A whole process whose Gemini key is changed while it works, and what it tells CloudWatch of it until its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from jobs import aws
from jobs.ids import new_job_id
from tests.browser.stage import Service, running_service
from tests.conftest import CHECKOUT
from tests.contracts.emf import metrics_of, read_line
from tests.faults.messages import Request
from tests.faults.proxy import FaultProxy
from tests.person import Person
from tests.rest import issuer as issuers
from tests.rest.conftest import connection
from tests.rest.issuer import Issuer
from tests.rest.test_ops_process import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLD, NEW = "the-old-key", "the-new-key"
EACH_TIME = 6
INVALID = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}


@pytest.mark.timeout(90)
async def test_a_new_key_needs_no_restart_and_costs_no_job(
    cloud_environment: Mapping[str, str], queues: dict[str, str], issuer: Issuer, user: str
) -> None:
    """Google takes the new key only, from one moment to the next, with jobs in hand and more to come."""
    accepted, port = {OLD}, free_port()
    async with (
        TestServer(issuer.app()) as keys,
        aiohttp.ClientSession() as session,
        FaultProxy(cloud_environment["GEMINI_BASE_URL"]) as google,
        aws.client(connection(cloud_environment), "secretsmanager") as secrets,
    ):
        refusals = google.when(lambda request: key_of(request) not in accepted)
        refusals.status(400, json.dumps(INVALID).encode(), content_type="application/json")
        calls = google.when(lambda request: key_of(request) == OLD)
        arn = (await secrets.create_secret(Name=new_job_id(), SecretString=OLD))["ARN"]
        environment = {
            **{name: value for name, value in cloud_environment.items() if name != "GEMINI_API_KEY"},
            **{name.upper(): url for name, url in queues.items()},
            "GEMINI_API_KEY_SECRET_ARN": arn,
            "GEMINI_BASE_URL": google.url,
            "HOST": "127.0.0.1",
            "PUBLIC_URL": "http://127.0.0.1:8080",
            "TOKEN_ISSUER": issuers.NAME,
            "TOKEN_JWKS_URL": str(keys.make_url("/jwks.json")),
            "COGNITO_CLIENT_ID": issuers.CLIENT_ID,
            "DAILY_LIMIT": "100",
            # The tables are shared: what other tests have left behind is not to be taken up here.
            "SWEEP_SECONDS": "3600",
            "METRICS_PORT": str(port),
            "LOG_LEVEL": "ERROR",
            "CLOUDWATCH_SERVICE": "darkroom-of-a-test",
        }
        async with running_service(environment) as service:
            collections_before = await garbage_collections(session, port)
            person = Person(session, service.url, issuer.id_token(user))
            photo = await person.upload((CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes())
            async with person.socket() as opened:
                await submit(person, photo, "[[sim:slow=1]]")
                async with asyncio.timeout(30):
                    await calls.reached.wait()
                await secrets.put_secret_value(SecretId=arn, SecretString=NEW)
                accepted.symmetric_difference_update({OLD, NEW})
                await submit(person, photo, "and quickly")
                ends = [await next_end(opened) for _ in range(2 * EACH_TIME)]
                collections = await garbage_collections(session, port)
            code = await service.end()
            lines = await lines_of(service)
    told = [metrics_of(line) for line in lines]

    assert [("job.completed", 1)] * 2 * EACH_TIME == ends
    assert refusals.count >= 1, "a call with the old key was refused"
    assert collections > collections_before, "garbage is left alone until the service is ready, and no longer"
    assert 0 == code
    assert {"darkroom-of-a-test"} == {line["Service"] for line in lines}
    assert (2 * EACH_TIME, 0, 0) == total(told, "JobsCompleted", "JobsFailed", "GeminiFailures")
    assert 2 * EACH_TIME == sum(each["JobSeconds"]["Count"] for each in told if "JobSeconds" in each)
    assert "Slots" not in told[-1], "the last line is that of a task that is gone"


async def garbage_collections(session: aiohttp.ClientSession, port: int) -> float:
    """Read how often the process has looked for garbage among the newest objects."""
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    return float(text.partition('python_gc_collections_total{generation="0"} ')[2].partition("\n")[0])


def key_of(request: Request) -> str:
    """Read the key that a call of Gemini goes out with."""
    return request.headers.get("x-goog-api-key", "")


async def submit(person: Person, photo: str, prompt: str) -> None:
    """Start jobs, all at once."""
    bodies = [{"fileKey": photo, "prompt": f"{number} {prompt}"} for number in range(EACH_TIME)]
    await asyncio.gather(*(person.post("/generate", body) for body in bodies))


async def next_end(opened: aiohttp.ClientWebSocketResponse) -> tuple[str, int]:
    """Wait for the next job to end, or to be put off; returns how, and at which attempt."""
    async with asyncio.timeout(40):
        while True:
            message: dict[str, Any] = await opened.receive_json()
            if message["type"] in ("job.completed", "job.failed", "job.retrying"):
                return message["type"], message["job"]["attempt"]


async def lines_of(service: Service) -> list[dict[str, Any]]:
    """Read what the service has written to stdout since it was ready."""
    assert service.process.stdout is not None
    async with asyncio.timeout(10):
        return [read_line(line) async for line in service.process.stdout]


def total(told: list[dict[str, Any]], *names: str) -> tuple[float, ...]:
    """Add up what all lines say."""
    return tuple(sum(each[name] for each in told) for name in names)
