"""The intake of photos that start a job by themselves, opened: which job such a photo asks for is said here alone."""

from __future__ import annotations

from collections.abc import Callable

from consumers import parking_report
from consumers.uploads import UploadIntake
from jobs.files import Files
from jobs.ids import UserId
from jobs.submission import Request, Submission
from jobs.upload_events import Upload, UploadEventQueue
from service.ground import Ground
from service.settings import Settings


def make_intake(
    settings: Settings, ground: Ground, submission: Submission, watch: Callable[[UserId], None]
) -> UploadIntake:
    """Make the intake; ``watch`` is told of users whose new job waits for their others."""
    clients = ground.clients
    queue = UploadEventQueue(
        clients.sqs,
        clients.receiver,
        url=settings.upload_events_queue_url,
        bucket=settings.upload_bucket,
        dead_letters_url=settings.upload_events_dlq_url,
        visibility_seconds=settings.lease_seconds,
    )
    files = ground.files
    return UploadIntake(
        queue,
        submission,
        lambda upload: _request_of(upload, files),
        watch,
        lambda upload: files.delete_upload(files.upload_url(upload.key)),
        ground.registry,
    )


def _request_of(upload: Upload, files: Files) -> Request:
    return Request(
        user_id=upload.user_id,
        pipeline=parking_report.NAME,
        input_url=files.upload_url(upload.key),
        parameters={"deviceId": upload.device_id},
        since=upload.signed_at,
    )
