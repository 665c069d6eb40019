"""A mapping that forgets what was used longest ago, so that no stream of requests can fill the memory."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class RecentlyUsed(Generic[Value]):
    """Keep values up to a total weight; reading one keeps it longer."""

    def __init__(self, capacity: int, weigh: Callable[[Value], int] = lambda _value: 1) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._weight = 0

    def get(self, key: str) -> Value | None:
        """Return the value, or None when it was never kept or is forgotten."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: str, value: Value) -> None:
        """Keep a value; one heavier than the whole capacity is not kept at all."""
        self._drop(key)
        self._values[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._capacity:
            self._drop(next(iter(self._values)))

    def values(self) -> list[Value]:
        """List what is kept, longest unused first."""
        return list(self._values.values())

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._weight = 0

    def _drop(self, key: str) -> None:
        if key in self._values:
            self._weight -= self._weigh(self._values.pop(key))
