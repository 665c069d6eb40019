"""The lines that CloudWatch makes metrics of: what they say of the registry, and that they never hold anybody up."""

from __future__ import annotations

import asyncio
import math
import os
import re
import select
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from consumers.failures import POLICIES, FailureClass
from consumers.gate_state import GateMetrics
from consumers.gemini_wire import CallFailed
from consumers.metrics import PoolMetrics
from jobs.errors import DarkroomError
from service import errors
from service.emf import METRICS, Emitter, Kind, emitting, make_line, read
from service.metrics import RequestMetrics, TaskMetrics
from tests.conftest import CHECKOUT
from tests.contracts.emf import metrics_of, read_line
from websocket.metrics import SocketMetrics, Transport

PIPE_BUF = 4096
"""So much goes into a pipe at once or not at all, and so much room a pipe has that says it has any (Linux)."""
MODEL = "gemini-nano-banana-2.1"


class Task:
    """A task's registry with everything a service puts into it, and the lines made of it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.pool = PoolMetrics(self.registry)
        self.gates = GateMetrics(self.registry)
        self.requests = RequestMetrics(self.registry)
        self.task = TaskMetrics(self.registry, task="a-task", version="0")
        self.sockets = SocketMetrics(self.registry)
        self.spend = Counter("gemini_spend_microdollars", "As in Spending", ["model"], registry=self.registry)
        self.spent_today = Gauge("gemini_spend_today_microdollars", "As in Spending", registry=self.registry)
        self.spent_today.set(math.nan)
        self._before: dict[str, Any] = {}

    def line(self, *, is_last: bool = False) -> bytes:
        """Make the next line."""
        now, before = read(self.registry), self._before
        self._before = dict(now)
        return make_line("darkroom", now, before, 1_790_000_000_000, is_last=is_last)

    def tell(self, *, is_last: bool = False) -> dict[str, Any]:
        """Make the next line and read it."""
        return metrics_of(read_line(self.line(is_last=is_last)))

    def call(self, failure: FailureClass | None) -> None:
        """Count one call of Gemini."""
        with suppress(CallFailed), self.pool.gemini_call(MODEL):
            if failure is not None:
                raise CallFailed(failure)
        if failure is not None and POLICIES[failure].counts_as_throttling:  # as the gate does
            self.gates.throttled.labels(MODEL).inc()


@pytest.fixture
def task() -> Task:
    """Make a task that has done nothing yet."""
    return Task()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe of the least size, as a log driver reads."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def test_the_documented_table_is_that_of_the_code() -> None:
    """Whoever makes an alarm reads it there."""
    text = (CHECKOUT / "docs" / "metrics.md").read_text().partition("## CloudWatch")[2]
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\w+) \| [^|]* \|$", text, re.MULTILINE)

    assert {name: metric.unit for name, metric in METRICS.items()} == dict(rows)


def test_an_idle_minute_is_told_as_zeros(task: Task) -> None:
    """Alarms have something to go by; what is not known, and times of nothing, are left out."""
    task.pool.slots.set(64)
    told = task.tell()

    assert {name for name, metric in METRICS.items() if metric.kind is Kind.COUNTER} == {
        name for name, value in told.items() if value == 0 and METRICS[name].kind is Kind.COUNTER
    }
    assert {"Slots": 64, "SlotsBusy": 0, "Connections": 0} == {
        name: value for name, value in told.items() if METRICS[name].kind is Kind.GAUGE
    }
    assert [] == [name for name in told if METRICS[name].kind is Kind.TIMES]


def test_a_line_has_one_dimension(task: Task) -> None:
    """Each further one would be a metric of its own on the bill, and a user's id one for each user."""
    document = read_line(task.line())
    (directive,) = document["_aws"]["CloudWatchMetrics"]

    assert ("Darkroom", [["Service"]], "darkroom") == (
        directive["Namespace"],
        directive["Dimensions"],
        document["Service"],
    )
    assert {"_aws", "Service"} == document.keys() - METRICS.keys()


