"""The load that is paid for: who comes, what a job moves, and what the service was measured to use for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.cost_prices import HOURS
from jobs.aws import LONG_POLL_SECONDS
from jobs.items import STATUS_SHARDS
from jobs.secret import SECRET_LIFE_SECONDS
from jobs.sweeper import SweepTimes
from service.emf import METRICS as EMF_METRICS
from service.ops.sampler import KEPT_SECONDS
from websocket.limits import SocketLimits

DAYS: Final = 30
MONTH_SECONDS: Final = HOURS * 3600
JOBS_OF_A_DAY: Final = 3
ONLINE_MINUTES: Final = 15
"""Each user comes once a day, makes three pictures, and looks on for a quarter of an hour."""
PEAK_SHARE: Final = 0.2
"""Of a day's jobs, in its busiest hour."""

UPLOAD_MB: Final = 2.0
RESULT_MB: Final = 1.5
SENT_MB: Final = 1.0
"""To Gemini: the photo at 2048 pixels, in base64."""
VIEWS: Final = 2
UPLOAD_DAYS: Final = 30
PAGE_MB: Final = 0.4
PAGE_REQUESTS: Final = 60

GEMINI_SECONDS: Final = 12.0
PICTURE_DOLLARS: Final = 0.0336
PROMPT_TOKENS: Final = 1_300
THOUGHT_TOKENS: Final = 120

QUEUES: Final = 3
"""Of jobs, of uploads and of webhook deliveries; each is polled by every task, and has dead letters."""
TABLES: Final = 8
KMS_LIFE_SECONDS: Final = 300
METRICS: Final = len(EMF_METRICS.keys() - {"SpentTodayDollars"})
"""Without the one that is told, and looked at by an alarm, where a limit of the day's spending is set."""
ALARM_METRICS: Final = 31
"""That the alarms of compute.yaml look at."""
SCALING_ALARM_METRICS: Final = 8
"""That the alarms look at which AWS makes by itself to scale: two for each policy, of three metrics and of one."""
DASHBOARDS: Final = 1
IMAGE_GB: Final = 0.5
"""Some versions of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """By `python -m benchmarks.small_task`, on the machine that docs/cost.md names.

    CPU with a job's share of its user's visit; all else of a visit for one job, without what the task asks anyway.
    """

    cpu_milliseconds: float = 90.0
    get_items: float = 7.25
    queries: float = 6.0
    queue_requests: float = 4.0
    log_bytes: float = 4_300


MEASURED: Final = Measured()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A month of so many daily users."""

    users: int

    @property
    def jobs(self) -> int:
        """Jobs a month."""
        return self.users * JOBS_OF_A_DAY * DAYS

    @property
    def peak_jobs_a_second(self) -> float:
        """In the busiest hour."""
        return self.users * JOBS_OF_A_DAY * PEAK_SHARE / 3600

    @property
    def peak_online(self) -> float:
        """Sockets in the busiest hour."""
        return self.users * PEAK_SHARE * ONLINE_MINUTES / 60

    @property
    def visits(self) -> int:
        """Visits of the page a month."""
        return self.users * DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What one task asks of AWS in a month though nobody comes, in millions; what it reads of DynamoDB, in read units."""

    queue_looks: float = 2 * QUEUES * MONTH_SECONDS / KEPT_SECONDS / 1e6
    long_polls: float = QUEUES * MONTH_SECONDS / LONG_POLL_SECONDS / 1e6
    # An index is read in halves of a unit.
    age_reads: float = STATUS_SHARDS * MONTH_SECONDS / KEPT_SECONDS * 0.5 / 1e6
    sweep_reads: float = 3 * STATUS_SHARDS * MONTH_SECONDS / SweepTimes().every * 0.5 / 1e6
    # While anybody is connected; here, always.
    blocked_reads: float = MONTH_SECONDS / SocketLimits().blocked_seconds / 1e6
    secret_reads: float = MONTH_SECONDS / SECRET_LIFE_SECONDS / 1e6

    @property
    def queue_requests(self) -> float:
        """Of SQS."""
        return self.queue_looks + self.long_polls

    @property
    def reads(self) -> float:
        """Of DynamoDB."""
        return self.age_reads + self.sweep_reads + self.blocked_reads
