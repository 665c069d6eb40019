"""A bounded number of look-ups at once, in threads that hold up no exit."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter as Tally
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import SOCK_STREAM
from typing import Any, TypeAlias

from jobs.errors import CloudUnavailable

Lookup: TypeAlias = Callable[..., list[tuple[Any, ...]]]
"""What ``socket.getaddrinfo`` is."""
_Found: TypeAlias = asyncio.Future[list[tuple[Any, ...]]]


class LookupsFull(CloudUnavailable):
    """Too many names are being looked up just now. Please try again."""


class LookupPool:
    """Looks names up, ``at_once`` of them and ``per_owner`` for one owner; more are refused at once, none waits.

    Nobody can end a look-up, so one counts until it is answered, whether or not somebody still waits for it.
    """

    def __init__(self, lookup: Lookup, *, at_once: int, per_owner: int | None = None) -> None:
        self._lookup = lookup
        self._at_once = at_once
        self._per_owner = at_once if per_owner is None else per_owner
        self._under_way: dict[tuple[str, int, int], _Found] = {}
        self._owners: Tally[str | None] = Tally()

    async def find(self, host: str, port: int, family: int, *, owner: str | None = None) -> list[tuple[Any, ...]]:
        """Look up a host; who asks while that is under way shares the answer. Raises OSError and LookupsFull."""
        key = (host, port, family)
        under_way = self._under_way.get(key) or self._begin(key, owner)
        return await asyncio.shield(under_way)

    def _begin(self, key: tuple[str, int, int], owner: str | None) -> _Found:
        if len(self._under_way) >= self._at_once or self._owners[owner] >= self._per_owner:
            raise LookupsFull
        found: _Found = asyncio.get_running_loop().create_future()
        # The threads of an executor are joined at the exit of the process; a daemon is not.
        threading.Thread(target=self._run, args=(key, found), name="webhook-dns", daemon=True).start()
        self._under_way[key] = found
        self._owners[owner] += 1
        found.add_done_callback(partial(self._note_found, key, owner))
        return found

    def _run(self, key: tuple[str, int, int], found: _Found) -> None:
        host, port, family = key
        settle: Callable[[], None]
        try:
            settle = partial(_set_result, found, self._lookup(host, port, type=SOCK_STREAM, family=family))
        except Exception as error:  # noqa: BLE001 - whoever waits is told; unsettled, it would keep its place for ever
            settle = partial(_set_error, found, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            found.get_loop().call_soon_threadsafe(settle)

    def _note_found(self, key: tuple[str, int, int], owner: str | None, found: _Found) -> None:
        del self._under_way[key]
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]
        if not found.cancelled():
            found.exception()  # those who asked may have gone


def _set_result(found: _Found, result: list[tuple[Any, ...]]) -> None:
    if not found.done():
        found.set_result(result)


def _set_error(found: _Found, error: Exception) -> None:
    if not found.done():
        found.set_exception(error)
