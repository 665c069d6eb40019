"""The composition root: everything is opened here, in the order of its dependencies, and stopped in the order a drain needs."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from consumers import gemini, profile_photo
from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt, Workshop
from consumers.gemini import Gemini, GeminiConfig
from consumers.images import ImageWorker
from consumers.metrics import PoolMetrics
from consumers.pipelines import Pipelines
from consumers.pool import Pool
from jobs import aws
from jobs.events import InProcessBus
from jobs.files import Files
from jobs.job_table import JobTable
from jobs.secret import FixedKey, Key, SecretKey
from jobs.submission import Submission
from jobs.user_table import UserTable
from jobs.views import JobViews
from jobs.work_queue import WorkQueue
from service.demo_sign_in import DemoSignIn
from service.metrics import make_metrics_app
from service.readiness import Readiness
from service.services import Services
from service.settings import Settings
from service.tokens import TokenVerifier
from service.web_app import RUNNER_OPTIONS, create_app
from websocket.endpoint import SocketEndpoint
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.snapshot import SnapshotReader

logger = logging.getLogger(__name__)

PIPELINES: Pipelines = {profile_photo.NAME: profile_photo.run}
KEEP_ALIVE_SECONDS = 130
"""Longer than a load balancer's idle time-out of 120 s, or it would send requests into connections we just closed."""
HANDLER_GRACE_SECONDS = 5.0
BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What runs, once all is open."""

    app: web.Application
    pool: Pool
    hub: Hub
    readiness: Readiness
    registry: CollectorRegistry


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
        house.pool.start()
        async with _listening(house, listener, metrics_listener):
            house.readiness.ready()
            on_ready()
            healthy = await _until_stopped(stop, house)
            await _drain(settings, house)
    return healthy


async def _until_stopped(stop: asyncio.Event, house: House) -> bool:
    stopping = asyncio.create_task(stop.wait(), name="wait for stop")
    ends: set[asyncio.Future[Any]] = {stopping, house.pool.failed, house.hub.failed}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return stop.is_set()


async def _drain(settings: Settings, house: House) -> None:
    """Finish while the listeners are still open, so that the load balancer can notice and nobody is refused."""
    logger.info("Draining", extra={"action": "drain", "jobs_in_hand": house.pool.busy})
    house.readiness.drain()
    await house.pool.stop(settings.drain_seconds)
    await house.hub.close()


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
            metrics_runner = web.AppRunner(make_metrics_app(house.registry), access_log=None)
            await _start(stack, metrics_runner, metrics_listener)
        yield


async def _start(stack: AsyncExitStack, runner: web.AppRunner, listener: socket.socket) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()


@asynccontextmanager
async def _open_house(settings: Settings) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(aws.open_clients(settings.aws_config()))
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        bus = InProcessBus()
        table = JobTable(clients.dynamodb, settings.tables(), bus)
        files = Files(
            clients.s3,
            upload_bucket=settings.upload_bucket,
            result_bucket=settings.result_bucket,
            upload_link_seconds=settings.presigned_url_expiration,
        )
        queue = WorkQueue(
            clients.sqs, clients.receiver, url=settings.sqs_queue_url, visibility_seconds=settings.lease_seconds
        )
        views = JobViews(files, bus)
        limits = SocketLimits()
        snapshots = SnapshotReader(table, views, daily_limit=settings.daily_limit, jobs=limits.snapshot_jobs)
        hub = Hub(bus, views.view, snapshots.read, limits=limits, registry=registry)
        verifier = await _open_verifier(stack, settings)
        readiness = Readiness()
        services = Services(
            jobs=table,
            users=UserTable(clients.dynamodb, settings.users_table),
            files=files,
            submission=Submission(table, queue, daily_limit=settings.daily_limit),
            views=views,
            verifier=verifier,
            readiness=readiness,
            registry=registry,
            socket_endpoint=SocketEndpoint(hub, verifier.verify, settings.origins).handle,
            demo_sign_in=await _open_demo_sign_in(stack, settings),
        )
        pool = await _open_pool(stack, settings, table=table, queue=queue, files=files, bus=bus, registry=registry)
        yield House(app=create_app(settings, services), pool=pool, hub=hub, readiness=readiness, registry=registry)


async def _open_pool(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    table: JobTable,
    queue: WorkQueue,
    files: Files,
    bus: InProcessBus,
    registry: CollectorRegistry,
) -> Pool:
    meters = PoolMetrics(registry)
    images = ImageWorker()
    stack.callback(images.close)
    config = GeminiConfig(
        image_model=settings.model_name,
        base_url=settings.gemini_base_url,
        timeout_seconds=settings.gemini_timeout_seconds,
        connections=settings.worker_slots + 16,
    )
    session = await stack.enter_async_context(gemini.open_session(config))
    acknowledger = Acknowledger(queue)
    workshop = Workshop(
        table=table,
        queue=queue,
        files=files,
        gemini=Gemini(session, config, await _open_key(stack, settings), meters),
        images=images,
        bus=bus,
        pipelines=PIPELINES,
        acknowledger=acknowledger,
        meters=meters,
    )
    return Pool(queue, lambda delivery: Attempt(workshop, delivery), acknowledger, meters, slots=settings.worker_slots)


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
