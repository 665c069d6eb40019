"""What a route says of itself, beside its handler: what it takes, what it answers and how it may fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel

from jobs import errors
from websocket.wire import Job

JSON_TYPE: Final = "application/json"

Shape: TypeAlias = Any
"""A type that pydantic can describe."""
AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Any])


class Tag(StrEnum):
    """The groups of operations, in the order of the document."""

    START = "Start a job"
    JOBS = "Jobs"
    EVENTS = "Events"
    REPORTS = "Parking reports"
    USER = "User"
    WEBHOOKS = "Webhooks"
    SIGN_IN = "Sign-in"
    OPERATORS = "Operators"
    HEALTH = "Health"
    DOCUMENTS = "Documents"
    PAGE = "Page"


class RequestHeader(StrEnum):
    """The headers that some operations read, besides ``Authorization``."""

    IDEMPOTENCY_KEY = "Idempotency-Key"
    PREFER = "Prefer"
    LAST_EVENT_ID = "Last-Event-ID"


class AnswerHeader(StrEnum):
    """The headers that answers may have; the last is on all of them."""

    REPLAYED = "Idempotency-Replayed"
    LOCATION = "Location"
    PREFERENCE_APPLIED = "Preference-Applied"
    RETRY_AFTER = "Retry-After"
    AUTHENTICATE = "WWW-Authenticate"
    REQUEST_ID = "X-Request-Id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, with a shape for each content type it may have. Some of ``headers`` may be missing, none of ``sure``."""

    contents: Mapping[str, Shape]
    description: str = "As asked."
    headers: tuple[AnswerHeader, ...] = ()
    sure: tuple[AnswerHeader, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The declaration of a route.

    ``body`` is JSON, ``form`` multipart. ``raises`` leaves out what follows from the rest: from reading a body, a query or a
    token, and from being counted. ``more_at`` is a path that says more.
    """

    name: str
    tag: Tag
    summary: str
    description: str
    answers: Mapping[int, Answer]
    query: type[BaseModel] | None = None
    body: Shape | None = None
    form: type[BaseModel] | None = None
    headers: tuple[RequestHeader, ...] = ()
    raises: tuple[type[Exception], ...] = ()
    more_at: str | None = None


STARTS_JOB: Final = (
    errors.InvalidRequest,
    errors.KeyReused,
    errors.QuotaExceeded,
    errors.TooManyJobs,
    errors.QueueRefused,
    errors.JobNotFound,
    errors.AccountErasing,
)
"""How every request that starts a job may fail."""
JOB_HEADERS: Final = (RequestHeader.IDEMPOTENCY_KEY, RequestHeader.PREFER)
"""What every request that starts a job reads."""
_OPERATIONS: Final[dict[Callable[..., Any], Operation]] = {}


def operation(
    name: str, tag: Tag, answers: Mapping[int, Answer | Shape], **more: Any
) -> Callable[[AnyHandler], AnyHandler]:
    """Declare what the decorated handler does: ``name`` in camelCase, and what else ``Operation`` has.

    ``answers`` may give the shape of a JSON answer alone. The docstring is the summary, and the description below it.
    """

    def declare(handler: AnyHandler) -> AnyHandler:
        summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
        _OPERATIONS[handler] = Operation(
            name=name,
            tag=tag,
            summary=" ".join(summary.split()).removesuffix("."),
            description=" ".join(description.split()),
            answers={status: _answer(answer) for status, answer in answers.items()},
            **more,
        )
        return handler

    return declare


def find(handler: Callable[..., Any]) -> Operation | None:
    """Return what was declared of a handler."""
    return _OPERATIONS.get(handler)


def started(shape: Shape) -> dict[int, Answer]:
    """Return the answers of a request that starts a job: ``shape``, or, with a ``Prefer: wait``, the job so far."""
    applied = AnswerHeader.PREFERENCE_APPLIED
    return {
        200: Answer(
            contents={JSON_TYPE: shape | Job},
            description="Taken in; with `Prefer: wait=n`, the job that has ended.",
            headers=(AnswerHeader.REPLAYED, applied),
        ),
        202: Answer(
            contents={JSON_TYPE: Job},
            description="With `Prefer: wait=n`: the job, which goes on.",
            headers=(AnswerHeader.REPLAYED,),
            sure=(AnswerHeader.LOCATION, applied),
        ),
    }


def _answer(answer: Answer | Shape) -> Answer:
    return answer if isinstance(answer, Answer) else Answer(contents={JSON_TYPE: answer})
