"""Parking sightings in DynamoDB: kept once for each photo, found by plate and place, never scanned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs import aws, clock, parking_items
from jobs.actions import Action, failed_conditions
from jobs.errors import JobEnded
from jobs.parking import Sighting
from jobs.told_writes import ToldWrites

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

SIGHTING_LIFE_DAYS: Final = 30


class ParkingSightings:
    """Keeps sightings for thirty days. All errors: CloudUnavailable.

    A photo has a row of its own, named by its bytes alone, which says whose it is and where its sighting lies.
    """

    def __init__(self, client: DynamoDBClient, writes: ToldWrites, *, table: str) -> None:
        self._client = client
        self._writes = writes
        self._table = table

    async def keep(self, sighting: Sighting) -> str | None:
        """Store a sighting unless its photo is known, and return its plate and place as they were stored first.

        A photo of the same owner brings its crop along: the one that was stored may have gone with its job. Another user's
        photo is left alone, and None returned. Raises JobEnded when its job has been deleted: its owner may be gone.
        """
        ends = clock.now_milliseconds() // 1000 + SIGHTING_LIFE_DAYS * clock.DAY_SECONDS
        key = {"placePlate": sighting.place_plate, "capturedAt": sighting.captured_at}
        known = {"userId": sighting.user_id, "keptAs": key, "ttl": ends}
        put_photo = {
            "TableName": self._table,
            "Item": _photo_key(sighting.photo) | known,
            "ConditionExpression": "attribute_not_exists(placePlate)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        put_sighting = {"TableName": self._table, "Item": key | {"ttl": ends} | parking_items.sighting_item(sighting)}
        unburied = self._writes.unburied(sighting.job_id)
        try:
            await aws.retrying(lambda: self._writes.transact([{"Put": put_photo}, {"Put": put_sighting}, unburied]))
        except ClientError as error:
            failed = failed_conditions(error)
            if failed and failed[-1] is not None:
                raise JobEnded from error
            standing = next(filter(None, failed), None)
            if standing is None:
                raise
            return await self._find(sighting, standing)
        return sighting.place_plate

    def still_there(self, sighting: Sighting) -> Action:
        """Build the condition that a sighting which was read has not been taken away since."""
        key = {"placePlate": sighting.place_plate, "capturedAt": sighting.captured_at}
        check = {"TableName": self._table, "Key": key, "ConditionExpression": "attribute_exists(placePlate)"}
        return {"ConditionCheck": check}

    async def extremes(self, place_plate: str) -> list[Sighting]:
        """Read the earliest and the latest sighting of a car in a place."""
        return [*await self._outermost(place_plate, latest=False), *await self._outermost(place_plate, latest=True)]

    async def _find(self, sighting: Sighting, known: Mapping[str, Any]) -> str | None:
        if known["userId"] != sighting.user_id:
            return None
        await self._renew_crop(sighting, known["keptAs"])
        return str(known["keptAs"]["placePlate"])

    async def _renew_crop(self, sighting: Sighting, key: Mapping[str, str]) -> None:
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": "SET jobId = :jobId, croppedUrl = :croppedUrl, vehicleInCrop = :vehicleInCrop",
            # A sighting may be forgotten a little before its photo is.
            "ConditionExpression": "userId = :user",
            "ExpressionAttributeValues": {
                ":user": sighting.user_id,
                **{f":{name}": value for name, value in parking_items.crop_item(sighting).items()},
            },
        }
        try:
            await aws.retrying(lambda: self._client.update_item(**update))
        except ClientError as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise

    async def _outermost(self, place_plate: str, *, latest: bool) -> list[Sighting]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "placePlate = :place",
            "ExpressionAttributeValues": {":place": place_plate},
            "ScanIndexForward": not latest,
            "ConsistentRead": True,
            "Limit": 1,
        }
        response = await aws.retrying(lambda: self._client.query(**query))
        return [parking_items.read_sighting(item) for item in response["Items"]]


def _photo_key(photo: str) -> dict[str, str]:
    return {"placePlate": f"photo#{photo}", "capturedAt": "photo"}
