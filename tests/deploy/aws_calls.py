"""What a request to AWS needs the right to do, read off the request as it went over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from tests.faults.messages import Request

PARTITION, REGION, ACCOUNT = "aws", "ap-northeast-2", "111122223333"
_OF_BATCHES: Final = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_OF_TRANSACTIONS: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_OF_METHODS: Final = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """An action of IAM, such as ``sqs:SendMessage``, on the ARN of a resource; in a policy both may have wildcards."""

    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


class UnknownCall(Exception):
    """A call that nobody has told which rights it needs."""


def rights_for(request: Request) -> Iterator[Right]:
    """Yield the rights that a request needs. Raises UnknownCall."""
    service = request.headers.get("x-amz-target", "s3").partition(".")[0].partition("_")[0]
    match service:
        case "DynamoDB":
            yield from _tables(request.action, json.loads(request.body))
        case "AmazonSQS":
            yield _queue(request.action, json.loads(request.body))
        case "secretsmanager":
            yield Right(action=f"secretsmanager:{request.action}", resource=json.loads(request.body)["SecretId"])
        case "s3":
            yield from _objects(request)
        case _:
            raise UnknownCall(f"{service} {request.action}")


def _tables(action: str, body: Mapping[str, Any]) -> Iterator[Right]:
    match action:
        case "TransactWriteItems":
            for item in body["TransactItems"]:
                [(verb, change)] = item.items()
                yield _table(_OF_TRANSACTIONS[verb], change["TableName"])
        case "BatchWriteItem" | "BatchGetItem":
            for name in body["RequestItems"]:
                yield _table(action, name)
        case _:
            yield _table(action, body["TableName"], body.get("IndexName"))


def _table(action: str, name: str, index: str | None = None) -> Right:
    path = f"{name}/index/{index}" if index else name
    return Right(action=f"dynamodb:{action}", resource=_arn("dynamodb", f"table/{path}"))


def _queue(action: str, body: Mapping[str, Any]) -> Right:
    name = body["QueueUrl"].rpartition("/")[2]
    return Right(action=f"sqs:{_OF_BATCHES.get(action, action)}", resource=_arn("sqs", name))


def _objects(request: Request) -> Iterator[Right]:
    """Also of a signed link: who follows it has the rights of who signed it."""
    parts = urlsplit(request.path)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    if not key and request.method == "GET":
        yield _object("ListBucket", bucket)
    elif not key and request.method == "POST" and "delete" in asked:
        for named in ET.fromstring(request.body).iter():
            if named.tag.endswith("Key"):
                yield _object("DeleteObject", f"{bucket}/{named.text}")
    elif key and request.method in _OF_METHODS and "uploadId" not in asked and "uploads" not in asked:
        yield _object(_OF_METHODS[request.method], f"{bucket}/{key}")
        if request.method in ("GET", "HEAD"):
            yield _object("ListBucket", bucket)  # without it, what is not there is answered with 403
    elif request.method != "OPTIONS":
        raise UnknownCall(f"s3 {request.method} {request.path}")


def _object(action: str, path: str) -> Right:
    return Right(action=f"s3:{action}", resource=f"arn:{PARTITION}:s3:::{path}")


def _arn(service: str, name: str) -> str:
    return f"arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:{name}"
