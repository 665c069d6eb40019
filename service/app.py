"""The composition root: everything is opened here, in the order of its dependencies, and stopped in the order a drain needs."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from consumers import gemini, profile_photo
from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt, Workshop
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics
from consumers.gemini import Gemini, GeminiConfig
from consumers.heartbeat import Heartbeat
from consumers.images import ImageWorker
from consumers.metrics import PoolMetrics
from consumers.pipelines import Pipelines
from consumers.pool import Pool
from consumers.spending import Spending
from consumers.webhooks import WebhookWorker
from jobs import aws
from jobs.admission import Admission
from jobs.aws import Clients
from jobs.conditions import Conditions
from jobs.control import Control
from jobs.event_log import EventLog
from jobs.events import EventBus, InProcessBus
from jobs.files import Files
from jobs.ids import JobId, UserId
from jobs.job_table import JobTable
from jobs.model import JSON
from jobs.queue_place import QueueWatch
from jobs.retelling import Retelling
from jobs.secret import FixedKey, Key, SecretKey
from jobs.spend_table import SpendTable
from jobs.submission import Submission
from jobs.sweeper import Sweeper
from jobs.user_table import UserTable
from jobs.views import JobViews, cancel_view
from jobs.work_queue import WorkQueue
from service.demo_sign_in import DemoSignIn
from service.metrics import make_metrics_app
from service.readiness import Readiness, report_bus, report_gate
from service.services import Services
from service.settings import Settings
from service.tokens import TokenVerifier
from service.web_app import RUNNER_OPTIONS, create_app
from service.webhooks import WebhookGround, open_webhooks, webhook_ground
from websocket.endpoint import SocketEndpoint
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.recovery import Recovery
from websocket.session import Desk
from websocket.snapshot import SnapshotReader

if TYPE_CHECKING:
    from jobs.redis_bus import RedisBus

logger = logging.getLogger(__name__)

PIPELINES: Pipelines = {profile_photo.NAME: profile_photo.run}
KEEP_ALIVE_SECONDS = 130
"""Longer than a load balancer's idle time-out of 120 s, or it would send requests into connections we just closed."""
FAILURES_TO_OPEN = 16
"""More than one job can have by itself (four tries, three receives): one bad job alone must not look like an outage."""
HANDLER_GRACE_SECONDS = 5.0
PARTING_SECONDS = 30.0
"""Of the time to drain: what is left when the pool has stopped, for sockets, handlers and the bus (16, 10 and 3 s at most)."""
BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What runs, once all is open."""

    app: web.Application
    pool: Pool
    webhooks: WebhookWorker
    spending: Spending
    hub: Hub
    admission: Admission
    sweeper: Sweeper
    queue_watch: QueueWatch
    readiness: Readiness
    registry: CollectorRegistry
    guards: tuple[asyncio.Future[None], ...]


async def serve(
    settings: Settings,
    listener: socket.socket,
    metrics_listener: socket.socket | None,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
) -> bool:
    """Run the service on the bound sockets until ``stop`` is set; returns False when a part of it died instead.

    ``on_ready`` is called once requests are served. Every job in hand is finished or handed back before this returns.
    """
    async with _open_house(settings) as house:
        await house.hub.start()
        await house.spending.start()
        house.pool.start()
        house.webhooks.start()
        house.admission.start()
        house.sweeper.start()
        house.queue_watch.start(house.hub.watched, house.hub.tell_place)
        async with _listening(house, listener, metrics_listener):
            # What is there now stays: walking through it again and again would hold up everybody for a moment each time.
            gc.freeze()
            house.readiness.ready()
            on_ready()
            healthy = await _until_stopped(stop, house)
            await _drain(settings, house)
    return healthy


async def _until_stopped(stop: asyncio.Event, house: House) -> bool:
    stopping = asyncio.create_task(stop.wait(), name="wait for stop")
    parts = (house.pool, house.webhooks, house.hub, house.admission, house.sweeper, house.queue_watch, house.spending)
    ends: set[asyncio.Future[Any]] = {stopping, *house.guards, *(part.failed for part in parts)}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return stop.is_set()


async def _drain(settings: Settings, house: House) -> None:
    """Finish while the listeners are still open, so that the load balancer can notice and nobody is refused."""
    logger.info("Draining", extra={"action": "drain", "jobs_in_hand": house.pool.busy})
    house.readiness.drain()
    await house.sweeper.stop()
    pool_seconds = max(settings.drain_seconds - PARTING_SECONDS, settings.drain_seconds / 2)
    await asyncio.gather(house.pool.stop(pool_seconds), house.webhooks.stop(pool_seconds))
    await asyncio.gather(house.spending.stop(), house.admission.stop(), house.queue_watch.stop(), house.hub.close())


@asynccontextmanager
async def _listening(
    house: House, listener: socket.socket, metrics_listener: socket.socket | None
) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(
            house.app, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=HANDLER_GRACE_SECONDS, **RUNNER_OPTIONS
        )
        await _start(stack, runner, listener)
        if metrics_listener is not None:
            metrics_app = make_metrics_app(house.registry)
            metrics_runner = web.AppRunner(metrics_app, access_log=None, shutdown_timeout=HANDLER_GRACE_SECONDS)
            await _start(stack, metrics_runner, metrics_listener)
        yield


async def _start(stack: AsyncExitStack, runner: web.AppRunner, listener: socket.socket) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What the floors above stand on."""

    clients: Clients
    registry: CollectorRegistry
    bus: EventBus
    guards: tuple[asyncio.Future[None], ...]
    conditions: Conditions
    table: JobTable
    files: Files
    queue: WorkQueue
    webhooks: WebhookGround


