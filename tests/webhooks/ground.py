"""Webhooks, opened for a test: a queue of its own, the real emulator below."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from consumers.addresses import Addresses
from consumers.webhook_courier import Courier, Outcome
from consumers.webhook_sender import open_sender
from consumers.webhooks import DeliveryLimits, WebhookWorker
from jobs.aws import Clients
from jobs.events import EventType, InProcessBus, JobEvent, Notice
from jobs.ids import UserId
from jobs.job_table import JobTable
from jobs.views import JobViews
from jobs.webhook_deliveries import Delivery
from jobs.webhook_delivery_table import DeliveryTable
from jobs.webhook_desk import WebhookDesk
from jobs.webhook_events import LoggedChanges
from jobs.webhook_outbox import WebhookOutbox
from jobs.webhook_queue import Order, WebhookQueue
from jobs.webhooks import Webhook, WebhookTable
from tests.jobs import story

PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookGround:
    """All that a test of webhooks touches."""

    clients: Clients
    bus: InProcessBus
    jobs: JobTable
    table: WebhookTable
    deliveries: DeliveryTable
    queue: WebhookQueue
    queue_url: str
    changes: LoggedChanges
    views: JobViews
    addresses: Addresses
    desk: WebhookDesk
    outbox: WebhookOutbox

    async def webhook(self, user: UserId, url: str, *events: EventType) -> Webhook:
        """Register a webhook."""
        return await self.desk.register(user, url, events=events or None, description=None)

    async def completed(self, user: UserId) -> list[JobEvent]:
        """Live a job's whole life, and return what was told of it."""
        told: list[Notice] = []
        end = self.bus.subscribe(user, told.append)
        job = await story.claim(self.jobs, await story.stored(self.jobs, user))
        await story.complete(self.jobs, job)
        end()
        return [notice for notice in told if isinstance(notice, JobEvent)]

    async def order(self, user: UserId) -> Order:
        """Complete a job and take the one order that follows from it off the queue."""
        await self.offer(await self.completed(user))
        return (await self.orders())[0]

    async def offer(self, events: list[JobEvent]) -> None:
        """Hand events to the outbox."""
        for event in events:
            await self.outbox.offer(event)

    async def orders(self) -> list[Order]:
        """Take what is in the queue."""
        found: list[Order] = []
        for received in await self.queue.receive(10):
            await self.queue.delete(received)
            assert received.order is not None
            found.append(received.order)
        return found

    @asynccontextmanager
    async def courier(self, addresses: Addresses | None = None) -> AsyncIterator[Courier]:
        """Open what carries out single orders, without waits between attempts."""
        async with open_sender(addresses or self.addresses) as sender:
            yield Courier(self.table, self.deliveries, self.queue, self.changes, self.views.view, sender, retry_scale=0)

    @asynccontextmanager
    async def worker(self, limits: DeliveryLimits | None = None) -> AsyncIterator[WebhookWorker]:
        """Run a worker for the length of the block, without waits between attempts."""
        async with self.courier() as courier:
            worker = WebhookWorker(self.queue, courier, limits or DeliveryLimits(retry_scale=0), CollectorRegistry())
            worker.start()
            try:
                yield worker
            finally:
                await worker.stop(5)

    async def listed(self, webhook: Webhook) -> tuple[Delivery, ...]:
        """Read the webhook's deliveries."""
        return (await self.deliveries.page(webhook.webhook_id, limit=100, cursor=None)).deliveries

    async def until(self, webhook: Webhook, holds: Callable[[tuple[Delivery, ...]], bool]) -> tuple[Delivery, ...]:
        """Read the webhook's deliveries until something holds of them: the table tells nobody when it changes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(deliveries := await self.listed(webhook)):  # noqa: ASYNC110 - a table wakes nobody
                await asyncio.sleep(0.05)
        return deliveries


async def until_counted(registry: CollectorRegistry, outcome: Outcome) -> None:
    """Wait until a worker has counted one order with this outcome."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while registry.get_sample_value("webhook_orders_total", {"outcome": outcome}) != 1:  # noqa: ASYNC110 - nor a counter
            await asyncio.sleep(0.05)


@asynccontextmanager
async def public_addresses(*answers: str) -> AsyncIterator[Addresses]:
    """Open a resolver that takes public addresses only, to which every name has these addresses, one look-up after another.

    The last answer is for good.
    """
    left = list(answers)

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(0, 0, 0, "", (address, port))]

    async with AsyncExitStack() as stack:
        addresses = Addresses(lookup=lookup)
        stack.push_async_callback(addresses.close)
        yield addresses
