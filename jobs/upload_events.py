"""The upload-events queue in SQS: S3 tells in it of each new object that starts a job by itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus, unquote_plus

from pydantic import BaseModel, Field, ValidationError

from jobs import aws, clock
from jobs.aws import LONG_POLL_SECONDS
from jobs.ids import DEVICE_ID, USER_ID, JobId, UserId
from jobs.work_queue import MAX_BATCH, MAX_DELAY_SECONDS

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

PREFIX: Final = "reports/"
_KEY: Final = re.compile(
    rf"{PREFIX}(?P<user>{USER_ID.pattern})/(?P<device>{DEVICE_ID.pattern})"
    r"/(?P<timestamp>[0-9]{8,17})_[A-Za-z0-9-]{8,64}\.(?i:jpe?g|png|webp)"
)
_PLAUSIBLE: Final = range(
    clock.milliseconds("2020-01-01T00:00:00.000Z"), clock.milliseconds("2100-01-01T00:00:00.000Z")
)
"""Fixed, because what is plausible must not change between two deliveries of one event."""
_TEST_EVENT: Final = "s3:TestEvent"
_CREATED: Final = "ObjectCreated:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An object that starts a job: whose it is, what it was taken with, and its key in the upload bucket."""

    user_id: UserId
    device_id: str
    key: str
    job_id: JobId
    """The same for each event about this object, however often and late it is told."""
    signed_at: int
    """When its link was signed, in milliseconds since the epoch; 0 when the key does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadMessage:
    """One receive of a message. ``has_foreign`` when something in it, or all of it, is not ours.

    ``times_put_off`` counts the copies before it; ``waits_since`` is when its owner's jobs first left no room for it, in
    milliseconds since the epoch.
    """

    receipt: str
    body: str
    uploads: tuple[Upload, ...] = ()
    has_foreign: bool = False
    times_put_off: int = 0
    waits_since: int | None = None


class _Bucket(BaseModel):
    name: str


class _Object(BaseModel):
    key: str


class _Entity(BaseModel):
    bucket: _Bucket
    object: _Object


class _Record(BaseModel):
    event_name: str = Field(alias="eventName")
    s3: _Entity


class _Notification(BaseModel):
    """What S3 writes, and the two fields that our own copies add."""

    records: tuple[_Record, ...] = Field(default=(), alias="Records")
    event: str = Field(default="", alias="Event")
    times_put_off: int = Field(default=0, ge=0, alias="timesPutOff")
    waits_since: int | None = Field(default=None, alias="waitsSince")


class UploadEventQueue:
    """Takes S3's events off the queue, or puts them off. All errors: CloudUnavailable."""

    def __init__(
        self,
        client: SQSClient,
        receiver: SQSClient,
        *,
        url: str,
        bucket: str,
        dead_letters_url: str | None = None,
        visibility_seconds: int = 60,
    ) -> None:
        self._client = client
        self._receiver = receiver
        self._url = url
        self._bucket = bucket
        self._dead_letters_url = dead_letters_url
        self._visibility_seconds = visibility_seconds

    async def receive(self, most: int) -> list[UploadMessage]:
        """Wait up to 20 seconds for messages, at most ``most`` (and 10)."""
        with aws.unavailable_whatever_it_says():
            answer = await self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, MAX_BATCH),
                WaitTimeSeconds=LONG_POLL_SECONDS,
                VisibilityTimeout=self._visibility_seconds,
            )
        return [
            read_message(message["ReceiptHandle"], message.get("Body", ""), self._bucket)
            for message in answer.get("Messages", [])
        ]

    async def delete(self, message: UploadMessage) -> None:
        """Remove a received message; one that cannot be removed comes back and is recognised as done."""
        with aws.unavailable_whatever_it_says():
            await self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    async def put_off(self, upload: Upload, *, delay_seconds: int, times_put_off: int, waits_since: int | None) -> None:
        """Send a copy of the event about this upload, to be seen after the delay; the original is the caller's to delete."""
        created = _Entity(bucket=_Bucket(name=self._bucket), object=_Object(key=quote_plus(upload.key, safe="/")))
        copy = _Notification(
            Records=(_Record(eventName=f"{_CREATED}Put", s3=created),),
            timesPutOff=times_put_off,
            waitsSince=waits_since,
        )
        body = copy.model_dump_json(by_alias=True, exclude_none=True)
        await self._send(self._url, body, group=upload.user_id, delay_seconds=min(delay_seconds, MAX_DELAY_SECONDS))

    async def set_aside(self, message: UploadMessage) -> None:
        """Move a message to the dead letters; without such a queue it gets there by being received."""
        if self._dead_letters_url is not None:
            await self._send(self._dead_letters_url, message.body, group="foreign", delay_seconds=0)
            await self.delete(message)

    async def _send(self, url: str, body: str, *, group: str, delay_seconds: int) -> None:
        with aws.unavailable_whatever_it_says():
            await self._client.send_message(
                QueueUrl=url, MessageBody=body, MessageGroupId=group, DelaySeconds=delay_seconds
            )


def read_message(receipt: str, body: str, bucket: str) -> UploadMessage:
    """Read what S3 (or ``put_off``) has written; whatever else it is, it is foreign."""
    try:
        notification = _Notification.model_validate_json(body)
    except ValidationError:
        return UploadMessage(receipt=receipt, body=body, has_foreign=True)
    if notification.event == _TEST_EVENT:
        # S3 sends one whenever the notification is configured.
        return UploadMessage(receipt=receipt, body=body)
    read = [_read_record(record, bucket) for record in notification.records]
    uploads = {upload.key: upload for upload in read if upload is not None}
    return UploadMessage(
        receipt=receipt,
        body=body,
        uploads=tuple(uploads.values()),
        has_foreign=not read or None in read,
        times_put_off=notification.times_put_off,
        waits_since=notification.waits_since,
    )


def read_key(key: str) -> Upload | None:
    """Read ``reports/{userId}/{deviceId}/{timestamp}_{uuid}.{ext}``, decoded already; None for any other key."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    timestamp = int(match["timestamp"])
    signed_at = timestamp if timestamp in _PLAUSIBLE else 0
    return Upload(
        user_id=UserId(match["user"]),
        device_id=match["device"],
        key=key,
        job_id=_job_id_of(key, signed_at),
        signed_at=signed_at,
    )


def _read_record(record: _Record, bucket: str) -> Upload | None:
    if record.s3.bucket.name != bucket or not record.event_name.removeprefix("s3:").startswith(_CREATED):
        return None
    return read_key(unquote_plus(record.s3.object.key))


def _job_id_of(key: str, milliseconds: int) -> JobId:
    """Make of a key what ``new_job_id`` makes of chance: as long, and sorted by the key's time if it has one."""
    return JobId(f"job_{milliseconds:012x}{hashlib.sha256(key.encode()).hexdigest()[:16]}")
