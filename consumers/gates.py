"""The gates of all models, as the pool sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from consumers.gate import Gate
from consumers.limits import BreakerState

_LEAST_HOLD_UP_SECONDS: Final = 1.0
_USUAL_HOLD_UP_SECONDS: Final = 5.0
"""Where nobody knows when a gate opens again."""


class Role(StrEnum):
    """What a model is called for."""

    IMAGE = "image"
    VISION = "vision"
    EMBEDDING = "embedding"


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

    def hold_up_seconds(self, model: str) -> float:
        """Return for how long a job that begins with this model should make way for others; 0 while there are none to make it for.

        Where all are shut nothing is fetched anyway, and what is in hand waits.
        """
        gate = self._gates[model]
        if gate.is_open_for_fetching or not self.are_split:
            return 0
        return max(_LEAST_HOLD_UP_SECONDS, gate.state.retry_after_seconds or _USUAL_HOLD_UP_SECONDS)

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
