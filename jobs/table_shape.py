"""The form that the three original tables need here, what a table lacks of it, and how that is added while it is in use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs import aws
from jobs.errors import DarkroomError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_LOOK_AGAIN_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 60.0
_AT_REST: Final = ("ACTIVE", "UPDATING")
_BUSY: Final = ("ResourceInUseException", "LimitExceededException")
_EXPIRY_IS_BUSY: Final = (*_BUSY, "ValidationException")
"""What was switched on already, or within the hour before, says no more than that."""
_WAITING: Final = "being changed"


class WrongTable(DarkroomError):
    """The table cannot be given the form that is needed."""

    code = "wrong_table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index: its name, its keys, and what it shows beside them: everything, where ``shows`` is None."""

    name: str
    keys: tuple[str, ...]
    shows: tuple[str, ...] | None = None

    @property
    def projection(self) -> dict[str, Any]:
        """What it shows, in DynamoDB's words."""
        if self.shows is None:
            return {"ProjectionType": "ALL"}
        more = {"NonKeyAttributes": list(self.shows)} if self.shows else {}
        return {"ProjectionType": "INCLUDE" if self.shows else "KEYS_ONLY"} | more

    @property
    def schema(self) -> list[dict[str, str]]:
        """Its keys, in DynamoDB's words."""
        return [
            {"AttributeName": key, "KeyType": kind} for key, kind in zip(self.keys, ("HASH", "RANGE"), strict=False)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a table needs: its key, its indexes, and the attribute by which rows expire."""

    key: str
    indexes: tuple[Index, ...] = ()
    expires_by: str | None = None


USERS: Final = Shape(key="userId")
USAGE: Final = Shape(key="userIdDate", indexes=(Index(name="UserIdIndex", keys=("userId",)),), expires_by="ttl")
JOBS: Final = Shape(
    key="jobId",
    indexes=(
        Index(name="UserIdCreatedAtIndex", keys=("userId", "createdAt")),
        Index(name="StatusIndex", keys=("statusShard", "updatedAt"), shows=("userId", "waiting", "sentAt")),
        Index(name="WaitingIndex", keys=("waitingUser", "createdAt"), shows=()),
    ),
    expires_by="expiresAt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A table as it is."""

    table: Mapping[str, Any]
    expiry: Mapping[str, Any]
    is_recoverable: bool

    @property
    def indexes(self) -> Mapping[str, Mapping[str, Any]]:
        return {index["IndexName"]: index for index in self.table.get("GlobalSecondaryIndexes", ())}


class ShapedTable:
    """One of the tables. Every method raises CloudUnavailable, and ClientError where it may not look or change."""

    def __init__(
        self, client: DynamoDBClient, name: str, shape: Shape, *, look_again_seconds: float = _LOOK_AGAIN_SECONDS
    ) -> None:
        self._client = client
        self.name = name
        self._shape = shape
        self._look_again_seconds = look_again_seconds

    async def check(self) -> None:
        """Raise WrongTable unless there is such a table with the right key."""
        described = await self._describe()
        found = {key["KeyType"]: key["AttributeName"] for key in described["KeySchema"]}
        if found != {"HASH": self._shape.key}:
            raise WrongTable(f"The key of {self.name} is {' and '.join(found.values())}, not {self._shape.key}.")

    async def lacks(self) -> list[str]:
        """Say what it lacks, in a sentence each."""
        return [*_lacks(self._shape, await self._look())]

    async def complete(self, tell: Callable[[str], None], stop: asyncio.Event) -> None:
        """Add what it lacks, one step after the other, until nothing is left or ``stop`` is set; ``tell`` is told of each step.

        DynamoDB builds one index of a table at a time; the table serves meanwhile. Raises WrongTable.
        """
        told = ""
        while not stop.is_set():
            step = await self._step(await self._look())
            if step is None:
                return
            is_repeated, told = step == told, step
            if not is_repeated:
                tell(f"{self.name}: {step}")
            # What is described may lag behind what was done.
            if is_repeated or step.endswith(_WAITING):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look_again_seconds):
                        await stop.wait()

    async def _step(self, seen: _Seen) -> str | None:
        """Take the next step and name it; None when all is done."""
        busy = [name for name, index in seen.indexes.items() if index.get("IndexStatus", "ACTIVE") not in _AT_REST]
        if busy or seen.table["TableStatus"] != "ACTIVE":
            return f"{', '.join(busy) or 'the table'} is {_WAITING}"
        for index in self._shape.indexes:
            standing = seen.indexes.get(index.name)
            if standing is None:
                return await self._update(_create(index, seen.table), f"{index.name} is made")
            if _differs(index, standing):
                delete = {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": index.name}}]}
                return await self._update(delete, f"{index.name} is taken away, to be made anew")
        return await self._switch_on(seen)

    async def _switch_on(self, seen: _Seen) -> str | None:
        if not seen.is_recoverable:
            await _asked(
                lambda: self._client.update_continuous_backups(
                    TableName=self.name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
                )
            )
            return "recovery to a point in time is switched on"
        attribute = self._shape.expires_by
        if attribute is not None and not _expires(self._shape, seen):
            if seen.expiry.get("TimeToLiveStatus") not in (None, "DISABLED"):
                raise WrongTable(
                    f"The rows of {self.name} expire by {seen.expiry.get('AttributeName')}; switch that off."
                )
            wanted: Any = {"AttributeName": attribute, "Enabled": True}
            return await _step(
                lambda: self._client.update_time_to_live(TableName=self.name, TimeToLiveSpecification=wanted),
                f"its rows expire by {attribute}",
                _EXPIRY_IS_BUSY,
            )
        return None

    async def _update(self, change: Mapping[str, Any], step: str) -> str:
        return await _step(lambda: self._client.update_table(TableName=self.name, **change), step, _BUSY)

    async def _look(self) -> _Seen:
        expiry = await _asked(lambda: self._client.describe_time_to_live(TableName=self.name))
        backups = await _asked(lambda: self._client.describe_continuous_backups(TableName=self.name))
        recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        return _Seen(
            table=await self._describe(),
            expiry=expiry["TimeToLiveDescription"],
            is_recoverable=recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
        )

    async def _describe(self) -> Any:
        try:
            return (await _asked(lambda: self._client.describe_table(TableName=self.name)))["Table"]
        except ClientError as error:
            if aws.error_code(error) != "ResourceNotFoundException":
                raise
            raise WrongTable(f"There is no table {self.name}.") from error


def _lacks(shape: Shape, seen: _Seen) -> Iterator[str]:
    for index in shape.indexes:
        standing = seen.indexes.get(index.name)
        if standing is None:
            yield f"It has no index {index.name} on {' and '.join(index.keys)}."
        elif _differs(index, standing):
            found = " and ".join(key["AttributeName"] for key in standing["KeySchema"])
            yield f"Its index {index.name} on {found} is to be replaced by one on {' and '.join(index.keys)}."
        elif standing.get("IndexStatus", "ACTIVE") not in _AT_REST:
            yield f"Its index {index.name} is {standing['IndexStatus']}."
    if not _expires(shape, seen):
        yield f"Its rows do not expire by {shape.expires_by}."
    if not seen.is_recoverable:
        yield "It cannot be recovered to a point in time."


def _expires(shape: Shape, seen: _Seen) -> bool:
    is_on = seen.expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return shape.expires_by is None or (is_on and seen.expiry.get("AttributeName") == shape.expires_by)


def _differs(index: Index, standing: Mapping[str, Any]) -> bool:
    keys = tuple(key["AttributeName"] for key in sorted(standing["KeySchema"], key=lambda key: str(key["KeyType"])))
    shown = standing.get("Projection", {"ProjectionType": "ALL"})
    if keys != index.keys:
        return True
    if shown["ProjectionType"] == "ALL":
        return False  # more than is needed
    return index.shows is None or not {*index.shows} <= {*shown.get("NonKeyAttributes", ())}


def _create(index: Index, table: Mapping[str, Any]) -> dict[str, Any]:
    """Build the change that makes the index; what a provisioned table may do, its index may do too."""
    wanted: dict[str, Any] = {"IndexName": index.name, "KeySchema": index.schema, "Projection": index.projection}
    if table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED") == "PROVISIONED":
        names = ("ReadCapacityUnits", "WriteCapacityUnits")
        wanted["ProvisionedThroughput"] = {name: table["ProvisionedThroughput"][name] for name in names}
    return {
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in index.keys],
        "GlobalSecondaryIndexUpdates": [{"Create": wanted}],
    }


async def _step(call: Callable[[], Any], step: str, busy: tuple[str, ...]) -> str:
    try:
        await _asked(call)
    except ClientError as error:
        if aws.error_code(error) not in busy:
            raise
        return f"the table is {_WAITING}"  # what was described lags behind
    return step


async def _asked(call: Callable[[], Any]) -> Any:
    return await aws.retrying(call, patience_seconds=_PATIENCE_SECONDS)
