"""What calls cost, and the day's limit that all tasks share."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError
from prometheus_client import CollectorRegistry

from consumers.gate import Gate, GateConfig
from consumers.gate_state import Condition, GateMetrics
from consumers.spending import LIMIT_REACHED, PRICES, Prices, Spending
from jobs import clock
from jobs.aws import Clients
from jobs.job_table import Tables
from jobs.model import ModelUse
from jobs.spend_table import Spend, SpendTable

MODEL = "gemini-nano-banana-2.1"
SPENT_TODAY = "gemini_spend_today_microdollars"
DOLLAR = 1_000_000
TOKENS = {"prompt": 1000, "output": 1120}
PICTURE = ModelUse(calls=1, pictures=1, tokens=TOKENS)
PICTURE_COST = 1500 + 33_600
MILLISECONDS_OF_A_DAY = clock.DAY_SECONDS * 1000


class Unanswered:
    """The real client, whose first updates do not reach DynamoDB."""

    def __init__(self, client: Any, count: int) -> None:
        self._client = client
        self._count = count
        self.has_failed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def update_item(self, **arguments: Any) -> Any:
        """Time out, then write."""
        if self._count <= 0:
            return await self._client.update_item(**arguments)
        self._count -= 1
        if self._count == 1:
            self.has_failed.set()  # a flush tries four times
        raise ReadTimeoutError(endpoint_url="http://dynamodb")


@dataclass(slots=True, kw_only=True)
class Day:
    """A day that no other test spends on, and what is spent on it."""

    table: SpendTable
    tables: Tables
    clients: Clients
    stack: AsyncExitStack
    now: int = field(default_factory=lambda: (random.randrange(30_000, 40_000) * 24 + 12) * 3_600_000)
    closed: list[tuple[float, str]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """Name the day."""
        return clock.utc_day(self.now)

    @property
    def midnight(self) -> float:
        """Say when it ends, in seconds."""
        return clock.next_utc_midnight(self.now) / 1000

    async def row(self) -> dict[str, int]:
        """Read what is written of it."""
        answer: Any = await self.clients.dynamodb.get_item(
            TableName=self.tables.usage, Key={"userIdDate": f"spend#{self.name}"}, ConsistentRead=True
        )
        item = answer.get("Item", {})
        return {name: int(item.get(name, 0)) for name in ("microdollars", "pictures", "tokens")}

    async def opened(
        self,
        limit: float | None,
        *,
        client: Any = None,
        close: Callable[[float, str], None] | None = None,
        registry: CollectorRegistry | None = None,
    ) -> Spending:
        """Start a task's spending; it stops with the test."""
        table = SpendTable(cast(Any, client), self.tables.usage) if client else self.table
        spending = Spending(
            table, limit, close or self._note, registry or CollectorRegistry(), now=lambda: self.now, prices=Prices()
        )
        await spending.start()
        self.stack.push_async_callback(spending.stop)
        return spending

    async def closing(self) -> None:
        """Wait until somebody closes."""
        async with asyncio.timeout(15):
            await self.told.wait()

    def _note(self, until: float, reason: str) -> None:
        self.closed.append((until, reason))
        self.told.set()


@pytest.fixture
async def day(clients: Clients, tables: Tables) -> AsyncIterator[Day]:
    """Begin a day."""
    async with AsyncExitStack() as stack:
        yield Day(table=SpendTable(clients.dynamodb, tables.usage), tables=tables, clients=clients, stack=stack)


@pytest.mark.parametrize(
    ("model", "tokens", "pictures", "microdollars"),
    [
        (MODEL, TOKENS, 1, PICTURE_COST),
        (MODEL, {**TOKENS, "thoughts": 100}, 1, PICTURE_COST + 750),
        (MODEL, {}, 2, 67_200),
        (MODEL, {"prompt": 1000, "output": 100}, 0, 1500 + 750),
        (MODEL, {"prompt": 1000, "output": 2520}, 1, 1500 + 75_600),
        ("gemini-3.5-flash-lite", {"prompt": 1, "output": 1, "thoughts": 1}, 0, 6),
        ("gemini-embedding-2", {"prompt": 5}, 0, 1),
        (MODEL, {}, 0, 0),
    ],
)
def test_a_call_costs_what_the_list_says(model: str, tokens: dict[str, int], pictures: int, microdollars: int) -> None:
    """A picture's tokens have their own price, and a picture without tokens still costs; parts of a millionth count."""
    assert microdollars == Prices().microdollars(model, tokens, pictures)


def test_an_unknown_model_is_as_dear_as_the_dearest(caplog: pytest.LogCaptureFixture) -> None:
    """And is warned of once."""
    prices, tokens = Prices(), {"prompt": 1000, "output": 1000, "thoughts": 1000}
    with caplog.at_level(logging.WARNING):
        for pictures in (0, 1):
            cost = prices.microdollars("gemini-next", tokens, pictures)

            assert cost >= max(price.microdollars(tokens, pictures) for price in PRICES.values())

    assert 1 == len(caplog.records)


async def test_what_calls_cost_is_written_when_the_task_stops(day: Day) -> None:
    """One row for the day, without any limit too; it goes away by itself."""
    registry = CollectorRegistry()
    spending = await day.opened(None, registry=registry)
    for _ in range(3):
        spending.note(MODEL, PICTURE)
    before = await day.row()
    await spending.stop()

    assert {"microdollars": 0, "pictures": 0, "tokens": 0} == before
    assert {"microdollars": 3 * PICTURE_COST, "pictures": 3, "tokens": 3 * 2120} == await day.row()
    assert [] == day.closed
    assert 3 * PICTURE_COST == registry.get_sample_value("gemini_spend_microdollars_total", {"model": MODEL})


