"""AWS misbehaving: wrappers around the real DynamoDB client, for what the emulator never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError


class _Wrapped:
    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class HeldBack(_Wrapped):
    """Holds the transactions that ``only`` chooses until ``go`` is set."""

    def __init__(self, client: Any, *, only: Callable[[Any], bool]) -> None:
        super().__init__(client)
        self._only = only
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Write, once it may."""
        if self._only(arguments["TransactItems"]):
            self.reached.set()
            await self.go.wait()
        return await self._client.transact_write_items(**arguments)


class AnswersLate(_Wrapped):
    """Writes at once, and answers when ``go`` is set."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.committed = asyncio.Event()
        self.go = asyncio.Event()

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Write, and wait."""
        answer = await self._client.transact_write_items(**arguments)
        self.committed.set()
        await self.go.wait()
        return answer


class AnswersLost(_Wrapped):
    """Writes the first ``count`` transactions and says that it timed out; ``meanwhile`` runs between the two."""

    def __init__(self, client: Any, count: int, meanwhile: Callable[[], Any] | None = None) -> None:
        super().__init__(client)
        self._count = count
        self._meanwhile = meanwhile

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Write, and lose the answer."""
        answer = await self._client.transact_write_items(**arguments)
        if self._count <= 0:
            return answer
        self._count -= 1
        if self._meanwhile is not None:
            await self._meanwhile()
        raise ReadTimeoutError(endpoint_url="http://dynamodb")


class Refuses(_Wrapped):
    """Refuses the first ``count`` transactions the way DynamoDB does when two meet on one item, or when there are too many."""

    def __init__(self, client: Any, count: int, code: str = "TransactionConflict") -> None:
        super().__init__(client)
        self._count = count
        self._code = code

    async def transact_write_items(self, **arguments: Any) -> Any:
        """Refuse, then write."""
        if self._count <= 0:
            return await self._client.transact_write_items(**arguments)
        self._count -= 1
        reasons = [{"Code": "None"}, {"Code": self._code, "Message": "Not now"}]
        response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise ClientError(response, "TransactWriteItems")


class HeldBackPut(_Wrapped):
    """Holds each upload until ``go`` is set; ``landed`` counts those that came to their end."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.landed = 0

    async def put_object(self, **arguments: Any) -> Any:
        """Store, once it may."""
        self.reached.set()
        await self.go.wait()
        answer = await self._client.put_object(**arguments)
        self.landed += 1
        return answer


class RefusesCalls(_Wrapped):
    """Refuses the first ``count`` calls of one name with an answer that is neither a throttling nor an outage."""

    def __init__(self, client: Any, name: str, count: int) -> None:
        super().__init__(client)
        self._name = name
        self.left = count

    def __getattr__(self, name: str) -> Any:
        return self._refuse if name == self._name and self.left > 0 else super().__getattr__(name)

    async def _refuse(self, **_: Any) -> Any:
        self.left -= 1
        raise ClientError({"Error": {"Code": "OverLimit"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, self._name)  # type: ignore[typeddict-item]
