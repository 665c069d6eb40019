"""How the time between SIGTERM and SIGKILL is shared out: one piece of arithmetic."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final, Self

LEAST_WORK_SHARE: Final = 0.5
LONGEST_RECEIVE_SECONDS: Final = 21.0
"""A little more than a long poll."""
_LAST_RECEIVE_SHARE: Final = 0.42
_OTHERS: Final = {"settling": 13.0, "sockets": 16.0, "handlers": 8.0, "writes": 4.0, "house": 5.0, "margin": 4.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBudget:
    """The seconds of each step of a stop, in their order; together they are the platform's stop time-out.

    ``work``: jobs in hand may end. ``settling``: the rest goes back to the queue, and what is done is written down.
    ``sockets``: clients are asked to go elsewhere, and leave; meanwhile what was spent is told, and scale-in protection given
    back. ``handlers``: requests that are still answered. ``writes``: those whose callers are gone. ``house``: the last line of
    metrics, the bus and the clients of AWS. ``margin`` is nobody's.
    """

    work: float
    settling: float
    sockets: float
    handlers: float
    writes: float
    house: float
    margin: float

    @classmethod
    def of(cls, stop_timeout_seconds: float) -> Self:
        """Give the work all that the others do not need, and at least half: the others shrink together."""
        scale = min(1.0, (1 - LEAST_WORK_SHARE) * stop_timeout_seconds / sum(_OTHERS.values()))
        others = {name: scale * seconds for name, seconds in _OTHERS.items()}
        return cls(work=stop_timeout_seconds - sum(others.values()), **others)

    @property
    def last_receive(self) -> float:
        """Of the work: how long a long poll that is under way may take, for what it brings is hidden from all others."""
        return min(LONGEST_RECEIVE_SECONDS, _LAST_RECEIVE_SHARE * self.work)

    @property
    def patience(self) -> float:
        """After so many seconds a process that is still there has to be ended by force, just before the platform would."""
        return float(sum(astuple(self))) - self.margin / 2
