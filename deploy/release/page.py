"""The optional CloudFront before the service: its stack, and the page's files in its bucket."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.release.parts import CHECKOUT

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

PAGE: Final = CHECKOUT / "service" / "page"
_TYPES: Final = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}


def files() -> Iterator[tuple[str, Path, str]]:
    """Yield key, file and content type of what the bucket serves; pages come from the service, which knows their policy."""
    for path in sorted(PAGE.rglob("*")):
        if path.is_file() and path.suffix != ".html":
            kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            yield f"page/{path.relative_to(PAGE).as_posix()}", path, kind


async def upload(s3: S3Client, bucket: str) -> int:
    """Put the page's files into the bucket; returns how many. Raises botocore's errors."""
    count = 0
    for key, path, kind in files():
        await s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ContentType=kind, CacheControl="no-cache")
        count += 1
    return count
