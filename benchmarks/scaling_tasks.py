"""The number of tasks over time: a queue, slots, and AWS's target tracking, second by second."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

MINUTE: Final = 60
START_SECONDS: Final = 75
"""From the wish for a task to its first job: placement, pulling the image, the service's start."""
OUT_DATAPOINTS: Final = 3
IN_DATAPOINTS: Final = 15
IN_SHARE: Final = 0.9
"""Target tracking scales out after three minutes above the target, and in after fifteen below nine tenths of it."""
SPREAD: Final = 0.4
"""A job takes by so much less or more than the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is tracked, at which target, and how long each change rests, in seconds.

    The metric is messages a slot: those that wait, and with ``counts_in_hand`` those that are worked on too.
    """

    counts_in_hand: bool
    target: float
    out_cooldown: int
    in_cooldown: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Jobs a second for so many seconds each, what a job takes, and what may run.

    ``model_at_once`` is how many calls the model takes at once from all tasks together; 0 is any number.
    """

    arrivals: tuple[tuple[int, float], ...]
    job_seconds: float = 12.0
    slots: int = 64
    least: int = 1
    most: int = 20
    model_at_once: int = 0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it: each job's wait in seconds, and the tasks that were paid for in each second."""

    waits: list[float] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    changes: int = 0

    def wait(self, share: float) -> float:
        """Return the wait below which this share of the jobs lies."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(len(self.waits) * share))]

    @property
    def task_hours(self) -> float:
        """What was paid for."""
        return sum(self.tasks) / 3600


class _Scaler:
    """Target tracking as AWS describes it; where it does not say, the choice that overshoots."""

    def __init__(self, policy: Policy, load: Load) -> None:
        self._policy, self._load = policy, load
        self._points: deque[float] = deque(maxlen=IN_DATAPOINTS)
        self._changed_at = -math.inf

    def desired(self, now: int, tasks: int, metric: float) -> int:
        """Take in a minute's metric and return how many tasks there should be."""
        self._points.append(metric)
        policy, points = self._policy, list(self._points)
        wanted = max(self._load.least, min(self._load.most, math.ceil(tasks * metric / policy.target)))
        is_out = len(points) >= OUT_DATAPOINTS and min(points[-OUT_DATAPOINTS:]) > policy.target
        is_in = len(points) == IN_DATAPOINTS and max(points) < IN_SHARE * policy.target
        rests = now - self._changed_at < (policy.out_cooldown if is_out else policy.in_cooldown)
        if rests or not ((is_out and wanted > tasks) or (is_in and wanted < tasks)):
            return tasks
        self._changed_at = now
        return wanted


def simulate(policy: Policy, load: Load, seed: int = 1) -> Outcome:
    """Run the load to its end; the same seed gives the same outcome."""
    chance, outcome, scaler = random.Random(seed), Outcome(), _Scaler(policy, load)
    waiting: deque[int] = deque()
    ends: list[float] = []
    tasks = ready = load.least
    starts: list[tuple[int, int]] = []
    metric = 0.0
    for now, rate in enumerate(_rates(load)):
        waiting.extend([now] * _poisson(chance, rate))
        while starts and starts[0][0] <= now:
            ready += heapq.heappop(starts)[1]
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        _begin(now, min(ready * load.slots, load.model_at_once or math.inf), waiting, ends, load, outcome, chance)
        outcome.tasks.append(tasks)
        if now % MINUTE == 0 and now:
            wanted = scaler.desired(now, tasks, metric)  # CloudWatch tells of the minute before
            metric = (len(waiting) + (len(ends) if policy.counts_in_hand else 0)) / (ready * load.slots)
            outcome.changes += wanted != tasks
            if wanted > tasks:
                heapq.heappush(starts, (now + START_SECONDS, wanted - tasks))
            ready -= max(0, tasks - wanted)  # a task that leaves ends what it has in hand
            tasks = wanted
    return outcome


def _rates(load: Load) -> list[float]:
    return [rate for seconds, rate in load.arrivals for _ in range(seconds)]


def _begin(
    now: int,
    room: float,
    waiting: deque[int],
    ends: list[float],
    load: Load,
    outcome: Outcome,
    chance: random.Random,
) -> None:
    while waiting and len(ends) < room:
        outcome.waits.append(now - waiting.popleft())
        heapq.heappush(ends, now + load.job_seconds * (1 + SPREAD * (2 * chance.random() - 1)))


def _poisson(chance: random.Random, mean: float) -> int:
    limit, product, number = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        number += 1
    return number
