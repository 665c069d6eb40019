"""All that is a user's, handed over as one ZIP archive that is never whole in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from jobs import clock, items
from jobs.accounts_files import AccountFiles, StoredFile
from jobs.accounts_parking import ParkingTraces
from jobs.accounts_rows import AccountRows
from jobs.errors import ExportsFull, ExportUnderWay, UploadNotFound
from jobs.event_log import Cursor
from jobs.events import Event, JobEvent
from jobs.ids import UserId
from jobs.job_table import JobTable
from jobs.model import JSON, Job
from jobs.parking import Report, Sighting, announcement
from jobs.views import plain_view
from jobs.webhooks import Webhook, WebhookTable
from jobs.zip_stream import ZipStream

_PAGE: Final = 100
MOST_AT_ONCE: Final = 4
"""So many exports a task has under way: each holds a connection to the caller and one to S3, for up to an hour."""
_WHY_MISSING: Final = "The file is not kept any more: uploads are deleted after a while, results with their job"
_README: Final = """\
account.json     who you are to this service, and what you have used by day
jobs.jsonl       your jobs, one a line, the newest first; "files" names their pictures in here
events.jsonl     what has happened within the last seven days, one a line, the oldest first
sightings.jsonl  your sightings of parked cars that are still kept
reports.json     the parking reports that rest on them; of others' sightings nothing is shown
webhooks.json    where you are told of jobs; the secrets stay here
uploads/         the photos you have sent; parking-photos/ those of parked cars
results/         the pictures that were made; report-crops/ what reports show of your photos
missing.json     files that are named above and no longer kept, and why
"""


@dataclass(slots=True)
class _Inventory:
    """What the archive's tables name and its folders should have, by its name there, and what lies in nobody's folder."""

    expected: set[str] = field(default_factory=set)
    crops: list[StoredFile] = field(default_factory=list)


class Exports:
    """Hands accounts over, a few at a time. All errors: CloudUnavailable, and those named."""

    def __init__(
        self, rows: AccountRows, jobs: JobTable, files: AccountFiles, parking: ParkingTraces, webhooks: WebhookTable
    ) -> None:
        self._rows = rows
        self._jobs = jobs
        self._files = files
        self._parking = parking
        self._webhooks = webhooks
        self._under_way: set[UserId] = set()

    @contextmanager
    def reserving(self, user_id: UserId) -> Iterator[None]:
        """Let the user have no other export from this task meanwhile. Raises ExportUnderWay, and ExportsFull."""
        if user_id in self._under_way:
            raise ExportUnderWay
        if len(self._under_way) >= MOST_AT_ONCE:
            raise ExportsFull
        self._under_way.add(user_id)
        try:
            yield
        finally:
            self._under_way.discard(user_id)

    async def archive(self, user_id: UserId, since: int | None = None) -> AsyncGenerator[bytes, None]:
        """Give the archive's bytes, 64 KiB or so at a time. A file that is not there any more is named in ``missing.json``.

        ``since`` is when the user was last known to be the caller, in milliseconds since the epoch; None for an operator, who may
        have a blocked user's. Asked before the first byte, before each file and before the end, it raises UserBlocked,
        AccountErasing and AccountErased: what would be left then is no whole archive.
        """
        archive, inventory = ZipStream(), _Inventory()
        now = clock.now_milliseconds()

        async def go_on() -> None:
            known_at = now if since is None else since
            await self._jobs.users.admit(user_id, known_at, though_blocked=since is None)

        await go_on()
        await self._parking.look(user_id)
        for name, text in self._texts(user_id, inventory):
            async with aclosing(text), aclosing(archive.add(name, text, written_at=now, is_text=True)) as chunks:
                async for chunk in chunks:
                    yield chunk
        async with aclosing(self._all_files(user_id, inventory)) as files:
            async for file in files:
                await go_on()
                inventory.expected.discard(file.name)
                async with aclosing(self._add_file(archive, file, inventory)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        missing = _array(_missing_views(inventory))
        async with aclosing(archive.add("missing.json", missing, written_at=now, is_text=True)) as chunks:
            async for chunk in chunks:
                yield chunk
        await go_on()
        yield archive.end()

    async def _add_file(
        self, archive: ZipStream, file: StoredFile, inventory: _Inventory
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._files.read(file.url)) as pieces:
            try:
                first = await anext(pieces, b"")
            except UploadNotFound:
                inventory.expected.add(file.name)
                return
            whole = _beginning_with(first, pieces)
            async with aclosing(archive.add(file.name, whole, written_at=file.written_at)) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _texts(self, user_id: UserId, inventory: _Inventory) -> list[tuple[str, AsyncGenerator[bytes, None]]]:
        return [
            ("README.txt", _once(_README)),
            ("account.json", self._account(user_id)),
            ("jobs.jsonl", _lines(self._job_views(user_id, inventory))),
            ("events.jsonl", _lines(self._event_views(user_id))),
            ("sightings.jsonl", _lines(self._sighting_views(user_id))),
            ("reports.json", _array(self._report_views(user_id, inventory))),
            ("webhooks.json", _array(self._webhook_views(user_id))),
        ]

    async def _account(self, user_id: UserId) -> AsyncGenerator[bytes, None]:
        user = await self._jobs.users.get(user_id)
        days = [_day_view(row) async for row in self._rows.days(user_id)]
        account: dict[str, Any] = {
            "userId": user.user_id,
            "email": user.email,
            "displayName": user.display_name,
            "profileImage": user.profile_image,
            "provider": user.provider,
            "totalImages": user.total_pictures,
            "createdAt": user.created_at,
            "lastLoginAt": user.last_login_at,
            "ownDailyLimit": user.daily_limit,
            "usage": sorted(days, key=lambda day: str(day["date"])),
            "exportedAt": clock.iso(clock.now_milliseconds()),
        }
        yield _json(account, indent=2)

    async def _job_views(self, user_id: UserId, inventory: _Inventory) -> AsyncIterator[dict[str, JSON]]:
        cursor = None
        while True:
            page = await self._jobs.page(user_id, limit=_PAGE, status=None, cursor=cursor)
            for job in page.jobs:
                yield plain_view(job) | {"files": self._files_of(job, inventory)}
            if (cursor := page.cursor) is None:
                return

    def _files_of(self, job: Job, inventory: _Inventory) -> dict[str, JSON]:
        """Name the job's files as they are called in the archive, and expect them there."""
        urls = {"input": job.input_url, "result": job.output.url if job.output is not None else None}
        files: dict[str, JSON] = {}
        for what, url in urls.items():
            if url is not None and (name := self._files.name_of(url, job.user_id)) is not None:
                files[what] = name
                inventory.expected.add(name)
        return files

    async def _event_views(self, user_id: UserId) -> AsyncIterator[dict[str, JSON]]:
        async for event in self._rows.log.since(user_id, Cursor.at(0)):
            yield _event_view(event)

    async def _sighting_views(self, user_id: UserId) -> AsyncIterator[dict[str, JSON]]:
        async for sighting in self._parking.sightings(user_id):
            yield _sighting_view(sighting)

    async def _report_views(self, user_id: UserId, inventory: _Inventory) -> AsyncIterator[dict[str, JSON]]:
        async for report in self._parking.reports(user_id):
            sides = zip(("first", "last"), report.pair, (report.first_copy, report.last_copy), strict=True)
            own: dict[str, JSON] = {}
            for which, sighting, copy in sides:
                if sighting.user_id != user_id:
                    continue
                name = f"report-crops/{report.report_id}-{which}.jpg"
                own[which] = _sighting_view(sighting) | ({} if copy is None else {"crop": name})
                if copy is not None:
                    inventory.crops.append(StoredFile(url=copy, name=name, written_at=report.updated_at))
            yield _report_view(report) | own

    async def _webhook_views(self, user_id: UserId) -> AsyncIterator[dict[str, JSON]]:
        for webhook in await self._webhooks.of_user(user_id):
            yield _webhook_view(webhook)

    async def _all_files(self, user_id: UserId, inventory: _Inventory) -> AsyncGenerator[StoredFile, None]:
        async with aclosing(self._files.walk(user_id)) as files:
            async for file in files:
                yield file
        for crop in inventory.crops:
            yield crop


