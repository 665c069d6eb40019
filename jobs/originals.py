"""Rows that ProfilePhotoAI, whose tables these were, has written: how they are read here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote

from jobs import clock
from jobs.errors import DarkroomError
from jobs.model import Charge, Status

PIPELINE: Final = "profile-photo"
FILES: Final = ("inputImageUrl", "outputImageUrl")
_VERSIONS: Final = {Status.PENDING: 1, Status.QUEUED: 2, Status.PROCESSING: 3, Status.COMPLETED: 4, Status.FAILED: 4}
"""It kept none: they grow as its rows do, so that a client that compares them takes each change."""
_NOT_SENT_YET: Final = (Status.PENDING, Status.QUEUED)
_HOST: Final = r"s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com"
_ADDRESSES: Final = (
    re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)"),
    re.compile(rf"https://(?P<bucket>[a-z0-9][a-z0-9.-]+)\.{_HOST}/(?P<key>[^?#]+).*"),
    re.compile(rf"https://{_HOST}/(?P<bucket>[^/]+)/(?P<key>[^?#]+).*"),
)


def is_original(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of the jobs' table is a job that we have never written: neither a record of ours nor a tombstone."""
    return "userId" in row and "version" not in row


def as_ours(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's row with all that ours have, and the rest as it was, without addresses that are none of a file in S3.

    Raises ValueError for one that is no such row.
    """
    status = Status(str(row.get("status")).lower())
    if status not in _VERSIONS:
        raise ValueError(f"it is {status.value} and has no version")
    created_at = time_of(row.get("createdAt"))
    said = {name: value for name, value in row.items() if value is not None} | _files(row)
    return {name: value for name, value in said.items() if value is not None} | {
        "pipeline": PIPELINE,
        "status": status.value,
        "version": _VERSIONS[status],
        "attempt": 0 if status in _NOT_SENT_YET else 1,
        "createdAt": created_at,
        "updatedAt": time_of(said.get("updatedAt", created_at)),
        # A unit was charged once the queue had taken the message, and never given back.
        "charge": (Charge.TAKEN if status is Status.PENDING else Charge.CHARGED).value,
        "quotaDay": created_at[:10],
        **(_output(said) if status is Status.COMPLETED or "metadata" in said else {}),
        **(_failure(said) if status is Status.FAILED else {}),
    }


def time_of(text: object) -> str:
    """Write a time as ours are: what says no zone is UTC. Raises ValueError."""
    at = datetime.fromisoformat(str(text))
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return clock.iso(round(at.timestamp() * 1000))


def _files(row: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: _s3_address(str(row[name])) for name in FILES if row.get(name) is not None}


def _output(said: Mapping[str, Any]) -> dict[str, Any]:
    """Complete what is said of the picture: the reader of ours needs each."""
    metadata = said.get("metadata")
    told = dict(metadata) if isinstance(metadata, Mapping) else {}
    took = (told.get("generationTime"), said.get("processingTime"))
    told["generationTime"] = next((value for value in took if isinstance(value, Decimal)), Decimal(0))
    told["modelName"] = str(told.get("modelName") or "")
    told["pictures"] = Decimal(1)
    if (url := said.get("outputImageUrl")) is not None:
        told["outputKey"] = url.split("/", 3)[3]
    return {"metadata": told}


def _failure(said: Mapping[str, Any]) -> dict[str, Any]:
    error = str(said.get("error") or DarkroomError().message)
    return {"error": error, "errorCode": DarkroomError.code, "retryable": True}


def _s3_address(url: str) -> str | None:
    """Return ``s3://bucket/key`` for that or for an address on the web, also a signed link."""
    for address in _ADDRESSES:
        if match := address.fullmatch(url):
            key = match["key"] if url.startswith("s3:") else unquote(match["key"])
            return f"s3://{match['bucket']}/{key}"
    return None
