"""The floor: the bare SDK calls one job cannot avoid, in a process of their own, with the service's own client settings.

Submission: HEAD, two transactions, send. Run: a tenth of a receive, get, claim, fetch, Gemini, store, completion, a tenth of a
delete. No decisions, no pictures decoded, no HTTP server, no socket.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import time
from typing import Any

import uvloop
from google.genai import types
from prometheus_client import CollectorRegistry

from benchmarks.stage import ROOT, Figures
from consumers import gemini
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics
from consumers.gates import Gates
from consumers.gemini import Gemini, GeminiConfig
from consumers.images import Picture, prepare
from consumers.metrics import PoolMetrics
from jobs import aws
from jobs.aws import AWSConfig, Clients
from jobs.model import ModelUse
from jobs.secret import FixedKey

BATCH = 10


class BareCalls:
    """The calls, with no sense in their contents beyond their size."""

    def __init__(self, clients: Clients, model: Gemini, photo: bytes, prepared: Picture) -> None:
        self._clients = clients
        self._model = model
        self._photo = photo
        self._prepared = prepared
        self._tables = {
            name: os.environ[f"{name}_TABLE"] for name in ("IMAGE_JOBS", "JOB_EVENTS", "USAGE_LOG", "USERS")
        }
        self._key = f"uploads/floor/{secrets.token_hex(8)}.png"

    async def prepare(self) -> None:
        """Put the photo where every job finds it."""
        await self._clients.s3.put_object(Bucket=os.environ["UPLOAD_BUCKET"], Key=self._key, Body=self._photo)

    async def submit(self, job_id: str) -> None:
        """Make the calls of one submission."""
        await self._clients.s3.head_object(Bucket=os.environ["UPLOAD_BUCKET"], Key=self._key)
        put = {"Put": {"TableName": self._tables["IMAGE_JOBS"], "Item": self._item(job_id)}}
        await self._transact(put, self._count("USAGE_LOG", "userIdDate"))
        body = json.dumps({"jobId": job_id, "userId": "floor", "pipeline": "profile-photo"})
        url = os.environ["SQS_QUEUE_URL"]
        await self._clients.sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="floor")
        await self._transact(self._update(job_id), self._event(job_id), self._count("USAGE_LOG", "userIdDate"))

    async def receive(self) -> list[Any]:
        """Take ten messages."""
        answer = await self._clients.receiver.receive_message(
            QueueUrl=os.environ["SQS_QUEUE_URL"], MaxNumberOfMessages=BATCH, WaitTimeSeconds=1
        )
        return list(answer.get("Messages", []))

    async def run(self, job_id: str) -> None:
        """Make the calls of one run."""
        await self._clients.dynamodb.get_item(
            TableName=self._tables["IMAGE_JOBS"], Key={"jobId": job_id}, ConsistentRead=True
        )
        await self._transact(self._update(job_id), self._event(job_id))
        answer = await self._clients.s3.get_object(Bucket=os.environ["UPLOAD_BUCKET"], Key=self._key)
        async with answer["Body"] as body:
            await body.read()
        painting = await self._model.paint("Turn this photo into a clean professional headshot.", self._prepared, self)
        await self._clients.s3.put_object(
            Bucket=os.environ["RESULT_BUCKET"], Key=f"generated/floor/{job_id}.png", Body=painting.content
        )
        await self._transact(self._update(job_id), self._event(job_id), self._count("USERS", "userId"))

    async def forget(self, job_id: str) -> None:
        """Take the job's row away."""
        await self._clients.dynamodb.delete_item(TableName=self._tables["IMAGE_JOBS"], Key={"jobId": job_id})

    def call_begins(self) -> None:
        """Nobody waits to hear it."""

    def is_billed(self, use: ModelUse) -> None:
        """Nobody counts it."""

    async def delete(self, messages: list[Any]) -> None:
        """Delete ten messages."""
        entries: Any = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        await self._clients.sqs.delete_message_batch(QueueUrl=os.environ["SQS_QUEUE_URL"], Entries=entries)

    def _item(self, job_id: str) -> dict[str, Any]:
        return {
            "jobId": job_id,
            "userId": "floor",
            "pipeline": "profile-photo",
            "status": "pending",
            "statusShard": "pending#1",
            "version": 1,
            "attempt": 0,
            "createdAt": "2026-11-20T09:00:00.000Z",
            "updatedAt": "2026-11-20T09:00:00.000Z",
            "charge": "taken",
            "quotaDay": "2026-11-20",
            "style": "professional",
            "inputImageUrl": f"s3://bucket/{self._key}",
        }

    def _update(self, job_id: str) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._tables["IMAGE_JOBS"],
                "Key": {"jobId": job_id},
                "UpdateExpression": "SET #status = :status, statusShard = :shard, updatedAt = :at ADD version :one",
                "ConditionExpression": "attribute_exists(jobId)",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {
                    ":status": "queued",
                    ":shard": "queued#1",
                    ":at": "2026-11-20",
                    ":one": 1,
                },
            }
        }

    def _event(self, job_id: str) -> dict[str, Any]:
        event_id = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"
        item = {"userId": "floor", "eventId": event_id, "type": "job.queued", "job": self._item(job_id), "ttl": 1}
        return {"Put": {"TableName": self._tables["JOB_EVENTS"], "Item": item}}

    def _count(self, table: str, key: str) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._tables[table],
                "Key": {key: "floor"},
                "UpdateExpression": "ADD totalImagesGenerated :one",
                "ExpressionAttributeValues": {":one": 1},
            }
        }

    async def _transact(self, *actions: dict[str, Any]) -> None:
        items: Any = list(actions)
        await self._clients.dynamodb.transact_write_items(TransactItems=items)


