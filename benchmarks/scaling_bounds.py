"""What bounds the service as it grows: each quota and hot key, and the load at which it is met, from the code's own constants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks import tables
from benchmarks.cost import gemini
from benchmarks.cost_load import GEMINI_SECONDS, MEASURED, Idle
from benchmarks.cost_prices import HOURS, Market
from benchmarks.cost_use import TRANSACTION_FACTOR, writes_of_a_job
from benchmarks.scaling_shards import PARTITION_READS, PARTITION_WRITES, limit
from benchmarks.scaling_storm import CONNECTS_PER_SECOND
from consumers.spending import FLUSH_SECONDS
from jobs.items import STATUS_SHARDS
from jobs.job_table import Limits
from jobs.queue_place import ROWS
from jobs.secret import SECRET_LIFE_SECONDS
from jobs.sweeper import SweepTimes
from jobs.user_table import LATE_SECONDS
from service.ops.sampler import KEPT_SECONDS
from websocket.limits import SocketLimits

SLOTS: Final = 64
MOST_SLOTS: Final = 96
BUSY: Final = 0.7
"""So much of its CPU a task should use at the most."""
CPU_SECONDS: Final = MEASURED.cpu_milliseconds / 1000
SOCKETS: Final = 8_000
"""A task should hold, so that the clients of one that goes find room with the others."""
SOCKET_KIB: Final = 20
NOTICES_OF_A_JOB: Final = 7
"""Three events, four tellings of progress."""
LOST_TRIES: Final = 1
"""Transactions of each further task for each end of a waiting user's job, which come too late; measured with up to four tasks."""
SERVER_MICROSECONDS: Final = 4.0
INDEX_ROW_BYTES: Final = 150
READ_BYTES: Final = 8192
"""What one read unit reads of an index."""
BLOCKED_OF_A_READ: Final = 110
QUEUE_PLACE_SECONDS: Final = 5
IN_FLIGHT: Final = 120_000
NEW_TABLE_WRITES: Final = 4_000
TABLE_WRITES: Final = 40_000
TABLE_READS: Final = 40_000
TARGETS: Final = 1_000
SERVICE_TASKS: Final = 5_000
LOG_CALLS: Final = 5_000
SECRET_CALLS: Final = 10_000
LIMITS: Final = SocketLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What is bounded, how one gets there, and at how much of what it is met."""

    what: str
    formula: str
    met_at: float
    unit: str


def writes_by_table() -> Counter[str]:
    """Return the write units a job costs each table, without the indexes, which have a limit of their own."""
    units: Counter[str] = Counter()
    for write in writes_of_a_job():
        units[write.table] += write.units
    return units


def bounds() -> list[Bound]:
    """List what bounds one task, one user, all jobs and all tasks, in this order."""
    return [*_of_a_task(), *_of_a_user(), *_of_jobs(), *_of_tasks()]


def _of_a_task() -> Iterable[Bound]:
    yield Bound(what=f"a task's slots, {SLOTS}", formula="slots / 12 s", met_at=SLOTS / GEMINI_SECONDS, unit="jobs/s")
    for share in (0.25, 1.0):
        met_at = BUSY * share / CPU_SECONDS
        yield Bound(
            what=f"a task's CPU, {share:g} vCPU as fast as the machine measured",
            formula=f"{BUSY:.0%} x {share:g} / {MEASURED.cpu_milliseconds:.0f} ms",
            met_at=met_at,
            unit="jobs/s",
        )
    yield Bound(
        what="a task's sockets", formula="connections_per_task", met_at=LIMITS.connections_per_task, unit="sockets"
    )
    for tier, dollars in ((1, 10), (2, 50)):
        yield Bound(
            what=f"Gemini, tier {tier}",
            formula=f"${dollars} in 10 minutes / ${gemini(1):.4f}",
            met_at=dollars / 600 / gemini(1),
            unit="jobs/s",
        )


def _of_a_user() -> Iterable[Bound]:
    units, in_flight = writes_by_table(), Limits(daily=0).in_flight
    yield Bound(
        what="what a user may",
        formula=f"{in_flight} in flight / 12 s",
        met_at=in_flight / GEMINI_SECONDS,
        unit="jobs/s",
    )
    for table, row in (("JobEventsTable", "a user's log"), ("UsersTable", "a user's row")):
        yield Bound(
            what=row,
            formula=f"{PARTITION_WRITES:,} units / {units[table]} a job",
            met_at=PARTITION_WRITES / units[table],
            unit="jobs/s",
        )


def _of_jobs() -> Iterable[Bound]:
    units = writes_by_table()["ImageJobsTable"]
    yield Bound(
        what="a new table on demand",
        formula=f"{NEW_TABLE_WRITES:,} units / {units} a job",
        met_at=NEW_TABLE_WRITES / units,
        unit="jobs/s",
    )
    yield Bound(
        what="a table's usual quota",
        formula=f"{TABLE_WRITES:,} units / {units} a job",
        met_at=TABLE_WRITES / units,
        unit="jobs/s",
    )
    yield Bound(
        what=f"StatusIndex, {STATUS_SHARDS} shards",
        formula=f"{STATUS_SHARDS} x {PARTITION_WRITES:,} / 2 a job",
        met_at=limit(STATUS_SHARDS),
        unit="jobs/s",
    )
    yield Bound(
        what="messages in flight of one queue",
        formula=f"{IN_FLIGHT:,} / 12 s",
        met_at=IN_FLIGHT / GEMINI_SECONDS,
        unit="jobs/s",
    )
    yield Bound(
        what="one Redis server's core",
        formula=f"1 s / {SERVER_MICROSECONDS:g} us / {NOTICES_OF_A_JOB} notices",
        met_at=1e6 / SERVER_MICROSECONDS / NOTICES_OF_A_JOB,
        unit="jobs/s",
    )


def _of_tasks() -> Iterable[Bound]:
    reads = queued_key_reads()
    yield Bound(
        what="reads of one key queued#n, a long queue, watchers on all tasks",
        formula=f"{PARTITION_READS:,} / {reads:.2f} units a task",
        met_at=PARTITION_READS / reads,
        unit="tasks",
    )
    yield Bound(
        what="sweeps while jobs are queued for over 15 minutes",
        formula="tasks x such jobs, 3,000 units a key",
        met_at=swept_rows(),
        unit="tasks x jobs",
    )
    ends, lost = Limits(daily=0).in_flight / GEMINI_SECONDS, LOST_TRIES * TRANSACTION_FACTOR
    yield Bound(
        what="the row of a user whose jobs wait, asked by all tasks at each end",
        formula=f"{PARTITION_WRITES:,} / {ends:.1f} ends a second / {lost} units lost",
        met_at=PARTITION_WRITES / ends / lost,
        unit="tasks",
    )
    for what, rate in (
        ("the log's reads while the bus is down", LIMITS.healing_reads_per_second),
        ("the log's reads when all clients come back at once", CONNECTS_PER_SECOND),
    ):
        yield Bound(
            what=what, formula=f"{TABLE_READS:,} units / {rate:,} a second", met_at=TABLE_READS / rate, unit="tasks"
        )
    looks = 1 / LIMITS.blocked_seconds + 1 / LATE_SECONDS
    yield Bound(
        what=f"the row of who is blocked, up to {BLOCKED_OF_A_READ} users",
        formula=f"{PARTITION_READS:,} / {looks:.2f} a second",
        met_at=PARTITION_READS / looks,
        unit="tasks",
    )
    yield Bound(
        what="the row of the day's spending",
        formula=f"{PARTITION_WRITES:,} x {FLUSH_SECONDS:g} s",
        met_at=PARTITION_WRITES * FLUSH_SECONDS,
        unit="tasks",
    )
    yield Bound(what="targets of a load balancer", formula="quota", met_at=TARGETS, unit="tasks")
    yield Bound(what="tasks of a service", formula="quota", met_at=SERVICE_TASKS, unit="tasks")
    yield Bound(what="PutLogEvents", formula="quota, one call a second and task", met_at=LOG_CALLS, unit="tasks")
    yield Bound(
        what="Secrets Manager",
        formula=f"{SECRET_CALLS:,} a second x {SECRET_LIFE_SECONDS} s",
        met_at=SECRET_CALLS * SECRET_LIFE_SECONDS,
        unit="tasks",
    )


def queued_key_reads() -> float:
    """Return the read units a second that one task asks of one key of the queued jobs, when the queue is as long as it reads."""
    place = math.ceil(ROWS / STATUS_SHARDS * INDEX_ROW_BYTES / READ_BYTES * 2) / 2 / QUEUE_PLACE_SECONDS
    return place + 0.5 / KEPT_SECONDS + 0.5 / SweepTimes().every


def swept_rows() -> float:
    """Return how many tasks times jobs may be swept before a key's reads are spent: each task reads all those jobs."""
    return PARTITION_READS * STATUS_SHARDS * SweepTimes().every * READ_BYTES / INDEX_ROW_BYTES


