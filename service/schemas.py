"""What requests may say: their models, and their faults in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError

from consumers import styles
from consumers.addresses import MAX_URL_CHARACTERS
from jobs.errors import InvalidRequest
from jobs.events import EventType
from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
from jobs.model import Status
from websocket.messages import MAX_CURSOR_CHARACTERS
from websocket.polling import MAX_WAIT_SECONDS

MAX_FILE_NAME: Final = 255
MAX_PROMPT: Final = 2000
MAX_PAGE: Final = 100
MAX_DESCRIPTION: Final = 200
_NOT_IN_FILE_NAMES: Final = re.compile(r"[\x00-\x1f\x7f/\\]")

RequestModel = TypeVar("RequestModel", bound=BaseModel)


def _absent_if_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


OptionalText = Annotated[str | None, BeforeValidator(_absent_if_blank)]
Degrees = Annotated[float, BeforeValidator(_no_truth)]
"""A latitude or longitude; true and false are none, which pydantic takes for 1 and 0."""


class _RequestModel(BaseModel):
    """Unknown fields are ignored: clients of the originals send some."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, extra="ignore")


class UploadRequest(_RequestModel):
    """``POST /upload``; a pipeline may have fields of its own beside these."""

    file_name: str = Field(min_length=1, max_length=MAX_FILE_NAME)
    content_type: str = Field(min_length=1)
    file_size: int = Field(strict=True)
    pipeline: OptionalText = None

    @property
    def extension(self) -> str:
        """The name's extension with its dot, in lower case."""
        return PurePosixPath(self.file_name).suffix.lower()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if _NOT_IN_FILE_NAMES.search(self.file_name):
            raise _fault("fileName", "fileName must be a plain name, without slashes and control characters")
        if self.content_type not in EXTENSIONS:
            raise _fault("contentType", f"contentType must be one of {', '.join(EXTENSIONS)}")
        if self.extension not in EXTENSIONS[self.content_type]:
            endings = " or ".join(EXTENSIONS[self.content_type])
            raise _fault("fileName", f"fileName must end in {endings} for {self.content_type}")
        if not 1 <= self.file_size <= MAX_UPLOAD_BYTES:
            raise _fault("fileSize", "fileSize must be between 1 byte and 10 MiB")
        return self


class PipelineUpload(_RequestModel):
    """What a pipeline of its own takes beside the photo in ``POST /upload``."""


class GenerateRequest(_RequestModel):
    """``POST /generate``."""

    file_key: str = Field(min_length=1)
    prompt: OptionalText = Field(default=None, max_length=MAX_PROMPT)
    style: OptionalText = None

    @property
    def chosen_style(self) -> str:
        """The style's id; a prompt alone is the caller's own style."""
        return self.style or styles.CUSTOM_STYLE

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.style is None and self.prompt is None:
            raise _fault("prompt", "prompt or style is required")
        if self.chosen_style not in styles.STYLES:
            raise _fault("style", f"style must be one of {', '.join(styles.STYLES)}")
        if styles.STYLES[self.chosen_style].takes_prompt and self.prompt is None:
            raise _fault("prompt", f"prompt is required for the style {self.chosen_style}")
        return self


class _PageRequest(_RequestModel):
    limit: int = Field(default=20, ge=1, le=MAX_PAGE)
    status: Literal["all"] | Status = "all"

    @property
    def wanted_status(self) -> Status | None:
        """The status to keep, or None for all."""
        return None if self.status == "all" else Status(self.status)


class JobsRequest(_PageRequest):
    """The query of ``GET /jobs``."""

    cursor: OptionalText = None


class UserJobsRequest(_PageRequest):
    """The query of ``GET /user/jobs``."""

    next_token: OptionalText = None


class EventsRequest(_RequestModel):
    """The query of ``GET /events``; ``wait`` is in seconds."""

    after: OptionalText = Field(default=None, max_length=MAX_CURSOR_CHARACTERS)
    wait: float = Field(default=25, ge=0, le=MAX_WAIT_SECONDS)


class WebhookRequest(_RequestModel):
    """``POST /webhooks``; without ``events`` it is told of the ends of jobs."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=MAX_URL_CHARACTERS)
    events: tuple[str, ...] | None = None
    description: OptionalText = Field(default=None, max_length=MAX_DESCRIPTION)

    @property
    def wanted_events(self) -> tuple[EventType, ...] | None:
        """The events, each once, or None for the usual ones."""
        return None if self.events is None else tuple(map(EventType, dict.fromkeys(self.events)))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.events is not None and not (self.events and set(self.events) <= set(EventType)):
            raise _fault("events", f"events must be a list of some of {', '.join(EventType)}")
        return self


class DeliveriesRequest(_RequestModel):
    """The query of ``GET /webhooks/{id}/deliveries``."""

    limit: int = Field(default=20, ge=1, le=MAX_PAGE)
    cursor: OptionalText = None


class DemoSignInRequest(_RequestModel):
    """``POST /auth/demo``."""

    user: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"[a-z0-9_-]{1,32}", self.user):
            raise _fault("user", "user must be 1 to 32 of the characters a-z 0-9 - _")
        return self


def parse(model: type[RequestModel], data: Mapping[str, Any]) -> RequestModel:
    """Read a request. Raises InvalidRequest with a sentence and the name of the field to blame."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0]) if problem["loc"] else str(problem.get("ctx", {}).get("field", ""))
        raise InvalidRequest(_sentence(field, problem), field=field or None) from None


def _fault(field: str, sentence: str) -> PydanticCustomError:
    return PydanticCustomError("fault", "{sentence}", {"field": field, "sentence": sentence})


_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "{field} is required",
    "string_too_short": "{field} is required",
    "fault": "{sentence}",
    "string_too_long": "{field} must have at most {max_length} characters",
    "string_type": "{field} must be a string",
    "int_type": "{field} must be a whole number",
    "float_type": "{field} must be a number",
    "float_parsing": "{field} must be a number",
    "finite_number": "{field} must be a number",
    "int_parsing": f"{{field}} must be a whole number from 1 to {MAX_PAGE}",
    "greater_than_equal": f"{{field}} must be a whole number from 1 to {MAX_PAGE}",
    "less_than_equal": f"{{field}} must be a whole number from 1 to {MAX_PAGE}",
    "literal_error": f"{{field}} must be all or one of {', '.join(Status)}",
    "enum": f"{{field}} must be all or one of {', '.join(Status)}",
}


def _sentence(field: str, problem: Any) -> str:
    kind = "missing" if problem["input"] is None else problem["type"]
    return _SENTENCES.get(kind, "{field} is not valid").format_map({**problem.get("ctx", {}), "field": field})
