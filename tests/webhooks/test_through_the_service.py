"""Webhooks of real jobs, through whole services: submitted over REST, run, and told to an endpoint."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests.chaos.stage import Service, Stage, chaos_stage
from tests.conftest import CHECKOUT
from tests.faults.messages import Request
from tests.webhooks.endpoint import Call, Endpoint

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

PATIENCE_SECONDS = 30
SETTINGS = {"WEBHOOK_ALLOW_PRIVATE": "true", "LOG_LEVEL": "INFO"}


class Owner:
    """A signed-in user with a webhook."""

    def __init__(self, session: aiohttp.ClientSession, service: Service, token: str) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}
        self.service = service
        self.webhook: dict[str, Any] = {}

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the service for something that it grants."""
        url = self.service.url + path
        async with self._session.request(method, url, json=body, headers=self._headers) as answer:
            answer.raise_for_status()
            granted: dict[str, Any] = await answer.json()
            return granted

    async def generate(self, photo: bytes) -> str:
        """Upload and submit a job; return its id."""
        link = await self.ask(
            "POST", "/upload", {"fileName": "a.png", "contentType": "image/png", "fileSize": len(photo)}
        )
        async with self._session.put(link["uploadUrl"], data=photo, headers=link["uploadHeaders"]) as answer:
            answer.raise_for_status()
        made = await self.ask("POST", "/generate", {"fileKey": link["fileKey"], "style": "professional", "prompt": ""})
        return str(made["jobId"])

    async def deliveries(self) -> list[dict[str, Any]]:
        """List what was delivered."""
        page = await self.ask("GET", f"/webhooks/{self.webhook['webhookId']}/deliveries")
        return list(page["deliveries"])

    async def delivered(self, count: int) -> list[dict[str, Any]]:
        """Wait until the list says of so many that they are delivered, and return it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while ["delivered"] * count != [one["status"] for one in await self.deliveries()]:  # noqa: ASYNC110 - asked, not told
                await asyncio.sleep(0.1)
        return await self.deliveries()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Run a cloud of the module's own."""
    async with chaos_stage(tmp_path_factory.mktemp("webhooks")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> AsyncIterator[Stage]:
    """Give the stage, and afterwards kill every service and lift every fault."""
    yield module_stage
    await module_stage.kill_all()
    module_stage.aws.clear()


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Endpoint]:
    """Open an endpoint on the module's loop."""
    opened = Endpoint()
    await opened.server.start_server()
    yield opened
    opened.let_go()
    await opened.server.close()


@pytest.fixture(scope="module")
def photo() -> bytes:
    """Read the real photo."""
    return (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()


@asynccontextmanager
async def owner_at(service: Service, receiver: Endpoint) -> AsyncIterator[Owner]:
    """Sign in as somebody new and register the receiver."""
    async with aiohttp.ClientSession() as session:
        asked = {"user": f"owner-{receiver.server.port}"}
        async with session.post(f"{service.url}/auth/demo", json=asked) as answer:
            owner = Owner(session, service, (await answer.json())["idToken"])
        owner.webhook = await owner.ask("POST", "/webhooks", {"url": receiver.url()})
        yield owner


async def test_a_job_s_end_is_delivered_once_and_signed(stage: Stage, receiver: Endpoint, photo: bytes) -> None:
    """Of all that happens to a job its end alone is told, unless more was asked for."""
    service = await stage.start_service(SETTINGS)
    async with owner_at(service, receiver) as owner:
        job_id = await owner.generate(photo)
        (call,) = await receiver.until(1)
        (delivery,) = await owner.delivered(1)
        job = await owner.ask("GET", f"/jobs/{job_id}")

    assert ("job.completed", job_id, job["version"]) == (
        call.body["type"],
        call.body["job"]["jobId"],
        call.body["job"]["version"],
    )
    assert is_signed(call, owner.webhook["secret"])
    assert (call.delivery_id, job_id, 1, 204) == (
        delivery["deliveryId"],
        delivery["jobId"],
        delivery["attempts"],
        delivery["statusCode"],
    )
    assert 1 == len(receiver.calls)


async def test_a_receiver_that_fails_is_told_again(stage: Stage, receiver: Endpoint, photo: bytes) -> None:
    """After the first of the real waits, under the same id."""
    receiver.answers.append(web.Response(status=500))
    service = await stage.start_service(SETTINGS)
    async with owner_at(service, receiver) as owner:
        await owner.generate(photo)
        first, second = await receiver.until(2)
        (delivery,) = await owner.delivered(1)

    assert first.delivery_id == second.delivery_id == delivery["deliveryId"]
    assert 4 <= int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) <= 10
    assert is_signed(second, owner.webhook["secret"])
    assert (2, 204) == (delivery["attempts"], delivery["statusCode"])


async def test_of_two_services_one_delivers(stage: Stage, receiver: Endpoint, photo: bytes) -> None:
    """Six jobs, each told once, whoever ran it; the services' logs count the same six."""
    one, other = await asyncio.gather(stage.start_service(SETTINGS), stage.start_service(SETTINGS))
    async with owner_at(one, receiver) as owner:
        job_ids = await asyncio.gather(*(owner.generate(photo) for _ in range(6)))
        await receiver.until(6)
        await owner.delivered(6)
    deliverers = [await asyncio.to_thread(deliveries_in_log, service) for service in (one, other)]

    assert sorted(job_ids) == sorted(call.body["job"]["jobId"] for call in receiver.calls)
    assert sorted(call.delivery_id for call in receiver.calls) == sorted(deliverers[0] + deliverers[1])


def sends_order(request: Request) -> bool:
    """Choose the sending of an order to the deliveries queue."""
    return request.action == "SendMessageBatch" and request.says("deliveryId")


def takes_order(request: Request) -> bool:
    """Choose the long poll on the deliveries queue."""
    return request.action == "ReceiveMessage" and request.says("WebhookDeliveries")


@pytest.mark.parametrize("is_ordered", [False, True], ids=["before-it-is-ordered", "after-it-is-ordered"])
async def test_a_service_killed_between_the_end_and_its_delivery_loses_nothing(
    stage: Stage, receiver: Endpoint, photo: bytes, is_ordered: bool
) -> None:
    """The job is completed and nobody has been told when the process dies; its successor tells it, once."""
    holding = stage.aws.when(takes_order).blackhole()
    ordering = stage.aws.when(sends_order).times(1)
    service = await stage.start_service(SETTINGS)
    async with owner_at(service, receiver) as owner:

        async def kill() -> None:
            await stage.kill(service)

        ordering.after(kill).cut_after() if is_ordered else ordering.before(kill).cut()
        job_id = await owner.generate(photo)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ordering.finished.wait()
        told_before = len(receiver.calls)
        holding.lift()
        owner.service = await stage.start_service(SETTINGS)
        job = await owner.ask("GET", f"/jobs/{job_id}")
        (call,) = await receiver.until(1)
        await owner.delivered(1)

    assert holding.reached.is_set()
    assert ("completed", 0) == (job["status"], told_before)
    assert ("job.completed", job_id) == (call.body["type"], call.body["job"]["jobId"])
    assert 1 == len(receiver.calls)


def is_signed(call: Call, secret: str) -> bool:
    """Verify the signature of Standard Webhooks by hand."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.content
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return call.headers["webhook-signature"] == f"v1,{expected}"


def deliveries_in_log(service: Service) -> list[str]:
    """Return the ids of what this service says it has delivered."""
    lines = map(json.loads, service.log.read_text().splitlines())
    return [line["delivery_id"] for line in lines if line.get("action") == "webhook_delivered"]
