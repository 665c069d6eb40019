"""Who the service is to AWS, and whether both agree on the time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from service.commands.checks.finding import Look, State, Wrong
from service.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_WRONG_SECONDS: Final = 240.0
"""AWS refuses requests that are five minutes off."""
_ODD_SECONDS: Final = 5.0
"""Tasks that are so far apart write events out of order."""
_ADVICE: Final = (
    "Give the process credentials: a task role, AWS_PROFILE, or the keys of an emulator with its AWS_ENDPOINT_URL."
)


def looks(sts: Any, dynamodb: DynamoDBClient, settings: Settings) -> Iterator[Look]:
    """Return a look at the credentials and one at the clock."""
    yield Look(part="AWS credentials", take=partial(_look, sts, settings), advice=_ADVICE)
    yield Look(
        part="clock", take=partial(_look_at_clock, dynamodb, settings), advice="Nobody can tell before AWS answers."
    )


async def _look(sts: Any, settings: Settings) -> str:
    if settings.aws_endpoint_url:
        return f"None are needed: {settings.aws_endpoint_url} is no AWS."
    return str((await sts.get_caller_identity())["Arn"])


async def _look_at_clock(dynamodb: DynamoDBClient, settings: Settings) -> str:
    began, answer = time.time(), dict[str, Any]()
    try:
        answer.update(await dynamodb.describe_table(TableName=settings.users_table))
    except ClientError as error:
        answer.update(error.response)
    headers: Mapping[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    if "date" not in headers:
        raise Wrong("AWS does not say what time it is.", state=State.WARNING)
    # The header has whole seconds, rounded down; what is within that, and the way there, is no difference.
    apart = parsedate_to_datetime(headers["date"]).timestamp() + 0.5 - (began + time.time()) / 2
    apart = 0 if abs(apart) < 1 + (time.time() - began) else apart
    if abs(apart) > _ODD_SECONDS:
        state = State.FAILED if abs(apart) > _WRONG_SECONDS else State.WARNING
        advice = "Set the clock of this machine (NTP)."
        raise Wrong(f"It is {abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} AWS's.", advice, state=state)
    return "It agrees with AWS's." if not apart else f"It is {abs(apart):.0f} s off AWS's."
