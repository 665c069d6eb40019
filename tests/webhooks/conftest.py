"""Fixtures of the webhooks' tests."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest

from consumers.addresses import Addresses
from jobs.aws import Clients
from jobs.events import InProcessBus
from jobs.files import Files
from jobs.ids import new_job_id
from jobs.job_table import JobTable, Tables
from jobs.views import JobViews
from jobs.webhook_delivery_table import DeliveryTable
from jobs.webhook_desk import WebhookDesk
from jobs.webhook_events import LoggedChanges
from jobs.webhook_outbox import WebhookOutbox
from jobs.webhook_queue import WebhookQueue
from jobs.webhooks import WebhookTable
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround

Listen = Callable[[], Awaitable[Endpoint]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Open endpoints."""
    opened: list[Endpoint] = []

    async def open_one() -> Endpoint:
        opened.append(Endpoint())
        await opened[-1].server.start_server()
        return opened[-1]

    yield open_one
    for endpoint in opened:
        endpoint.let_go()
        await endpoint.server.close()


@pytest.fixture
async def endpoint(listen: Listen) -> Endpoint:
    """Open an endpoint."""
    return await listen()


@pytest.fixture
async def webhooks(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]
) -> AsyncIterator[WebhookGround]:
    """Open the ground."""
    queue_url = (await clients.sqs.create_queue(QueueName=new_job_id()))["QueueUrl"]
    queue = WebhookQueue(clients.sqs, clients.receiver, url=queue_url)
    table = WebhookTable(clients.dynamodb, cloud_environment["WEBHOOKS_TABLE"], tables.users)
    deliveries = DeliveryTable(clients.dynamodb, cloud_environment["WEBHOOK_DELIVERIES_TABLE"])
    addresses, bus = Addresses(allow_private=True, lookup=_here), InProcessBus()
    files = Files(
        clients.s3, clients.find_credentials, upload_bucket="uploads", result_bucket="results", upload_link_seconds=600
    )
    yield WebhookGround(
        clients=clients,
        bus=bus,
        jobs=JobTable(clients.dynamodb, tables, bus),
        table=table,
        deliveries=deliveries,
        queue=queue,
        queue_url=queue_url,
        changes=LoggedChanges(clients.dynamodb, tables.events),
        views=JobViews(files, bus),
        addresses=addresses,
        desk=WebhookDesk(table, deliveries, queue, addresses.check),
        outbox=WebhookOutbox(table, queue),
    )
    await addresses.close()


def _here(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
    """Lead every name to this machine, so that one endpoint has as many hosts as a test needs."""
    return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]
