"""Users in DynamoDB: what their tokens said of them, and what an operator has said."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ClientError

from jobs import aws, clock, standing
from jobs.errors import AccountErased, AccountErasing, UserBlocked
from jobs.ids import UserId, is_anonymous
from jobs.model import Caller

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

LATE_SECONDS: Final = 5.0
"""So long another task may not know that a user's limit was changed, or the user blocked."""
_LOOK_SECONDS: Final = 3.0
_NEVER: Final = float("-inf")
_REMEMBERED_SIGN_INS: Final = 10_000
_REMEMBERED_LIMITS: Final = 10_000
_OPERATORS_WORD: Final = frozenset({"blockedAt", "dailyLimit"})
"""What stays of a row when its user goes: else whoever is blocked would only have to erase the account."""
_END_RESTS_ON: Final = _OPERATORS_WORD | {"erasingSince", "unfinishedJobs"}
_BLOCKED_KEY: Final = "#blocked"
"""The row that names all who are blocked, for those who hold their sockets. No user can be called this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user's row. Times are ISO 8601; what the token never told is empty.

    ``daily_limit`` is the user's own units a day; None where the service's hold.
    """

    user_id: UserId
    email: str = ""
    display_name: str = ""
    profile_image: str = ""
    provider: str = ""
    total_pictures: int = 0
    created_at: str = ""
    last_login_at: str = ""
    daily_limit: int | None = None
    is_blocked: bool = False


