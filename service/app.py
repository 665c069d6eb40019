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
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from consumers.pool import Pool
from consumers.spending import Spending
from consumers.uploads import UploadIntake
from consumers.webhooks import WebhookWorker
from jobs import aws
from jobs.admission import Admission
from jobs.backlog import Backlog
from jobs.control import Control
from jobs.dead_letters import DeadLetters
from jobs.event_log import EventLog
from jobs.ids import JobId, UserId
from jobs.model import JSON, Caller
from jobs.queue_place import QueueWatch
from jobs.submission import Submission
from jobs.sweeper import Sweeper
from jobs.user_table import UserTable
from jobs.views import JobViews, cancel_view
from jobs.waiting import Waiting
from service.accounts import open_accounts
from service.demo_sign_in import DemoSignIn
from service.emf import emitting
from service.ground import Ground, open_ground
from service.metrics import TaskMetrics, make_metrics_app
from service.ops.desk import OperatorDesk, Task
from service.ops.sampler import Sampler
from service.pool import open_pool
from service.process import VERSION, ecs_agent_url, on_stop, task_name
from service.readiness import Readiness
from service.scale_in import ScaleInProtection, open_protection
from service.services import Services
from service.settings import Settings
from service.stopping import StopBudget
from service.tokens import TokenVerifier
from service.uploads import make_intake
from service.web_app import RUNNER_OPTIONS, create_app
from service.webhooks import open_webhooks
from websocket.endpoint import SocketEndpoint
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.recovery import Recovery
from websocket.session import Desk
from websocket.snapshot import SnapshotReader

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 130
"""Longer than a load balancer's idle time-out of 120 s, or it would send requests into connections we just closed."""
BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What runs, once all is open."""

    app: web.Application
    pool: Pool
    webhooks: WebhookWorker
    uploads: UploadIntake
    waiting: Waiting
    spending: Spending
    hub: Hub
    admission: Admission
    sweeper: Sweeper
    queue_watch: QueueWatch
    protection: ScaleInProtection | None
    sampler: Sampler
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
    on_leaving: Callable[[], None],
) -> bool:
    """Run the service on the bound sockets until ``stop`` is set; returns False when a part of it died instead.

    ``on_ready`` is called once requests are served, ``on_leaving`` when the stop begins, be it while all is being opened: it
    bounds what follows. Every job in hand is finished or handed back before this returns, which is
    ``STOP_TIMEOUT_SECONDS`` later at the most.
    """
    budget = StopBudget.of(settings.stop_timeout_seconds)
    async with on_stop(stop, on_leaving), _open_house(settings, stop.set) as house:
        await house.hub.start()
        await house.spending.start()
        house.pool.start()
        house.webhooks.start()
        house.uploads.start()
        house.admission.start()
        house.sweeper.start()
        house.sampler.start()
        house.queue_watch.start(house.hub.watched, house.hub.tell_place)
        if house.protection is not None:
            house.protection.start()
        async with _listening(house, listener, metrics_listener, budget):
            # What is there now stays: walking through it again and again would hold up everybody for a moment each time.
            gc.freeze()
            gc.enable()
            house.readiness.ready()
            on_ready()
            healthy = await _until_stopped(stop, house)
            stop.set()
            await _drain(settings, house, budget)
    return healthy


async def _until_stopped(stop: asyncio.Event, house: House) -> bool:
    stopping = asyncio.create_task(stop.wait(), name="wait for stop")
    parts = (
        house.pool,
        house.webhooks,
        house.uploads,
        house.hub,
        house.admission,
        house.sweeper,
        house.queue_watch,
        house.spending,
    )
    ends: set[asyncio.Future[Any]] = {stopping, *house.guards, *(part.failed for part in parts)}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return stop.is_set()


async def _drain(settings: Settings, house: House, budget: StopBudget) -> None:
    """Finish while the listeners are still open, so that the load balancer can notice and nobody is refused."""
    logger.info("Draining", extra={"action": "drain", "jobs_in_hand": house.pool.busy})
    house.readiness.drain()
    await house.sweeper.stop()
    # Alone on its machine there is nobody else to wait for what it was given.
    last_receive = 0 if settings.embedded else budget.last_receive
    await asyncio.gather(
        house.pool.stop(budget.work, budget.settling, last_receive_seconds=last_receive),
        house.webhooks.stop(budget.work, last_receive_seconds=last_receive),
        house.uploads.stop(budget.work, last_receive_seconds=last_receive),
        asyncio.sleep(settings.deregistration_seconds),  # until then requests and sockets are still sent here
    )
    house.waiting.close()
    ends = [house.spending.stop(budget.sockets), house.admission.stop(), house.queue_watch.stop()]
    if house.protection is not None:
        ends.append(house.protection.stop(budget.sockets))
    await asyncio.gather(*ends, house.hub.close(budget.sockets))
    await house.sampler.stop()  # last, for an operator may watch the task leave


@asynccontextmanager
async def _listening(
    house: House, listener: socket.socket, metrics_listener: socket.socket | None, budget: StopBudget
) -> AsyncIterator[None]:
    grace_seconds = budget.handlers / 2  # aiohttp takes it twice: handlers may end, then they are canceled
    runner = web.AppRunner(
        house.app, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=grace_seconds, **RUNNER_OPTIONS
    )
    places = [(runner, listener)]
    if metrics_listener is not None:
        metrics_app = make_metrics_app(house.registry)
        metrics_runner = web.AppRunner(metrics_app, access_log=None, shutdown_timeout=grace_seconds)
        places.append((metrics_runner, metrics_listener))
    try:
        for each, its_listener in places:
            await each.setup()
            await web.SockSite(each, its_listener, backlog=BACKLOG).start()
        yield
    finally:
        await asyncio.gather(*(each.cleanup() for each, _ in places))


@asynccontextmanager
async def _open_house(settings: Settings, leave: Callable[[], None]) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        ground = await open_ground(stack, settings)
        table, queue, bus = ground.table, ground.queue, ground.bus
        queue_watch = QueueWatch(table, every_seconds=settings.queue_place_seconds)
        views = JobViews(ground.files, bus, queue_watch.place_of)
        hub = _make_hub(settings, ground, views)
        verifier = await _open_verifier(stack, settings)
        readiness = Readiness()
        submission = Submission(table, queue, settings.user_limits())
        admission, waiting = Admission(submission, bus), Waiting(table, bus)
        control = Control(table, ground.files, submission, bus)
        accounts, exports = open_accounts(ground.clients, settings, table, control, ground.webhooks.table, bus)
        webhook_desk, webhook_worker = await open_webhooks(
            stack, ground.webhooks, ground.clients, settings, views.view, ground.registry
        )
        operator_desk = _make_operator_desk(settings, ground, leave)
        services = Services(
            jobs=table,
            users=table.users,
            accounts=accounts,
            exports=exports,
            files=ground.files,
            images=ground.images,
            submission=submission,
            admission=admission,
            control=control,
            views=views,
            verifier=verifier,
            readiness=readiness,
            conditions=ground.conditions,
            registry=ground.registry,
            hub=hub,
            waiting=waiting,
            parking_reports=ground.parking_reports,
            webhooks=webhook_desk,
            operator_desk=operator_desk,
            socket_endpoint=_make_endpoint(settings, hub, verifier, table.users, control).handle,
            demo_sign_in=await _open_demo_sign_in(stack, settings),
        )
        pool, spending = await open_pool(stack, settings, ground)
        # Opened last, to write its last line when nothing is counted any more.
        await stack.enter_async_context(emitting(ground.registry, settings.cloudwatch_service))
        yield House(
            app=create_app(settings, services),
            pool=pool,
            webhooks=webhook_worker,
            uploads=make_intake(settings, ground, submission, admission.watch),
            waiting=waiting,
            spending=spending,
            hub=hub,
            admission=admission,
            queue_watch=queue_watch,
            protection=await _open_protection(stack, settings, pool),
            sampler=operator_desk.sampler,
            sweeper=Sweeper(table, submission, settings.sweep_times(), admission.watch),
            readiness=readiness,
            registry=ground.registry,
            guards=ground.guards,
        )


def _make_hub(settings: Settings, ground: Ground, views: JobViews) -> Hub:
    log, limits = EventLog(ground.clients.dynamodb, settings.job_events_table), SocketLimits()
    snapshots = SnapshotReader(ground.table, log, views, daily_limit=settings.daily_limit, jobs=limits.snapshot_jobs)
    return Hub(
        ground.bus,
        Recovery(log, views.view, snapshots.read, limits),
        limits=limits,
        registry=ground.registry,
        conditions=ground.conditions,
        read_quota=snapshots.quota,
        read_blocked=ground.table.users.blocked,
    )


def _make_operator_desk(settings: Settings, ground: Ground, leave: Callable[[], None]) -> OperatorDesk:
    task, sqs = Task.beginning(task_name(), VERSION), ground.clients.sqs
    queues = {
        "jobs": settings.sqs_queue_url,
        "jobs_dead": settings.sqs_dlq_url,
        "uploads": settings.upload_events_queue_url,
        "uploads_dead": settings.upload_events_dlq_url,
        "webhooks": settings.webhook_deliveries_queue_url,
        "webhooks_dead": settings.webhook_deliveries_dlq_url,
    }
    backlog = Backlog(sqs, {name: url for name, url in queues.items() if url}, ground.table)
    meters = TaskMetrics(ground.registry, task=task.name, version=task.version)
    letters = DeadLetters(sqs, settings.sqs_dlq_url) if settings.sqs_dlq_url else None
    return OperatorDesk(task, Sampler(ground.registry, backlog, meters), leave, ground.table, ground.queue, letters)


def _make_endpoint(
    settings: Settings, hub: Hub, verifier: TokenVerifier, users: UserTable, control: Control
) -> SocketEndpoint:
    desk = Desk(hub=hub, authenticate=partial(_admit, verifier, users), cancel=partial(_cancel, control))
    return SocketEndpoint(desk, settings.origins)


async def _admit(verifier: TokenVerifier, users: UserTable, token: str) -> Caller:
    caller = await verifier.verify(token)
    await users.check(caller.user_id)
    return caller


async def _cancel(control: Control, user_id: UserId, job_id: JobId) -> dict[str, JSON]:
    return cancel_view(await control.cancel(await control.find(user_id, job_id)))


async def _open_verifier(stack: AsyncExitStack, settings: Settings) -> TokenVerifier:
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return TokenVerifier(session, settings.issuer, settings.jwks_url, settings.cognito_client_id)


async def _open_protection(stack: AsyncExitStack, settings: Settings, pool: Pool) -> ScaleInProtection | None:
    if not settings.scale_in_protection:
        return None
    return await open_protection(stack, ecs_agent_url(), lambda: pool.busy > 0)


async def _open_demo_sign_in(stack: AsyncExitStack, settings: Settings) -> DemoSignIn | None:
    if not settings.embedded:
        return None
    client = await stack.enter_async_context(aws.client(settings.aws_config(), "cognito-idp"))
    return DemoSignIn(client, settings.cognito_user_pool_id, settings.cognito_client_id)
