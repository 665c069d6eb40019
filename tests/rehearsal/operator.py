"""An operator in a rehearsal, who sees every task past the load balancer and can send one away."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an operator sees of a task: its name of its own, and how many sockets it holds."""

    name: str
    sockets: int


class Operator:
    """Asks tasks at their own addresses; ``session`` has an operator's token."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def look(self, url: str) -> Seen:
        """Look at the task at this address."""
        async with self._session.get(f"{url}/ops/figures") as answer:
            answer.raise_for_status()
            said = await answer.json()
        return Seen(name=said["task"]["name"], sockets=said["now"]["figures"]["sockets"])

    async def drain(self, url: str) -> None:
        """Have the task at this address leave."""
        task = {"task": (await self.look(url)).name}
        async with self._session.post(f"{url}/ops/drain", json=task) as answer:
            answer.raise_for_status()
