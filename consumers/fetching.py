"""How fetching from a queue ends: a receive that is under way is not hung up on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Fetching:
    """Whether a loop that receives should go on, and whether it is in the midst of a receive.

    A queue does not notice that a long poll was dropped: what comes in while it would have lasted is handed to nobody, and hidden
    from everybody until its visibility time-out is over.
    """

    def __init__(self) -> None:
        self.goes_on = True
        self._is_receiving = False

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Mark a receive."""
        self._is_receiving = True
        try:
            yield
        finally:
            self._is_receiving = False

    async def end(self, fetcher: asyncio.Task[None], last_receive_seconds: float) -> None:
        """End the loop; a receive that is under way may take so long to bring what it has."""
        self.goes_on = False
        if self._is_receiving:
            await asyncio.wait([fetcher], timeout=last_receive_seconds)
        fetcher.cancel()
        await asyncio.wait([fetcher])
