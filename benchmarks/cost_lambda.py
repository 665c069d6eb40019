"""The same load on the originals' design: API Gateway, functions that answer, functions that wait for Gemini, pages that poll."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks import tables
from benchmarks.cost_load import GEMINI_SECONDS, MONTH_SECONDS, PAGE_REQUESTS, Load
from benchmarks.cost_prices import Market
from jobs.aws import LONG_POLL_SECONDS

POLL_SECONDS: Final = 3
"""A page asks for each job every three seconds until it has ended."""
QUEUE_SECONDS: Final = 1.0
COLD_SHARE: Final = 0.2
COLD_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 0.15
ANSWER_GB: Final = 0.25
WORKER_GB: Final = 1.0
"""Pillow, the SDK, a photo and a picture: a gigabyte, for CPU comes with memory."""
OWN_SECONDS: Final = 1.5
"""Of the worker, beside the wait: S3 both ways, decoding, DynamoDB."""
REQUESTS_OF_A_JOB: Final = 3
"""The upload's link, the submission, the link of the result."""
REQUESTS_OF_A_VISIT: Final = 3
WRITES_OF_A_JOB: Final = 10
"""Four states of the job with its two indexes, the day's row with its index, the user's row; none in a transaction."""
READS_OF_A_JOB: Final = 4
SQS_OF_A_JOB: Final = 3
IDLE_POLLS: Final = 5 * MONTH_SECONDS / LONG_POLL_SECONDS / 1e6
"""Lambda asks the queue with five long polls at once, in millions a month."""
LOG_BYTES: Final = 2_000


def polls_of_a_job(gemini_seconds: float = GEMINI_SECONDS) -> float:
    """Return how often a page asks for a job."""
    return (gemini_seconds + OWN_SECONDS + QUEUE_SECONDS + COLD_SHARE * COLD_SECONDS) / POLL_SECONDS


def worker_gb_seconds(gemini_seconds: float = GEMINI_SECONDS) -> float:
    """Return what the worker is billed for one job: it is paid while it waits."""
    return WORKER_GB * (gemini_seconds + OWN_SECONDS + COLD_SHARE * COLD_SECONDS)


def month(load: Load, market: Market, gemini_seconds: float = GEMINI_SECONDS) -> Mapping[str, float]:
    """Return the bill of a month."""
    jobs = load.jobs
    polls = polls_of_a_job(gemini_seconds)
    requests = jobs * (REQUESTS_OF_A_JOB + polls) + load.visits * REQUESTS_OF_A_VISIT
    gb_seconds = jobs * worker_gb_seconds(gemini_seconds) + requests * ANSWER_SECONDS * ANSWER_GB
    waited = jobs * WORKER_GB * gemini_seconds / gb_seconds
    seconds = market.cost("seconds", gb_seconds / 1e6)
    writes, reads = jobs * WRITES_OF_A_JOB, jobs * (READS_OF_A_JOB + polls)
    return {
        "Lambda, while it waits for Gemini": seconds * waited,
        "Lambda, while it works": seconds * (1 - waited),
        "Lambda, calls": market.cost("calls", (requests + jobs) / 1e6),
        "API Gateway": market.cost("gateway", requests / 1e6),
        "DynamoDB": market.cost("writes", writes / 1e6) + market.cost("reads", reads / 1e6),
        "SQS": market.cost("queue", IDLE_POLLS + jobs * SQS_OF_A_JOB / 1e6),
        "logs": market.cost("logs", (requests + jobs) * LOG_BYTES / 1e9),
        "page: S3 requests": market.cost("gets", load.visits * PAGE_REQUESTS / 1e3),
        "secret, zone": market.cost("secrets", 1) + market.cost("zone", 1),
    }


def thousand_jobs(market: Market, gemini_seconds: float = GEMINI_SECONDS) -> Mapping[str, float]:
    """Return what a thousand jobs add to the bill."""
    load = Load(users=1000)
    bill = month(load, market, gemini_seconds)
    fixed = {"secret, zone", "SQS", "page: S3 requests"}
    return {name: 1000 * dollars / load.jobs for name, dollars in bill.items() if name not in fixed}


def months(loads: Sequence[Load], market: Market) -> str:
    """Write the bills as a table."""
    bills = [month(load, market) for load in loads]
    rows = [(name, *(f"{bill[name]:.2f}" for bill in bills)) for name in bills[0]]
    rows.append(("**all**", *(f"**{sum(bill.values()):.2f}**" for bill in bills)))
    return tables.table(("dollars a month", *(f"{load.users:,} daily users" for load in loads)), rows)
