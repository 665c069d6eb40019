"""The parts of the OpenAPI document that many operations share: parameters of paths, and headers both ways."""

from __future__ import annotations

from typing import Any, Final

from jobs.ids import JOB_ID
from service.openapi.operations import AnswerHeader, RequestHeader

_Object = dict[str, Any]
A_JOB: Final = "job_0198f2c4d1a07b3c9e5f6a2d4b81"
A_REPORT: Final = "report_4f1d2c3b5a69788796a5b4c3d2e1f001"
A_WEBHOOK: Final = "wh_0198f2c4d1a07b3c9e5f6a2d4b81"
A_DELIVERY: Final = "dlv_0198f2c4d1a07b3c9e5f6a2d4b81"
A_REQUEST: Final = "9f2c41d07b3c9e5f6a2d4b81"
PATHS: Final[dict[str, _Object]] = {
    "jobId": {
        "description": "The job.",
        "schema": {"type": "string", "pattern": f"^{JOB_ID.pattern}$"},
        "example": A_JOB,
    },
    "reportId": {"description": "The report.", "schema": {"type": "string"}, "example": A_REPORT},
    "webhookId": {
        "description": "The webhook.",
        "schema": {"type": "string", "pattern": "^wh_[0-9a-f]{28}$"},
        "example": A_WEBHOOK,
    },
    "deliveryId": {"description": "The delivery.", "schema": {"type": "string"}, "example": A_DELIVERY},
    "userId": {"description": "The user.", "schema": {"type": "string"}, "example": "alice"},
    "name": {"description": "The file's path.", "schema": {"type": "string"}, "example": "app.js"},
}
"""By their names; what a route of its own enumerates is read from its path."""
REQUESTS: Final[dict[RequestHeader, _Object]] = {
    RequestHeader.IDEMPOTENCY_KEY: {
        "description": "A name of your own for this request. For 24 hours the same name is the same request, charged once.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "3f9b2c1e-5a77-4c1d-9f40-2d7a0c6b8e15",
    },
    RequestHeader.PREFER: {
        "description": "`wait=n`: answer when the job has ended, or after n seconds, 55 at most. Whatever else is ignored.",
        "schema": {"type": "string"},
        "example": "wait=30",
    },
    RequestHeader.LAST_EVENT_ID: {
        "description": "The cursor to resume from, as browsers send it; it counts more than `after`.",
        "schema": {"type": "string"},
    },
}
ANSWERS: Final[dict[AnswerHeader, _Object]] = {
    AnswerHeader.REPLAYED: {
        "description": "There, and true, where an earlier request with this key was answered before.",
        "schema": {"const": "true"},
    },
    AnswerHeader.LOCATION: {
        "description": "Where the job is.",
        "schema": {"type": "string", "pattern": f"^/jobs/{JOB_ID.pattern}$"},
    },
    AnswerHeader.PREFERENCE_APPLIED: {
        "description": "What was understood of `Prefer`.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]{1,2}$"},
    },
    AnswerHeader.RETRY_AFTER: {
        "description": "In how many seconds to ask again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    AnswerHeader.AUTHENTICATE: {"description": "What to send.", "schema": {"const": "Bearer"}},
    AnswerHeader.REQUEST_ID: {
        "description": "Names the request: yours where you sent one of `[A-Za-z0-9._:-]{1,64}`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
    },
}


def headers(*, sure: tuple[AnswerHeader, ...] = (), others: tuple[AnswerHeader, ...] = ()) -> _Object:
    """Describe the headers of an answer: the id of the request, those that are there for sure, and those that may be."""
    always = (AnswerHeader.REQUEST_ID, *sure)
    return {str(name): ANSWERS[name] | ({"required": True} if name in always else {}) for name in (*always, *others)}
