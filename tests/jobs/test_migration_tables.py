"""What the original's tables lack is named, and added while they are in use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deploy.provision import read_resources
from jobs.aws import Clients
from jobs.ids import UserId
from jobs.job_table import Tables
from jobs.table_shape import JOBS, USAGE, USERS, Shape, ShapedTable, WrongTable
from tests.jobs import original


@pytest.fixture
async def theirs(clients: Clients, tables: Tables) -> Tables:
    """Make the original's tables."""
    return await original.make_tables(clients, tables.events)


async def test_a_table_gets_what_it_lacks_and_keeps_its_rows(clients: Clients, theirs: Tables, user: UserId) -> None:
    """Also the index of the right name and the wrong key; a second run has nothing to do."""
    row = original.job(user, "completed")
    await original.put(clients, theirs.jobs, row)
    table = ShapedTable(clients.dynamodb, theirs.jobs, JOBS)
    told: list[str] = []
    lacks = await table.lacks()
    await table.complete(told.append, asyncio.Event())
    steps = len(told)
    await table.complete(told.append, asyncio.Event())

    assert [
        "Its index StatusIndex on status is to be replaced by one on statusShard and updatedAt.",
        "It has no index WaitingIndex on waitingUser and createdAt.",
        "Its rows do not expire by expiresAt.",
        "It cannot be recovered to a point in time.",
    ] == lacks
    assert (5, 5) == (steps, len(told))
    assert [] == await table.lacks()
    assert row == await original.read(clients, theirs.jobs, jobId=row["jobId"])


class Lags:
    """A client whose descriptions show what was switched on only after so many looks more."""

    def __init__(self, client: Any, looks: int) -> None:
        self._client = client
        self._left = {"describe_continuous_backups": looks, "describe_time_to_live": looks}
        self._stale: dict[str, Any] = {}
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name in self._left:
            return lambda **request: self._describe(name, call, request)
        self.asked += [name] if name.startswith("update_") else []
        return self._refuse if name == "update_time_to_live" and self.asked.count(name) > 1 else call

    async def _describe(self, name: str, call: Any, request: dict[str, Any]) -> Any:
        """Say what was so at first, until it has been asked so often since the change."""
        stale = self._stale.setdefault(name, await call(**request))
        if name.replace("describe_", "update_") in self.asked:
            self._left[name] -= 1
        return stale if self._left[name] >= 0 else await call(**request)

    async def _refuse(self, **_: Any) -> Any:
        """Refuse what is on already, as DynamoDB does and the emulator does not."""
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "TimeToLive is already enabled"}}, "x")


async def test_descriptions_may_lag_behind_what_was_done(clients: Clients, theirs: Tables) -> None:
    """Then it looks again after a pause, asks for nothing in a tight loop, and takes no refusal of a second time for an end."""
    lagging = Lags(clients.dynamodb, looks=2)
    table = ShapedTable(lagging, theirs.usage, USAGE, look_again_seconds=0.05)  # type: ignore[arg-type]
    told: list[str] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    await table.complete(told.append, asyncio.Event())

    assert 4 * 0.05 <= loop.time() - began
    assert 3 * ["update_continuous_backups"] + 3 * ["update_time_to_live"] == lagging.asked
    assert ["recovery to a point in time is switched on", "its rows expire by ttl", "the table is being changed"] == [
        line.removeprefix(f"{theirs.usage}: ") for line in told
    ]


@pytest.mark.parametrize(("name", "shape"), [("UsersTable", USERS), ("UsageLogTable", USAGE), ("ImageJobsTable", JOBS)])
def test_the_shapes_are_those_of_the_template(name: str, shape: Shape) -> None:
    """What is added is what deploy/data.yaml makes."""
    table: dict[str, Any] = read_resources()[name]["Properties"]
    indexes = [
        {"IndexName": index.name, "KeySchema": index.schema, "Projection": index.projection} for index in shape.indexes
    ]

    assert table["KeySchema"] == [{"AttributeName": shape.key, "KeyType": "HASH"}]
    assert table.get("GlobalSecondaryIndexes", []) == indexes
    assert table.get("TimeToLiveSpecification", {}).get("AttributeName") == shape.expires_by
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]


async def test_a_wrong_name_is_said_before_anything_is_done(clients: Clients, theirs: Tables) -> None:
    """No such table, and one of other keys."""
    with pytest.raises(WrongTable, match=r"^There is no table nowhere\.$"):
        await ShapedTable(clients.dynamodb, "nowhere", JOBS).check()
    with pytest.raises(WrongTable, match=r"is userIdDate, not jobId\.$"):
        await ShapedTable(clients.dynamodb, theirs.usage, JOBS).check()


async def test_an_index_of_a_provisioned_table_may_do_what_the_table_may(clients: Clients) -> None:
    """Such a table refuses an index that does not say."""
    name = "provisioned-usage"
    await clients.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "userIdDate", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "userIdDate", "AttributeType": "S"}],
        ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 3},
    )
    await ShapedTable(clients.dynamodb, name, USAGE).complete(lambda _: None, asyncio.Event())
    described = (await clients.dynamodb.describe_table(TableName=name))["Table"]
    [index] = described["GlobalSecondaryIndexes"]

    assert {"ReadCapacityUnits": 7, "WriteCapacityUnits": 3} == index["ProvisionedThroughput"]