def _event_view(event: Event) -> dict[str, JSON]:
    view: dict[str, JSON] = {"id": event.event_id, "type": str(event.type), "time": clock.iso(event.at)}
    if isinstance(event, JobEvent):
        return view | {"job": plain_view(event.job)}
    return view | {"data": dict(event.data)}


def _sighting_view(sighting: Sighting) -> dict[str, JSON]:
    return {
        "jobId": sighting.job_id,
        "deviceId": sighting.device_id,
        "plateString": sighting.plate,
        "latitude": float(sighting.latitude),
        "longitude": float(sighting.longitude),
        "captureTime": sighting.capture_time,
        "imageUrl": sighting.image_url,
        "croppedUrl": sighting.cropped_url,
    }


def _report_view(report: Report) -> dict[str, JSON]:
    return announcement(report) | {
        "createdAt": clock.iso(report.created_at),
        "updatedAt": clock.iso(report.updated_at),
    }


def _webhook_view(webhook: Webhook) -> dict[str, JSON]:
    return {
        "webhookId": webhook.webhook_id,
        "url": webhook.url,
        "events": [event.value for event in webhook.events],
        "description": webhook.description,
        "createdAt": clock.iso(webhook.created_at),
        "enabled": webhook.is_enabled,
        "disabledReason": webhook.disabled_reason,
    }


def _day_view(row: Mapping[str, Any]) -> dict[str, JSON]:
    return {"date": row["date"], "taken": items.plain(row.get("taken", 0)), "charged": items.plain(row.get("count", 0))}


async def _missing_views(inventory: _Inventory) -> AsyncIterator[dict[str, JSON]]:
    for name in sorted(inventory.expected):
        yield {"file": name, "reason": _WHY_MISSING}


async def _beginning_with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in rest:
        yield piece


async def _once(text: str) -> AsyncGenerator[bytes, None]:
    yield text.encode()


async def _lines(views: AsyncIterator[dict[str, JSON]]) -> AsyncGenerator[bytes, None]:
    async for view in views:
        yield _json(view)


async def _array(views: AsyncIterator[dict[str, JSON]]) -> AsyncGenerator[bytes, None]:
    lead = b"[\n"
    async for view in views:
        yield lead + _json(view).rstrip()
        lead = b",\n"
    yield b"\n]\n" if lead != b"[\n" else b"[]\n"


def _json(value: Any, *, indent: int | None = None) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode()