async def measure(jobs: int, concurrency: int) -> dict[str, float]:
    """Run the calls of so many jobs; returns CPU milliseconds a job and the memory of this process in MiB."""
    photo = (ROOT / "tests/data/astronaut.png").read_bytes()
    config = GeminiConfig(image_model="gemini-nano-banana-2.1", base_url=os.environ["GEMINI_BASE_URL"])
    aws_config = AWSConfig(
        region=os.environ["AWS_REGION"],
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    async with aws.open_clients(aws_config) as clients, gemini.open_session(config) as session:
        registry = CollectorRegistry()
        gate = Gate(config.image_model, GateConfig(most=1000, start=1000), GateMetrics(registry), lambda state: None)
        model = Gemini(
            session,
            config,
            FixedKey("floor"),
            Gates({config.image_model: gate}),
            PoolMetrics(registry),
            lambda model, use: None,
        )
        calls = BareCalls(clients, model, photo, prepare(photo))
        await calls.prepare()
        names = [f"floor_{secrets.token_hex(8)}" for _ in range(jobs)]
        await _all(concurrency, [calls.submit(name) for name in names[:20]])  # the first of everything is slow
        await model.paint("warm", prepare(photo), calls)
        submit_ms = await _cpu_milliseconds(_all(concurrency, [calls.submit(name) for name in names[20:]]), jobs - 20)
        run_ms = await _cpu_milliseconds(_run_all(calls, names, concurrency), jobs)
        # What is left here would be taken for jobs by the next service that starts on this cloud.
        await _all(concurrency, [calls.forget(name) for name in names])
        await clients.sqs.purge_queue(QueueUrl=os.environ["SQS_QUEUE_URL"])
    memory = Figures.of(os.getpid()).memory_bytes / 2**20
    return {"submit_ms": submit_ms, "run_ms": run_ms, "memory_mib": memory}


async def _run_all(calls: BareCalls, names: list[str], concurrency: int) -> None:
    room = asyncio.Semaphore(concurrency)
    waiting = set(names)

    async def one(name: str) -> None:
        async with room:
            await calls.run(name)

    async with asyncio.TaskGroup() as group:
        while waiting:
            messages = await calls.receive()
            for message in messages:
                name = json.loads(message["Body"])["jobId"]
                if name in waiting:
                    waiting.discard(name)
                    group.create_task(one(name))
            if messages:
                await calls.delete(messages)


async def _all(concurrency: int, work: list[Any]) -> None:
    room = asyncio.Semaphore(concurrency)

    async def one(item: Any) -> None:
        async with room:
            await item

    await asyncio.gather(*(one(item) for item in work))


async def _cpu_milliseconds(work: Any, jobs: int) -> float:
    before = time.process_time()
    await work
    return (time.process_time() - before) * 1000 / jobs


def main() -> None:
    """Print the floor's figures as JSON; the environment names the cloud."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("--jobs", type=int, default=320)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    types.GenerateContentResponse.model_validate({})
    print(json.dumps(uvloop.run(measure(options.jobs, options.concurrency))))


if __name__ == "__main__":
    main()
