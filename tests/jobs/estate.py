"""All that a user can have here, and what is left of it: the real tables and buckets, looked through to the last row."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from jobs import clock, moves
from jobs.accounts import Accounts, ErasureTimes
from jobs.accounts_export import Exports
from jobs.accounts_files import AccountFiles
from jobs.accounts_parking import ParkingTraces
from jobs.accounts_rows import AccountRows, AccountTables
from jobs.control import Control
from jobs.events import EventType
from jobs.files import Files
from jobs.ids import UserId
from jobs.job_table import JobTable
from jobs.model import Caller, Job
from jobs.parking import PARKED_SECONDS, Evidence, Pair, Report, Sighting, report_id_of
from jobs.webhook_delivery_table import DeliveryTable
from jobs.webhook_queue import Order
from jobs.webhooks import WebhookTable, new_webhook
from tests.jobs.ground import PLENTY, Ground, request_of
from tests.jobs.parking_lot import THRESHOLD, Lot
from tests.jobs.story import output_of

_ONE_AT_A_TIME = replace(PLENTY, in_flight=1)
_TABLES = (
    "USERS_TABLE",
    "USAGE_LOG_TABLE",
    "JOB_EVENTS_TABLE",
    "PARKING_SIGHTINGS_TABLE",
    "PARKING_REPORTS_TABLE",
    "WEBHOOKS_TABLE",
    "WEBHOOK_DELIVERIES_TABLE",
)


class Copyist:
    """Finds any two backgrounds alike, and keeps real copies of the crops."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def __call__(self, pair: Pair, copies: Mapping[str, str]) -> Evidence:
        """Copy what there is no copy of."""
        report_id = report_id_of(pair.first.place_plate)
        first, last = [
            copies.get(one.photo) or await self._files.write_evidence(report_id, one.photo, b"a crop") for one in pair
        ]
        return Evidence(similarity=0.93, first_copy=first, last_copy=last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What users have, made and counted by a test."""

    ground: Ground
    environment: Mapping[str, str]
    lot: Lot

    def accounts(self, client: object = None, **times: float) -> Accounts:
        """Open what erases, on a client that misbehaves if one is given."""
        dynamodb = cast(Any, client or self.ground.clients.dynamodb)
        table = JobTable(dynamodb, self.ground.tables, self.ground.bus)
        control = Control(table, self.ground.files, self.ground.submission(), self.ground.bus)
        return Accounts(
            self._rows(dynamodb),
            table,
            control,
            self.files,
            self._parking(dynamodb),
            WebhookTable(dynamodb, self.environment["WEBHOOKS_TABLE"], self.ground.tables.users),
            self.ground.bus,
            replace(ErasureTimes(pause=0.01), **times),
        )

    def exports(self, client: object = None) -> Exports:
        """Open what hands over, on a client that misbehaves if one is given."""
        dynamodb = cast(Any, client or self.ground.clients.dynamodb)
        webhooks = WebhookTable(dynamodb, self.environment["WEBHOOKS_TABLE"], self.ground.tables.users)
        return Exports(self._rows(dynamodb), self.ground.table, self.files, self._parking(dynamodb), webhooks)

    @property
    def files(self) -> AccountFiles:
        """Find files."""
        return AccountFiles(
            self.ground.clients.s3,
            upload_bucket=self.environment["UPLOAD_BUCKET"],
            result_bucket=self.environment["RESULT_BUCKET"],
        )

    def _rows(self, dynamodb: Any) -> AccountRows:
        tables = AccountTables(
            events=self.ground.tables.events,
            usage=self.ground.tables.usage,
            webhooks=self.environment["WEBHOOKS_TABLE"],
            deliveries=self.environment["WEBHOOK_DELIVERIES_TABLE"],
        )
        return AccountRows(dynamodb, tables)

    def _parking(self, dynamodb: Any) -> ParkingTraces:
        return ParkingTraces(
            dynamodb,
            self.files,
            sightings_table=self.environment["PARKING_SIGHTINGS_TABLE"],
            reports_table=self.environment["PARKING_REPORTS_TABLE"],
        )

    async def settle(self, user: UserId) -> Report:
        """Have a user move in: with jobs in every state, photos, a webhook, and a car that was parked for long."""
        await self.ground.table.users.note_sign_in(Caller(user_id=user, expires_at=0, email=f"{user}@example.com"))
        await self.ground.upload(user)
        await self.delivered(user)
        await self.ground.running(user)
        await self.ground.submission(_ONE_AT_A_TIME).submit(request_of(user))
        await self.webhook(user)
        lot = replace(self.lot, plate=f"{self.lot.plate}-{user}")
        await self.record(lot.sighting(user, 0))
        report = await self.record(lot.sighting(user, PARKED_SECONDS))
        assert report is not None
        return report

    async def record(self, sighting: Sighting) -> Report | None:
        """Have a car seen."""
        return await self.lot.reports().record(sighting, Copyist(self.ground.files), THRESHOLD)

    async def copies(self, report: Report) -> int:
        """Count a report's own copies of crops."""
        answer = await self.ground.clients.s3.list_objects_v2(
            Bucket=self.environment["RESULT_BUCKET"], Prefix=f"evidence/{report.report_id}/"
        )
        return len(answer.get("Contents", []))

    async def delivered(self, user: UserId) -> Job:
        """Have a job done, with a result in S3."""
        job = await self.ground.running(user)
        url = await self.ground.files.write_result(
            user, job.job_id, b"a picture", content_type="image/png", extension=".png"
        )
        output = replace(output_of(job), url=url)
        return await self.ground.table.apply(job, moves.completed("me", output, clock.now_milliseconds()))

    async def webhook(self, user: UserId, since: int | None = None) -> None:
        """Have a webhook that something was delivered to."""
        dynamodb = self.ground.clients.dynamodb
        webhook = new_webhook(user, "https://example.com/secret-path", (EventType.COMPLETED,), None)
        table = WebhookTable(dynamodb, self.environment["WEBHOOKS_TABLE"], self.ground.tables.users)
        await table.add(webhook, since=since)
        order = Order(
            user_id=user,
            webhook_id=webhook.webhook_id,
            delivery_id=f"msg_{clock.now_milliseconds():012x}{secrets.token_hex(8)}",
            host="example.com",
            type=EventType.COMPLETED,
            due=clock.now_milliseconds(),
        )
        await DeliveryTable(dynamodb, self.environment["WEBHOOK_DELIVERIES_TABLE"]).claim(order, "me", 0)

    async def traces(self, user: UserId) -> dict[str, int]:
        """Count the rows and files that name the user anywhere, by where they are."""
        names = {name: self.environment[name] for name in _TABLES} | {"IMAGE_JOBS_TABLE": self.ground.tables.jobs}
        found = {name: await self._rows_naming(user, table) for name, table in names.items()}
        buckets = {name: self.environment[name] for name in ("UPLOAD_BUCKET", "RESULT_BUCKET")}
        found |= {name: await self._files_naming(user, bucket) for name, bucket in buckets.items()}
        return {name: count for name, count in found.items() if count}

    async def _rows_naming(self, user: UserId, table: str) -> int:
        count, start = 0, cast(dict[str, Any], {})
        while True:
            answer: Any = await self.ground.clients.dynamodb.scan(TableName=table, ConsistentRead=True, **start)
            count += sum(user in repr(item) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return count
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _files_naming(self, user: UserId, bucket: str) -> int:
        count, start = 0, cast(dict[str, Any], {})
        while True:
            answer: Any = await self.ground.clients.s3.list_objects_v2(Bucket=bucket, **start)
            count += sum(user in item["Key"] for item in answer.get("Contents", []))
            if not answer["IsTruncated"]:
                return count
            start = {"ContinuationToken": answer["NextContinuationToken"]}
