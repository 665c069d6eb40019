"""Jobs as DynamoDB items, with the attribute names of the original table."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from jobs import clock, originals
from jobs.ids import JobId, UserId
from jobs.model import JSON, Charge, Failure, Job, ModelUse, Output, Status

Item = dict[str, Any]
STATUS_SHARDS = 8


def to_item(job: Job) -> Item:
    """Write a job; what it does not have is absent from the item."""
    item = {
        "jobId": job.job_id,
        "userId": job.user_id,
        "pipeline": job.pipeline,
        "status": job.status.value,
        "statusShard": None
        if job.terminal
        else status_shard(job.status, zlib.crc32(job.job_id.encode()) % STATUS_SHARDS),
        "version": job.version,
        "attempt": job.attempt,
        "createdAt": clock.iso(job.created_at),
        "updatedAt": clock.iso(job.updated_at),
        "charge": job.charge.value,
        "quotaDay": job.quota_day,
        "style": job.style,
        "prompt": job.prompt,
        "inputImageUrl": job.input_url,
        "parameters": storable(job.parameters) or None,
        "units": None if job.units == 1 else job.units,
        "waitingUser": job.user_id if job.waiting and not job.terminal else None,
        "waiting": job.waiting or None,
        "crashes": job.crashes or None,
        "sentAt": job.sent_at,
        "retryOf": job.retry_of,
        "requestId": job.request_id,
        "owner": job.owner,
        "lease": job.lease_until,
        "startedAt": job.started_at,
        "deferredSince": job.deferred_since,
        "modelUse": _write_use(job.use),
        "kept": storable(job.kept) or None,
        "processingTime": job.processing_milliseconds,
        **_output_attributes(job.output),
        **_failure_attributes(job.failure),
    }
    return {name: value for name, value in item.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> Job:
    """Read what ``to_item`` wrote, or what the original did. Raises ValueError where it is neither."""
    try:
        return _read(originals.as_ours(item) if originals.is_original(item) else item)
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read(item: Mapping[str, Any]) -> Job:
    return Job(
        job_id=JobId(item["jobId"]),
        user_id=UserId(item["userId"]),
        pipeline=item["pipeline"],
        status=Status(item["status"]),
        version=int(item["version"]),
        attempt=int(item["attempt"]),
        created_at=clock.milliseconds(item["createdAt"]),
        updated_at=clock.milliseconds(item["updatedAt"]),
        charge=Charge(item["charge"]),
        quota_day=item["quotaDay"],
        style=item.get("style"),
        prompt=item.get("prompt"),
        input_url=item.get("inputImageUrl"),
        parameters=cast(dict[str, JSON], plain(item.get("parameters", {}))),
        units=int(item.get("units", 1)),
        waiting=item.get("waiting", False),
        crashes=_integer(item.get("crashes")) or 0,
        sent_at=_integer(item.get("sentAt")),
        retry_of=item.get("retryOf"),
        request_id=item.get("requestId"),
        owner=item.get("owner"),
        lease_until=_integer(item.get("lease")),
        started_at=_integer(item.get("startedAt")),
        deferred_since=_integer(item.get("deferredSince")),
        use=_read_use(item.get("modelUse", {})),
        kept=cast(dict[str, JSON], plain(item.get("kept", {}))),
        processing_milliseconds=_integer(item.get("processingTime")),
        output=_read_output(item),
        failure=_read_failure(item),
    )


def s3_key(url: str) -> str:
    """Return the key of ``s3://bucket/key``."""
    return url.split("/", 3)[3]


def status_shard(status: Status, shard: int) -> str:
    """Name one part of the index of unfinished jobs: sparse and spread, so that no status is one hot key."""
    return f"{status.value}#{shard}"


def _write_use(use: ModelUse) -> Item | None:
    if not use.calls:
        return None
    return {"calls": use.calls, "pictures": use.pictures, "tokens": dict(use.tokens)}


def _read_use(item: Mapping[str, Any]) -> ModelUse:
    return ModelUse(
        calls=int(item.get("calls", 0)),
        pictures=int(item.get("pictures", 0)),
        tokens={kind: int(number) for kind, number in item.get("tokens", {}).items()},
    )


def _output_attributes(output: Output | None) -> Item:
    if output is None:
        return {}
    metadata = {
        "generationTime": output.generation_milliseconds,
        "modelName": output.model_name,
        "pictures": output.pictures,
        **({"linkAs": output.link_as} if output.link_as else {}),
    }
    attributes = {"metadata": metadata, "result": storable(output.facts)}
    if output.url is None:
        return attributes
    return attributes | {"outputImageUrl": output.url, "metadata": metadata | {"outputKey": s3_key(output.url)}}


def _read_output(item: Mapping[str, Any]) -> Output | None:
    metadata = item.get("metadata")
    if metadata is None:
        return None
    return Output(
        url=item.get("outputImageUrl"),
        model_name=metadata["modelName"],
        generation_milliseconds=int(metadata["generationTime"]),
        facts=cast(dict[str, JSON], plain(item.get("result", {}))),
        pictures=int(metadata.get("pictures", 1)),
        link_as=metadata.get("linkAs"),
    )


def _failure_attributes(failure: Failure | None) -> Item:
    if failure is None:
        return {}
    return {"error": failure.message, "errorCode": failure.code, "retryable": failure.retryable}


def _read_failure(item: Mapping[str, Any]) -> Failure | None:
    if "errorCode" not in item:
        return None
    return Failure(code=item["errorCode"], message=item["error"], retryable=item["retryable"])


def _integer(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


def storable(value: Any) -> Any:
    """Turn numbers that are not whole into decimals, however deep: DynamoDB takes no others. Raises ValueError for NaN."""
    match value:
        case float() if not math.isfinite(value):
            raise ValueError("DynamoDB has no such number")
        case float():
            return Decimal(repr(value))
        case Mapping():
            return {key: storable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [storable(inner) for inner in value]
        case _:
            return value


def number(value: object) -> int | float:
    """Turn one of DynamoDB's decimals into a number. Raises TypeError for anything else."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is no number")
    return int(value) if value == value.to_integral_value() else float(value)


def plain(value: Any) -> JSON:
    """Turn DynamoDB's decimals back into numbers, however deep."""
    match value:
        case Decimal():
            return number(value)
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return cast(JSON, value)
