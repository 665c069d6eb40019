"""What Darkroom costs in a month, and what the originals' design on Lambda would at the same load: docs/cost.md as arithmetic.

python -m benchmarks.cost [--write]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from benchmarks import cost_lambda, tables
from benchmarks.cost_load import (
    ALARM_METRICS,
    DASHBOARDS,
    GEMINI_SECONDS,
    IMAGE_GB,
    KMS_LIFE_SECONDS,
    MEASURED,
    METRICS,
    MONTH_SECONDS,
    PAGE_MB,
    PICTURE_DOLLARS,
    PROMPT_TOKENS,
    RESULT_MB,
    SCALING_ALARM_METRICS,
    SENT_MB,
    TABLES,
    THOUGHT_TOKENS,
    UPLOAD_DAYS,
    UPLOAD_MB,
    VIEWS,
    Idle,
    Load,
)
from benchmarks.cost_prices import HOURS, PRICES, REGIONS, Market
from benchmarks.cost_use import Write, writes_of_a_job
from consumers.spending import PRICES as MODELS

DOCUMENT: Final = "cost.md"
ZONES: Final = 2
Bill: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Parameters of compute.yaml that have a price. ``cache`` is a price's name, or empty for none; ``caches`` its nodes.

    ``is_internal``: the load balancer is an internal one behind CloudFront, without public addresses of its own. ``scales``:
    more tasks may come by themselves.
    """

    tasks: int
    vcpu: float = 0.25
    gigabytes: float = 1.0
    is_spot: bool = False
    cache: str = ""
    caches: int = 1
    is_internal: bool = False
    scales: bool = False


SMALL: Final = Size(tasks=1)
SMALL_SPOT: Final = Size(tasks=1, is_spot=True)
SMALL_BEHIND_CLOUDFRONT: Final = Size(tasks=1, is_spot=True, is_internal=True)
MEDIUM: Final = Size(tasks=2, cache="cache micro", scales=True)
MEDIUM_SPOT: Final = Size(tasks=2, cache="cache micro", is_spot=True, scales=True)
HUNDRED, THOUSAND = Load(users=100), Load(users=1000)


def running(market: Market, size: Size) -> Bill:
    """What is paid though nobody comes."""
    idle, tasks = Idle(), size.tasks
    one = size.vcpu * market.cost("vcpu", HOURS) + size.gigabytes * market.cost("memory", HOURS)
    addresses = tasks + (0 if size.is_internal else ZONES)
    return {
        "tasks": tasks * one * (market.cost("spot", 1) if size.is_spot else 1),
        "load balancer": market.cost("alb", HOURS),
        "public IPv4 addresses": market.cost("ipv4", addresses * HOURS),
        "Valkey": market.cost(size.cache, size.caches * HOURS) if size.cache else 0.0,
        "metrics, alarms, dashboard": market.cost("metrics", METRICS)
        + market.cost("alarms", ALARM_METRICS + (SCALING_ALARM_METRICS if size.scales else 0))
        + market.cost("dashboards", DASHBOARDS),
        "idle requests": market.cost("reads", tasks * idle.reads)
        + market.cost("queue", tasks * idle.queue_requests)
        + market.cost("secret reads", tasks * idle.secret_reads * 100)
        + market.cost("keys", tasks * TABLES * MONTH_SECONDS / KMS_LIFE_SECONDS / 1e4),
        "secret, image, zone": market.cost("secrets", 1) + market.cost("images", IMAGE_GB) + market.cost("zone", 1),
    }


def working(market: Market, load: Load, write_units: int) -> Bill:
    """What the jobs and their watchers cost beside that."""
    jobs = load.jobs
    reads = MEASURED.get_items + MEASURED.queries * 0.5
    moved_gb = (load.visits * PAGE_MB + jobs * 0.02) / 1000
    units_used = max(moved_gb / HOURS, load.peak_online / 3000)
    return {
        "DynamoDB": market.cost("writes", jobs * write_units / 1e6) + market.cost("reads", jobs * reads / 1e6),
        "SQS": Market(region=market.region, has_free=False).cost("queue", jobs * MEASURED.queue_requests / 1e6),
        "load balancer's units": market.cost("lcu", units_used * HOURS),
        "logs": market.cost("logs", jobs * MEASURED.log_bytes / 1e9),
        "sign-ins": market.cost("sign-ins", load.users),
    }


