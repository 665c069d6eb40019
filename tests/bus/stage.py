"""Buses of two tasks, and what their tests do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from jobs.events import Event, EventBus, EventType, JobEvent, JobProgress, Notice, Stage, UserEvent
from jobs.ids import EventId, JobId, UserId
from jobs.model import Charge, Job, Status
from jobs.redis_bus import RedisBus

WAIT_SECONDS = 25
ALICE, BOB = UserId("alice"), UserId("bob")


def job(user: UserId = ALICE, *, job_id: str = "job_1", version: int = 1, status: Status = Status.PROCESSING) -> Job:
    """Return a job as the bus carries it."""
    return Job(
        job_id=JobId(job_id),
        user_id=user,
        pipeline="profile-photo",
        status=status,
        version=version,
        created_at=1_700_000_000_123,
        updated_at=1_700_000_000_456,
        charge=Charge.CHARGED,
        quota_day="2026-11-20",
    )


def completed(number: int, user: UserId = ALICE) -> JobEvent:
    """Return an event of a job of its own; ``number`` makes them differ."""
    done = job(user, job_id=f"job_{number}", version=number, status=Status.COMPLETED)
    return JobEvent(event_id=EventId(f"{number:028x}"), type=EventType.COMPLETED, at=number, job=done)


def confirmed(number: int, user: UserId = ALICE) -> UserEvent:
    """Return an event that is no change of a job; ``number`` makes them differ."""
    return UserEvent(
        event_id=EventId(f"{number:028x}"),
        user_id=user,
        type="report.confirmed",
        at=number,
        about="report_1",
        data={"reportId": "report_1", "version": number, "plateString": "12가3456", "latitude": 37.5665},
    )


def progress(fraction: float, user: UserId = ALICE, *, job_id: str = "job_1") -> JobProgress:
    """Return how far a job is."""
    return JobProgress(job=job(user, job_id=job_id), at=1, stage=Stage.GENERATING, fraction=fraction, message="절반")


class Ear:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self._notices: asyncio.Queue[Notice] = asyncio.Queue()

    def deliver(self, notice: Notice) -> None:
        """Take a notice."""
        self._notices.put_nowait(notice)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing has come."""
        return self._notices.empty()

    async def next(self) -> Notice:
        """Wait for the next notice."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._notices.get()

    async def take(self, number: int) -> list[Notice]:
        """Wait for so many."""
        return [await self.next() for _ in range(number)]


async def watch(bus: EventBus, user: UserId = ALICE) -> tuple[Ear, Callable[[], None]]:
    """Watch a user, and wait until other tasks are heard."""
    ear = Ear()
    unsubscribe = bus.subscribe(user, ear.deliver)
    await bus.listening(user)
    return ear, unsubscribe


@dataclass(slots=True, kw_only=True)
class Task:
    """One task's bus over Redis, all it has told, in its order, and the events it has not sent in time."""

    bus: RedisBus
    registry: CollectorRegistry
    told: list[tuple[str, UserId | bool | int | Notice]]
    late: list[Event]

    @property
    def healed(self) -> list[UserId]:
        """The users whose gaps were noted, in order."""
        return [UserId(str(what)) for kind, what in self.told if kind == "heal"]

    @property
    def reports(self) -> list[bool]:
        """What was reported, in order."""
        return [bool(what) for kind, what in self.told if kind == "report"]

    def watch(self, user: UserId) -> Callable[[], None]:
        """Take down what the user is told."""
        return self.bus.subscribe(user, lambda notice: self.told.append(("notice", notice)))

    def count(self, name: str) -> float:
        """Return a metric's value."""
        return self.registry.get_sample_value(name) or 0.0

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - what it waits for is told to nobody
                await asyncio.sleep(0.01)

    async def whole(self) -> None:
        """Wait until the bus is whole."""
        await self.until(lambda: self.bus.is_whole)

    async def cut(self) -> None:
        """Wait until the bus is cut."""
        await self.until(lambda: not self.bus.is_whole)


def new_task(url: str, prefix: str) -> Task:
    """Make a task's bus, not started."""
    registry = CollectorRegistry()
    told: list[tuple[str, UserId | bool | int | Notice]] = []
    late: list[Event] = []
    bus = RedisBus(url, prefix=prefix, registry=registry, report=lambda is_whole: told.append(("report", is_whole)))
    bus.on_gap(lambda user: told.append(("heal", user)))
    bus.on_dropped(late.append)
    return Task(bus=bus, registry=registry, told=told, late=late)
