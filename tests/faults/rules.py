"""What goes wrong, and for which requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Self, TypeAlias

from tests.faults.messages import Request

Matches: TypeAlias = Callable[[Request], bool]
Callback: TypeAlias = Callable[[], Awaitable[None]]
_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"


class Ending(Enum):
    """What becomes of a request."""

    PASS = auto()
    ANSWER = auto()
    CUT = auto()
    CUT_AFTER = auto()
    RESET = auto()
    BLACKHOLE = auto()


class Rule:
    """A fault for the requests that ``matches`` chooses; without one it only watches them pass.

    Say what happens with the methods, which return the rule: ``proxy.when(is_put).after(kill).cut_after().times(1)``.
    ``count`` is how many requests it befell. ``reached`` is set when it befalls the first one, ``finished`` when that request
    has had its end, callbacks included.
    """

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._limit: int | None = None
        self._is_lifted = False
        self.released = asyncio.Event()
        self.ending = Ending.PASS
        self.seconds = 0.0
        self.call_before: Callback | None = None
        self.call_after: Callback | None = None
        self.make_answer: Callable[[Request], bytes] = _empty_answer
        self.count = 0
        self.reached = asyncio.Event()
        self.finished = asyncio.Event()

    def latency(self, seconds: float) -> Self:
        """Hold the request so long before anything else happens to it."""
        self.seconds = seconds
        return self

    def before(self, callback: Callback) -> Self:
        """Await the callback before the request is forwarded or meets its end; it runs on when the client leaves."""
        self.call_before = callback
        return self

    def after(self, callback: Callback) -> Self:
        """Await the callback once the upstream has answered, before the client hears of it."""
        self.call_after = callback
        return self

    def cut(self) -> Self:
        """Close the client's connection instead of forwarding."""
        return self._end(Ending.CUT)

    def cut_after(self) -> Self:
        """Forward, wait for the answer, and close without passing it on."""
        return self._end(Ending.CUT_AFTER)

    def reset(self) -> Self:
        """Reset the client's connection (RST) instead of forwarding."""
        return self._end(Ending.RESET)

    def blackhole(self) -> Self:
        """Take the request and never answer; once the rule is lifted it is forwarded, if its client is still there."""
        return self._end(Ending.BLACKHOLE)

    def status(self, code: int, body: bytes = b"", *, content_type: str = "text/plain") -> Self:
        """Answer with this instead of forwarding."""
        self.make_answer = lambda _request: _answer(code, body, content_type)
        return self._end(Ending.ANSWER)

    def throttle(self) -> Self:
        """Answer as DynamoDB does when its throughput is exceeded."""
        self.make_answer = lambda _request: _refusal("ProvisionedThroughputExceededException")
        return self._end(Ending.ANSWER)

    def conflict(self) -> Self:
        """Answer as DynamoDB does when another transaction holds the last item of this one."""
        reason = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
        self.make_answer = lambda request: _cancellation(request, reason)
        return self._end(Ending.ANSWER)

    def conflict_with_transaction(self) -> Self:
        """Answer as DynamoDB does when a transaction holds the item that a plain write is for."""
        self.make_answer = lambda _request: _refusal("TransactionConflictException")
        return self._end(Ending.ANSWER)

    def throttle_transaction(self) -> Self:
        """Answer as DynamoDB does when the last item of a transaction lies where the throughput is exceeded."""
        reason = {
            "Code": "ThrottlingError",
            "Message": "Throughput exceeds the current capacity of your table or index",
        }
        self.make_answer = lambda request: _cancellation(request, reason)
        return self._end(Ending.ANSWER)

    def times(self, limit: int) -> Self:
        """Befall so many requests and no more."""
        self._limit = limit
        return self

    def lift(self) -> None:
        """End the fault, and release the requests that it holds."""
        self._is_lifted = True
        self.released.set()

    def takes(self, request: Request) -> bool:
        """Tell whether the rule befalls this request, and count it."""
        if self._is_lifted or self.count == self._limit or not self._matches(request):
            return False
        self.count += 1
        self.reached.set()
        return True

    def _end(self, ending: Ending) -> Self:
        self.ending = ending
        return self


def _empty_answer(_request: Request) -> bytes:
    raise AssertionError("the rule has no answer")


def _cancellation(request: Request, reason: dict[str, str]) -> bytes:
    actions = json.loads(request.body)["TransactItems"]
    return _refusal(
        "TransactionCanceledException", CancellationReasons=[{"Code": "None"}] * (len(actions) - 1) + [reason]
    )


def _refusal(name: str, **more: Any) -> bytes:
    body = {"__type": _DYNAMODB + name, "message": f"The fault proxy says {name}", **more}
    return _answer(400, json.dumps(body).encode(), "application/x-amz-json-1.0")


def _answer(code: int, body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 {code} Fault\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
