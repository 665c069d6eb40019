"""The connection to AWS: one session, one client per kind of use, kept for the process's life."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from botocore.exceptions import BotoCoreError, ClientError

from jobs.errors import CloudUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

logger = logging.getLogger(__name__)
T = TypeVar("T")
FindCredentials: TypeAlias = Callable[[], Awaitable[AioCredentials | None]]

LONG_POLL_SECONDS = 20
ATTEMPTS = 4
_BUSY_CODES = frozenset(
    {
        "InternalServerError",
        "InternalError",
        "InternalFailure",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        # What a plain write is told that meets a transaction, or another region's write, on its item.
        "ReplicatedWriteConflictException",
        "TransactionConflictException",
        "TransactionInProgressException",
        # Credentials that are being renewed; `botocore` renews them for the next try.
        "ExpiredToken",
        "ExpiredTokenException",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AWSConfig:
    """How to reach AWS. ``endpoint_url`` is set for an emulator only; ``connections`` bounds each client's pool."""

    region: str
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    connections: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The open clients. ``dynamodb`` takes and gives Python types; ``receiver`` is for long polls alone.

    ``find_credentials`` returns what they sign with, looked for once and renewed in time.
    """

    dynamodb: DynamoDBClient
    s3: S3Client
    sqs: SQSClient
    receiver: SQSClient
    find_credentials: FindCredentials


@asynccontextmanager
async def open_clients(config: AWSConfig) -> AsyncIterator[Clients]:
    """Open every client, in one session because a second one repeats 50 ms and 10 MiB; close them in the end."""
    session, where = _session(config), _where(config)
    async with AsyncExitStack() as stack:
        # One attempt: an event's id must be made right before each, so DynamoDB's retries are ours (`retrying`).
        options = _config(config, attempts=1, read_timeout=3)
        dynamodb = await stack.enter_async_context(session.resource("dynamodb", config=options, **where))
        s3 = await stack.enter_async_context(session.client("s3", config=_s3_config(config), **where))
        options = _config(config, attempts=3, read_timeout=5)
        sqs = await stack.enter_async_context(session.client("sqs", config=options, **where))
        # A long poll holds its connection for its whole time; in a shared pool it would starve the others.
        options = _config(config, attempts=1, read_timeout=LONG_POLL_SECONDS + 10)
        receiver = await stack.enter_async_context(session.client("sqs", config=options, **where))
        yield Clients(
            dynamodb=dynamodb.meta.client,
            s3=s3,
            sqs=sqs,
            receiver=receiver,
            find_credentials=cast(FindCredentials, session.get_credentials),  # its stub forgets that it is a coroutine
        )


@asynccontextmanager
async def client(config: AWSConfig, service: Literal["secretsmanager", "cognito-idp", "sts"]) -> AsyncIterator[Any]:
    """Open a client of a service that only some deployments need; close it in the end."""
    options = _config(config, attempts=3, read_timeout=5)
    async with _session(config).client(service, config=options, **_where(config)) as opened:
        yield opened


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn "not now" answers and network failures into ``CloudUnavailable``; other answers stay as they are."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or error_code(error) in _BUSY_CODES:
            raise CloudUnavailable from error
        raise
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
        # Connections refused, cut or late, and credentials that cannot be fetched just now: the calls themselves are tested.
        raise CloudUnavailable from error


@contextmanager
def unavailable_whatever_it_says() -> Iterator[None]:
    """Turn refusals too into ``CloudUnavailable``: for calls whose refusal can only be met by trying later."""
    try:
        with mapped_errors():
            yield
    except ClientError as error:
        raise CloudUnavailable(f"AWS refuses: {error_code(error)}.") from error


async def retrying(call: Callable[[], Awaitable[T]], *, patience_seconds: float = 0) -> T:
    """Await ``call`` anew while it raises ``CloudUnavailable``: four times in all, and as often as there is patience.

    Between the tries it waits with full jitter, up to a second or so.
    """
    deadline = time.monotonic() + patience_seconds
    for attempt in itertools.count(1):
        try:
            with mapped_errors():
                return await call()
        except CloudUnavailable:
            if attempt >= ATTEMPTS and time.monotonic() > deadline:
                raise
            logger.warning("AWS did not answer, trying again", extra={"action": "aws_retry", "attempt": attempt})
            await asyncio.sleep(random.uniform(0, 0.1 * 2 ** min(attempt, 4)))  # noqa: S311 - jitter is no secret
    raise AssertionError  # counting has no end


def error_code(error: ClientError) -> str:
    """Return AWS's name of the error, such as ``ConditionalCheckFailedException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _session(config: AWSConfig) -> aioboto3.Session:
    return aioboto3.Session(
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        region_name=config.region,
    )


def _where(config: AWSConfig) -> dict[str, Any]:
    if config.endpoint_url is None:
        return {}
    # Each client loads the machine's certificates (0.1 s), over plain HTTP too, unless it is told that it needs none.
    verify = None if config.endpoint_url.startswith("https:") else False
    return {"endpoint_url": config.endpoint_url, "verify": verify}


def _config(config: AWSConfig, *, attempts: int, read_timeout: float, **more: Any) -> AioConfig:
    # A fresh dict each time: botocore rewrites the one it is given.
    return AioConfig(
        connect_timeout=2,
        read_timeout=read_timeout,
        max_pool_connections=config.connections,
        tcp_keepalive=True,
        # Checking our own arguments and writing a fresh user agent for each call took a fifth of a call's CPU.
        parameter_validation=False,
        user_agent="darkroom",
        retries={"total_max_attempts": attempts, "mode": "standard"},
        **more,
    )


def _s3_config(config: AWSConfig) -> AioConfig:
    # botocore's default signing binds neither type nor length nor encryption to a presigned link.
    # Virtual style names the bucket's own region; the global name redirects, which ends a browser's upload.
    addressing = {"addressing_style": "path" if config.endpoint_url else "virtual"}
    return _config(config, attempts=3, read_timeout=15, signature_version="s3v4", s3=addressing)
