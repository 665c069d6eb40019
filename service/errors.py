"""Errors as answers: each class's status, and the one body that all of them have."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Final

from aiohttp import web

from jobs import errors
from jobs.model import JSON, Failure, Job
from jobs.parking_reports import ReportNotFound

RETRY_AFTER_SECONDS: Final = 2
FULL_RETRY_AFTER_SECONDS: Final = 5


class InvalidJSON(errors.RequestError):
    """The body is not valid JSON"""

    code = "invalid_json"


class BodyTooLarge(errors.RequestError):
    """The body is larger than 64 KiB"""

    code = "body_too_large"


class UnsupportedMediaType(errors.RequestError):
    """Send the body as Content-Type: application/json"""

    code = "unsupported_media_type"


class TooManyRequests(errors.RequestError):
    """You send too many requests. Wait a little"""

    code = "too_many_requests"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class NotReady(errors.DarkroomError):
    """This task takes no requests just now"""

    code = "not_ready"


class TooBusy(NotReady):
    """The service takes in many photos at this moment. Please try again"""

    code = "unavailable"


class NoImageFile(errors.RequestError):
    """No image file provided"""

    code = "no_image_file"


class InvalidImageFile(errors.RequestError):
    """Invalid image file"""

    code = "invalid_image"


class ResultNotFound(errors.RequestError):
    """Result image not found"""

    code = "result_not_found"


class OperatorsOnly(errors.Forbidden):
    """Only members of the group operators may do this"""

    code = "operators_only"


class UserNotFound(errors.RequestError):
    """Nobody with this id has signed in yet"""

    code = "user_not_found"


class NoDeadLetters(errors.RequestError):
    """This service was not told of a dead-letter queue: SQS_DLQ_URL is missing"""

    code = "no_dead_letter_queue"


class RedriveUnderWay(errors.RequestError):
    """Dead letters are being moved already. Wait until that has ended"""

    code = "redrive_under_way"


class OtherTask(errors.RequestError):
    """The request has reached another task than the one it is meant for"""

    code = "other_task"


class JobOutcome(errors.DarkroomError):
    """What a job has come to, told to whoever has waited for its result."""

    def __init__(self, job: Job, message: str) -> None:
        super().__init__(message)
        self.job = job


class StillRunning(JobOutcome):
    """The job runs longer than its caller may wait; it goes on."""

    code = "still_running"

    def __init__(self, job: Job) -> None:
        super().__init__(job, "The job is still running. Ask for it by its jobId")


class JobFailed(JobOutcome):
    """The job has ended without a result, and says why; or ``message`` does, in an original's words."""

    def __init__(self, job: Job, message: str | None = None) -> None:
        self.failure = job.failure or _CANCELED
        super().__init__(job, message or self.failure.message)


_CANCELED: Final = Failure(code="job_canceled", message="The job was canceled", retryable=True)
_FAILURE_STATUSES: Final = {
    errors.InvalidImage.code: HTTPStatus.BAD_REQUEST,
    "missing_metadata": HTTPStatus.BAD_REQUEST,
    "content_rejected": HTTPStatus.UNPROCESSABLE_ENTITY,
    _CANCELED.code: HTTPStatus.CONFLICT,
}

FAILURE_CODES: Final[dict[str, str]] = {
    errors.InvalidImage.code: "The upload is not a readable photo.",
    "missing_metadata": "The photo says neither where nor when it was taken.",
    _CANCELED.code: _CANCELED.message,
    "content_rejected": "The photo or the text was refused for its content.",
    "unusable_answer": "The image service gave no answer of use.",
    "provider_failure": "The image service failed.",
    errors.TransientError.code: "This did not work just now.",
    errors.WorkerLost.code: "The worker was lost with this job time and again.",
    errors.MessageLost.code: "The job waited in the queue until its message expired.",
    errors.QueueRefused.code: "Failed to queue image generation request",
    errors.PermanentError.code: "The job cannot be done.",
    "invalid_input": "This service cannot read what the job was asked.",
}
"""What jobs fail of, as far as a request that waits for one is told, with a sentence such as it may have."""

