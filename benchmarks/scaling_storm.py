"""A crowd that comes back: clients with the page's own back-off, a task that takes so many connects a second."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from typing import Final

from service.app import BACKLOG
from websocket.limits import SocketLimits

SHORTEST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0
LATER_SECONDS: Final = 5.0
OPENING_SECONDS: Final = 15.0
"""`USUAL_TIMING` of darkroom-links.js; a test compares."""
CONNECTS_PER_SECOND: Final = 1183
"""With welcome and a snapshot, of one core of the machine of docs/performance.md."""
LIMITS: Final = SocketLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """So many clients come to one task, which has ``held`` others already and takes ``per_second`` connects.

    ``spread_seconds`` is over how long a task that leaves asks them to come; 0 is a task that was killed.
    """

    clients: int
    held: int = 0
    per_second: float = CONNECTS_PER_SECOND
    spread_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """When half and all of those that found room were back, in seconds; tries for each; and how many found no room."""

    half: float
    whole: float
    tries: float
    without_room: int


def asked_spread(clients: int) -> float:
    """Return over how many seconds the hub spreads a task's clients when it drains."""
    wanted = max(LIMITS.reconnect_spread_seconds, clients / LIMITS.reconnects_per_second)
    return min(wanted, LIMITS.most_reconnect_spread_seconds)


def come_back(crowd: Crowd, seed: int = 1, until_seconds: float = 60.0) -> Return:
    """Let the crowd come; the same seed gives the same outcome."""
    chance = random.Random(seed)
    tries = [(_first(crowd, chance), client, 0) for client in range(crowd.clients)]
    heapq.heapify(tries)
    room, free_at, tried = LIMITS.connections_per_task - crowd.held, 0.0, 0
    back: list[float] = []
    while tries and tries[0][0] < until_seconds:
        at, client, failures = heapq.heappop(tries)
        tried += 1
        waits = max(0.0, free_at - at)
        if waits * crowd.per_second >= BACKLOG:
            heapq.heappush(tries, (at + _wait(chance, failures), client, failures + 1))  # refused unheard
            continue
        free_at = max(at, free_at) + 1 / crowd.per_second
        if waits > OPENING_SECONDS:
            heapq.heappush(tries, (at + OPENING_SECONDS + _wait(chance, failures), client, failures + 1))
        elif len(back) >= room:
            heapq.heappush(tries, (free_at + LATER_SECONDS + _wait(chance, failures), client, failures + 1))
        else:
            back.append(free_at)
    half = back[len(back) // 2] if back else 0.0
    return Return(half=half, whole=back[-1] if back else 0.0, tries=tried / crowd.clients, without_room=len(tries))


def _first(crowd: Crowd, chance: random.Random) -> float:
    return chance.uniform(0, crowd.spread_seconds) if crowd.spread_seconds else _wait(chance, 0)


def _wait(chance: random.Random, failures: int) -> float:
    """Draw a wait with full jitter, as `waitMs` of darkroom-line.js does."""
    return chance.uniform(0, min(LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS * 2 ** min(failures, 10)))
