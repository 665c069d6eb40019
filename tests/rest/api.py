"""A caller of the API, with eyes for what it leaves in the cloud."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import FormData, web
from aiohttp.test_utils import TestClient
from PIL import Image

from jobs import clock, moves
from jobs.aws import Clients
from jobs.ids import JobId, UserId
from jobs.job_table import JobTable, Tables
from jobs.model import JSON, Failure, Job, Output
from service.services import Services
from tests.contracts import rest
from tests.rest.issuer import Issuer

WAIT_SECONDS = 30
JPEG_HEADERS = {"Content-Type": "image/jpeg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, read."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, str]:
        """The status and the stable code of an error, once its form is checked: a sentence, and the id in the header."""
        sentence = self.body["error"]
        assert isinstance(sentence, str), self.body
        assert len(sentence.split()) > 1, self.body
        assert self.headers["X-Request-Id"] == self.body["requestId"]
        return self.status, self.body["code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Calls the API as one user."""

    http: TestClient[web.Request, web.Application]
    issuer: Issuer
    services: Services
    clients: Clients
    tables: Tables
    upload_bucket: str
    result_bucket: str
    user: UserId

    async def call(self, method: str, path: str, *, token: str | None = None, **options: Any) -> Answer:
        """Send a request with the user's token, or another; an empty one is left out. The answer must be as it is described."""
        token = self.issuer.id_token(self.user) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        async with self.http.request(method, path, headers=headers, **options) as response:
            read = {"application/json": response.json, "image/jpeg": response.read}.get(
                response.content_type, response.text
            )
            answer = Answer(status=response.status, body=await read(), headers=response.headers)
        problems = rest.complaints(method, path, answer.status, answer.headers, answer.body)
        assert not problems, problems
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        """Send a GET."""
        return await self.call("GET", path, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        """Send a DELETE."""
        return await self.call("DELETE", path, **options)

    async def post(self, path: str, body: Any, **options: Any) -> Answer:
        """Send a POST of JSON."""
        return await self.call("POST", path, json=body, **options)

    async def uploaded(self) -> str:
        """Put something under a fresh key of the user and return the key."""
        key = f"uploads/{self.user}/1_{'a' * 32}.jpg"
        await self.clients.s3.put_object(Bucket=self.upload_bucket, Key=key, Body=b"a photo")
        return key

    async def started(self) -> str:
        """Start a job and return its id."""
        answer = await self.post("/generate", {"fileKey": await self.uploaded(), "style": "professional"})
        return str(answer.body["jobId"])

    async def stored(self, job_id: str) -> Job:
        """Read a job."""
        return await self.services.jobs.get(JobId(job_id))

    async def ended(self) -> str:
        """Start a job, do the worker's part, and return its id."""
        job_id = await self.started()
        await complete(self.services.jobs, await self.stored(job_id), result_bucket=self.result_bucket)
        return job_id

    async def usage(self) -> tuple[int, int]:
        """Read how many units are taken and charged today."""
        key = {"userIdDate": f"{self.user}#{clock.utc_day(clock.now_milliseconds())}"}
        answer = await self.clients.dynamodb.get_item(TableName=self.tables.usage, Key=key, ConsistentRead=True)
        item: Any = answer.get("Item", {})
        return int(item.get("taken", 0)), int(item.get("count", 0))

    async def stored_jobs(self) -> list[Job]:
        """Read the user's jobs."""
        return list((await self.services.jobs.page(self.user, limit=100, status=None, cursor=None)).jobs)

    async def waiters(self, count: int = 1) -> None:
        """Wait until so many requests wait for the end of a job."""
        async with asyncio.timeout(WAIT_SECONDS):
            while self.services.waiting.count != count:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.005)

    async def newest_job(self) -> Job:
        """Wait for the user's job, which there is one of."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not (found := await self.stored_jobs()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        [job] = found
        return job

    async def has_left_nothing(self) -> bool:
        """Tell whether the user has no job, and no unit of today is taken or charged."""
        return await self.stored_jobs() == [] and await self.usage() == (0, 0)


async def claim(table: JobTable, job: Job) -> Job:
    """Begin the worker's part."""
    now = clock.now_milliseconds()
    return await table.apply(job, moves.claimed("a-worker", now + 60_000, now))


async def complete(
    table: JobTable,
    job: Job,
    *,
    result_bucket: str = "results",
    url: str | None = None,
    facts: Mapping[str, JSON] | None = None,
) -> Job:
    """Do the worker's part."""
    now = clock.now_milliseconds()
    claimed = await claim(table, job)
    url = url or f"s3://{result_bucket}/generated/{job.user_id}/{job.job_id}.png"
    output = Output(url=url, model_name="a-model", generation_milliseconds=12, facts=facts or {})
    return await table.apply(claimed, moves.completed("a-worker", output, now + 5))


async def fail(table: JobTable, job: Job, code: str) -> Job:
    """Do the worker's part, in vain."""
    claimed = await claim(table, job)
    failure = Failure(code=code, message=f"It failed: {code}", retryable=False)
    move = moves.failed(failure, clock.now_milliseconds(), owner="a-worker", keeps_charge=False)
    return await table.apply(claimed, move)


def a_photo(kind: str = "JPEG", side: int = 64) -> bytes:
    """Take a photo."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "grey").save(buffer, kind)
    return buffer.getvalue()


def a_form(photo: bytes | None = None, *, name: str = "file", **fields: str) -> FormData:
    """Write a form with a photo, or some other one."""
    form = FormData(default_to_multipart=True)
    form.add_field(name, a_photo() if photo is None else photo, filename="room.jpg", content_type="image/jpeg")
    for field, value in fields.items():
        form.add_field(field, value)
    return form
