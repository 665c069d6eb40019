"""How a user's jobs are at this moment, for a client that has just come."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from jobs.errors import JobNotFound
from jobs.event_log import EventLog
from jobs.ids import UserId
from jobs.job_table import JobPage, JobTable
from jobs.model import JSON, Job
from jobs.views import JobViews, quota_view
from websocket.messages import Snapshot


class SnapshotReader:
    """Reads the newest ``jobs`` jobs of a user, and the quota."""

    def __init__(self, table: JobTable, log: EventLog, views: JobViews, *, daily_limit: int, jobs: int) -> None:
        self._table = table
        self._log = log
        self._views = views
        self._daily_limit = daily_limit
        self._jobs = jobs

    async def read(self, user_id: UserId) -> Snapshot:
        """Read the position first and the jobs after it, so that they are no older than it. Raises CloudUnavailable."""
        position = await self._log.newest_id(user_id)
        page = await self._table.page(user_id, limit=self._jobs, status=None, cursor=None)
        page, quota = await asyncio.gather(self._refreshed(page), self._table.quota(user_id, self._daily_limit))
        views: list[dict[str, JSON]] = []
        for job in page.jobs:
            views.append(await self._views.view(job))
            await asyncio.sleep(0)  # signing a job's links takes a millisecond, and nobody else should wait for all
        return Snapshot(position=position, jobs=views, has_more=page.cursor is not None, quota=quota_view(quota))

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
