"""One frame of everything that the server can write, each made by the function that makes it in the service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from jobs import clock, parking, views
from jobs.conditions import Degradation
from jobs.control import Canceled, CancelOutcome
from jobs.events import EventType, JobEvent, JobProgress, Stage, UserEvent
from jobs.ids import EventIds, UserId, new_job_id
from jobs.model import JSON, Caller, Charge, Failure, Job, ModelUse, Output, Quota, Status
from jobs.queue_place import Place, QueuePlace
from websocket import messages
from websocket.messages import Frame, Snapshot

EVENT_IDS: Final = EventIds()
NOW: Final = clock.now_milliseconds()
CALLER: Final = Caller(user_id=UserId("alice"), expires_at=NOW // 1000 + 3600)
FIGURES: Final = Quota(daily_limit=10, used=3, resets_at=clock.next_utc_midnight(NOW))
QUOTA: Final = views.quota_view(FIGURES)
QUEUED: Final = Job(
    job_id=new_job_id(),
    user_id=CALLER.user_id,
    pipeline="profile-photo",
    status=Status.QUEUED,
    version=2,
    created_at=NOW,
    updated_at=NOW,
    charge=Charge.CHARGED,
    quota_day=clock.utc_day(NOW),
    style="formal_interview",
    prompt="안녕 & <b>",
    input_url="s3://uploads/uploads/alice/1.png",
)
RUNNING: Final = replace(QUEUED, status=Status.PROCESSING, version=3, attempt=1, started_at=NOW)
COMPLETED: Final = replace(
    RUNNING,
    status=Status.COMPLETED,
    version=6,
    attempt=2,
    use=ModelUse(calls=2, pictures=1, tokens={"prompt": 268, "output": 1120, "thoughts": 0}),
    processing_milliseconds=2143,
    output=Output(
        url=f"s3://results/generated/alice/{QUEUED.job_id}.png",
        model_name="a-model",
        generation_milliseconds=2011,
        facts={"contentType": "image/png", "width": 512, "height": 512, "bytes": 400_123},
    ),
)
ANSWERED: Final = replace(
    COMPLETED,
    job_id=new_job_id(),
    pipeline="crack-detection",
    parameters={"threshold": 0.5},
    units=2,
    output=Output(url=None, model_name="a-model", generation_milliseconds=2011, facts={"confidence": 0.85}),
)
"""Without a file, of a pipeline that is told a number and finds one."""
FAILED: Final = replace(
    RUNNING,
    job_id=new_job_id(),
    status=Status.FAILED,
    version=4,
    retry_of=QUEUED.job_id,
    failure=Failure(code="content_rejected", message="Gemini will not work on this content.", retryable=False),
)
CANCELED: Final = replace(QUEUED, job_id=new_job_id(), status=Status.CANCELED, version=3, charge=Charge.RETURNED)
WAITING: Final = replace(QUEUED, status=Status.PENDING, version=1, charge=Charge.TAKEN, waiting=True)
CHANGES: Final = (
    (EventType.PENDING, WAITING),
    (EventType.QUEUED, QUEUED),
    (EventType.PROCESSING, RUNNING),
    (EventType.RETRYING, replace(QUEUED, version=4, attempt=1)),
    (EventType.PROCESSING, replace(RUNNING, version=5, attempt=2)),
    (EventType.COMPLETED, COMPLETED),
    (EventType.FAILED, FAILED),
    (EventType.CANCELED, CANCELED),
    (EventType.DELETED, replace(COMPLETED, version=7)),
)
"""What happens to some jobs, every type of event among it."""
BUSY: Final = Degradation(part="gemini", condition="throttled", reason="It is busy.", retry_after_seconds=12)
AWAY: Final = Degradation(part="bus", condition="away", reason="Nobody hears it.")


def event(event_type: EventType, job: Job) -> JobEvent:
    """Tell of a change that has just been made."""
    return JobEvent(event_id=EVENT_IDS.next(), type=event_type, at=NOW, job=job)


def confirmed(similarity: float | None = None) -> UserEvent:
    """Tell of a report that is there now."""
    report = parking.Report(
        report_id="report_1",
        version=1,
        first=sighting("2026-11-20 09:00:00"),
        last=sighting("2026-11-20 09:10:00"),
        similarity=similarity,
        report_bool=similarity is not None,
        created_at=NOW,
        updated_at=NOW,
    )
    return UserEvent(
        event_id=EVENT_IDS.next(),
        user_id=CALLER.user_id,
        type=parking.REPORT_CONFIRMED,
        at=NOW,
        about=report.report_id,
        data=parking.announcement(report),
    )


def sighting(capture_time: str) -> parking.Sighting:
    """Make a sighting of always the same car."""
    return parking.Sighting(
        user_id=CALLER.user_id,
        job_id=new_job_id(),
        device_id="cam-1",
        plate="12가3456",
        latitude=Decimal("37.5665"),
        longitude=Decimal("126.978"),
        capture_time=capture_time,
        photo=hashlib.sha256(capture_time.encode()).hexdigest(),
        image_url="s3://uploads/reports/alice/cam-1/1.png",
        cropped_url="s3://results/reports/alice/1.png",
    )


def progress(job: Job, partial: Mapping[str, JSON] | None = None) -> JobProgress:
    """Tell how far a job is."""
    return JobProgress(
        job=job, at=NOW, stage=Stage.GENERATING, fraction=1 / 3, message="Generating", partial=partial or {}
    )


def place(ahead: int, eta_seconds: int | None) -> QueuePlace:
    """Tell where the queued job stands."""
    standing = Place(ahead=ahead, eta_seconds=eta_seconds)
    return QueuePlace(job_id=QUEUED.job_id, user_id=QUEUED.user_id, version=QUEUED.version, place=standing, at=NOW)


def cancel_result(outcome: CancelOutcome = CancelOutcome.BEFORE_START) -> dict[str, JSON]:
    """Tell what a cancel came to."""
    return views.cancel_view(Canceled(CANCELED, outcome))


def samples(view: dict[str, JSON]) -> dict[Callable[..., Frame], Iterable[Frame]]:
    """Make every frame; ``view`` is how a job looks whose view must be signed."""
    newest = EVENT_IDS.next()
    whole = Snapshot(position=newest, jobs=[view], has_more=True, quota=QUOTA)
    return {
        messages.welcome: [messages.welcome(name, CALLER, ping_seconds=25) for name in ("con_1", None)],
        messages.snapshot: [
            messages.snapshot(state) for state in (whole, replace(whole, position=None, jobs=[], quota={}))
        ],
        messages.event: [
            *(messages.event(event(kind, job), view) for kind, job in CHANGES),
            messages.event(event(EventType.QUEUED, QUEUED), view, is_next=False),
            *(messages.event(report, dict(report.data)) for report in (confirmed(), confirmed(0.93))),
            messages.event(confirmed(), dict(confirmed().data), is_next=False),
        ],
        messages.job_progress: [
            messages.job_progress(progress(RUNNING)),
            messages.job_progress(progress(RUNNING, {"sentiment": {"label": "positive", "score": 0.9}})),
        ],
        messages.job_place: [messages.job_place(place(ahead, eta)) for ahead, eta in ((0, None), (1200, 60))],
        messages.quota: [messages.quota(FIGURES), messages.quota(replace(FIGURES, used=11))],
        messages.ping: [messages.ping(newest), messages.ping(None)],
        messages.system_degraded: [messages.system_degraded(parts) for parts in ([BUSY, AWAY], [])],
        messages.resync: [messages.resync("Too much has happened since")],
        messages.auth_expiring: [messages.auth_expiring(CALLER)],
        messages.auth_ok: [messages.auth_ok(CALLER)],
        messages.cancel_ok: [
            messages.cancel_ok(ref, cancel_result(outcome))
            for ref, outcome in zip(("a", 1, None, ""), CancelOutcome, strict=True)
        ],
        messages.reconnect: [messages.reconnect(0), messages.reconnect(2999)],
        messages.error: [messages.error("job_not_found", "Job not found", ref) for ref in (None, "auth", 7)],
    }
