"""Every error Darkroom raises on purpose.

The class's ``code`` is the stable code that REST answers, socket messages and failed jobs share; its docstring is the default
sentence. Whether a retry can help is a class, never a string test::

    DarkroomError
    ├── RequestError               the caller's doing
    │   ├── InvalidRequest
    │   ├── CursorUnknown
    │   ├── Unauthorized
    │   │   └── AccountErased
    │   ├── Forbidden
    │   │   └── UserBlocked
    │   ├── AccountErasing
    │   ├── ExportUnderWay
    │   │   └── ExportsFull
    │   ├── JobNotFound
    │   │   └── JobDeleted
    │   ├── UploadNotFound
    │   ├── JobNotCompleted
    │   ├── NoResultFile
    │   ├── JobNotEnded
    │   ├── KeyReused
    │   ├── TooManyJobs
    │   ├── WebhookNotFound
    │   ├── DeliveryNotFound
    │   ├── WebhookDisabled
    │   ├── TooManyWebhooks
    │   └── QuotaExceeded
    ├── PermanentError             the job fails now, no retry can help
    │   ├── InvalidImage
    │   ├── WorkerLost
    │   └── MessageLost
    ├── TransientError             another try may succeed
    │   └── CloudUnavailable
    ├── QueueRefused
    └── LostClaim                  the job is not ours to change
        ├── UserIsFull
        └── JobEnded
"""

from __future__ import annotations

from typing import ClassVar


class DarkroomError(Exception):
    """Something went wrong on our side."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self)


class RequestError(DarkroomError):
    """The request cannot be served."""

    code = "invalid_request"


class InvalidRequest(RequestError):
    """The request is not valid."""

    code = "invalid_request"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CursorUnknown(RequestError):
    """The cursor is not one of this log, or is older than it."""

    code = "cursor_unknown"


class Unauthorized(RequestError):
    """Unauthorized: a valid bearer token is needed"""

    code = "unauthorized"


class AccountErased(Unauthorized):
    """Unauthorized: this account was erased after you had signed in. Sign in again to begin anew"""


class Forbidden(RequestError):
    """This belongs to somebody else"""

    code = "forbidden"


class UserBlocked(Forbidden):
    """An operator has blocked this account"""

    code = "user_blocked"


class AccountErasing(RequestError):
    """This account is being erased. Send DELETE /user/me again to see it through"""

    code = "account_erasing"


class ExportUnderWay(RequestError):
    """Your data is being handed over already. Wait until that download has ended"""

    code = "export_under_way"


class ExportsFull(ExportUnderWay):
    """Many others' data are being handed over at this moment. Please try again"""


class JobNotFound(RequestError):
    """Job not found"""

    code = "job_not_found"


class JobDeleted(JobNotFound):
    """The job was deleted."""


class UploadNotFound(RequestError):
    """Uploaded file not found in S3"""

    code = "file_not_found"


class JobNotCompleted(RequestError):
    """Job not completed yet"""

    code = "job_not_completed"


class NoResultFile(RequestError):
    """This job has made no file"""

    code = "no_result_file"


class JobNotEnded(RequestError):
    """The job has not ended yet"""

    code = "job_not_ended"


class KeyReused(RequestError):
    """This Idempotency-Key was used for another request"""

    code = "idempotency_key_reused"


class TooManyJobs(RequestError):
    """You have too many unfinished jobs. Wait until some have ended"""

    code = "too_many_jobs"

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most


class WebhookNotFound(RequestError):
    """Webhook not found"""

    code = "webhook_not_found"


class DeliveryNotFound(RequestError):
    """Delivery not found"""

    code = "delivery_not_found"


class WebhookDisabled(RequestError):
    """The webhook is disabled. Enable it first"""

    code = "webhook_disabled"


class TooManyWebhooks(RequestError):
    """You have as many webhooks as one user may. Delete one first"""

    code = "too_many_webhooks"

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most


class QuotaExceeded(RequestError):
    """Daily quota exceeded"""

    code = "quota_exceeded"

    def __init__(self, daily_limit: int) -> None:
        super().__init__()
        self.daily_limit = daily_limit


class PermanentError(DarkroomError):
    """The job cannot be done."""

    code = "permanent_failure"


class InvalidImage(PermanentError):
    """The upload is not a readable photo."""

    code = "invalid_image"


class TransientError(DarkroomError):
    """This did not work just now."""

    code = "unavailable"

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CloudUnavailable(TransientError):
    """The service cannot reach its storage just now. Please try again."""

    code = "unavailable"


class WorkerLost(PermanentError):
    """The worker was lost with this job time and again."""

    code = "worker_lost"


class MessageLost(PermanentError):
    """The job waited in the queue until its message expired."""

    code = "message_lost"


class QueueRefused(DarkroomError):
    """Failed to queue image generation request"""

    code = "queue_refused"

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id


class LostClaim(DarkroomError):
    """Another worker has the job."""

    code = "lost_claim"


class UserIsFull(LostClaim):
    """The user has as many jobs in flight as one user may, or others that wait for their turn."""

    code = "user_is_full"


class JobEnded(LostClaim):
    """The job is over."""

    code = "job_ended"