def test_counters_are_told_from_line_to_line(task: Task) -> None:
    """The first line tells all since the task began; gauges are as they are, and go with the task."""
    task.pool.jobs.labels("diary", "completed").inc(3)
    task.pool.jobs.labels("diary", "content_rejected").inc()
    task.pool.jobs.labels("diary", "retried").inc()
    task.spend.labels(MODEL).inc(33_600)
    task.sockets.count_opened(Transport.SOCKET)
    task.sockets.count_opened(Transport.POLL)
    task.task.show_backlog({}, 12.5)
    first = task.tell()
    task.pool.jobs.labels("profile-photo", "completed").inc()
    task.task.show_backlog({}, None)
    second, last = task.tell(), task.tell(is_last=True)

    assert [(3, 1, 0.0336), (1, 0, 0), (0, 0, 0)] == [
        (told["JobsCompleted"], told["JobsFailed"], told["SpendDollars"]) for told in (first, second, last)
    ]
    assert [(2, 12.5), (2, None), (None, None)] == [
        (told.get("Connections"), told.get("QueueOldestSeconds")) for told in (first, second, last)
    ]


def test_times_are_the_middles_of_their_buckets_beside_the_true_sum(task: Task) -> None:
    """What is past the last bound is as long as the sum says."""
    for seconds in (0.11, 0.14, 4, 1000, 1400):
        task.pool.job_seconds.labels("diary").observe(seconds)
    first = task.tell()["JobSeconds"]
    task.pool.job_seconds.labels("diary").observe(0.01)
    second = task.tell()["JobSeconds"]
    third = task.tell()

    assert {
        "Values": [0.125, 4, 1200],
        "Counts": [2, 1, 2],
        "Min": 0.1,
        "Max": 1200,
        "Count": 5,
        "Sum": 2404.25,
    } == first
    assert {"Values": [0.05], "Counts": [1], "Min": 0, "Max": 0.1, "Count": 1, "Sum": 0.01} == second
    assert "JobSeconds" not in third


def test_only_what_is_geminis_or_the_keys_doing_is_its_failure(task: Task) -> None:
    """A refused photo is its owner's, and a rate limit has a metric of its own."""
    others = {FailureClass.REJECTED, FailureClass.INVALID_INPUT, FailureClass.THROTTLED, FailureClass.DAILY_QUOTA}
    blamed = set()
    for failure in FailureClass:
        task.call(failure)
        if (told := task.tell())["GeminiFailures"]:
            blamed.add(failure)
        assert 1 == told["GeminiCalls"] == told["GeminiSeconds"]["Count"]
        assert int(POLICIES[failure].counts_as_throttling) == told["GeminiThrottled"]
    task.call(None)

    assert set(FailureClass) - others == blamed
    assert 0 == task.tell()["GeminiFailures"]


def test_a_call_that_breaks_is_a_failure_and_a_canceled_one_is_none(task: Task) -> None:
    """What nobody has thought of must reach the alarm."""
    failures = []
    for error in (ValueError, asyncio.CancelledError):
        with suppress(error), task.pool.gemini_call(MODEL):
            raise error
        failures.append(task.tell()["GeminiFailures"])

    assert [1, 0] == failures


def test_what_became_of_a_job_is_no_error_of_a_request(task: Task) -> None:
    """Health checks are no requests, and a stream's length is no time to answer."""
    for route, status in (
        ("/generate", 500),
        ("/jobs", 503),
        ("/detect-crack", 502),
        ("/detect-crack", 504),
        ("/generate", 429),
        ("/events", 200),
        ("/readyz", 503),
    ):
        task.requests.observe(route=route, method="GET", status=status, seconds=0.2)
    told = task.tell()

    assert (6, 2, 5) == (told["Requests"], told["RequestErrors"], told["RequestSeconds"]["Count"])


