"""What is pushed in a measurement: the life of a job, each notice stamped with the moment of its publication."""

from __future__ import annotations

import random
import re
import secrets
import time
from dataclasses import dataclass
from typing import Final

from jobs import clock
from jobs.events import EventType, JobEvent, JobProgress, Stage
from jobs.ids import EventId, JobId, UserId
from jobs.model import Charge, Job, ModelUse, Output, Status

STAMP: Final = re.compile(rb"stamped (\d{19})")
LIFE_SECONDS: Final = 2.0
BUSY_JOBS_PER_SECOND: Final = 4
LONG_CHARACTERS: Final = 2000
DIFFERENT_JOBS: Final = 1000
_STATUSES: Final = {
    EventType.QUEUED: Status.QUEUED,
    EventType.PROCESSING: Status.PROCESSING,
    EventType.COMPLETED: Status.COMPLETED,
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Step:
    """One change of one job, due so many seconds after the beginning; one that ``is_long`` has a prompt as long as may be."""

    at: float
    user: str
    job_id: str
    number: int
    is_long: bool = False


STEPS: Final[tuple[tuple[float, EventType | float], ...]] = (
    (0, EventType.QUEUED),
    (0.1, EventType.PROCESSING),
    (0.2, 0.1),
    (1.0, 0.5),
    (LIFE_SECONDS, EventType.COMPLETED),
)
"""What happens in a job's life: when, in seconds, and the event or the fraction of a progress."""


def lives(*, jobs_per_second: float, seconds: float, users: int, busy_users: int = 0) -> list[Step]:
    """Lay out the lives of jobs that begin and belong to users by chance, in the order of time.

    Each of the first ``busy_users`` has ``BUSY_JOBS_PER_SECOND`` of its own besides, with long prompts.
    """
    chance = random.Random(7)
    even = int(jobs_per_second * seconds)
    # Begun evenly, the changes of different jobs would fall on the same instants, and wait for each other.
    beginnings = [(chance.uniform(0, seconds), chance.randrange(users)) for _ in range(even)]
    busy_rate = BUSY_JOBS_PER_SECOND * busy_users
    beginnings += [(number / busy_rate, number % busy_users) for number in range(int(busy_rate * seconds))]
    steps = [
        Step(at=began + offset, user=f"user-{user}", job_id=f"job_{number:032x}", number=index, is_long=number >= even)
        for number, (began, user) in enumerate(beginnings)
        for index, (offset, _) in enumerate(STEPS)
    ]
    return sorted(steps)


def notice(step: Step, stamp: int | None = None) -> JobEvent | JobProgress:
    """Make the notice of a step, stamped with these nanoseconds of the monotonic clock, or with now."""
    what = STEPS[step.number][1]
    text = f"stamped {time.monotonic_ns() if stamp is None else stamp:019d}"
    if isinstance(what, float):
        running = job(step, Status.PROCESSING, prompt="")
        at = clock.now_milliseconds()
        return JobProgress(job=running, at=at, stage=Stage.GENERATING, fraction=what, message=text)
    return event(what, job(step, _STATUSES[what], prompt=text.ljust(LONG_CHARACTERS, ".") if step.is_long else text))


def event(event_type: EventType, changed: Job) -> JobEvent:
    """Return the event of a change that was just made."""
    at = clock.now_milliseconds()
    event_id = EventId(f"{at:012x}{secrets.randbits(63):016x}")
    return JobEvent(event_id=event_id, type=event_type, at=at, job=changed)


def job(step: Step, status: Status, *, prompt: str) -> Job:
    """Return a job as it is after a step, with all that a real one has by then."""
    output = Output(
        url=f"s3://darkroom-results/generated/{step.job_id}.png",
        model_name="gemini-nano-banana-2.1",
        generation_milliseconds=2011,
        facts={"contentType": "image/png", "width": 512, "height": 512, "bytes": 400123},
    )
    use = ModelUse(calls=1, pictures=1, tokens={"prompt": 268, "output": 1120, "thoughts": 0})
    is_done = status is Status.COMPLETED
    return Job(
        job_id=JobId(step.job_id),
        user_id=UserId(step.user),
        pipeline="profile-photo",
        status=status,
        version=step.number + 2,
        created_at=clock.now_milliseconds(),
        updated_at=clock.now_milliseconds(),
        charge=Charge.CHARGED,
        quota_day="2026-11-20",
        attempt=1,
        style="professional",
        prompt=prompt,
        input_url=f"s3://darkroom-uploads/uploads/{step.job_id}.png",
        output=output if is_done else None,
        use=use if is_done else ModelUse(),
    )


def one_for_each(users: int) -> list[Step]:
    """Return one step of a job for each user; the jobs are so few that their links stay signed."""
    return [
        Step(at=0, user=f"user-{user}", job_id=f"job_{user % DIFFERENT_JOBS:032x}", number=1) for user in range(users)
    ]