class UserTable:
    """Keeps a row for each user, made at the first call and told of each new sign-in. All errors: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._seen: OrderedDict[tuple[UserId, int], None] = OrderedDict()
        self._limits: OrderedDict[UserId, tuple[float, int | None]] = OrderedDict()
        self._blocked: frozenset[UserId] = frozenset()
        self._looking = asyncio.Lock()
        self._looked_at = _NEVER
        self._changes = 0

    async def note_sign_in(self, caller: Caller) -> None:
        """Write the user's row unless this process already did for this sign-in; nothing is written while it is being erased.

        Raises AccountErased for a sign-in from before the account was erased. A task that knows the sign-in does not ask again:
        whatever writes for the user asks by itself.
        """
        sign_in = (caller.user_id, caller.signed_in_at)
        if sign_in in self._seen:
            self._seen.move_to_end(sign_in)
            return
        try:
            await aws.retrying(lambda: self._client.update_item(**self._sign_in_update(caller)))
        except ClientError as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise
            await self._ask_erased(caller)
            return
        self._seen[sign_in] = None
        if len(self._seen) > _REMEMBERED_SIGN_INS:
            self._seen.popitem(last=False)

    async def get(self, user_id: UserId) -> User:
        """Read a user; one that was never seen is empty."""
        item = await self._read(user_id)
        return User(
            user_id=user_id,
            email=item.get("email", ""),
            display_name=item.get("displayName", ""),
            profile_image=item.get("profileImage", ""),
            provider=item.get("provider", ""),
            total_pictures=int(item.get("totalImagesGenerated", 0)),
            created_at=item.get("createdAt", ""),
            last_login_at=item.get("lastLoginAt", ""),
            daily_limit=_limit(item),
            is_blocked="blockedAt" in item,
        )

    async def admit(self, user_id: UserId, since: int, *, though_blocked: bool = False) -> None:
        """Ask the row itself, for what no write would ask; ``since`` is when the caller was last known to be the user.

        Raises UserBlocked, AccountErasing, AccountErased.
        """
        row = await self._read(user_id)
        standing.check(row, since)
        if "blockedAt" in row and not though_blocked:
            raise UserBlocked

    async def own_limit(self, user_id: UserId) -> int | None:
        """Return the user's own units a day, None where the service's hold: ``LATE_SECONDS`` old at most, none when set here."""
        read_at, limit = self._limits.get(user_id, (_NEVER, None))
        if time.monotonic() - read_at < LATE_SECONDS:
            self._limits.move_to_end(user_id)
            return limit
        # Marked first: what is said here during the read takes the mark away, and what was read is then not kept.
        mark = self._limits[user_id] = (_NEVER, limit)
        limit = _limit(await self._read(user_id))
        if self._limits.get(user_id) is mark:
            self._limits[user_id] = (time.monotonic(), limit)
            self._limits.move_to_end(user_id)
        if len(self._limits) > _REMEMBERED_LIMITS:
            self._limits.popitem(last=False)
        return limit

    async def check(self, user_id: UserId) -> None:
        """Raise UserBlocked for a user who is blocked, or was ``LATE_SECONDS`` ago; at once when said here.

        One small read for all users of the process, every few seconds. While it cannot be read, what was known holds: storing a
        job asks the user's row itself.
        """
        if self._is_stale():
            async with self._looking:
                if self._is_stale():  # nobody else has looked meanwhile
                    await self._look()
        if user_id in self._blocked:
            raise UserBlocked

    async def knows(self, user_id: UserId) -> bool:
        """Tell whether there is such a user: whoever was seen here, or was spoken of, and all who come without a token."""
        return is_anonymous(user_id) or bool(await self._read(user_id))

    async def set_daily_limit(self, user_id: UserId, limit: int | None) -> None:
        """Give the user so many units a day from now on, 0 or more; None gives back the service's limit.

        The user need not have been seen yet: whoever takes an id from a person should ask ``knows`` first.
        Raises ValueError for a negative limit.
        """
        if limit is not None and limit < 0:
            raise ValueError("A daily limit is 0 or more")
        change: dict[str, Any] = {"UpdateExpression": "REMOVE dailyLimit"}
        if limit is not None:
            change = {"UpdateExpression": "SET dailyLimit = :limit", "ExpressionAttributeValues": {":limit": limit}}
        try:
            await self._update(user_id, **change)
        finally:
            self._limits.pop(user_id, None)

    async def set_blocked(self, user_id: UserId, blocked: bool) -> None:
        """Refuse the user everything from now on, or nothing any more; saying it again changes nothing.

        No new job of the user's is stored from this moment on; requests and sockets end within ``LATE_SECONDS``. As with
        the limit, the user need not have been seen yet.
        """
        await (self._block(user_id) if blocked else self._unblock(user_id))

    async def blocked(self) -> frozenset[UserId]:
        """Read who is blocked now."""
        changes = self._changes
        self._blocked = frozenset(UserId(name) for name in (await self._read(_BLOCKED_KEY)).get("users", ()))
        # Somebody blocked here meanwhile may be missing: then the next one looks again.
        self._looked_at = time.monotonic() if changes == self._changes else _NEVER
        return self._blocked

    def _is_stale(self) -> bool:
        return time.monotonic() - self._looked_at >= LATE_SECONDS

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self.blocked()
        except Exception:
            # Requests must not end, nor wait again at once, for what most of them never meet.
            self._looked_at = time.monotonic()
            logger.warning("It cannot be read who is blocked", extra={"action": "read_blocked"}, exc_info=True)

    async def begin_erasing(self, user_id: UserId, since: int | None = None) -> None:
        """Let nothing new of the user's be stored from now on, until ``erase`` has ended it.

        ``since`` is when the caller was last known to be the user, now unless told. Raises AccountErased.
        """
        now = clock.now_milliseconds()
        try:
            await self._update(
                user_id,
                UpdateExpression="SET erasingSince = if_not_exists(erasingSince, :now)",
                ConditionExpression=standing.NOT_ERASED_SINCE,
                ExpressionAttributeValues={":now": clock.iso(now), ":since": now if since is None else since},
            )
        except ClientError as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise
            raise AccountErased from error

    async def erase(self, user_id: UserId, *, whatever_it_counts: bool = False) -> bool:
        """End the row, last of all; returns False, and does nothing, while it counts jobs that have not ended.

        What stays is the id, what an operator has said of the user, and when the account was erased: else who had signed in before,
        or had a link signed, would bring it back.
        """
        row = await self._read(user_id)
        if "erasingSince" not in row:
            return True  # another one has ended it meanwhile
        if row.get("unfinishedJobs", 0) > 0 and not whatever_it_counts:
            return False
        try:
            await self._put_end(user_id, row)
        except ClientError as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise
            return False
        finally:
            self._limits.pop(user_id, None)
            for sign_in in [sign_in for sign_in in self._seen if sign_in[0] == user_id]:
                del self._seen[sign_in]
        return True

    async def _put_end(self, user_id: UserId, row: Mapping[str, Any]) -> None:
        """Put what stays in the place of a row that is still as it was read."""
        stays = {name: row[name] for name in _OPERATORS_WORD & row.keys()}
        there, gone = sorted(_END_RESTS_ON & row.keys()), sorted(_END_RESTS_ON - row.keys())
        conditions = [f"{name} = :{name}" for name in there] + [f"attribute_not_exists({name})" for name in gone]
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": {"userId": user_id, "erasedAt": clock.now_milliseconds(), **stays},
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeValues": {f":{name}": row[name] for name in there},
        }
        await aws.retrying(lambda: self._client.put_item(**put))

    async def _ask_erased(self, caller: Caller) -> None:
        """Raise AccountErased unless the account is still being erased, which its owner may have to see through."""
        with suppress(AccountErasing):
            await self.admit(caller.user_id, caller.since, though_blocked=True)

    async def _update(self, user_id: UserId, **change: Any) -> None:
        await aws.retrying(lambda: self._client.update_item(TableName=self._table, Key={"userId": user_id}, **change))

    async def _block(self, user_id: UserId) -> None:
        now = clock.iso(clock.now_milliseconds())
        await self._change_both(
            user_id,
            {
                "UpdateExpression": "SET blockedAt = if_not_exists(blockedAt, :now)",
                "ExpressionAttributeValues": {":now": now},
            },
            "ADD",
        )

    async def _unblock(self, user_id: UserId) -> None:
        await self._change_both(user_id, {"UpdateExpression": "REMOVE blockedAt"}, "DELETE")

    async def _change_both(self, user_id: UserId, change: Mapping[str, Any], verb: str) -> None:
        """Change the user's row and the one that names all who are blocked, both or neither."""
        row = {"TableName": self._table, "Key": {"userId": user_id}, **change}
        names = {
            "TableName": self._table,
            "Key": {"userId": _BLOCKED_KEY},
            "UpdateExpression": f"{verb} #users :user",
            "ExpressionAttributeNames": {"#users": "users"},
            "ExpressionAttributeValues": {":user": {user_id}},
        }
        actions = cast(Any, [{"Update": row}, {"Update": names}])
        try:
            await aws.retrying(lambda: self._client.transact_write_items(TransactItems=actions))
        finally:
            self._changes += 1
            self._looked_at = _NEVER

    async def _read(self, key: str) -> Mapping[str, Any]:
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key={"userId": key}, ConsistentRead=True)
        )
        return response.get("Item", {})

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
            "ConditionExpression": standing.TAKES_IN,
            "ExpressionAttributeNames": {"#provider": "provider"},
            "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}
            | {":provider": caller.provider, ":now": now, ":since": caller.since},
        }


def _limit(item: Mapping[str, Any]) -> int | None:
    limit = item.get("dailyLimit")
    return None if limit is None else int(limit)
