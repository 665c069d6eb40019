"""Which answers of AWS mean "not now", and are asked for again."""

from __future__ import annotations

from typing import Any, cast

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    TokenRetrievalError,
)

from jobs import aws, clock
from jobs.errors import CloudUnavailable
from jobs.events import InProcessBus
from jobs.ids import UserId
from jobs.job_table import JobTable
from tests.jobs.ground import Ground
from tests.jobs.story import claim, stored

BUSY_CODES = [
    "ExpiredToken",
    "ExpiredTokenException",
    "ReplicatedWriteConflictException",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
]
OUTAGES: list[BotoCoreError] = [
    CredentialRetrievalError(provider="container-role", error_msg="timed out"),
    EndpointConnectionError(endpoint_url="http://dynamodb"),
    NoCredentialsError(),
    ReadTimeoutError(endpoint_url="http://dynamodb"),
    TokenRetrievalError(provider="sso", error_msg="expired"),
]


class FailsOnce:
    """Raises an error at the first call of one name, before anything is written."""

    def __init__(self, client: object, name: str, error: Exception) -> None:
        self._client = client
        self._name = name
        self.errors = [error]

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._name and self.errors else getattr(self._client, name)

    async def _fail(self, **_: Any) -> Any:
        raise self.errors.pop()


def refusal(code: str, status: int = 400) -> ClientError:
    """Answer as AWS does."""
    answer: Any = {"Error": {"Code": code, "Message": "No."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "UpdateItem")


@pytest.mark.parametrize("code", BUSY_CODES)
def test_an_answer_that_another_try_may_not_get_is_an_outage(code: str) -> None:
    """The status alone, a 400, says nothing."""
    with pytest.raises(CloudUnavailable), aws.mapped_errors():
        raise refusal(code)


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_what_keeps_a_call_from_being_sent_or_answered_is_an_outage(error: BotoCoreError) -> None:
    """Credentials that cannot be fetched just now are as much of one as a cut connection."""
    with pytest.raises(CloudUnavailable), aws.mapped_errors():
        raise error


@pytest.mark.parametrize("code", ["AccessDeniedException", "ConditionalCheckFailedException", "ValidationException"])
async def test_an_answer_that_every_try_would_get_is_raised_at_once(code: str) -> None:
    """It stays what it is, for the caller to read."""
    calls: list[str] = []

    async def call() -> None:
        calls.append(code)
        raise refusal(code)

    with pytest.raises(ClientError, match=code):
        await aws.retrying(call)
    assert [code] == calls


@pytest.mark.parametrize(
    "error",
    [
        refusal("TransactionConflictException"),
        refusal("ExpiredTokenException"),
        CredentialRetrievalError(provider="container-role", error_msg="timed out"),
    ],
    ids=["conflict", "token", "credentials"],
)
async def test_a_lease_is_renewed_although_the_first_try_is_refused(
    ground: Ground, user: UserId, error: Exception
) -> None:
    """A plain update meets the transaction of a cancel, or credentials that are just being renewed."""
    held = await claim(ground.table, await stored(ground.table, user))
    client = FailsOnce(ground.clients.dynamodb, "update_item", error)
    until = clock.now_milliseconds() + 90_000
    renewed = await JobTable(cast(Any, client), ground.tables, InProcessBus()).renew_lease(held.job_id, "me", until)

    assert renewed
    assert [] == client.errors
    assert until == (await ground.table.get(held.job_id)).lease_until
