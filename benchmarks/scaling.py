"""How far it goes: autoscaling, hot keys and returning crowds simulated, quotas met, all from a seed: docs/scaling.md's tables.

python -m benchmarks.scaling [--write]
"""

from __future__ import annotations

from typing import Final

from benchmarks import scaling_bounds, tables
from benchmarks.scaling_shards import busiest, limit
from benchmarks.scaling_storm import CONNECTS_PER_SECOND, Crowd, asked_spread, come_back
from benchmarks.scaling_tasks import Load, Policy, simulate

DOCUMENT: Final = "scaling.md"
BURST: Final = ((1200, 1.0), (900, 20.0), (1500, 1.0))
"""Twenty minutes of one job a second, a quarter of an hour of twenty, then one again."""
EVENING: Final = ((600, 1.0), (5400, 15.0), (1200, 1.0))
"""An hour and a half of fifteen jobs a second, which three tasks bear."""
TIER: Final = 30
"""Calls at once that a model of tier 2 can be paid for: 2.3 pictures a second of 12 s each."""
CHOSEN: Final = Policy(counts_in_hand=True, target=0.8, out_cooldown=180)


def all_tables() -> dict[str, str]:
    """Make the tables of docs/scaling.md."""
    return {
        "bounds": scaling_bounds.bounds_table(),
        "sizes": scaling_bounds.houses_table(),
        "autoscaling": _autoscaling(),
        "model limit": _model_limit(),
        "shards": _shards(),
        "storm": _storm(),
    }


def _autoscaling() -> str:
    policies = (
        Policy(counts_in_hand=False, target=1, out_cooldown=60),
        Policy(counts_in_hand=False, target=5, out_cooldown=180),
        Policy(counts_in_hand=True, target=0.8, out_cooldown=60),
        CHOSEN,
        Policy(counts_in_hand=True, target=0.9, out_cooldown=180),
    )
    rows = []
    for name, arrivals in (("burst", BURST), ("evening", EVENING)):
        for policy in policies:
            outcome = simulate(policy, Load(arrivals=arrivals))
            metric = "waiting and in hand" if policy.counts_in_hand else "waiting"
            rows.append(
                (
                    f"{name}: {metric}, target {policy.target:g}, cool-down {policy.out_cooldown} s",
                    *(f"{outcome.wait(share):.0f}" for share in (0.5, 0.95, 1.0)),
                    max(outcome.tasks),
                    outcome.changes,
                    f"{outcome.task_hours:.1f}",
                )
            )
    head = ("messages a slot", "wait p50, s", "p95, s", "longest, s", "most tasks", "changes", "task hours")
    return tables.table(head, rows)


def _model_limit() -> str:
    rows = []
    for most in (1, 2, 20):
        outcome = simulate(CHOSEN, Load(arrivals=((600, 1.0), (3600, 6.0), (600, 1.0)), most=most, model_at_once=TIER))
        rows.append((most, f"{outcome.wait(0.5):.0f}", f"{outcome.wait(1.0):.0f}", f"{outcome.task_hours:.1f}"))
    return tables.table(("MaxTasks", "wait p50, s", "longest, s", "task hours"), rows)


def _shards() -> str:
    rows = []
    for shards in (1, 8, 32):
        most = limit(shards)
        peaks = (f"{busiest(shards, round(most * share), seconds=2):,}" for share in (0.5, 0.8, 0.9))
        rows.append((shards, f"{most:,.0f}", *peaks))
    head = ("shards", "jobs/s at 1,000 writes a key", "busiest second at half of that", "at 80 %", "at 90 %")
    return tables.table(head, rows)


def _storm() -> str:
    quarter = CONNECTS_PER_SECOND / 4
    crowds = (
        (
            "1 of 2 small tasks leaves, 500 clients",
            Crowd(clients=500, per_second=quarter, spread_seconds=asked_spread(500)),
        ),
        ("1 of 2 small tasks is killed, 500 clients", Crowd(clients=500, per_second=quarter)),
        ("1 of 10 is killed, 8,000 clients", Crowd(clients=889, held=8000)),
        ("1 of 5 is killed, 8,000 clients", Crowd(clients=2000, held=8000)),
        ("1 of 5 is killed, 9,500 clients", Crowd(clients=2375, held=9500)),
        ("all leave, 8,000 clients a task", Crowd(clients=8000, spread_seconds=asked_spread(8000))),
        ("all leave, 10,000 clients a task", Crowd(clients=10_000, spread_seconds=asked_spread(10_000))),
        ("all are killed, 10,000 clients a task", Crowd(clients=10_000)),
    )
    rows = []
    for name, crowd in crowds:
        back = come_back(crowd)
        rows.append(
            (
                name,
                f"{crowd.clients:,}",
                f"{back.half:.1f}",
                f"{back.whole:.1f}",
                f"{back.tries:.1f}",
                back.without_room,
            )
        )
    return tables.table(("what", "come to a task", "half are back, s", "all, s", "tries each", "find no room"), rows)


if __name__ == "__main__":
    tables.command("benchmarks.scaling", (__doc__ or "").splitlines()[0], DOCUMENT, all_tables)