def pictures(market: Market, load: Load, month: int = 1) -> Bill:
    """What the photos and pictures cost in the so-manieth month: the same whatever makes them."""
    jobs = load.jobs
    kept_gb = jobs * (UPLOAD_MB * UPLOAD_DAYS / 30 + RESULT_MB * month) / 1000
    return {
        "S3 requests": market.cost("puts", 2 * jobs / 1e3) + market.cost("gets", (2 + VIEWS) * jobs / 1e3),
        "S3 storage": market.cost("files", kept_gb),
        "data out": market.cost("out", jobs * (RESULT_MB * VIEWS + SENT_MB) / 1000),
    }


def gemini(jobs: int) -> float:
    """What the model asks for so many pictures, by the service's own price list."""
    price = MODELS["gemini-nano-banana-2.1"]
    tokens = (PROMPT_TOKENS * price.prompt + THOUGHT_TOKENS * price.text) / 1e6
    return jobs * (PICTURE_DOLLARS + tokens)


def all_tables() -> dict[str, str]:
    """Make the tables of docs/cost.md."""
    writes = writes_of_a_job()
    units = sum(write.all_units for write in writes)
    return {
        "prices": _prices(),
        "writes of a job": _writes(writes),
        "idle task": _idle(),
        "month": _month(units),
        "summary": _summary(units),
        "ways": _ways(units),
        "lambda": cost_lambda.months((HUNDRED, THOUSAND), Market()),
        "side by side": _side_by_side(units),
        "thousand jobs": _thousand_jobs(units),
        "break even": _break_even(units),
        "growth": _growth(),
    }


def _prices() -> str:
    rows = [
        (price.of, *(f"{usd:g}" for usd in price.usd), f"{price.free:g}" if price.free else "")
        for price in PRICES.values()
    ]
    return tables.table(("US dollars", *REGIONS, "free each month"), rows)


def _writes(writes: tuple[Write, ...]) -> str:
    rows = [
        (f"{write.step}: {write.table}", f"{write.bytes:,}", write.units, sum(write.indexes.values()), write.all_units)
        for write in writes
    ]
    total = ("all", "", sum(w.units for w in writes), sum(sum(w.indexes.values()) for w in writes))
    head = ("row written", "bytes", "units, in a transaction", "units, indexes", "units")
    return tables.table(head, [*rows, (*total, sum(w.all_units for w in writes))])


def _idle() -> str:
    idle = Idle()
    rows = [
        ("SQS: lengths of six queues", f"{idle.queue_looks:.2f}", "requests"),
        ("SQS: long polls of three queues", f"{idle.long_polls:.2f}", "requests"),
        ("DynamoDB: the age of the oldest queued job", f"{idle.age_reads:.2f}", "read units"),
        ("DynamoDB: sweeps", f"{idle.sweep_reads:.2f}", "read units"),
        ("DynamoDB: who is blocked, while anybody is connected", f"{idle.blocked_reads:.2f}", "read units"),
        ("Secrets Manager: the Gemini key", f"{idle.secret_reads:.4f}", "reads"),
    ]
    return tables.table(("a task's month", "millions", "of"), rows)


def _month(units: int) -> str:
    columns = [
        ("100 users, small", HUNDRED, SMALL),
        ("100 users, small, Spot", HUNDRED, SMALL_SPOT),
        ("100 users, small, Spot, behind CloudFront", HUNDRED, SMALL_BEHIND_CLOUDFRONT),
        ("1,000 users, medium", THOUSAND, MEDIUM),
        ("1,000 users, medium, Spot", THOUSAND, MEDIUM_SPOT),
    ]
    bills = [_bill(Market(), load, size, units) for _, load, size in columns]
    return tables.table(("dollars a month", *(name for name, _, _ in columns)), _rows(bills))


def _bill(market: Market, load: Load, size: Size, units: int, month: int = 1) -> Bill:
    parts = (running(market, size), working(market, load, units), pictures(market, load, month))
    return {name: dollars for part in parts for name, dollars in part.items()}


def _rows(bills: list[Bill]) -> list[tuple[str, ...]]:
    rows = [(name, *(f"{bill[name]:.2f}" for bill in bills)) for name in bills[0]]
    return [*rows, ("**all**", *(f"**{sum(bill.values()):.2f}**" for bill in bills))]


