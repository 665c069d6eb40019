"""Accounts, put together: what erases them and what hands them over."""

from __future__ import annotations

from jobs.accounts import Accounts
from jobs.accounts_export import Exports
from jobs.accounts_files import AccountFiles
from jobs.accounts_parking import ParkingTraces
from jobs.accounts_rows import AccountRows, AccountTables
from jobs.aws import Clients
from jobs.control import Control
from jobs.events import EventBus
from jobs.job_table import JobTable
from jobs.webhooks import WebhookTable
from service.settings import Settings


def open_accounts(
    clients: Clients, settings: Settings, jobs: JobTable, control: Control, webhooks: WebhookTable, bus: EventBus
) -> tuple[Accounts, Exports]:
    """Put together what knows where everything of a user lies."""
    tables = AccountTables(
        events=settings.job_events_table,
        usage=settings.usage_log_table,
        webhooks=settings.webhooks_table,
        deliveries=settings.webhook_deliveries_table,
    )
    rows = AccountRows(clients.dynamodb, tables)
    files = AccountFiles(clients.s3, upload_bucket=settings.upload_bucket, result_bucket=settings.result_bucket)
    parking = ParkingTraces(
        clients.dynamodb,
        files,
        sightings_table=settings.parking_sightings_table,
        reports_table=settings.parking_reports_table,
    )
    return (
        Accounts(rows, jobs, control, files, parking, webhooks, bus),
        Exports(rows, jobs, files, parking, webhooks),
    )
