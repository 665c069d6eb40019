"""What the routes work with, opened by the composition root before there is a web application."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from consumers.images import ImageWorker
from jobs.accounts import Accounts
from jobs.accounts_export import Exports
from jobs.admission import Admission
from jobs.conditions import Conditions
from jobs.control import Control
from jobs.files import Files
from jobs.job_table import JobTable
from jobs.parking_reports import ParkingReports
from jobs.submission import Submission
from jobs.user_table import UserTable
from jobs.views import JobViews
from jobs.waiting import Waiting
from jobs.webhook_desk import WebhookDesk
from service.demo_sign_in import DemoSignIn
from service.ops.desk import OperatorDesk
from service.readiness import Readiness
from service.tokens import TokenVerifier
from websocket.hub import Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """``socket_endpoint`` serves ``GET /ws`` and signs its callers in itself; ``demo_sign_in`` is for the embedded mode."""

    jobs: JobTable
    users: UserTable
    accounts: Accounts
    exports: Exports
    files: Files
    images: ImageWorker
    submission: Submission
    waiting: Waiting
    admission: Admission
    control: Control
    views: JobViews
    parking_reports: ParkingReports
    verifier: TokenVerifier
    readiness: Readiness
    conditions: Conditions
    registry: CollectorRegistry
    hub: Hub
    webhooks: WebhookDesk
    operator_desk: OperatorDesk
    socket_endpoint: Handler
    demo_sign_in: DemoSignIn | None = None