def bounds_table() -> str:
    """Write the bounds."""
    rows = [
        (bound.what, bound.formula, f"{bound.met_at:,.{_digits(bound.met_at)}f} {bound.unit}") for bound in bounds()
    ]
    return tables.table(("what", "how", "met at"), rows)


def _digits(value: float) -> int:
    return 1 if value < 100 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """So many tasks of one vCPU and 2 GB, fully used: jobs a second, and sockets."""

    tasks: int
    jobs: float
    sockets: int

    @classmethod
    def full(cls, tasks: int) -> House:
        """Return what so many tasks bear."""
        return cls(tasks=tasks, jobs=tasks * SLOTS / GEMINI_SECONDS, sockets=tasks * SOCKETS)

    @classmethod
    def bearing(cls, jobs: float, sockets: int) -> House:
        """Return what bears so much: by slots, by CPU and by sockets."""
        needed = max(jobs * GEMINI_SECONDS / MOST_SLOTS, jobs * CPU_SECONDS / BUSY, sockets / SOCKETS)
        return cls(tasks=math.ceil(needed), jobs=jobs, sockets=sockets)


def houses_table() -> str:
    """Write what several sizes do in a second, and cost in an hour."""
    houses = [House.full(1), House.full(10), House.full(1000), House.bearing(10_000, 1_000_000)]
    columns = [dict(_figures(house)) for house in houses]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return tables.table(("", "1 task", "10 tasks", "1,000 tasks", "10,000 jobs/s and 1,000,000 sockets"), rows)


