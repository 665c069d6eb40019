"""What goes wrong between a job's reading and its writing, on the real DynamoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from jobs.actions import Tables
from jobs.events import InProcessBus
from jobs.job_table import JobTable
from tests.aws_faults import HeldBack, Refuses
from tests.jobs.ground import Ground

T = TypeVar("T")


class NotesEventIds(Refuses):
    """Refuses so many attempts, and notes the id of the event in each."""

    def __init__(self, client: object, count: int) -> None:
        super().__init__(client, count)
        self.event_ids: list[str] = []

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Note, then refuse or write."""
        put = [action["Put"]["Item"] for action in arguments["TransactItems"] if "Put" in action]
        self.event_ids += [item["eventId"] for item in put if "eventId" in item]
        return await super().transact_write_items(**arguments)


def table_on(client: object, tables: Tables, bus: InProcessBus | None = None) -> JobTable:
    """Put a table on a client that misbehaves."""
    return JobTable(cast(Any, client), tables, bus or InProcessBus())


def held_back(ground: Ground) -> HeldBack:
    """Wrap DynamoDB so that nothing is written until it may."""
    return HeldBack(ground.clients.dynamodb, only=lambda _: True)


async def overtaken(slow: HeldBack, late: Awaitable[T], quick: Awaitable[object]) -> T | BaseException:
    """Let ``quick`` happen between the reading and the writing of ``late``; return how ``late`` ended."""
    waiting = asyncio.ensure_future(late)
    await slow.reached.wait()
    await quick
    slow.go.set()
    (result,) = await asyncio.gather(waiting, return_exceptions=True)
    return result
