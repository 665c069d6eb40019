"""Where one user hands in jobs of any kind, and gets back how they ended."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from PIL import Image

from consumers.gate import Gate
from jobs.events import JobEvent
from jobs.files import MAX_UPLOAD_BYTES, uploads_of
from jobs.ids import UserId, new_job_id
from jobs.model import Job
from jobs.submission import Request
from tests.consumers.house import PATIENCE_SECONDS, House, Story


class Desk:
    """One user's: jobs go in through Submission, a pool works, and what is kept of them in the end comes out."""

    def __init__(self, house: House, user: UserId) -> None:
        self.house = house
        self.user = user
        self.story = Story(house.bus, user)

    async def upload(self, photo: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Put a photo where a client puts it, with what it says of it."""
        key = f"{uploads_of(self.user)}{new_job_id()}.jpg"
        s3, bucket = self.house.clients.s3, self.house.upload_bucket
        await s3.put_object(Bucket=bucket, Key=key, Body=photo, Metadata=dict(metadata or {}))
        return self.house.files.upload_url(key)

    async def submit(
        self,
        pipeline: str,
        photo: bytes | str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        style: str | None = None,
        units: int = 1,
        **parameters: Any,
    ) -> Job:
        """Hand in a job; the photo may be the address of one that is uploaded."""
        url = await self.upload(photo, metadata) if isinstance(photo, bytes) else photo
        request = Request(
            user_id=self.user, pipeline=pipeline, style=style, input_url=url, parameters=parameters, units=units
        )
        return (await self.house.submission.submit(request)).job

    async def ended(self, *jobs: Job) -> list[Job]:
        """Have the jobs done, and read what is kept of them."""
        async with self.house.pool():
            return [await self.end_of(job) for job in jobs]

    async def done(self, pipeline: str, photo: bytes | str | None = None, **asked: Any) -> Job:
        """Hand in one job and have it done."""
        [job] = await self.ended(await self.submit(pipeline, photo, **asked))
        return job

    async def end_of(self, job: Job) -> Job:
        """Wait until a job is over, and read it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._is_over(job):
                self.story.news.clear()
                await self.story.news.wait()
        return await self.house.table.get(job.job_id)

    async def picture(self, job: Job) -> Image.Image:
        """Read the picture that a job has made."""
        assert job.output is not None
        assert job.output.url is not None
        content = await self.house.files.read(job.output.url, max_bytes=MAX_UPLOAD_BYTES)
        picture = Image.open(io.BytesIO(content))
        picture.load()
        return picture

    async def waits_at(self, gate: Gate) -> None:
        """Wait until a job stands before a gate that is shut."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not gate.state.waiting:  # noqa: ASYNC110 - a gate tells nobody who comes
                await asyncio.sleep(0.01)

    def _is_over(self, job: Job) -> bool:
        events = (notice.job for notice in self.story.notices if isinstance(notice, JobEvent))
        return any(told.terminal and told.job_id == job.job_id for told in events)


def facts(job: Job) -> dict[str, Any]:
    """Read the result of a job that has one."""
    assert job.failure is None
    assert job.output is not None
    return dict(job.output.facts)


def failure(job: Job) -> tuple[str, str]:
    """Read why a job has failed: the code and the sentence."""
    assert job.failure is not None
    return job.failure.code, job.failure.message


@asynccontextmanager
async def others_being_served(gate: Gate) -> AsyncIterator[None]:
    """Have a model answer others for the length of the block: what fails then is nobody else's doing."""

    async def serve() -> None:
        while True:
            async with gate.admit(20) as permit:
                permit.succeeded()
            await asyncio.sleep(0.01)

    serving = asyncio.create_task(serve())
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])
