"""What the floors above stand on: the clouds, the tables, the queues and the bus, opened in the order of their dependencies."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from consumers.images import ImageWorker
from jobs import aws
from jobs.aws import Clients
from jobs.conditions import Conditions
from jobs.events import EventBus, InProcessBus
from jobs.files import Files
from jobs.job_table import JobTable
from jobs.parking_reports import ParkingReports
from jobs.retelling import Retelling
from jobs.work_queue import WorkQueue
from service.readiness import report_bus
from service.settings import Settings
from service.stopping import StopBudget
from service.webhooks import WebhookGround, webhook_ground

if TYPE_CHECKING:
    from jobs.redis_bus import RedisBus


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the floors above stand on."""

    clients: Clients
    registry: CollectorRegistry
    bus: EventBus
    guards: tuple[asyncio.Future[None], ...]
    conditions: Conditions
    table: JobTable
    parking_reports: ParkingReports
    files: Files
    images: ImageWorker
    queue: WorkQueue
    webhooks: WebhookGround


async def open_ground(stack: AsyncExitStack, settings: Settings) -> Ground:
    clients = await stack.enter_async_context(aws.open_clients(settings.aws_config()))
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    conditions = Conditions()
    stack.callback(conditions.close)
    images = ImageWorker()
    stack.callback(images.close)
    webhooks = webhook_ground(clients, settings)
    redis = await _open_redis(stack, settings, registry, conditions)
    bus = redis or InProcessBus()
    table = JobTable(clients.dynamodb, settings.tables(), bus, webhooks.outbox.offer)
    return Ground(
        clients=clients,
        registry=registry,
        bus=bus,
        guards=(_retell(stack, settings, table, bus, redis).failed, *((redis.failed,) if redis else ())),
        conditions=conditions,
        table=table,
        parking_reports=ParkingReports(
            clients.dynamodb,
            table.writes,
            sightings_table=settings.parking_sightings_table,
            reports_table=settings.parking_reports_table,
        ),
        files=Files(
            clients.s3,
            clients.find_credentials,
            upload_bucket=settings.upload_bucket,
            result_bucket=settings.result_bucket,
            upload_link_seconds=settings.presigned_url_expiration,
        ),
        images=images,
        queue=WorkQueue(
            clients.sqs,
            clients.receiver,
            url=settings.sqs_queue_url,
            visibility_seconds=settings.lease_seconds,
            dead_letters_url=settings.sqs_dlq_url,
        ),
        webhooks=webhooks,
    )


async def _open_redis(
    stack: AsyncExitStack, settings: Settings, registry: CollectorRegistry, conditions: Conditions
) -> RedisBus | None:
    """Open the bus between tasks, if there is to be one."""
    if settings.event_bus_url is None:
        return None
    from jobs.redis_bus import open_redis_bus  # noqa: PLC0415 - redis takes a tenth of a second that one task alone can spare

    opening = open_redis_bus(
        settings.event_bus_url,
        prefix=settings.event_bus_prefix,
        registry=registry,
        report=lambda is_whole: report_bus(conditions, is_whole=is_whole),
    )
    return await stack.enter_async_context(opening)


def _retell(
    stack: AsyncExitStack, settings: Settings, table: JobTable, bus: EventBus, redis: RedisBus | None
) -> Retelling:
    retelling = Retelling(table, bus)
    table.writes.on_untold(retelling.note)
    if redis is not None:
        redis.on_dropped(retelling.note)
    retelling.start()
    stack.push_async_callback(retelling.stop)
    stack.push_async_callback(table.writes.close, StopBudget.of(settings.stop_timeout_seconds).writes)
    return retelling
