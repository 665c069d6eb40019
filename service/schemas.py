"""What requests may say: their models, and their faults in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError

from consumers import styles
from consumers.addresses import MAX_URL_CHARACTERS
from consumers.framing import PhotoFormat
from consumers.profile_photo import PIPELINE as PROFILE_PHOTO
from jobs.errors import InvalidRequest
from jobs.events import EventType
from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
from jobs.model import Status
from service.openapi import rules
from websocket.messages import MAX_CURSOR_CHARACTERS
from websocket.polling import MAX_WAIT_SECONDS

MAX_FILE_NAME: Final = 255
MAX_PROMPT: Final = 2000
MAX_PAGE: Final = 100
MAX_DESCRIPTION: Final = 200
MAX_REDRIVE: Final = 1000
MAX_DAILY_LIMIT: Final = 100_000
_NOT_IN_FILE_NAMES: Final = re.compile(r"[\x00-\x1f\x7f/\\]")

RequestModel = TypeVar("RequestModel", bound=BaseModel)


def _absent_if_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


OptionalText = Annotated[str | None, BeforeValidator(_absent_if_blank)]
Degrees = Annotated[float, BeforeValidator(_no_truth), WithJsonSchema(rules.DEGREES)]
"""A latitude or longitude; true and false are none, which pydantic takes for 1 and 0."""


class _RequestModel(BaseModel):
    """Unknown fields are ignored: clients of the originals send some."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, extra="ignore")


class UploadRequest(_RequestModel):
    """``POST /upload``; a pipeline may have fields of its own beside these."""

    model_config = ConfigDict(json_schema_extra=rules.UPLOAD)

    file_name: str = Field(min_length=1, max_length=MAX_FILE_NAME)
    content_type: str = Field(min_length=1)
    file_size: int = Field(strict=True, json_schema_extra=rules.FILE_SIZE)
    pipeline: OptionalText = Field(default=None, json_schema_extra=rules.one_of(PROFILE_PHOTO.name))

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

    model_config = ConfigDict(json_schema_extra=rules.GENERATE)

    file_key: str = Field(min_length=1)
    prompt: OptionalText = Field(default=None, max_length=MAX_PROMPT)
    style: OptionalText = None
    format: OptionalText = Field(default=None, json_schema_extra=rules.FORMAT)
    background: OptionalText = Field(default=None, json_schema_extra=rules.BACKGROUND)

    @property
    def chosen_format(self) -> PhotoFormat | None:
        """The format, or None where nothing is to be cut."""
        return None if self.format in {None, PhotoFormat.ORIGINAL} else PhotoFormat(str(self.format))

    @model_serializer(mode="wrap")
    def _as_older_callers_say_it(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is as if unsaid: the request is the same one under its Idempotency-Key, with the release before too."""
        said: dict[str, Any] = serialize(self)
        unsaid = {"format": self.chosen_format is None, "background": self.background is None}
        return {name: value for name, value in said.items() if not unsaid.get(name)}

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
        self._check_looks(styles.STYLES[self.chosen_style])
        return self

    def _check_looks(self, style: styles.Style) -> None:
        if self.format not in {None, *PhotoFormat}:
            raise _fault("format", f"format must be one of {', '.join(PhotoFormat)}")
        if self.background is None:
            return
        if not style.takes_background:
            raise _fault("background", f"the style {style.id} has a background of its own")
        if styles.colour_of(self.background) is None:
            raise _fault(
                "background", f"background must be {', '.join(styles.BACKGROUNDS)} or a colour such as #8899aa"
            )


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


class SocketRequest(_RequestModel):
    """The query of ``GET /ws``, as the endpoint reads it."""

    since: OptionalText = Field(default=None, max_length=MAX_CURSOR_CHARACTERS)


class WebhookRequest(_RequestModel):
    """``POST /webhooks``; without ``events`` it is told of the ends of jobs."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=MAX_URL_CHARACTERS)
    events: tuple[str, ...] | None = Field(
        default=None, json_schema_extra={"anyOf": [{"type": "array", **rules.EVENTS}, {"type": "null"}]}
    )
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


class DrainRequest(_RequestModel):
    """``POST /ops/drain``: the name of the task that is to leave, for a load balancer may lead to another."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1)


class RedriveRequest(_RequestModel):
    """``POST /ops/redrive``; without a limit, all that the time allows."""

    model_config = ConfigDict(extra="forbid")

    limit: int | None = Field(default=None, strict=True, json_schema_extra={"minimum": 1, "maximum": MAX_REDRIVE})
    dry_run: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.limit is not None and not 1 <= self.limit <= MAX_REDRIVE:
            raise _fault("limit", f"limit must be a whole number from 1 to {MAX_REDRIVE}")
        return self


class UserChangeRequest(_RequestModel):
    """``POST /ops/users/{userId}``; what is left out stays, and a limit of null is the service's."""

    model_config = ConfigDict(extra="forbid")

    daily_limit: int | None = Field(
        default=None, strict=True, json_schema_extra={"minimum": 0, "maximum": MAX_DAILY_LIMIT}
    )
    blocked: bool | None = Field(default=None, strict=True)

    @property
    def changes_limit(self) -> bool:
        """Tell whether a limit was said, be it none."""
        return "daily_limit" in self.model_fields_set

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise _fault("dailyLimit", "dailyLimit or blocked is required")
        if self.daily_limit is not None and not 0 <= self.daily_limit <= MAX_DAILY_LIMIT:
            raise _fault("dailyLimit", f"dailyLimit must be null or a whole number from 0 to {MAX_DAILY_LIMIT}")
        return self


class DemoSignInRequest(_RequestModel):
    """``POST /auth/demo``."""

    user: str = Field(json_schema_extra={"pattern": "^[a-z0-9_-]{1,32}$"})

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
        raise InvalidRequest(_sentence(model, field, problem), field=field or None) from None


def _fault(field: str, sentence: str) -> PydanticCustomError:
    return PydanticCustomError("fault", "{sentence}", {"field": field, "sentence": sentence})


_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "{field} is required",
    "string_too_short": "{field} is required",
    "fault": "{sentence}",
    "string_too_long": "{field} must have at most {max_length} characters",
    "string_type": "{field} must be a string",
    "int_type": "{field} must be a whole number",
    "bool_type": "{field} must be true or false",
    "float_type": "{field} must be a number",
    "float_parsing": "{field} must be a number",
    "finite_number": "{field} must be a number",
    "int_parsing": "{field} must be {range}",
    "greater_than_equal": "{field} must be {range}",
    "less_than_equal": "{field} must be {range}",
    "literal_error": f"{{field}} must be all or one of {', '.join(Status)}",
    "enum": f"{{field}} must be all or one of {', '.join(Status)}",
}


def _sentence(model: type[BaseModel], field: str, problem: Any) -> str:
    kind = "missing" if problem["input"] is None else problem["type"]
    told = {**problem.get("ctx", {}), "field": field, "range": _range(model, field)}
    return _SENTENCES.get(kind, "{field} is not valid").format_map(told)


def _range(model: type[BaseModel], field: str) -> str:
    """Say which numbers a field takes, as its schema does."""
    schema = model.model_json_schema()["properties"].get(field, {})
    kind = "a whole number" if schema.get("type") == "integer" else "a number"
    return (
        f"{kind} from {schema['minimum']} to {schema['maximum']}" if {"minimum", "maximum"} <= schema.keys() else kind
    )