def _summary(units: int) -> str:
    rows = []
    for name, load, size in (
        ("100 users, small", HUNDRED, SMALL),
        ("100 users, small, Spot", HUNDRED, SMALL_SPOT),
        ("100 users, small, Spot, behind CloudFront", HUNDRED, SMALL_BEHIND_CLOUDFRONT),
        ("1,000 users, medium", THOUSAND, MEDIUM),
        ("1,000 users, medium, Spot", THOUSAND, MEDIUM_SPOT),
    ):
        markets = (Market(), Market(has_free=False), Market(region=REGIONS[1]))
        rows.append((name, *(f"{sum(_bill(market, load, size, units).values()):.2f}" for market in markets)))
    return tables.table(("dollars a month", REGIONS[0], "the same, nothing free", REGIONS[1]), rows)


def _ways(units: int) -> str:
    ways = (
        ("on demand, public load balancer", SMALL),
        ("Spot, public load balancer", SMALL_SPOT),
        ("Spot, internal load balancer behind CloudFront", SMALL_BEHIND_CLOUDFRONT),
    )
    rows = [(name, f"{sum(_bill(Market(), HUNDRED, size, units).values()):.2f}") for name, size in ways]
    return tables.table(("100 daily users", "dollars a month"), rows)


def _side_by_side(units: int) -> str:
    rows = []
    for load, size in ((HUNDRED, SMALL_SPOT), (THOUSAND, MEDIUM_SPOT)):
        here = sum(running(Market(), size).values()) + sum(working(Market(), load, units).values())
        there = sum(cost_lambda.month(load, Market()).values())
        same = sum(pictures(Market(), load).values())
        rows.append(
            (f"{load.users:,}", f"{load.jobs:,}", *(f"{x:.2f}" for x in (here, there, same, gemini(load.jobs))))
        )
    head = ("daily users", "jobs a month", "Darkroom, Spot", "on Lambda", "pictures, either way", "Gemini, either way")
    return tables.table(head, rows)


def _thousand_jobs(units: int) -> str:
    market, load = Market(has_free=False), Load(users=1000)
    here = {name: 1000 * dollars / load.jobs for name, dollars in working(market, load, units).items()}
    del here["sign-ins"]
    task_dollars = SMALL.vcpu * market.cost("vcpu", 1) + SMALL.gigabytes * market.cost("memory", 1)
    here = {"CPU, were the task busy": MEASURED.cpu_milliseconds / 3600 / SMALL.vcpu * task_dollars, **here}
    there = cost_lambda.thousand_jobs(market)
    same = {name: 1000 * dollars / load.jobs for name, dollars in pictures(market, load).items()}
    rows: list[tuple[str, ...]] = [(name, f"{dollars:.3f}", "") for name, dollars in here.items()]
    rows += [(name, "", f"{dollars:.3f}") for name, dollars in there.items()]
    rows.append(("**all of its own**", f"**{sum(here.values()):.3f}**", f"**{sum(there.values()):.3f}**"))
    rows += [(name, f"{dollars:.3f}", f"{dollars:.3f}") for name, dollars in same.items()]
    rows.append(("Gemini", *[f"{gemini(1000):.2f}"] * 2))
    return tables.table(("dollars for 1,000 jobs, nothing free", "Darkroom", "on Lambda"), rows)


def _break_even(units: int) -> str:
    market, many = Market(has_free=False), Load(users=10_000)
    here = sum(working(market, many, units).values()) - market.cost("sign-ins", many.users)
    rows = []
    for seconds in (GEMINI_SECONDS, 30.0):
        there = sum(cost_lambda.thousand_jobs(market, seconds).values()) / 1000
        for name, size in (("small, Spot", SMALL_SPOT), ("medium, Spot", MEDIUM_SPOT), ("medium", MEDIUM)):
            fixed = sum(running(market, size).values())
            jobs = fixed / (there - here / many.jobs)
            rows.append((f"{name}, {seconds:.0f} s of Gemini", f"{fixed:.2f}", f"{jobs:,.0f}", f"{jobs / 90:,.0f}"))
    head = (
        "size, and what Gemini takes",
        "fixed dollars a month",
        "jobs a month at which both cost the same",
        "daily users",
    )
    return tables.table(head, rows)


def _growth() -> str:
    rows = [
        (f"{load.users:,}", *(f"{pictures(Market(), load, month)['S3 storage']:.2f}" for month in (1, 12, 24)))
        for load in (HUNDRED, THOUSAND)
    ]
    return tables.table(("daily users", "S3 storage, 1st month", "12th month", "24th month"), rows)


if __name__ == "__main__":
    tables.command("benchmarks.cost", (__doc__ or "").splitlines()[0], DOCUMENT, all_tables)
