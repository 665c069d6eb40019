"""What the log of a user must say: every version of every job, as what it was, in an order that a life can have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, TypeAlias

from jobs.events import EventType
from jobs.ids import JobId
from jobs.model import Job, Status

Told: TypeAlias = Mapping[JobId, Mapping[int, EventType]]

TELLS_OF: Final = {
    EventType.PENDING: Status.PENDING,
    EventType.QUEUED: Status.QUEUED,
    EventType.RETRYING: Status.QUEUED,
    EventType.PROCESSING: Status.PROCESSING,
    EventType.COMPLETED: Status.COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.CANCELED: Status.CANCELED,
}
_FROM_THE_QUEUE: Final = {EventType.PROCESSING, EventType.FAILED, EventType.CANCELED}
NEXT: Final[Mapping[EventType | None, set[EventType]]] = {
    None: {EventType.PENDING, EventType.QUEUED}
    | _FROM_THE_QUEUE,  # a worker, or a cancel, may be faster than the charge
    EventType.PENDING: {EventType.QUEUED} | _FROM_THE_QUEUE,
    EventType.QUEUED: _FROM_THE_QUEUE,
    EventType.RETRYING: _FROM_THE_QUEUE,
    EventType.PROCESSING: {EventType.RETRYING, EventType.COMPLETED} | _FROM_THE_QUEUE,
    EventType.FAILED: {EventType.QUEUED},  # an operator has brought it back
    EventType.COMPLETED: set(),
    EventType.CANCELED: set(),
}


def read(log: Iterable[Mapping[str, Any]]) -> Told:
    """Read what is told of each job's versions, their deletions left out; one told twice must be told as the same."""
    told: defaultdict[JobId, dict[int, EventType]] = defaultdict(dict)
    for entry in log:
        kind = EventType(entry["type"])
        if kind is not EventType.DELETED:
            assert kind is told[entry["jobId"]].setdefault(int(entry["version"]), kind)
            assert TELLS_OF[kind] == entry["job"]["status"]
    return told


def check_life(told: Told, job: Job, last_version: int) -> None:
    """Check that each change of the job up to this version is told, and that they make a life that ends as the job did."""
    changes = told.get(job.job_id, {})
    kinds = [changes[version] for version in sorted(changes)]
    first = 1 if EventType.PENDING in kinds or job.waiting else 2  # that a job is stored is told only if it waits
    assert list(range(first, last_version + 1)) == sorted(changes), "a change was not told"
    for earlier, later in pairwise([None, *kinds]):
        assert later is not None
        assert later in NEXT[earlier], f"{later} after {earlier}"
    assert job.status is (TELLS_OF[kinds[-1]] if kinds else Status.PENDING)


def check_seen(told: Told, job: Job) -> None:
    """Check that a job as somebody saw it, at whatever time, is what the log says of that version."""
    is_told = job.version > 1 or job.waiting
    assert not is_told or job.status is TELLS_OF[told[job.job_id][job.version]]
