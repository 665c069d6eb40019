"""Parking reports in DynamoDB: made of sightings, written on conditions, and read by those whose sightings they rest on."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from botocore.exceptions import ClientError

from jobs import aws, clock, parking, parking_items
from jobs.actions import Action, failed_conditions
from jobs.errors import CloudUnavailable, InvalidRequest, RequestError
from jobs.events import UserEvent
from jobs.ids import UserId
from jobs.parking import Evidence, Pair, Report, Sighting
from jobs.parking_items import Row
from jobs.parking_sightings import ParkingSightings
from jobs.told_writes import News, ToldWrites

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_CONFLICT_TRIES: Final = 8
_WRITES_REMEMBERED: Final = 8
_REPORT_ID: Final = re.compile(r"report_[0-9a-f]{32}", re.ASCII)
_CURSOR: Final = re.compile(r"([0-9a-f]{11})\.(report_[0-9a-f]{32})", re.ASCII)

Compare: TypeAlias = Callable[[Pair, Mapping[str, str]], Awaitable[Evidence]]
"""Compares two sightings and copies their crops, but for those of which there is a copy: by photo, where it lies."""


class ReportNotFound(RequestError):
    """Report not found"""

    code = "report_not_found"


class ReportPage(NamedTuple):
    """Reports that one user may see, newest first; ``cursor`` leads to the next page and is absent on the last."""

    reports: tuple[Report, ...]
    cursor: str | None


class ParkingReports:
    """Keeps sightings for a while, and for good the reports that they make. All errors may be CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, writes: ToldWrites, *, sightings_table: str, reports_table: str) -> None:
        self._client = client
        self._writes = writes
        self._sightings = ParkingSightings(client, writes, table=sightings_table)
        self._reports_table = reports_table

    async def record(self, sighting: Sighting, compare: Compare, threshold: float) -> Report | None:
        """Keep a sighting, and make or change the report that it belongs to; return that report, if there is one.

        A photo is seen once, whoever sends it and whatever is said of it later: the first account stays, and a later one of
        its owner's finds the report of the first. ``compare`` is awaited before a report is written, with what it would rest
        on, and again while that has not been compared; ``report_bool`` is true from ``threshold`` on.
        Raises what ``compare`` raises; the sighting is then kept all the same.
        """
        # First kept, then looked for others: of two workers that do so at once, at least one sees both.
        place_plate = await self._sightings.keep(sighting)
        if place_plate is None:
            return None
        write_id = self._writes.new_id()
        compared: dict[Pair, Evidence] = {}
        for _ in range(_CONFLICT_TRIES):
            row = await self._row(parking.report_id_of(place_plate))
            before = row.report if row else None
            pair = parking.find_pair(await self._sightings.extremes(place_plate), before)
            if pair is None or (before is not None and parking.is_settled(before, pair)):
                return before
            if pair not in compared:
                compared[pair] = await compare(pair, before.copies if before else {})
            after = parking.next_report(before, pair, compared[pair], threshold, clock.now_milliseconds())
            if after is before:
                return before
            if (written := await self._write(row, after, write_id)) is not None:
                return written
        raise CloudUnavailable

    async def get(self, report_id: str, user_id: UserId) -> Report:
        """Read a report. Raises ReportNotFound, also for one that rests, and ever rested, on others' sightings alone."""
        if not _REPORT_ID.fullmatch(report_id):
            raise ReportNotFound
        found = {item["member"]: item for item in await self._get(_key(report_id), _key(report_id, _member(user_id)))}
        if len(found) < 2:
            raise ReportNotFound
        return parking_items.from_item(found[parking_items.REPORT]).report

    async def page(self, user_id: UserId, *, limit: int, cursor: str | None) -> ReportPage:
        """Read what reports rest, or ever rested, on this user's sightings; ``limit`` is 1 … 100.

        A report made just now may be missing. Raises InvalidRequest for a cursor that is not ours.
        """
        query: dict[str, Any] = {
            "TableName": self._reports_table,
            "IndexName": "UserIdCreatedAtIndex",
            "KeyConditionExpression": "userId = :user",
            "ExpressionAttributeValues": {":user": user_id},
            "ScanIndexForward": False,
            "Limit": limit + 1,
        }
        if cursor is not None:
            query["ExclusiveStartKey"] = _read_cursor(cursor, user_id)
        response = await aws.retrying(lambda: self._client.query(**query))
        members = cast(list[Mapping[str, str]], response["Items"])[:limit]
        rows = await self._get(*(_key(item["reportId"]) for item in members)) if members else []
        found = {item["reportId"]: parking_items.from_item(item).report for item in rows}
        # A report may have gone with its owner's account just now.
        reports = tuple(found[item["reportId"]] for item in members if item["reportId"] in found)
        more = reports and len(response["Items"]) > limit
        return ReportPage(reports, _write_cursor(reports[-1]) if more else None)

    async def _row(self, report_id: str) -> Row | None:
        rows = await self._get(_key(report_id))
        return parking_items.from_item(rows[0]) if rows else None

    async def _get(self, *keys: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Read those rows that there are, in no order; no more than a hundred."""
        request: Any = {self._reports_table: {"Keys": list(keys), "ConsistentRead": True}}

        async def once() -> list[Mapping[str, Any]]:
            response = await self._client.batch_get_item(RequestItems=request)
            if response.get("UnprocessedKeys"):
                raise CloudUnavailable
            return cast(list[Mapping[str, Any]], response["Responses"].get(self._reports_table, []))

        return await aws.retrying(once)

    async def _write(self, row: Row | None, after: Report, write_id: str) -> Report | None:
        """Write a report and tell its owners; return it as it is then, or None when somebody else has changed it."""
        known = row.report.owners if row else ()
        actions = [self._put_report(row, after, write_id)]
        actions += [self._let_in(owner, after) for owner in after.owners if owner not in known]
        known_photos = row.report.pair.photos if row else ()
        actions += [self._sightings.still_there(one) for one in after.pair if one.photo not in known_photos]
        try:
            await aws.retrying(lambda: self._writes.write(actions, *_news(after, after.owners)))
        except ClientError as error:
            failed = failed_conditions(error)
            standing = next(iter(failed), None)
            if standing is None and any(one is not None for one in failed):
                return None  # a sighting has gone with its owner's account
            if standing is None:
                raise
            now = parking_items.from_item(standing) if standing else None
            if now is None or write_id not in now.write_ids:
                return None
            # An attempt whose answer was lost has landed, at an unknown time: its events may lie behind a reader. Others may
            # have come since; of the events about one thing the last tells all, so what is told is how it stands.
            for news in _news(now.report, after.owners):
                await self._writes.tell_once_more(news)
            return now.report
        return after

    def _put_report(self, row: Row | None, after: Report, write_id: str) -> Action:
        """Store a report in the place of what was read."""
        write_ids = (write_id, *(row.write_ids if row else ()))[:_WRITES_REMEMBERED]
        put: dict[str, Any] = {
            "TableName": self._reports_table,
            "Item": parking_items.to_item(Row(after, write_ids)),
            "ConditionExpression": "attribute_not_exists(reportId)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if row is not None:
            put |= {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": row.report.version},
            }
        return {"Put": put}

    def _let_in(self, user_id: UserId, report: Report) -> Action:
        """Let a user see a report, now and later."""
        row = _key(report.report_id, _member(user_id)) | {"userId": user_id, "createdAt": clock.iso(report.created_at)}
        return {"Put": {"TableName": self._reports_table, "Item": row}}


def _news(report: Report, owners: Iterable[UserId]) -> list[News]:
    return [_confirmed(report, owner) for owner in owners]


def _confirmed(report: Report, owner: UserId) -> News:
    return lambda event_id, at: UserEvent(
        event_id=event_id,
        user_id=owner,
        type=parking.REPORT_CONFIRMED,
        at=at,
        about=report.report_id,
        data=parking.announcement(report),
    )


def _key(report_id: str, member: str = parking_items.REPORT) -> dict[str, str]:
    return {"reportId": report_id, "member": member}


def _member(user_id: UserId) -> str:
    """Name the row that lets a user see a report."""
    return f"user#{user_id}"


def _write_cursor(report: Report) -> str:
    return f"{report.created_at:011x}.{report.report_id}"


def _read_cursor(cursor: str, user_id: UserId) -> dict[str, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest("The cursor is not one of ours", field="cursor")
    created_at = clock.iso(int(match[1], 16))
    return _key(match[2], _member(user_id)) | {"userId": user_id, "createdAt": created_at}
