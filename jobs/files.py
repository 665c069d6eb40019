"""Uploads and results in S3."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from jobs import aws, clock, items
from jobs.aws import FindCredentials
from jobs.errors import InvalidRequest, UploadNotFound
from jobs.ids import DEVICE_ID, JobId, UserId
from jobs.links import LinkSigner, OwnAddresses

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

MAX_UPLOAD_BYTES = 10 * 1024 * 1024
UPLOAD_NAME: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9._-]{1,200}")
"""What a file in a user's folder of plain uploads may be called."""
_REPORT_NAME: Final = re.compile(rf"{DEVICE_ID.pattern}/{UPLOAD_NAME.pattern}")
"""Within a user's folder of parked cars: the device, then as above."""
_RESULT_NAME: Final = re.compile(r"job_[A-Za-z0-9]{1,64}\.[a-z0-9]{1,8}")
METADATA_HEADER = "x-amz-meta-"
LINK_SECONDS = 24 * 3600
_KEPT_LINKS = 16_384
_SIGN_SECONDS = 5.0
_LINK_REUSE_SECONDS = 300
_HEAD_SECONDS = 5.0
_DELETE_SECONDS = 5.0
DOWNLOAD_LINK_SECONDS = 3600
EXTENSIONS = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLink:
    """A presigned PUT for one file: the request must carry exactly ``headers``; it works once and for ``expires_in`` seconds."""

    url: str
    key: str
    headers: dict[str, str]
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A photo as it was sent, and what its sender said of it in ``x-amz-meta-`` headers, named without that beginning."""

    content: bytes
    metadata: Mapping[str, str]


class Files:
    """Signs links to the two private buckets, and reads and writes them. All errors: UploadNotFound, CloudUnavailable."""

    def __init__(
        self,
        client: S3Client,
        find_credentials: FindCredentials,
        *,
        upload_bucket: str,
        result_bucket: str,
        upload_link_seconds: int,
    ) -> None:
        self._client = client
        self._signer = LinkSigner(client, find_credentials)
        self._upload_bucket = upload_bucket
        self._result_bucket = result_bucket
        self._upload_link_seconds = upload_link_seconds
        self._own = OwnAddresses(client, (upload_bucket, result_bucket))
        self._links: OrderedDict[tuple[str, int], str] = OrderedDict()

    async def upload_link(
        self,
        user_id: UserId,
        *,
        content_type: str,
        size_bytes: int,
        extension: str,
        folder: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> UploadLink:
        """Sign a PUT of exactly this type, size and metadata, under a fresh key of the user's own ``folder`` (``…/``).

        Without a folder it is that of plain uploads. Metadata must be visible ASCII; S3 hands it back with lower-case names.
        """
        said = dict(metadata or {})
        key = fresh_key(folder or uploads_of(user_id), extension)
        with aws.mapped_errors():
            url = await self._client.generate_presigned_url(
                "put_object",
                Params={
                    "Bucket": self._upload_bucket,
                    "Key": key,
                    "ContentType": content_type,
                    "ContentLength": size_bytes,
                    "ServerSideEncryption": "AES256",
                    "IfNoneMatch": "*",
                    "Metadata": said,
                },
                ExpiresIn=self._upload_link_seconds,
            )
        headers = {"Content-Type": content_type, "x-amz-server-side-encryption": "AES256", "If-None-Match": "*"}
        headers |= {f"{METADATA_HEADER}{name}": value for name, value in said.items()}
        return UploadLink(url=url, key=key, headers=headers, expires_in=self._upload_link_seconds)

    async def write_upload(self, user_id: UserId, content: bytes, *, content_type: str, extension: str) -> str:
        """Store a photo that came with a request under a fresh key of the user, and return its ``s3://bucket/key``."""
        return await self._put(self._upload_bucket, fresh_key(uploads_of(user_id), extension), content, content_type)

    async def delete_upload(self, url: str) -> None:
        """Take away an upload, given as ``s3://bucket/key``, that is there or not. Raises CloudUnavailable alone."""
        with aws.unavailable_whatever_it_says():
            async with asyncio.timeout(_DELETE_SECONDS):
                await self._client.delete_object(Bucket=_bucket(url), Key=items.s3_key(url))

    def upload_url(self, key: str) -> str:
        """Name an upload as ``s3://bucket/key``."""
        return f"s3://{self._upload_bucket}/{key}"

    def owned_by(self, url: str, user_id: UserId, *, field: str) -> str:
        """Read what a caller says is the address of a photo of theirs here, and return it as ``s3://bucket/key``.

        It may be an ``s3://`` or an HTTP address, also a signed link. Raises InvalidRequest, with the field's name, for
        everything else: the same for what is another's, elsewhere, or no address.
        """
        shapes = {
            self.upload_url(uploads_of(user_id)): UPLOAD_NAME,
            self.upload_url(reports_of(user_id)): _REPORT_NAME,
            f"s3://{self._result_bucket}/{results_of(user_id)}": _RESULT_NAME,
        }
        named = self._own.read(url) or ""
        if not any(named.startswith(own) and shape.fullmatch(named, len(own)) for own, shape in shapes.items()):
            raise InvalidRequest(f"{field} must be the address of a photo of yours in this service", field=field)
        return named

    async def check_upload(self, key: str) -> None:
        """Raise UploadNotFound unless something lies under this key of the upload bucket."""
        await self.check_exists(self.upload_url(key))

    async def check_exists(self, url: str) -> None:
        """Raise UploadNotFound unless the object ``s3://bucket/key`` is there."""
        with aws.mapped_errors():
            try:
                async with asyncio.timeout(_HEAD_SECONDS):
                    await self._client.head_object(Bucket=_bucket(url), Key=items.s3_key(url))
            except ClientError as error:
                if aws.error_code(error) in ("404", "NoSuchKey", "NotFound"):
                    raise UploadNotFound from error
                raise

    async def delete_results(self, user_id: UserId, job_id: JobId, *, but: str | None = None) -> None:
        """Take away all that was stored for the job, but for one ``s3://bucket/key``: also what nobody came to write down."""
        with aws.mapped_errors():
            listed = await self._client.list_objects_v2(
                Bucket=self._result_bucket, Prefix=f"{results_of(user_id)}{job_id}."
            )
            for item in listed.get("Contents", []):
                if but is None or item["Key"] != items.s3_key(but):
                    await self._client.delete_object(Bucket=self._result_bucket, Key=item["Key"])

    async def read(self, url: str, *, max_bytes: int) -> bytes:
        """Read a whole object, given as ``s3://bucket/key``. Raises UploadNotFound also for one over ``max_bytes``."""
        return (await self._read(url, max_bytes)).content

    async def read_upload(self, url: str) -> Upload:
        """Read a photo, given as ``s3://bucket/key``, with its metadata. Raises UploadNotFound also for one over 10 MiB."""
        return await self._read(url, MAX_UPLOAD_BYTES)

    async def _read(self, url: str, max_bytes: int) -> Upload:
        with aws.mapped_errors():
            try:
                answer = await self._client.get_object(Bucket=_bucket(url), Key=items.s3_key(url))
            except ClientError as error:
                if aws.error_code(error) in ("404", "NoSuchKey", "NotFound"):
                    raise UploadNotFound from error
                raise
            async with answer["Body"] as body:
                if answer["ContentLength"] > max_bytes:
                    raise UploadNotFound("The upload is larger than allowed")
                return Upload(content=await body.read(), metadata=answer.get("Metadata", {}))

    async def write_result(
        self, user_id: UserId, job_id: JobId, content: bytes, *, content_type: str, extension: str
    ) -> str:
        """Store a job's result and return its ``s3://bucket/key``; writing it again replaces it."""
        return await self._put(self._result_bucket, f"{results_of(user_id)}{job_id}{extension}", content, content_type)

    async def write_evidence(self, report_id: str, photo: str, content: bytes) -> str:
        """Store a parking report's own copy of a crop, a JPEG, and return its ``s3://bucket/key``, which names no user."""
        return await self._put(self._result_bucket, f"evidence/{report_id}/{photo}.jpg", content, "image/jpeg")

    async def _put(self, bucket: str, key: str, content: bytes, content_type: str) -> str:
        with aws.mapped_errors():
            await self._client.put_object(
                Bucket=bucket, Key=key, Body=content, ContentType=content_type, ServerSideEncryption="AES256"
            )
        return f"s3://{bucket}/{key}"

    async def link(self, url: str) -> str:
        """Return a signed GET of ``s3://bucket/key``, good for 24 hours less at most five minutes."""
        # A job's links go out with each of its events and reads; signing them was a tenth of what a job costs in CPU.
        # Five minutes, because credentials are renewed only when they have ten left.
        wanted = (url, int(time.monotonic() // _LINK_REUSE_SECONDS))
        link = self._links.get(wanted)
        if link is None:
            link = await self._signer.sign(_bucket(url), items.s3_key(url), seconds=LINK_SECONDS)
            self._links[wanted] = link
            if len(self._links) > _KEPT_LINKS:
                self._links.popitem(last=False)
        else:
            self._links.move_to_end(wanted)
        return link

    async def download_link(self, url: str, *, file_name: str) -> str:
        """Sign a GET that browsers save under this name, good for an hour."""
        disposition = f'attachment; filename="{file_name}"'
        params = {"Bucket": _bucket(url), "Key": items.s3_key(url), "ResponseContentDisposition": disposition}
        with aws.mapped_errors():
            async with asyncio.timeout(_SIGN_SECONDS):  # credentials may have to be fetched
                return await self._client.generate_presigned_url(
                    "get_object", Params=params, ExpiresIn=DOWNLOAD_LINK_SECONDS
                )


def uploads_of(user_id: UserId) -> str:
    """Return the prefix under which a user's uploads lie."""
    return f"uploads/{user_id}/"


def reports_of(user_id: UserId) -> str:
    """Return the prefix under which a user's photos of parked cars lie, by device."""
    return f"reports/{user_id}/"


def results_of(user_id: UserId) -> str:
    """Return the prefix under which a user's results lie."""
    return f"generated/{user_id}/"


def fresh_key(folder: str, extension: str) -> str:
    """Return a key in the folder that is nobody's yet and cannot be guessed."""
    return f"{folder}{clock.now_milliseconds()}_{secrets.token_hex(16)}{extension}"


def _bucket(url: str) -> str:
    return url.split("/", 3)[2]
