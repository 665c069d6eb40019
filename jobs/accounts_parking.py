"""A user's parked cars: the sightings, the reports that rest on them, and what is left of those for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs import aws, clock, parking, parking_items
from jobs.accounts_files import AccountFiles
from jobs.accounts_rows import Rows
from jobs.actions import cancellation_codes
from jobs.errors import CloudUnavailable
from jobs.ids import JobId, UserId
from jobs.items import Item
from jobs.parking import ERASED, Report, Sighting
from jobs.parking_items import REPORT, Row

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_PHOTO: Final = "photo#"
_SIGHTING_KEY: Final = ("placePlate", "capturedAt")
_REPORT_KEY: Final = ("reportId", "member")
_TRIES: Final = 8
_BY_USER: Final = "UserIdIndex"
_NOTHING: Final = "erased"


class ParkingTraces:
    """Finds and erases what a user has seen. All errors: CloudUnavailable."""

    def __init__(
        self, client: DynamoDBClient, files: AccountFiles, *, sightings_table: str, reports_table: str
    ) -> None:
        self._client = client
        self._rows = Rows(client)
        self._files = files
        self._sightings_table = sightings_table
        self._reports_table = reports_table

    async def look(self, user_id: UserId) -> None:
        """Read a page of the user's sightings, for a new table's index may not be there yet. Raises CloudUnavailable then."""
        async with aclosing(self._rows.pages(self._sightings_table, {"userId": user_id}, index=_BY_USER)) as pages:
            await anext(pages, None)

    async def sightings(self, user_id: UserId) -> AsyncIterator[Sighting]:
        """Walk through the user's sightings that are still kept."""
        async for page in self._own_rows(user_id):
            for key in page:
                if not key["placePlate"].startswith(_PHOTO) and (row := await self._get(self._sightings_table, key)):
                    yield parking_items.read_sighting(row)

    async def reports(self, user_id: UserId) -> AsyncIterator[Report]:
        """Walk through the reports that rest on the user's sightings, or once did, the oldest first."""
        async for page in self._rows.pages(self._reports_table, {"userId": user_id}, index="UserIdCreatedAtIndex"):
            for member in page:
                row = await self._get(self._reports_table, {"reportId": member["reportId"], "member": REPORT})
                if row is not None:
                    yield parking_items.from_item(row).report

    async def erase(self, user_id: UserId, tally: Counter[str]) -> None:
        """Take away the user's sightings and photos, and the reports that rest on nobody else's sightings.

        A report that rests on another's sighting too stays for that one: with plate, place and times, and without this user's
        photo or name. Nothing new will be found by it.
        """
        await self._erase_sightings(user_id, tally)
        async for page in self._rows.pages(self._reports_table, {"userId": user_id}, index="UserIdCreatedAtIndex"):
            for member in page:
                tally["reports"] += await self._erase_from(member["reportId"], user_id)

    async def _erase_sightings(self, user_id: UserId, tally: Counter[str]) -> None:
        async for page in self._own_rows(user_id):
            seen = [key for key in page if not key["placePlate"].startswith(_PHOTO)]
            for key in seen:
                # A report may have been about to be written: its copy has a name that can be told from here.
                photo = key["capturedAt"].rpartition("#")[2]
                await self._files.delete(self._files.evidence(parking.report_id_of(key["placePlate"]), photo))
            await self._rows.delete(self._sightings_table, page)
            tally["sightings"] += len(seen)

    async def _own_rows(self, user_id: UserId) -> AsyncIterator[list[Item]]:
        async for page in self._rows.pages(self._sightings_table, {"userId": user_id}, index=_BY_USER):
            yield [{name: row[name] for name in _SIGHTING_KEY} for row in page]

    async def _erase_from(self, report_id: str, user_id: UserId) -> bool:
        """Take the user out of one report, and the report away if nobody is left; returns whether it rested on the user."""
        for _ in range(_TRIES):
            stored = await self._get(self._reports_table, {"reportId": report_id, "member": REPORT})
            row = None if stored is None else parking_items.from_item(stored)
            if row is None or user_id not in row.report.owners:
                await self._rows.delete(self._reports_table, [_member(report_id, user_id)])
                return False
            for url in _copies_of(row.report, user_id):
                await self._files.delete(url)
            if await self._write_without(row, user_id):
                return True
        raise CloudUnavailable

    async def _write_without(self, row: Row, user_id: UserId) -> bool:
        """Write the report without this user; returns False when somebody else has changed it."""
        report = row.report
        if report.owners == (user_id,):
            actions = [self._delete_whole(report)]
            members = await self._members(report.report_id)
        else:
            actions = [self._put(Row(_without(report, user_id), row.write_ids), report.version)]
            members = [_member(report.report_id, user_id)]
        actions += [{"Delete": {"TableName": self._reports_table, "Key": key}} for key in members]
        try:
            await aws.retrying(lambda: self._transact(actions))
        except ClientError as error:
            if "ConditionalCheckFailed" in cancellation_codes(error):
                return False
            raise
        return True

    def _delete_whole(self, report: Report) -> dict[str, Any]:
        return {
            "Delete": {
                "TableName": self._reports_table,
                "Key": {"reportId": report.report_id, "member": REPORT},
                # Gone already is well: an attempt whose answer was lost has landed.
                "ConditionExpression": "attribute_not_exists(reportId) OR version = :version",
                "ExpressionAttributeValues": {":version": report.version},
            }
        }

    def _put(self, row: Row, version: int) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._reports_table,
                "Item": parking_items.to_item(row),
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": version},
            }
        }

    async def _members(self, report_id: str) -> list[Item]:
        found: list[Item] = []
        async for page in self._rows.pages(self._reports_table, {"reportId": report_id}):
            found += [{name: row[name] for name in _REPORT_KEY} for row in page if row["member"] != REPORT]
        return found

    async def _transact(self, actions: list[Any]) -> None:
        try:
            await self._client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            if "TransactionConflict" in cancellation_codes(error):
                raise CloudUnavailable from error
            raise

    async def _get(self, table: str, key: Item) -> Item | None:
        response = await aws.retrying(lambda: self._client.get_item(TableName=table, Key=key, ConsistentRead=True))
        return response.get("Item")


def _member(report_id: str, user_id: UserId) -> Item:
    return {"reportId": report_id, "member": f"user#{user_id}"}


def _copies_of(report: Report, user_id: UserId) -> list[str]:
    """Return where the report's copies of this user's crops lie."""
    both = zip(report.pair, (report.first_copy, report.last_copy), strict=True)
    return [url for sighting, url in both if url is not None and sighting.user_id == user_id]


def _without(report: Report, user_id: UserId) -> Report:
    """Return the next version of a report, which says nothing of this user."""
    is_first, is_last = (sighting.user_id == user_id for sighting in report.pair)
    return replace(
        report,
        version=report.version + 1,
        updated_at=clock.now_milliseconds(),
        first=_blank(report.first) if is_first else report.first,
        last=_blank(report.last) if is_last else report.last,
        first_copy=None if is_first else report.first_copy,
        last_copy=None if is_last else report.last_copy,
    )


def _blank(sighting: Sighting) -> Sighting:
    """Leave of a sighting which car it was, in which cell and when."""
    latitude, longitude = sighting.cell
    return replace(
        sighting,
        user_id=ERASED,
        job_id=JobId(_NOTHING),
        photo=parking.photo_of(sighting.photo.encode()),
        device_id=_NOTHING,
        latitude=Decimal(latitude),
        longitude=Decimal(longitude),
        image_url=_NOTHING,
        cropped_url=_NOTHING,
        vehicle_in_crop=None,
    )