def _figures(house: House) -> Iterable[tuple[str, str]]:
    units, market = sum(write.all_units for write in writes_of_a_job()), Market(has_free=False)
    reads = MEASURED.get_items + MEASURED.queries * 0.5
    idle = Idle()
    yield "tasks, 1 vCPU and 2 GB", f"{house.tasks:,}"
    yield "jobs a second", f"{house.jobs:,.1f}"
    yield "sockets", f"{house.sockets:,}"
    yield "memory of a task's sockets, MiB", f"{house.sockets / house.tasks * SOCKET_KIB / 1024:,.0f}"
    yield "messages in flight", f"{house.jobs * GEMINI_SECONDS:,.0f}"
    yield "DynamoDB, write units a second", f"{house.jobs * units:,.0f}"
    yield "DynamoDB, read units a second", f"{house.jobs * reads + house.tasks * idle.reads * 1e6 / HOURS / 3600:,.0f}"
    yield "notices a second through Redis", f"{house.jobs * NOTICES_OF_A_JOB:,.0f}"
    yield "logs, MB a second", f"{house.jobs * MEASURED.log_bytes / 1e6:,.2f}"
    yield "pings a second, both kinds", f"{2 * house.sockets / LIMITS.ping_message_seconds:,.0f}"
    tasks = house.tasks * (market.cost("vcpu", 1) + market.cost("memory", 2))
    table = market.cost("writes", house.jobs * units * 3600 / 1e6) + market.cost(
        "reads", house.jobs * reads * 3600 / 1e6
    )
    logs = market.cost("logs", house.jobs * MEASURED.log_bytes * 3600 / 1e9)
    queue = market.cost("queue", (house.jobs * 3 * 3600 + house.tasks * idle.queue_requests * 1e6 / HOURS) / 1e6)
    balancer = market.cost("lcu", max(1.0, house.sockets / 3000))
    for name, dollars in (
        ("tasks, on demand", tasks),
        ("DynamoDB", table),
        ("SQS", queue),
        ("logs at INFO", logs),
        ("load balancer's units", balancer),
        ("Gemini", gemini(1) * house.jobs * 3600),
    ):
        yield f"{name}, dollars an hour", f"{dollars:,.2f}"
