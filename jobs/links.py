"""Addresses of what lies in S3: signed links to read it, and those that callers name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from jobs import aws
from jobs.aws import FindCredentials

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_SIGN_SECONDS = 5.0
_ANY_KEY = "any"
_ADDRESS: Final = re.compile(r"[!-~]{1,8192}")
_KEY: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_](?:[A-Za-z0-9_.:|@+=-]|/(?=[A-Za-z0-9_])){0,1023}")
"""What keys of ours look like: no empty folder, and nothing that anybody might take for a way up."""
_SIGNATURE: Final = "x-amz-"


class LinkSigner:
    """Signs GETs as the client does, with botocore's own signer, but without the client's way to it.

    Its checks, endpoint rules and hooks make a link cost 0.73 ms; this takes 0.15 ms (measured on one slow core). Each job
    has two, and its owner's sockets wait for them.
    """

    def __init__(self, client: S3Client, find_credentials: FindCredentials) -> None:
        self._client = client
        self._find_credentials = find_credentials
        self._addresses: dict[str, str] = {}

    async def sign(self, bucket: str, key: str, *, seconds: int) -> str:
        """Return a link to the object that is good for so long. Raises CloudUnavailable without credentials."""
        with aws.mapped_errors():
            async with asyncio.timeout(_SIGN_SECONDS):  # credentials may have to be fetched
                address = self._addresses.get(bucket) or await self._find(bucket)
                credentials = await self._credentials()
        request = AWSRequest("GET", address + quote(key, safe="/~"))
        S3SigV4QueryAuth(credentials, "s3", self._client.meta.region_name, expires=seconds).add_auth(request)
        return str(request.url)

    async def _credentials(self) -> ReadOnlyCredentials:
        found = await self._find_credentials()
        if found is None:
            raise NoCredentialsError
        return await found.get_frozen_credentials()

    async def _find(self, bucket: str) -> str:
        """Ask the client where the bucket is, which it knows by its settings alone."""
        link = await self._client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": _ANY_KEY})
        address = self._addresses[bucket] = link.partition("?")[0].removesuffix(_ANY_KEY)
        return address


class OwnAddresses:
    """Reads the addresses that an object of our own buckets may have. It never connects to any."""

    def __init__(self, client: S3Client, buckets: Iterable[str]) -> None:
        region, endpoint = client.meta.region_name, client.meta.endpoint_url.rstrip("/").lower()
        self._places: dict[str, str] = {}
        for bucket in buckets:
            for host in ("s3.amazonaws.com", f"s3.{region}.amazonaws.com"):
                self._places[f"https://{bucket}.{host}/"] = bucket
                self._places[f"https://{host}/{bucket}/"] = bucket
            self._places[f"{endpoint}/{bucket}/"] = bucket
            self._places[f"s3://{bucket}/"] = bucket

    def read(self, address: str) -> str | None:
        """Return ``s3://bucket/key`` for that, or for an HTTP address, also a signed link; None for all else."""
        path = _path_of(address)
        for place, bucket in self._places.items():
            if path is not None and path.startswith(place):
                key = unquote(path.removeprefix(place), errors="replace")
                return f"s3://{bucket}/{key}" if _KEY.fullmatch(key) else None
        return None


def _path_of(address: str) -> str | None:
    """Return the address without its signature, host in lower case; None where it says anything more, or is none."""
    if not _ADDRESS.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        asked = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return None
    if "#" in address or not all(name.lower().startswith(_SIGNATURE) for name, _ in asked):
        return None
    if "?" in address and not asked:
        return None
    # Whoever is named before an @, and a port, stay in it, and make it another address.
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path}"
