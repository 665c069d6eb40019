"""A user's files in both buckets, walked through, read in pieces and taken away by the thousand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs import aws, items
from jobs.errors import CloudUnavailable, UploadNotFound
from jobs.files import reports_of, results_of, uploads_of
from jobs.ids import UserId

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_PIECE_BYTES: Final = 64 * 1024
_READ_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a user's: where it lies (``s3://bucket/key``), its name in the archive, and when it was written.

    ``written_at`` is milliseconds since the epoch.
    """

    url: str
    name: str
    written_at: int


class AccountFiles:
    """Finds what lies under a user's folders. All errors: CloudUnavailable, and those named."""

    def __init__(self, client: S3Client, *, upload_bucket: str, result_bucket: str) -> None:
        self._client = client
        self._upload_bucket = upload_bucket
        self._result_bucket = result_bucket

    async def walk(self, user_id: UserId) -> AsyncGenerator[StoredFile, None]:
        """Walk through all the user's files."""
        for bucket, folder, name in self._folders(user_id):
            async for found in self._pages(bucket, folder):
                for item in found:
                    yield StoredFile(
                        url=f"s3://{bucket}/{item['Key']}",
                        name=name + item["Key"].removeprefix(folder),
                        written_at=round(item["LastModified"].timestamp() * 1000),
                    )

    def name_of(self, url: str | None, user_id: UserId) -> str | None:
        """Return the name in the archive of a file of the user's; None for any other address."""
        for bucket, folder, name in self._folders(user_id):
            own = f"s3://{bucket}/{folder}"
            if url is not None and url.startswith(own):
                return name + url.removeprefix(own)
        return None

    async def read(self, url: str) -> AsyncGenerator[bytes, None]:
        """Read a file in pieces. Raises UploadNotFound."""
        bucket, key = url.split("/", 3)[2], items.s3_key(url)
        with aws.mapped_errors():
            try:
                answer = await self._client.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if aws.error_code(error) in ("404", "NoSuchKey", "NotFound"):
                    raise UploadNotFound from error
                raise
        async with answer["Body"] as body:
            while piece := await _next_piece(body):
                yield piece

    async def erase(self, user_id: UserId, about_to: Callable[[Sequence[str]], Awaitable[None]]) -> int:
        """Take all the user's files away; returns how many there were. ``about_to`` is awaited with their keys, before."""
        count = 0
        for bucket, folder, _ in self._folders(user_id):
            async for found in self._pages(bucket, folder):
                keys = [item["Key"] for item in found]
                await about_to(keys)
                await self._delete(bucket, keys)
                count += len(found)
        return count

    async def delete(self, url: str) -> None:
        """Take one file away that is there or not."""
        await self._delete(url.split("/", 3)[2], [items.s3_key(url)])

    def evidence(self, report_id: str, photo: str) -> str:
        """Name a report's own copy of a crop, as ``Files.write_evidence`` does."""
        return f"s3://{self._result_bucket}/evidence/{report_id}/{photo}.jpg"

    def _folders(self, user_id: UserId) -> tuple[tuple[str, str, str], ...]:
        return (
            (self._upload_bucket, uploads_of(user_id), "uploads/"),
            (self._upload_bucket, reports_of(user_id), "parking-photos/"),
            (self._result_bucket, results_of(user_id), "results/"),
        )

    async def _pages(self, bucket: str, folder: str) -> AsyncIterator[list[Any]]:
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": folder}
        while True:
            with aws.mapped_errors():
                listed = await self._client.list_objects_v2(**wanted)
            if found := listed.get("Contents"):
                yield list(found)
            if not listed.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = listed["NextContinuationToken"]

    async def _delete(self, bucket: str, keys: list[str]) -> None:
        """Delete up to a thousand files."""
        objects: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with aws.mapped_errors():
            answer = await self._client.delete_objects(Bucket=bucket, Delete=objects)
        if answer.get("Errors"):
            raise CloudUnavailable


async def _next_piece(body: Any) -> bytes:
    with aws.mapped_errors():
        async with asyncio.timeout(_READ_SECONDS):
            piece: bytes = await body.content.read(_PIECE_BYTES)
    return piece
