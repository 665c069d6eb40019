"""The dead-letter queue: what the jobs queue has delivered too often, and what was never ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from jobs import aws
from jobs.ids import JobId
from jobs.work_queue import MAX_BATCH, read_job_id

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

HIDDEN_SECONDS: Final = 300
"""So long nobody else gets a letter that was taken; longer than settling ten of them takes by far."""
_WAIT_SECONDS: Final = 1
"""A poll that waits at all asks every server of the queue; one that does not may miss letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter in hand. ``job_id`` is None when its body is not ours."""

    message_id: str
    receipt: str
    job_id: JobId | None


class DeadLetters:
    """Takes dead letters in hand, and throws them away or puts them back. All errors: CloudUnavailable."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    async def count(self) -> int:
        """Return about how many letters there are."""
        with aws.unavailable_whatever_it_says():
            answer = await self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    async def take(self, most: int) -> list[Letter]:
        """Take up to ``most`` (and 10) letters, and hide them from others for five minutes."""
        with aws.unavailable_whatever_it_says():
            answer = await self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, MAX_BATCH),
                WaitTimeSeconds=_WAIT_SECONDS,
                VisibilityTimeout=HIDDEN_SECONDS,
            )
        return [
            Letter(
                message_id=message["MessageId"],
                receipt=message["ReceiptHandle"],
                job_id=read_job_id(message.get("Body", "")),
            )
            for message in answer.get("Messages", [])
        ]

    async def delete(self, letter: Letter) -> None:
        """Throw a letter away."""
        with aws.unavailable_whatever_it_says():
            await self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)

    async def put_back(self, letters: Iterable[Letter]) -> None:
        """Show the letters to everybody again; one for which this fails shows itself when its time has passed."""
        rest = iter(letters)
        while batch := list(islice(rest, MAX_BATCH)):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                for number, letter in enumerate(batch)
            ]
            with aws.unavailable_whatever_it_says():
                await self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
