"""The jobs queue in SQS."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs import aws, clock
from jobs.aws import LONG_POLL_SECONDS
from jobs.ids import JobId
from jobs.model import Job

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

logger = logging.getLogger(__name__)
MAX_BATCH = 10
MAX_DELAY_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One receive of a message. ``job_id`` and ``pipeline`` are None when the body is not ours; ``receives`` counts this one.

    ``received_at`` is when the queue began to hide it, in milliseconds since the epoch.
    """

    receipt: str
    body: str
    job_id: JobId | None
    pipeline: str | None
    receives: int
    received_at: int


class WorkQueue:
    """Sends jobs to the workers and takes them off. All errors: CloudUnavailable."""

    def __init__(
        self,
        client: SQSClient,
        receiver: SQSClient,
        *,
        url: str,
        visibility_seconds: int,
        dead_letters_url: str | None = None,
    ) -> None:
        self._client = client
        self._receiver = receiver
        self._url = url
        self._dead_letters_url = dead_letters_url
        self.visibility_seconds = visibility_seconds
        # A lease must end before its message is seen again: a delivery that meets a living lease is a receive for nothing.
        self.lease_milliseconds = visibility_seconds * 900

    async def send(self, job: Job, *, delay_seconds: int = 0) -> None:
        """Put the job into its owner's share of the queue, to be seen after the delay (at most 900 s)."""
        body = json.dumps({"jobId": job.job_id, "userId": job.user_id, "pipeline": job.pipeline})
        # The group makes the standard queue a fair one: a user with many jobs delays only that user.
        await self._send(self._url, body, group=job.user_id, delay_seconds=delay_seconds)

    async def put_off(self, delivery: Delivery, delay_seconds: int) -> None:
        """Send a copy of a message of ours, to be seen after the delay; the original is then the caller's to delete."""
        user_id = str(json.loads(delivery.body).get("userId", delivery.job_id))
        await self._send(self._url, delivery.body, group=user_id, delay_seconds=delay_seconds)

    async def set_aside(self, delivery: Delivery) -> None:
        """Move a message that is not ours to the dead letters; without such a queue it gets there by being received."""
        if self._dead_letters_url is not None:
            await self._send(self._dead_letters_url, delivery.body, group="foreign", delay_seconds=0)
            await self.delete([delivery.receipt])

    async def _send(self, url: str, body: str, *, group: str, delay_seconds: int) -> None:
        with aws.unavailable_whatever_it_says():
            await self._client.send_message(
                QueueUrl=url,
                MessageBody=body,
                MessageGroupId=group,
                DelaySeconds=min(delay_seconds, MAX_DELAY_SECONDS),
            )

    async def receive(self, most: int) -> list[Delivery]:
        """Wait up to 20 seconds for messages, at most ``most`` (and 10)."""
        with aws.unavailable_whatever_it_says():
            answer = await self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, MAX_BATCH),
                WaitTimeSeconds=LONG_POLL_SECONDS,
                VisibilityTimeout=self.visibility_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [_delivery(message) for message in answer.get("Messages", [])]

    async def delete(self, receipts: list[str]) -> None:
        """Remove up to ten received messages; one that cannot be removed comes back and is recognised as done."""
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        with aws.unavailable_whatever_it_says():
            answer = await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
        for refused in answer.get("Failed", []):
            logger.warning("A message was not deleted", extra={"action": "delete_refused", "reason": refused["Code"]})

    async def hide(self, receipts: list[str], seconds: int) -> set[str]:
        """Keep up to ten received messages from other receivers for so long; returns the receipts that were refused."""
        entries = [
            {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for number, receipt in enumerate(receipts)
        ]
        with aws.unavailable_whatever_it_says():
            answer = await self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
        return {receipts[int(refused["Id"])] for refused in answer.get("Failed", [])}


def _delivery(message: MessageTypeDef) -> Delivery:
    return Delivery(
        receipt=message["ReceiptHandle"],
        body=message.get("Body", ""),
        job_id=read_job_id(message.get("Body", "")),
        pipeline=_read(message.get("Body", ""), "pipeline"),
        received_at=clock.now_milliseconds(),
        receives=int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
    )


def read_job_id(body: str) -> JobId | None:
    """Return whose job a message's body names; None when it is not ours."""
    job_id = _read(body, "jobId")
    return None if job_id is None else JobId(job_id)


def _read(body: str, name: str) -> str | None:
    try:
        value = json.loads(body)[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return value if isinstance(value, str) and value else None
