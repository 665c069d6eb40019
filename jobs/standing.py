"""Whether an account takes anything in: not while it is being erased, and afterwards for those alone who came back to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobs.errors import AccountErased, AccountErasing
from jobs.ids import UserId

NOT_ERASED_SINCE: Final = "(attribute_not_exists(erasedAt) OR erasedAt < :since)"
"""A condition on the user's row; ``:since`` is when the caller was last known to be the user, in milliseconds since the epoch."""
TAKES_IN: Final = f"attribute_not_exists(erasingSince) AND {NOT_ERASED_SINCE}"
"""As above; it fails during an erasure, too."""


def check(user: Mapping[str, Any], since: int) -> None:
    """Raise AccountErasing or AccountErased when the row does not take in what ``since`` allows."""
    if "erasingSince" in user:
        raise AccountErasing
    if "erasedAt" in user and user["erasedAt"] >= since:
        raise AccountErased


def required(users_table: str, user_id: UserId, since: int) -> dict[str, Any]:
    """Make the part of a transaction that requires it."""
    return {
        "ConditionCheck": {
            "TableName": users_table,
            "Key": {"userId": user_id},
            "ConditionExpression": TAKES_IN,
            "ExpressionAttributeValues": {":since": since},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
