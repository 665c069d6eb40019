"""The gates of all models, as the pool sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from consumers.gate import Gate
from consumers.limits import BreakerState

SPLIT_PATIENCE_SECONDS: Final = 10.0
"""How long a job waits at a shut gate while another is open: then it makes room for those that can go on."""


class Gates:
    """One gate for each model that is called. Jobs of different models come from one queue, and must not hold each other up."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self._gates = dict(gates)

    def __getitem__(self, model: str) -> Gate:
        """Return the gate of this model. Raises KeyError."""
        return self._gates[model]

    @property
    def are_split(self) -> bool:
        """Tell whether some are shut and others open."""
        return len({gate.is_open_for_fetching for gate in self._gates.values()}) > 1

    @property
    def held_up(self) -> int:
        """How many calls wait at the shut ones."""
        return sum(gate.state.waiting for gate in self._gates.values() if not gate.is_open_for_fetching)

    @property
    def only_probes(self) -> bool:
        """Tell whether one call is all that could be made now: those that are not shut are being tried."""
        passable = [gate for gate in self._gates.values() if gate.is_open_for_fetching]
        return all(gate.state.breaker is BreakerState.HALF_OPEN for gate in passable)

    def patience_seconds(self, usual: float) -> float:
        """Return how long a call may wait at its gate."""
        return min(usual, SPLIT_PATIENCE_SECONDS) if self.are_split else usual

    async def wait_until_fetching_makes_sense(self) -> None:
        """Return when a job fetched now might make its call before long."""
        if any(gate.is_open_for_fetching for gate in self._gates.values()):
            return
        waits = [asyncio.create_task(gate.wait_until_fetching_makes_sense()) for gate in self._gates.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def close_until(self, moment: float, reason: str) -> None:
        """Shut all until then, in seconds since the epoch."""
        for gate in self._gates.values():
            gate.close_until(moment, reason)

    def close(self) -> None:
        """End all."""
        for gate in self._gates.values():
            gate.close()
