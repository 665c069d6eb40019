"""The web application on the embedded cloud, with an issuer of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry

from consumers.addresses import Addresses
from consumers.images import ImageWorker
from jobs.admission import Admission
from jobs.aws import AWSConfig, Clients, open_clients
from jobs.backlog import Backlog
from jobs.conditions import Conditions
from jobs.control import Control
from jobs.dead_letters import DeadLetters
from jobs.event_log import EventLog
from jobs.events import InProcessBus
from jobs.files import Files
from jobs.ids import UserId, new_job_id
from jobs.job_table import JobTable
from jobs.parking_reports import ParkingReports
from jobs.submission import Submission
from jobs.views import JobViews
from jobs.waiting import Waiting
from jobs.webhook_desk import WebhookDesk
from jobs.work_queue import WorkQueue
from service.accounts import open_accounts
from service.demo_sign_in import DemoSignIn
from service.metrics import TaskMetrics
from service.ops.desk import OperatorDesk, Task
from service.ops.sampler import Sampler
from service.readiness import Readiness
from service.services import Services
from service.settings import Settings
from service.tokens import TokenVerifier
from service.web_app import RUNNER_OPTIONS, create_app
from service.webhooks import webhook_ground
from tests.conftest import PAGE_ORIGIN
from tests.rest import issuer as issuers
from tests.rest.api import Api
from tests.rest.issuer import Issuer
from websocket.hub import Hub
from websocket.limits import SocketLimits
from websocket.recovery import Recovery
from websocket.snapshot import SnapshotReader

TASK = "a-task"


@pytest.fixture(scope="session")
def signing_key() -> rsa.RSAPrivateKey:
    """Make the issuer's key once: it takes a tenth of a second."""
    return issuers.new_key()


