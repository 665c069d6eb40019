"""Webhooks, put together: what orders deliveries, what carries them out, and what their owners may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from consumers.addresses import Addresses
from consumers.webhook_courier import Courier
from consumers.webhook_sender import open_sender
from consumers.webhooks import DeliveryLimits, WebhookWorker
from jobs.aws import Clients
from jobs.model import JSON, Job
from jobs.webhook_delivery_table import DeliveryTable
from jobs.webhook_desk import WebhookDesk
from jobs.webhook_events import LoggedChanges
from jobs.webhook_outbox import WebhookOutbox
from jobs.webhook_queue import WebhookQueue
from jobs.webhooks import WebhookTable
from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookGround:
    """What the jobs table needs of it, before there is anything that shows a job."""

    table: WebhookTable
    deliveries: DeliveryTable
    queue: WebhookQueue
    outbox: WebhookOutbox


def webhook_ground(clients: Clients, settings: Settings) -> WebhookGround:
    """Put together what keeps webhooks and orders their deliveries."""
    table = WebhookTable(clients.dynamodb, settings.webhooks_table, settings.users_table)
    queue = WebhookQueue(clients.sqs, clients.receiver, url=settings.webhook_deliveries_queue_url)
    return WebhookGround(
        table=table,
        deliveries=DeliveryTable(clients.dynamodb, settings.webhook_deliveries_table),
        queue=queue,
        outbox=WebhookOutbox(table, queue),
    )


async def open_webhooks(
    stack: AsyncExitStack,
    ground: WebhookGround,
    clients: Clients,
    settings: Settings,
    view: Callable[[Job], Awaitable[dict[str, JSON]]],
    registry: CollectorRegistry,
) -> tuple[WebhookDesk, WebhookWorker]:
    """Open what calls endpoints; closed with the stack, after the worker was stopped."""
    addresses = Addresses(allow_private=settings.webhook_allow_private)
    stack.push_async_callback(addresses.close)
    sender = await stack.enter_async_context(open_sender(addresses))
    limits = DeliveryLimits()
    courier = Courier(
        ground.table,
        ground.deliveries,
        ground.queue,
        LoggedChanges(clients.dynamodb, settings.job_events_table),
        view,
        sender,
        retry_scale=limits.retry_scale,
    )
    desk = WebhookDesk(ground.table, ground.deliveries, ground.queue, addresses.check)
    return desk, WebhookWorker(ground.queue, courier, limits, registry)
