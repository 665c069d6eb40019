"""How a user's jobs are at this moment, for a client that has just come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from jobs import clock
from jobs.errors import JobNotFound
from jobs.event_log import Cursor, EventLog
from jobs.events import EventType, JobEvent
from jobs.ids import EventId, JobId, UserId
from jobs.job_reader import JobPage, JobReader
from jobs.model import JSON, Job, Quota
from jobs.views import JobViews, quota_view
from websocket.messages import Snapshot


class SnapshotReader:
    """Reads the newest ``jobs`` jobs of a user, and the quota."""

    def __init__(self, table: JobReader, log: EventLog, views: JobViews, *, daily_limit: int, jobs: int) -> None:
        self._table = table
        self._log = log
        self._views = views
        self._daily_limit = daily_limit
        self._jobs = jobs

    async def read(self, user_id: UserId) -> Snapshot:
        """Read the position first and the jobs after it, so that they are no older than it. Raises CloudUnavailable."""
        beginning = Cursor.at(clock.now_milliseconds()).event_id
        position = await self._log.newest_id(user_id) or beginning  # whoever has no events yet can come back to this
        page, recent, quota = await asyncio.gather(
            self._table.page(user_id, limit=self._jobs, status=None, cursor=None),
            self._recent(user_id, position),
            self.quota(user_id),
        )
        page = await self._refreshed(self._with_recent(page, recent))
        views: list[dict[str, JSON]] = []
        for job in page.jobs:
            views.append(await self._views.view(job))
            await asyncio.sleep(0)  # signing a job's links takes a millisecond, and nobody else should wait for all
        return Snapshot(position=position, jobs=views, has_more=page.cursor is not None, quota=quota_view(quota))

    async def quota(self, user_id: UserId) -> Quota:
        """Read the day's figures. Raises CloudUnavailable."""
        return await self._table.quota(user_id, self._daily_limit)

    async def _recent(self, user_id: UserId, position: EventId) -> list[JobEvent]:
        """Read what happened within the last seconds: the index may not have it yet, and it is told to nobody again."""
        if position < Cursor.at(clock.now_milliseconds()).overlap_start:
            return []
        events = self._log.since(user_id, Cursor(event_id=position))
        return [event async for event in events if isinstance(event, JobEvent)]

    def _with_recent(self, page: JobPage, recent: Iterable[JobEvent]) -> JobPage:
        jobs = {job.job_id: job for job in page.jobs}
        deleted: set[JobId] = set()
        for event in recent:
            known = jobs.get(event.job.job_id)
            if event.type is EventType.DELETED:
                deleted.add(event.job.job_id)
            elif known is None or known.version < event.job.version:
                jobs[event.job.job_id] = event.job
        newest = sorted(jobs.values(), key=lambda job: job.created_at, reverse=True)
        if page.cursor is not None and page.jobs:
            newest = [job for job in newest if job.created_at >= page.jobs[-1].created_at]
        return replace(page, jobs=tuple(job for job in newest if job.job_id not in deleted))

    async def _refreshed(self, page: JobPage) -> JobPage:
        """Read the open jobs once more, from the table: the index may still show one as running whose end is told already."""
        jobs = await asyncio.gather(*(self._refresh(job) for job in page.jobs))
        return replace(page, jobs=tuple(job for job in jobs if job is not None))

    async def _refresh(self, job: Job) -> Job | None:
        if job.terminal:
            return job
        try:
            return await self._table.get(job.job_id)
        except JobNotFound:
            return None