@pytest.fixture
def issuer(signing_key: rsa.RSAPrivateKey) -> Issuer:
    """Make an issuer."""
    return Issuer(signing_key)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clients(cloud_environment: Mapping[str, str]) -> AsyncIterator[Clients]:
    """Open the clients once for all tests of REST, which share a loop for it: opening takes longer than most tests."""
    async with open_clients(connection(cloud_environment)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Close what a test has opened."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def session(opened: AsyncExitStack) -> aiohttp.ClientSession:
    """Open a client session."""
    return await opened.enter_async_context(aiohttp.ClientSession())


@pytest_asyncio.fixture(loop_scope="session")
async def jwks_url(issuer: Issuer, opened: AsyncExitStack) -> str:
    """Serve the issuer's public keys."""
    server = await opened.enter_async_context(TestServer(issuer.app()))
    return str(server.make_url("/jwks.json"))


class Start(Protocol):
    """Starts the service under settings of the test's own."""

    def __call__(
        self, *, demo_sign_in: DemoSignIn | None = None, clients: Clients | None = None, **changes: Any
    ) -> Awaitable[Api]:
        """Start it and return its caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a service is made of here."""

    environment: Mapping[str, str]
    clients: Clients
    verifier: TokenVerifier
    images: ImageWorker

    def settings(self, changes: Mapping[str, Any]) -> Settings:
        named: dict[str, Any] = {name.lower(): value for name, value in self.environment.items()}
        return Settings(**{**named, "public_url": PAGE_ORIGIN, **changes})

    def services(self, settings: Settings, demo_sign_in: DemoSignIn | None) -> Services:
        clients, bus = self.clients, InProcessBus()
        jobs = JobTable(clients.dynamodb, settings.tables(), bus)
        queue = WorkQueue(clients.sqs, clients.receiver, url=settings.sqs_queue_url, visibility_seconds=30)
        files = Files(
            clients.s3,
            clients.find_credentials,
            upload_bucket=settings.upload_bucket,
            result_bucket=settings.result_bucket,
            upload_link_seconds=settings.presigned_url_expiration,
        )
        submission = Submission(jobs, queue, settings.user_limits())
        control = Control(jobs, files, submission, bus)
        views, log, limits = JobViews(files, bus), EventLog(clients.dynamodb, settings.job_events_table), SocketLimits()
        snapshots = SnapshotReader(jobs, log, views, daily_limit=settings.daily_limit, jobs=limits.snapshot_jobs)
        recovery = Recovery(log, views.view, snapshots.read, limits)
        webhooks, addresses = webhook_ground(clients, settings), Addresses(allow_private=settings.webhook_allow_private)
        registry, readiness = CollectorRegistry(), Readiness()
        backlog, meters = Backlog(clients.sqs, {}, jobs), TaskMetrics(registry, task=TASK, version="0")
        letters = DeadLetters(clients.sqs, settings.sqs_dlq_url) if settings.sqs_dlq_url else None
        task, sampler = (
            Task.beginning(TASK, "0"),
            Sampler(registry, backlog, meters, kept_seconds=0.1, tick_seconds=0.02),
        )
        accounts, exports = open_accounts(clients, settings, jobs, control, webhooks.table, bus)
        return Services(
            jobs=jobs,
            users=jobs.users,
            accounts=accounts,
            exports=exports,
            files=files,
            images=self.images,
            submission=submission,
            waiting=Waiting(jobs, bus),
            admission=Admission(submission, bus),
            control=control,
            views=views,
            parking_reports=ParkingReports(
                clients.dynamodb,
                jobs.writes,
                sightings_table=settings.parking_sightings_table,
                reports_table=settings.parking_reports_table,
            ),
            verifier=self.verifier,
            readiness=readiness,
            conditions=Conditions(),
            registry=registry,
            hub=Hub(bus, recovery, limits=limits, registry=registry),
            webhooks=WebhookDesk(webhooks.table, webhooks.deliveries, webhooks.queue, addresses.check),
            operator_desk=OperatorDesk(task, sampler, readiness.drain, jobs, queue, letters),
            socket_endpoint=_socket,
            demo_sign_in=demo_sign_in,
        )


@pytest.fixture
def start(
    cloud_environment: Mapping[str, str],
    clients: Clients,
    session: aiohttp.ClientSession,
    issuer: Issuer,
    jwks_url: str,
    opened: AsyncExitStack,
    user: UserId,
) -> Start:
    """Hand over what starts the service."""
    verifier = TokenVerifier(session, issuers.NAME, jwks_url, issuers.CLIENT_ID)
    images = ImageWorker()
    opened.callback(images.close)
    parts = _Parts(environment=cloud_environment, clients=clients, verifier=verifier, images=images)

    async def start_service(
        *, demo_sign_in: DemoSignIn | None = None, clients: Clients | None = None, **changes: Any
    ) -> Api:
        settings = parts.settings(changes)
        services = replace(parts, clients=clients or parts.clients).services(settings, demo_sign_in)
        server = TestServer(create_app(settings, services))
        opened.push_async_callback(server.close)
        await server.start_server(**RUNNER_OPTIONS)
        return Api(
            http=await opened.enter_async_context(TestClient(server)),
            issuer=issuer,
            services=services,
            clients=parts.clients,
            tables=settings.tables(),
            upload_bucket=settings.upload_bucket,
            result_bucket=settings.result_bucket,
            user=user,
        )

    return start_service


@pytest_asyncio.fixture(loop_scope="session")
async def api(start: Start) -> Api:
    """Start the service as it is by default."""
    return await start()


@pytest_asyncio.fixture(loop_scope="session")
async def queues(clients: Clients) -> AsyncIterator[dict[str, str]]:
    """Make a jobs queue and its dead letters of the test's own."""
    name = new_job_id()
    queue = (await clients.sqs.create_queue(QueueName=name))["QueueUrl"]
    dead = (await clients.sqs.create_queue(QueueName=f"{name}-dead"))["QueueUrl"]
    yield {"sqs_queue_url": queue, "sqs_dlq_url": dead}
    for url in (queue, dead):
        await clients.sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def as_other(api: Api) -> Callable[[], Api]:
    """Make a caller who is somebody else."""
    return lambda: replace(api, user=UserId(f"{api.user}-other"))


def connection(environment: Mapping[str, str]) -> AWSConfig:
    """Say how to reach the embedded cloud."""
    return AWSConfig(
        region=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


async def _socket(request: web.Request) -> web.StreamResponse:
    """Fail after the upgrade, as an endpoint must not."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("hello")
    raise RuntimeError("the endpoint has a defect")
