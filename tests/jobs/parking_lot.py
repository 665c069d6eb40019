"""A parking lot of one car that no other test sees, on the real tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

from jobs import told_writes
from jobs.actions import Actions, Tables
from jobs.aws import Clients
from jobs.event_log import Cursor, EventLog
from jobs.events import InProcessBus, Notice, UserEvent
from jobs.ids import EventId, UserId, new_job_id
from jobs.model import Box
from jobs.parking import Evidence, Pair, Report, Sighting, photo_of
from jobs.parking_reports import ParkingReports
from jobs.told_writes import ToldWrites

NINE = datetime.fromisoformat("2026-11-20 09:00:00")
THRESHOLD = 0.8


class Eye:
    """Compares backgrounds as it is told to, and notes which."""

    def __init__(self, similarity: float | None = 0.93) -> None:
        self.similarity = similarity
        self.seen: list[tuple[int, int]] = []
        self.crops: list[tuple[str, str]] = []
        self.gone: set[str] = set()

    async def __call__(self, pair: Pair, copies: Mapping[str, str]) -> Evidence:
        """Compare, and copy what is there to be copied."""
        self.seen.append((seconds_of(pair.first), seconds_of(pair.last)))
        self.crops.append((pair.first.cropped_url, pair.last.cropped_url))
        first, last = [
            copies.get(one.photo) or (None if one.cropped_url in self.gone else f"s3://copies/{one.photo}")
            for one in pair
        ]
        return Evidence(similarity=self.similarity if first and last else None, first_copy=first, last_copy=last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """A parking lot of one car that no other test sees."""

    clients: Clients
    tables: Tables
    environment: Mapping[str, str]
    bus: InProcessBus
    eye: Eye
    plate: str

    def reports(self, client: object = None, offer: told_writes.Offer | None = None) -> ParkingReports:
        """Open the tables, on a client that misbehaves if one is given."""
        dynamodb = cast(Any, client or self.clients.dynamodb)
        writes = ToldWrites(dynamodb, Actions(self.tables), self.tables.events, self.bus, offer)
        return ParkingReports(
            dynamodb,
            writes,
            sightings_table=self.environment["PARKING_SIGHTINGS_TABLE"],
            reports_table=self.environment["PARKING_REPORTS_TABLE"],
        )

    def sighting(self, user: UserId, seconds: int, **changes: Any) -> Sighting:
        """Take a photo of the car so many seconds after nine."""
        job_id = new_job_id()
        taken = Sighting(
            user_id=user,
            job_id=job_id,
            photo=photo_of(job_id.encode()),
            device_id="phone-1",
            plate=self.plate,
            latitude=Decimal("37.566512345678901234567890123456789012345678"),
            longitude=Decimal("-126.97801"),
            capture_time=(NINE + timedelta(seconds=seconds)).isoformat(" "),
            image_url=f"s3://uploads/reports/{user}/phone-1/{job_id}.jpg",
            cropped_url=f"s3://results/{job_id}.jpg",
            vehicle_in_crop=Box(x=300, y=280, width=640, height=400),
        )
        return replace(taken, **changes)

    async def record(self, sighting: Sighting, client: object = None) -> Report | None:
        """Record a sighting."""
        return await self.reports(client).record(sighting, self.eye, THRESHOLD)

    async def see(self, user: UserId, *seconds: int) -> Report | None:
        """Record sightings, one after the other; return what came of the last."""
        report = None
        for moment in seconds:
            report = await self.record(self.sighting(user, moment))
        return report

    async def reported(self, user: UserId, *seconds: int) -> Report:
        """Record sightings that are a report."""
        report = await self.see(user, *seconds)
        assert report is not None
        return report

    async def log(self, user: UserId) -> list[UserEvent]:
        """Read the user's events."""
        log = EventLog(self.clients.dynamodb, self.tables.events)
        start = Cursor(event_id=EventId("0" * 28), digest="")
        return [event async for event in log.since(user, start) if isinstance(event, UserEvent)]

    async def told(self, user: UserId) -> list[int]:
        """Read which versions the user's log tells of."""
        return [cast(int, event.data["version"]) for event in await self.log(user)]

    def watch(self, user: UserId) -> list[Notice]:
        """Watch what the bus tells the user."""
        seen: list[Notice] = []
        self.bus.subscribe(user, seen.append)
        return seen

    async def rows(self, place_plate: str) -> list[Mapping[str, Any]]:
        """Read all that is kept of one place, or of one photo: ``photo#…``."""
        answer = await self.clients.dynamodb.query(
            TableName=self.environment["PARKING_SIGHTINGS_TABLE"],
            KeyConditionExpression="placePlate = :place",
            ExpressionAttributeValues={":place": place_plate},
            ConsistentRead=True,
        )
        return cast(list[Mapping[str, Any]], answer["Items"])


def open_lot(clients: Clients, tables: Tables, environment: Mapping[str, str]) -> Lot:
    """Open a lot for a car of its own."""
    return Lot(
        clients=clients,
        tables=tables,
        environment=environment,
        bus=InProcessBus(),
        eye=Eye(),
        plate=f"12가{uuid4().hex}",
    )


def seconds_of(sighting: Sighting) -> int:
    """Say when a photo was taken, in seconds after nine."""
    return round((sighting.captured - NINE).total_seconds())


def span(report: Report | None) -> tuple[int, int] | None:
    """Say from when to when the car stood there, in seconds after nine."""
    return None if report is None else (seconds_of(report.first), seconds_of(report.last))