# The nearest class of an error's ancestry counts; whatever is not here is our own failure.
_STATUSES: Final[dict[type[BaseException], HTTPStatus]] = {
    errors.RequestError: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.JobNotFound: HTTPStatus.NOT_FOUND,
    errors.UploadNotFound: HTTPStatus.NOT_FOUND,
    errors.NoResultFile: HTTPStatus.NOT_FOUND,
    ReportNotFound: HTTPStatus.NOT_FOUND,
    errors.JobNotEnded: HTTPStatus.CONFLICT,
    errors.AccountErasing: HTTPStatus.CONFLICT,
    NoDeadLetters: HTTPStatus.CONFLICT,
    OtherTask: HTTPStatus.CONFLICT,
    RedriveUnderWay: HTTPStatus.CONFLICT,
    UserNotFound: HTTPStatus.NOT_FOUND,
    errors.ExportUnderWay: HTTPStatus.TOO_MANY_REQUESTS,
    errors.WebhookNotFound: HTTPStatus.NOT_FOUND,
    errors.DeliveryNotFound: HTTPStatus.NOT_FOUND,
    errors.WebhookDisabled: HTTPStatus.CONFLICT,
    errors.TooManyWebhooks: HTTPStatus.CONFLICT,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyJobs: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TransientError: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    ResultNotFound: HTTPStatus.NOT_FOUND,
    StillRunning: HTTPStatus.GATEWAY_TIMEOUT,
}
_HTTP_ERRORS: Final = {
    404: ("not_found", "There is nothing at this address"),
    405: ("method_not_allowed", "This address does not take this method"),
    413: (BodyTooLarge.code, str(BodyTooLarge())),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How an error is told."""

    status: HTTPStatus
    code: str
    sentence: str


def told(kind: type[Exception]) -> tuple[Told, ...]:
    """Say how a class of errors is told: in one way, but for a job's failure, which has the job's own code."""
    if issubclass(kind, JobFailed):
        statuses = {code: _FAILURE_STATUSES.get(code, HTTPStatus.BAD_GATEWAY) for code in FAILURE_CODES}
        return tuple(Told(status=statuses[code], code=code, sentence=FAILURE_CODES[code]) for code in FAILURE_CODES)
    if issubclass(kind, web.HTTPException):
        code, sentence = _HTTP_ERRORS[kind.status_code]
        return (Told(status=HTTPStatus(kind.status_code), code=code, sentence=sentence),)
    if not issubclass(kind, errors.DarkroomError):
        raise TypeError(f"{kind.__name__} is no error that is told")
    sentence = " ".join((kind.__doc__ or "").split())
    return (Told(status=_status_of_kind(kind), code=kind.code, sentence=sentence),)


def status_of(error: errors.DarkroomError) -> HTTPStatus:
    """Return the status that says what kind of error this is."""
    if isinstance(error, JobFailed):
        return _FAILURE_STATUSES.get(error.failure.code, HTTPStatus.BAD_GATEWAY)
    return _status_of_kind(type(error))


def answer(error: errors.DarkroomError, request_id: str) -> web.Response:
    """Write an error of ours as a response."""
    code = error.failure.code if isinstance(error, JobFailed) else error.code
    body: dict[str, JSON] = {"error": error.message, "code": code, "requestId": request_id}
    return web.json_response(body | _details(error), status=status_of(error), headers=_headers(error))


def answer_http(error: web.HTTPException, request_id: str) -> web.Response:
    """Write an error of the web server as a response of our form."""
    code, sentence = _HTTP_ERRORS.get(error.status, ("invalid_request", error.reason))
    if error.status >= 500:
        code = errors.DarkroomError.code
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    body = {"error": sentence, "code": code, "requestId": request_id}
    return web.json_response(body, status=error.status, headers=headers)


def _status_of_kind(kind: type[BaseException]) -> HTTPStatus:
    known = (_STATUSES[ancestor] for ancestor in kind.__mro__ if ancestor in _STATUSES)
    return next(known, HTTPStatus.INTERNAL_SERVER_ERROR)


def _details(error: errors.DarkroomError) -> dict[str, JSON]:
    match error:
        case errors.InvalidRequest(field=str() as field):
            return {"field": field}
        case errors.QuotaExceeded():
            message = f"All {error.daily_limit} pictures of today are used. The quota resets at midnight UTC."
            return {"remainingQuota": 0, "message": message}
        case errors.QueueRefused():
            return {"jobId": error.job_id}
        case JobOutcome():
            return {"jobId": error.job.job_id}
        case _:
            return {}


def _headers(error: errors.DarkroomError) -> dict[str, str]:
    match error:
        case errors.Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case errors.TransientError():
            return _retry_after(error.retry_after_seconds or RETRY_AFTER_SECONDS)
        case TooManyRequests():
            return _retry_after(error.retry_after_seconds)
        case errors.TooManyJobs() | errors.ExportUnderWay():
            return _retry_after(FULL_RETRY_AFTER_SECONDS)
        case NotReady():
            return _retry_after(RETRY_AFTER_SECONDS)
        case _:
            return {}


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, ceil(seconds)))}
