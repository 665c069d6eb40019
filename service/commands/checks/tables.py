"""Whether the tables are there and have the keys, indexes and time-to-live that the code needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError

from service.commands.checks.finding import Look, State, Wrong
from service.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_APPLY: Final = (
    "Apply deploy/data.yaml of this version, or `python -m service migrate --indexes` to tables that were taken over; "
    "tables that exist keep what they hold."
)
Keys: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the code needs of a table: its keys, those of its indexes, and the attribute by which rows expire."""

    keys: Keys
    indexes: Mapping[str, Keys] = field(default_factory=dict)
    expires_by: str | None = None


FORMS: Final[Mapping[str, Form]] = {
    "users_table": Form(keys=("userId",)),
    "usage_log_table": Form(keys=("userIdDate",), indexes={"UserIdIndex": ("userId",)}, expires_by="ttl"),
    "image_jobs_table": Form(
        keys=("jobId",),
        indexes={
            "UserIdCreatedAtIndex": ("userId", "createdAt"),
            "StatusIndex": ("statusShard", "updatedAt"),
            "WaitingIndex": ("waitingUser", "createdAt"),
        },
        expires_by="expiresAt",
    ),
    "job_events_table": Form(keys=("userId", "eventId"), expires_by="ttl"),
    "parking_sightings_table": Form(
        keys=("placePlate", "capturedAt"), indexes={"UserIdIndex": ("userId",)}, expires_by="ttl"
    ),
    "parking_reports_table": Form(
        keys=("reportId", "member"), indexes={"UserIdCreatedAtIndex": ("userId", "createdAt")}
    ),
    "webhooks_table": Form(keys=("userId", "webhookId")),
    "webhook_deliveries_table": Form(keys=("webhookId", "deliveryId"), expires_by="ttl"),
}


def looks(client: DynamoDBClient, settings: Settings) -> Iterator[Look]:
    """Return a look at each table."""
    for setting, form in FORMS.items():
        name = str(getattr(settings, setting))
        part = f"table {setting.removesuffix('_table').replace('_', ' ')}"
        yield Look(part=part, take=partial(_look, client, setting, name, form), advice=_advice(setting))


def _advice(setting: str) -> str:
    return f"Is {setting.upper()} the name of a table in AWS_REGION?"


async def _look(client: DynamoDBClient, setting: str, name: str, form: Form) -> str:
    try:
        described: Any = (await client.describe_table(TableName=name))["Table"]
    except client.exceptions.ResourceNotFoundException as error:
        raise Wrong(f"There is no table {name}.", _advice(setting)) from error
    _check_form(described, form)
    expiry = await _expiry(client, name, form)
    status = described["TableStatus"]
    if status not in ("ACTIVE", "UPDATING"):
        raise Wrong(f"{name} is {status}.", "Wait until it is ACTIVE.")
    return f"{name} is {status}{expiry}."


def _check_form(described: Any, form: Form) -> None:
    found = _keys(described["KeySchema"])
    if found != form.keys:
        raise Wrong(f"Its key is {_words(found)}, not {_words(form.keys)}.", "Name the right table.")
    indexes = {index["IndexName"]: index for index in described.get("GlobalSecondaryIndexes", [])}
    for name, keys in form.indexes.items():
        if name not in indexes:
            raise Wrong(f"It has no index {name}.", _APPLY)
        if _keys(indexes[name]["KeySchema"]) != keys:
            raise Wrong(f"The key of its index {name} is not {_words(keys)}.", _APPLY)
        if indexes[name].get("IndexStatus", "ACTIVE") not in ("ACTIVE", "UPDATING"):
            raise Wrong(f"Its index {name} is {indexes[name]['IndexStatus']}.", "Wait until it is ACTIVE.")


async def _expiry(client: DynamoDBClient, name: str, form: Form) -> str:
    if form.expires_by is None:
        return ""
    try:
        answer = await client.describe_time_to_live(TableName=name)
    except ClientError:
        return ", nobody may see whether its rows expire"
    told = answer["TimeToLiveDescription"]
    if told.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING") or told.get("AttributeName") != form.expires_by:
        raise Wrong(f"Its rows do not expire by {form.expires_by}, so it grows for ever.", _APPLY, state=State.WARNING)
    return f", rows expire by {form.expires_by}"


def _keys(schema: Any) -> Keys:
    by_kind = {key["KeyType"]: key["AttributeName"] for key in schema}
    return tuple(by_kind[kind] for kind in ("HASH", "RANGE") if kind in by_kind)


def _words(keys: Keys) -> str:
    return " and ".join(keys)