async def _open_ground(stack: AsyncExitStack, settings: Settings) -> _Ground:
    clients = await stack.enter_async_context(aws.open_clients(settings.aws_config()))
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    conditions = Conditions()
    stack.callback(conditions.close)
    webhooks = webhook_ground(clients, settings)
    redis = await _open_redis(stack, settings, registry, conditions)
    bus = redis or InProcessBus()
    table = JobTable(clients.dynamodb, settings.tables(), bus, webhooks.outbox.offer)
    return _Ground(
        clients=clients,
        registry=registry,
        bus=bus,
        guards=(_retell(stack, table, bus, redis).failed, *((redis.failed,) if redis else ())),
        conditions=conditions,
        table=table,
        files=Files(
            clients.s3,
            clients.find_credentials,
            upload_bucket=settings.upload_bucket,
            result_bucket=settings.result_bucket,
            upload_link_seconds=settings.presigned_url_expiration,
        ),
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


def _retell(stack: AsyncExitStack, table: JobTable, bus: EventBus, redis: RedisBus | None) -> Retelling:
    retelling = Retelling(table, bus)
    table.on_untold(retelling.note)
    if redis is not None:
        redis.on_dropped(retelling.note)
    retelling.start()
    stack.push_async_callback(retelling.stop)
    stack.push_async_callback(table.close)
    return retelling


@asynccontextmanager
async def _open_house(settings: Settings) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        ground = await _open_ground(stack, settings)
        table, queue, bus = ground.table, ground.queue, ground.bus
        queue_watch = QueueWatch(table, every_seconds=settings.queue_place_seconds)
        views = JobViews(ground.files, bus, queue_watch.place_of)
        log = EventLog(ground.clients.dynamodb, settings.job_events_table)
        limits = SocketLimits()
        snapshots = SnapshotReader(table, log, views, daily_limit=settings.daily_limit, jobs=limits.snapshot_jobs)
        recovery = Recovery(log, views.view, snapshots.read, limits)
        hub = Hub(
            bus,
            recovery,
            limits=limits,
            registry=ground.registry,
            conditions=ground.conditions,
            read_quota=snapshots.quota,
        )
        verifier = await _open_verifier(stack, settings)
        readiness = Readiness()
        submission = Submission(table, queue, settings.user_limits())
        admission = Admission(submission, bus)
        control = Control(table, ground.files, submission, bus)
        desk = Desk(hub=hub, authenticate=verifier.verify, cancel=partial(_cancel, control))
        webhook_desk, webhook_worker = await open_webhooks(
            stack, ground.webhooks, ground.clients, settings, views.view, ground.registry
        )
        services = Services(
            jobs=table,
            users=UserTable(ground.clients.dynamodb, settings.users_table),
            files=ground.files,
            submission=submission,
            admission=admission,
            control=control,
            views=views,
            verifier=verifier,
            readiness=readiness,
            conditions=ground.conditions,
            registry=ground.registry,
            hub=hub,
            webhooks=webhook_desk,
            socket_endpoint=SocketEndpoint(desk, settings.origins).handle,
            demo_sign_in=await _open_demo_sign_in(stack, settings),
        )
        pool, spending = await _open_pool(stack, settings, ground)
        yield House(
            app=create_app(settings, services),
            pool=pool,
            webhooks=webhook_worker,
            spending=spending,
            hub=hub,
            admission=admission,
            queue_watch=queue_watch,
            sweeper=Sweeper(table, submission, settings.sweep_times(), admission.watch),
            readiness=readiness,
            registry=ground.registry,
            guards=ground.guards,
        )


async def _open_pool(stack: AsyncExitStack, settings: Settings, ground: _Ground) -> tuple[Pool, Spending]:
    meters, images, slots = PoolMetrics(ground.registry), ImageWorker(), settings.worker_slots
    stack.callback(images.close)
    config = GeminiConfig(
        image_model=settings.model_name,
        base_url=settings.gemini_base_url,
        timeout_seconds=settings.gemini_timeout_seconds,
        connections=slots + 16,
    )
    gate_config = GateConfig(most=slots, start=slots, failures_to_open=FAILURES_TO_OPEN)
    tell = partial(report_gate, ground.conditions)
    gate = Gate(settings.model_name, gate_config, GateMetrics(ground.registry), tell)
    stack.callback(gate.close)
    spend_table = SpendTable(ground.clients.dynamodb, settings.usage_log_table)
    spending = Spending(spend_table, settings.daily_spend_limit_usd, gate.close_until, ground.registry)
    session = await stack.enter_async_context(gemini.open_session(config))
    key = await _open_key(stack, settings)
    heartbeat, acknowledger = Heartbeat(ground.table, ground.queue), Acknowledger(ground.queue)
    workshop = Workshop(
        table=ground.table,
        queue=ground.queue,
        files=ground.files,
        gemini=Gemini(session, config, key, {settings.model_name: gate}, meters, spending.note),
        images=images,
        bus=ground.bus,
        pipelines=PIPELINES,
        heartbeat=heartbeat,
        acknowledger=acknowledger,
        meters=meters,
        deadline_seconds=settings.job_deadline_seconds,
    )
    pool = Pool(
        ground.queue, lambda delivery: Attempt(workshop, delivery), gate, heartbeat, acknowledger, meters, slots=slots
    )
    return pool, spending


async def _cancel(control: Control, user_id: UserId, job_id: JobId) -> dict[str, JSON]:
    return cancel_view(await control.cancel(await control.find(user_id, job_id)))


async def _open_verifier(stack: AsyncExitStack, settings: Settings) -> TokenVerifier:
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return TokenVerifier(session, settings.issuer, settings.jwks_url, settings.cognito_client_id)


async def _open_key(stack: AsyncExitStack, settings: Settings) -> Key:
    if settings.gemini_api_key is not None:
        return FixedKey(settings.gemini_api_key.get_secret_value())
    client = await stack.enter_async_context(aws.client(settings.aws_config(), "secretsmanager"))
    return SecretKey(client, settings.gemini_api_key_secret_arn or "")


async def _open_demo_sign_in(stack: AsyncExitStack, settings: Settings) -> DemoSignIn | None:
    if not settings.embedded:
        return None
    client = await stack.enter_async_context(aws.client(settings.aws_config(), "cognito-idp"))
    return DemoSignIn(client, settings.cognito_user_pool_id, settings.cognito_client_id)
