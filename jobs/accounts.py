"""The end of a user's account: all of it is taken away, however often it takes, and only a new sign-in brings something after."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs import clock
from jobs.accounts_files import AccountFiles
from jobs.accounts_parking import ParkingTraces
from jobs.accounts_rows import AccountRows
from jobs.control import Control
from jobs.errors import CloudUnavailable, JobNotFound, LostClaim
from jobs.event_log import Cursor
from jobs.events import ACCOUNT_ERASED, EventBus, EventType, JobEvent, UserEvent
from jobs.ids import EventIds, JobId, UserId
from jobs.job_reader import JobPage, Unread
from jobs.job_table import JobTable
from jobs.model import Job
from jobs.upload_events import read_key
from jobs.webhooks import WebhookTable

logger = logging.getLogger(__name__)

_PAGE: Final = 25
_TRIES: Final = 3
_LAG_MILLISECONDS: Final = 60_000
"""An index is never so far behind: what is younger is also looked for in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureTimes:
    """How long one call of ``erase`` goes on, and waits for jobs that the user's row counts and nobody can find.

    ``pause`` lies between two passes. All in seconds.
    """

    most: float = 50
    patience: float = 10
    pause: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What one call of ``erase`` has taken away; not ``is_complete``, another call goes on with the rest."""

    is_complete: bool
    jobs: int
    files: int
    events: int
    sightings: int
    reports: int
    webhooks: int


class Accounts:
    """Erases accounts. All errors: CloudUnavailable, and AccountErased."""

    def __init__(
        self,
        rows: AccountRows,
        jobs: JobTable,
        control: Control,
        files: AccountFiles,
        parking: ParkingTraces,
        webhooks: WebhookTable,
        bus: EventBus,
        times: ErasureTimes | None = None,
    ) -> None:
        self._rows = rows
        self._jobs = jobs
        self._control = control
        self._files = files
        self._parking = parking
        self._webhooks = webhooks
        self._bus = bus
        self._times = times or ErasureTimes()
        self._event_ids = EventIds()

    async def erase(self, user_id: UserId, since: int | None = None) -> Erased:
        """Take away all that is the user's, the row last; safe to repeat, and to be broken off anywhere.

        From the first moment on no new job is stored for the user; those that have not ended are canceled, and what still works
        on them can write nothing any more. The user's clients are closed. After ``ErasureTimes.most`` it returns incomplete:
        a thousand jobs take some ten seconds. What stays: the day's count of units, which ends by itself, lest the quota came
        back with the next sign-in; what an operator has said of the user, and when the account was erased, lest an earlier sign-in
        or a link signed before began it anew; and others' reports, without this user.

        ``since`` is when the caller was last known to be the user, in milliseconds since the epoch, now unless told: an account
        that was erased after that raises AccountErased. While an index is missing nothing is begun: CloudUnavailable.
        """
        tally: Counter[str] = Counter()
        await self._parking.look(user_id)
        await self._jobs.users.begin_erasing(user_id, since)
        self._send_away(user_id)
        try:
            async with asyncio.timeout(self._times.most):
                await self._erase_all(user_id, tally)
        except TimeoutError:
            return _erased(tally, is_complete=False)
        logger.info("An account was erased", extra={"action": "account_erased", "user_id": user_id, **tally})
        return _erased(tally, is_complete=True)

    async def _erase_all(self, user_id: UserId, tally: Counter[str]) -> None:
        """Go through everything until a pass finds nothing more, for the indexes lag behind; then end the row."""
        loop = asyncio.get_running_loop()
        began, idle_since = clock.now_milliseconds(), loop.time()
        buried: set[JobId] = set()
        while True:
            before = tally.total()
            await self._pass(user_id, tally, buried, began)
            if tally.total() > before:
                idle_since = loop.time()
                continue
            gives_up = loop.time() - idle_since > self._times.patience
            if await self._jobs.users.erase(user_id, whatever_it_counts=gives_up):
                break
            await asyncio.sleep(self._times.pause)
        self._send_away(user_id)

    async def _pass(self, user_id: UserId, tally: Counter[str], buried: set[JobId], began: int) -> None:
        # First who would be told of the rest; the events after the jobs, whose ends are among them.
        tally["webhooks"] += await self._erase_webhooks(user_id)
        async for page in self._jobs_of(user_id, began):
            new = [job for job in page.jobs if job.job_id not in buried]
            unread = [row for row in page.unread if row.job_id not in buried]
            await _all_of([*map(self._end, new), *map(self._bury, unread)])
            ids = [*(job.job_id for job in new), *(row.job_id for row in unread)]
            buried.update(ids)
            tally["jobs"] += len(ids)
        await self._parking.erase(user_id, tally)
        tally["files"] += await self._files.erase(user_id, self._forestall)
        tally["events"] += await self._rows.erase_events(user_id)
        await self._rows.erase_days(user_id)

    async def _erase_webhooks(self, user_id: UserId) -> int:
        webhooks = await self._webhooks.of_user(user_id)
        for webhook in webhooks:
            await self._rows.erase_deliveries(webhook.webhook_id)
            await self._webhooks.remove(webhook)
            # What was attempted meanwhile; nothing is begun of a webhook that is gone.
            await self._rows.erase_deliveries(webhook.webhook_id)
        await self._rows.erase_webhook_rows(user_id)
        return len(webhooks)

    async def _jobs_of(self, user_id: UserId, began: int) -> AsyncIterator[JobPage]:
        """Walk through the user's jobs: those of the index, and those that may be too young for it."""
        cursor = None
        while True:
            page = await self._jobs.page(user_id, limit=_PAGE, status=None, cursor=cursor)
            yield page
            cursor = page.cursor
            if cursor is None:
                break
        async for event in self._rows.log.since(user_id, Cursor.at(began - _LAG_MILLISECONDS)):
            if isinstance(event, JobEvent) and event.type is not EventType.DELETED:
                try:
                    yield JobPage(jobs=(await self._jobs.get(event.job.job_id),), cursor=None)
                except JobNotFound:
                    continue

    async def _end(self, job: Job) -> None:
        """Cancel the job if it has not ended, and put a tombstone in its place: whoever works on it can write no more."""
        for _ in range(_TRIES):
            try:
                if not job.terminal:
                    job = (await self._control.cancel(job)).job
                await self._jobs.erase(job.job_id, job.version)
            except JobNotFound:
                return
            except LostClaim:
                job = await self._jobs.get(job.job_id)  # the index was behind, or an operator has brought it back
            else:
                return
        raise CloudUnavailable

    async def _bury(self, row: Unread) -> None:
        """Put a tombstone in the place of a row that is not understood, unless it has changed: the next call sees what it is."""
        try:
            await self._jobs.erase(row.job_id, row.version)
        except LostClaim as error:
            raise CloudUnavailable from error

    async def _forestall(self, keys: Sequence[str]) -> None:
        """Let no photo start a job any more: the news of its upload may still be under way."""
        uploads = [upload for key in keys if (upload := read_key(key)) is not None]
        for start in range(0, len(uploads), _PAGE):
            await _all_of(self._jobs.forestall(upload.job_id) for upload in uploads[start : start + _PAGE])

    def _send_away(self, user_id: UserId) -> None:
        """Close the user's clients, on every task."""
        self._bus.publish(
            UserEvent(
                event_id=self._event_ids.next(),
                user_id=user_id,
                type=ACCOUNT_ERASED,
                at=clock.now_milliseconds(),
                about=user_id,
                data={},
            )
        )


def _erased(tally: Counter[str], *, is_complete: bool) -> Erased:
    return Erased(
        is_complete=is_complete,
        jobs=tally["jobs"],
        files=tally["files"],
        events=tally["events"],
        sightings=tally["sightings"],
        reports=tally["reports"],
        webhooks=tally["webhooks"],
    )


async def _all_of(works: Iterable[Any]) -> None:
    """Await all; what one of them raises is raised when the others have ended."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