async def test_the_row_is_no_user_s(day: Day) -> None:
    """It is in no index of users, and has an end."""
    await day.table.add(day.name, Spend(microdollars=1))
    answer: Any = await day.clients.dynamodb.get_item(
        TableName=day.tables.usage, Key={"userIdDate": f"spend#{day.name}"}
    )

    assert "userId" not in answer["Item"]
    assert day.midnight < int(answer["Item"]["ttl"]) < day.midnight + 91 * clock.DAY_SECONDS


async def test_the_limit_closes_until_midnight(day: Day) -> None:
    """Without waiting for the next flush, because more than a hundredth is pending; the order is given once."""
    spending = await day.opened(2 * PICTURE_COST / DOLLAR)
    spending.note(MODEL, PICTURE)
    spending.note(MODEL, PICTURE)
    await day.closing()
    spending.note(MODEL, PICTURE)  # one that was under way
    await spending.stop()

    assert [(day.midnight, LIMIT_REACHED)] == day.closed
    assert 3 == (await day.row())["pictures"]


async def test_a_gate_that_is_closed_lets_nothing_be_fetched(day: Day) -> None:
    """As in an outage, with the reason for those who ask."""
    gate = Gate(
        MODEL,
        GateConfig(most=1),
        GateMetrics(CollectorRegistry()),
        lambda state: day.told.set(),
        wall_clock=lambda: day.now / 1000,
    )
    day.stack.callback(gate.close)
    spending = await day.opened(PICTURE_COST / DOLLAR, close=gate.close_until)
    was_open = gate.is_open_for_fetching
    spending.note(MODEL, PICTURE)
    await day.closing()

    assert was_open
    assert not gate.is_open_for_fetching
    assert (Condition.CLOSED_UNTIL, LIMIT_REACHED) == (gate.state.condition, gate.state.reason)


async def test_two_processes_are_capped_together(day: Day) -> None:
    """Each spends less than the limit; the one that comes to the table second knows at once."""
    limit = 3 * PICTURE_COST / DOLLAR
    one, two = await day.opened(limit), await day.opened(limit)
    for _ in range(2):
        one.note(MODEL, PICTURE)
    await one.stop()
    early = list(day.closed)
    two.note(MODEL, PICTURE)
    await day.closing()

    assert [] == early
    assert (day.midnight, LIMIT_REACHED) in day.closed
    assert 3 * PICTURE_COST == (await day.row())["microdollars"]


async def test_an_idle_process_learns_what_the_others_spent(day: Day) -> None:
    """It has nothing to tell, and asks."""
    await day.opened(1)
    await day.table.add(day.name, Spend(microdollars=DOLLAR))
    await day.closing()

    assert [(day.midnight, LIMIT_REACHED)] == day.closed


async def test_a_restarted_process_knows(day: Day) -> None:
    """Before it fetches anything."""
    await day.table.add(day.name, Spend(microdollars=DOLLAR))
    await day.opened(1)

    assert [(day.midnight, LIMIT_REACHED)] == day.closed


async def test_a_new_day_has_its_own_row(day: Day) -> None:
    """What was spent before midnight is booked there, and closes nothing after it; the new day has its own limit."""
    spending = await day.opened(200 * PICTURE_COST / DOLLAR)
    yesterday = await day.row()
    await day.table.add(day.name, Spend(microdollars=200 * PICTURE_COST))
    spending.note(MODEL, PICTURE)
    day.now += MILLISECONDS_OF_A_DAY
    spending.note(MODEL, PICTURE)
    spending.note(MODEL, PICTURE)
    await spending.stop()
    today = await day.row()
    day.now -= MILLISECONDS_OF_A_DAY

    assert 0 == yesterday["microdollars"]
    assert [] == day.closed
    assert (1, 2) == ((await day.row())["pictures"], today["pictures"])


async def test_the_day_s_sum_of_all_tasks_is_shown_where_it_has_a_limit(day: Day) -> None:
    """For the alarm that comes before the limit; it begins anew at midnight."""
    limited, free = CollectorRegistry(), CollectorRegistry()
    await day.table.add(day.name, Spend(microdollars=DOLLAR))
    spending, _ = await day.opened(2, registry=limited), await day.opened(None, registry=free)
    first = limited.get_sample_value(SPENT_TODAY)
    day.now += MILLISECONDS_OF_A_DAY
    spending.note(MODEL, PICTURE)
    await spending.stop()

    assert (DOLLAR, PICTURE_COST) == (first, limited.get_sample_value(SPENT_TODAY))
    assert math.isnan(free.get_sample_value(SPENT_TODAY) or 0)


async def test_what_could_not_be_told_is_told_later(day: Day) -> None:
    """DynamoDB is away for one flush; the next one carries it, with what came meanwhile, once."""
    client = Unanswered(day.clients.dynamodb, 5)
    spending = await day.opened(100, client=client)
    for _ in range(30):
        spending.note(MODEL, PICTURE)  # a hundredth is pending: flushed at once, in vain
    async with asyncio.timeout(15):
        await client.has_failed.wait()
    spending.note(MODEL, PICTURE)
    await spending.stop()

    assert {"microdollars": 31 * PICTURE_COST, "pictures": 31, "tokens": 31 * 2120} == await day.row()


async def test_a_table_that_is_away_does_not_keep_the_service_from_starting(day: Day) -> None:
    """It starts without the sum, and asks again."""

    class Silent:
        async def get_item(self, **_: Any) -> Any:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")

    spending = await day.opened(1, client=Silent())

    assert [] == day.closed
    assert not spending.failed.done()