def test_no_other_error_has_the_status_of_a_jobs_outcome() -> None:
    """So that the status alone tells them apart."""
    statuses = {kind: {told.status for told in errors.told(kind)} for kind in _kinds(DarkroomError)}
    gateways = {kind for kind, told in statuses.items() if told & {502, 504}}

    assert {errors.JobFailed, errors.StillRunning} == gateways


def test_the_longest_line_goes_into_a_pipe_at_once(task: Task) -> None:
    """With something in every bucket of every histogram, and numbers as long as they come."""
    spread = [1.1**exponent / 3 for exponent in range(-80, 80)] * 77
    for seconds in spread:
        task.task.loop_lag.observe(seconds)
        task.pool.job_seconds.labels("diary").observe(seconds)
        task.pool._queue_seconds.labels("diary").observe(seconds)
        task.pool._gemini_seconds.labels(MODEL).observe(seconds)
        task.requests.observe(route="/jobs", method="GET", status=500, seconds=seconds)
    task.task.show_backlog({}, 86_400.123456)
    task.spent_today.set(123_456_789_012)
    line = task.line()

    assert {*METRICS} == metrics_of(read_line(line)).keys()
    assert len(line) < PIPE_BUF - 512, "room for numbers with more digits"


async def test_a_pipe_that_nobody_reads_holds_nobody_up(task: Task, pipe: tuple[int, int]) -> None:
    """The log driver stalls: the loop goes on, and what could not be told is in the next line."""
    reader, writer = pipe
    _fill(writer)
    emitter = Emitter(task.registry, "darkroom", writer)
    task.pool.jobs.labels("diary", "completed").inc()
    turns = 0
    emitting_one = asyncio.create_task(emitter.emit())
    while not emitting_one.done():
        await asyncio.sleep(0.01)
        turns += 1
    while select.select([reader], [], [], 0)[0]:
        os.read(reader, 2**20)
    task.pool.jobs.labels("diary", "completed").inc()
    await emitter.emit()

    assert turns > 10
    assert 2 == metrics_of(read_line(os.read(reader, 2**20)))["JobsCompleted"]


async def test_a_reader_that_is_gone_ends_nothing(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the task goes on."""
    reader, writer = os.pipe()
    os.close(reader)
    await Emitter(task.registry, "darkroom", writer).emit()
    os.close(writer)

    assert ["emf_broke"] == [getattr(record, "action", "") for record in caplog.records]


async def test_a_line_comes_each_interval_and_a_last_one_at_the_end(task: Task, pipe: tuple[int, int]) -> None:
    """The last one has what came since, and no gauge: the interval has had them."""
    reader, writer = pipe
    async with emitting(task.registry, "darkroom", every_seconds=0.05, descriptor=writer):
        early = await asyncio.to_thread(os.read, reader, 2**20)
        task.pool.jobs.labels("diary", "completed").inc()
    told = [metrics_of(read_line(line)) for line in (early + os.read(reader, 2**20)).splitlines()]

    assert "Slots" in told[0]
    assert [0, 1] == [told[0]["JobsCompleted"], sum(each["JobsCompleted"] for each in told)]
    assert "Slots" not in told[-1]


async def test_without_a_name_nothing_is_written(task: Task, pipe: tuple[int, int]) -> None:
    """Elsewhere than on AWS nobody reads such lines."""
    async with emitting(task.registry, "", every_seconds=0.01, descriptor=pipe[1]):
        await asyncio.sleep(0.03)

    assert [] == select.select([pipe[0]], [], [], 0)[0]


def _kinds(kind: type[DarkroomError]) -> set[type[DarkroomError]]:
    below = [_kinds(child) for child in kind.__subclasses__() if child.__module__.startswith(("jobs", "service"))]
    return {kind}.union(*below)


def _fill(writer: int) -> None:
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * PIPE_BUF)
    except BlockingIOError:
        os.set_blocking(writer, True)
