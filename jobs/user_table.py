"""Users in DynamoDB."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs import aws, clock
from jobs.ids import UserId
from jobs.model import Caller

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_REMEMBERED_SIGN_INS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user's row. Times are ISO 8601; what the token never told is empty."""

    user_id: UserId
    email: str = ""
    display_name: str = ""
    profile_image: str = ""
    provider: str = ""
    total_pictures: int = 0
    created_at: str = ""
    last_login_at: str = ""


class UserTable:
    """Keeps a row for each user, made at the first call and told of each new sign-in."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._seen: OrderedDict[tuple[UserId, int], None] = OrderedDict()

    async def note_sign_in(self, caller: Caller) -> None:
        """Write the user's row unless this process already did for this sign-in."""
        sign_in = (caller.user_id, caller.signed_in_at)
        if sign_in in self._seen:
            self._seen.move_to_end(sign_in)
            return
        await aws.retrying(lambda: self._client.update_item(**self._sign_in_update(caller)))
        self._seen[sign_in] = None
        if len(self._seen) > _REMEMBERED_SIGN_INS:
            self._seen.popitem(last=False)

    async def get(self, user_id: UserId) -> User:
        """Read a user; one that was never seen is empty."""
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key={"userId": user_id}, ConsistentRead=True)
        )
        item: Mapping[str, Any] = response.get("Item", {})
        return User(
            user_id=user_id,
            email=item.get("email", ""),
            display_name=item.get("displayName", ""),
            profile_image=item.get("profileImage", ""),
            provider=item.get("provider", ""),
            total_pictures=int(item.get("totalImagesGenerated", 0)),
            created_at=item.get("createdAt", ""),
            last_login_at=item.get("lastLoginAt", ""),
        )

    def _sign_in_update(self, caller: Caller) -> dict[str, Any]:
        now = clock.iso(clock.now_milliseconds())
        told = {"email": caller.email, "displayName": caller.name, "profileImage": caller.picture}
        values = {name: value for name, value in told.items() if value}
        sets = [f"{name} = :{name}" for name in values]
        sets += ["#provider = :provider", "lastLoginAt = :now", "createdAt = if_not_exists(createdAt, :now)"]
        return {
            "TableName": self._table,
            "Key": {"userId": caller.user_id},
            "UpdateExpression": "SET " + ", ".join(sets),
            "ExpressionAttributeNames": {"#provider": "provider"},
            "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}
            | {":provider": caller.provider, ":now": now},
        }
