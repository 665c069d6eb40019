"""What is said to Gemini and what its answers mean: the only module that speaks google-genai.

The settings of the client are measured ones: our own aiohttp session (the SDK's hides a second POST behind a sleep), no gzip
on answers (unpacking 2 MB costs more than parsing it), one attempt (retries are ours), and a time-out of at least 10 seconds,
because the API refuses shorter ones.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

import aiohttp
import pydantic
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from consumers.failures import POLICIES, FailureClass, classify_http, classify_reason, is_key_refused, retry_delay
from consumers.images import Picture
from jobs.errors import DarkroomError
from jobs.model import ModelUse
from jobs.secret import Key

logger = logging.getLogger(__name__)

MIN_TIMEOUT_SECONDS: Final = 10
EMBEDDING_DIMENSIONS: Final = 768
"""As Google recommends where the full 3072 are not needed."""
_MAX_ANSWER_TOKENS: Final = 8192
T = TypeVar("T")
Given = TypeVar("Given")
Answer = TypeVar("Answer", bound=BaseModel)
Vector: TypeAlias = tuple[float, ...]


class CallFailed(DarkroomError):
    """A call of the image service gave nothing that the job can use; ``policy`` says what becomes of the job."""

    code = "provider_failure"

    def __init__(self, failure: FailureClass, retry_after_seconds: float | None = None) -> None:
        self.failure = failure
        self.policy = POLICIES[failure]
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.policy.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """What an image model answered. ``content_type`` is what the model says it is."""

    content: bytes
    content_type: str
    model_name: str
    milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[Answer]):
    """What the vision model made of a photo or a text."""

    answer: Answer
    model_name: str
    milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[Given, T]):
    """One wish to a model: how it is sent (with a seed from the second try on), what its answer costs, and what it means.

    ``read`` is given the seconds it took, and raises CallFailed for what is of no use.
    """

    model: str
    send: Callable[[genai.Client, int | None], Awaitable[Given]]
    use_of: Callable[[Given], ModelUse]
    read: Callable[[Given, float], T]


def painting(model: str, prompt: str, photo: Picture | None) -> Request[types.GenerateContentResponse, Painting]:
    """Ask for a picture of the words, and of the photo if there is one."""

    def read(answer: types.GenerateContentResponse, seconds: float) -> Painting:
        _refuse(answer)
        content, content_type = _picture_of(answer)
        return Painting(
            content=content, content_type=content_type, model_name=model, milliseconds=round(seconds * 1000)
        )

    return _generation(model, _parts(photo, prompt), _config(response_modalities=["IMAGE"]), read)


def question(
    model: str, instruction: str, answer_model: type[Answer], photo: Picture | None, text: str
) -> Request[types.GenerateContentResponse, Reading[Answer]]:
    """Ask for what the photo shows or the text says, in the form of ``answer_model``."""

    def read(answer: types.GenerateContentResponse, seconds: float) -> Reading[Answer]:
        _refuse(answer)
        said = _structured(answer, answer_model)
        return Reading(answer=said, model_name=model, milliseconds=round(seconds * 1000))

    config = _config(
        system_instruction=instruction,
        response_mime_type="application/json",
        response_json_schema=_schema_of(answer_model),
        max_output_tokens=_MAX_ANSWER_TOKENS,
        media_resolution=types.MediaResolution.MEDIA_RESOLUTION_HIGH if photo else None,
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
    )
    return _generation(model, _parts(photo, text or instruction), config, read)


def embedding(model: str, pictures: Sequence[Picture]) -> Request[types.EmbedContentResponse, list[Vector]]:
    """Ask for a vector of length 1 for each picture."""

    async def send(client: genai.Client, _: int | None) -> types.EmbedContentResponse:
        # Bare parts would be fused into one vector.
        contents = [types.Content(role="user", parts=_parts(picture)) for picture in pictures]
        config = types.EmbedContentConfig(output_dimensionality=EMBEDDING_DIMENSIONS)
        return await client.aio.models.embed_content(model=model, contents=contents, config=config)

    return Request(
        model=model,
        send=send,
        use_of=lambda _: ModelUse(calls=1),  # its answers do not say what they cost
        read=lambda answer, _: _vectors(answer, len(pictures)),
    )


class Line:
    """Sends requests under the key of the moment. ``base_url`` None is Google."""

    def __init__(
        self, session: aiohttp.ClientSession, key: Key, *, base_url: str | None, timeout_seconds: float
    ) -> None:
        self._session = session
        self._key = key
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._client: genai.Client | None = None
        self._client_key = ""

    async def send(self, request: Request[Given, T], seed: int | None) -> Given:
        """Send it once; and once more where the key was refused and there is another. Raises whatever a call raises."""
        key = await self._key.read()
        try:
            return await request.send(self._client_with(key), seed)
        except errors.ClientError as error:
            another = await self._key.instead_of(key) if is_key_refused(error.code, error.details) else None
            if another is None:
                raise
        answer = await request.send(self._client_with(another), seed)
        self._key.keep(another)
        return answer

    def _client_with(self, key: str) -> genai.Client:
        if self._client is None or key != self._client_key:
            self._client, self._client_key = self._make_client(key), key
        return self._client

    def _make_client(self, key: str) -> genai.Client:
        with warnings.catch_warnings():
            # The SDK's own session class, which we do not use, warns when its module is first imported.
            warnings.simplefilter("ignore", DeprecationWarning)
            return genai.Client(
                api_key=key,
                http_options=types.HttpOptions(
                    base_url=self._base_url,
                    api_version="v1beta",
                    timeout=round(max(self._timeout_seconds, MIN_TIMEOUT_SECONDS) * 1000),
                    aiohttp_client=self._session,
                    headers={"Accept-Encoding": "identity"},
                    retry_options=types.HttpRetryOptions(attempts=1),
                ),
            )


async def knows_model(line: Line, model: str) -> bool:
    """Tell whether whoever owns the key may call a model of this name; asking costs nothing. Raises CallFailed."""

    async def send(client: genai.Client, _: int | None) -> types.Model:
        return await client.aio.models.get(model=model)

    request = Request(model=model, send=send, use_of=lambda _: ModelUse(), read=lambda _, __: None)
    with mapped_errors():
        try:
            await line.send(request, None)
        except errors.ClientError as error:
            if error.code != 404:
                raise
            return False
    return True


def _parts(photo: Picture | None, text: str = "") -> list[types.Part]:
    parts = [types.Part.from_bytes(data=photo.content, mime_type=photo.content_type)] if photo else []
    return [*parts, types.Part(text=text)] if text else parts


def _config(**wishes: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **wishes
    )


def _generation(
    model: str,
    parts: list[types.Part],
    config: types.GenerateContentConfig,
    read: Callable[[types.GenerateContentResponse, float], T],
) -> Request[types.GenerateContentResponse, T]:
    contents = types.Content(role="user", parts=parts)

    async def send(client: genai.Client, seed: int | None) -> types.GenerateContentResponse:
        seeded = config if seed is None else config.model_copy(update={"seed": seed})
        return await client.aio.models.generate_content(model=model, contents=contents, config=seeded)

    return Request(model=model, send=send, use_of=_use_of, read=read)


@cache
def _schema_of(answer_model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema to send; made anew for each call it costs a millisecond."""
    return answer_model.model_json_schema()


def _structured(answer: types.GenerateContentResponse, answer_model: type[Answer]) -> Answer:
    """Read what the model has written in the form that was asked for; what does not have it is of no use."""
    said = "".join(part.text or "" for part in answer.parts or [] if not part.thought)
    try:
        return answer_model.model_validate_json(said)
    except pydantic.ValidationError:
        # Without its text: it may quote what the user wrote.
        raise CallFailed(FailureClass.UNUSABLE_ANSWER) from None


def _vectors(answer: types.EmbedContentResponse, wanted: int) -> list[Vector]:
    vectors = [_of_length_one(embedding.values or []) for embedding in answer.embeddings or []]
    if len(vectors) != wanted or not all(vectors):
        raise CallFailed(FailureClass.UNUSABLE_ANSWER)
    return vectors


def _of_length_one(values: Sequence[float]) -> Vector:
    length = math.hypot(*values)
    return tuple(value / length for value in values) if length else ()


def _picture_of(answer: types.GenerateContentResponse) -> tuple[bytes, str]:
    """Take the last picture that is not a thought: earlier ones are drafts."""
    for part in reversed(answer.parts or []):
        if part.inline_data and part.inline_data.data and not part.thought:
            return part.inline_data.data, part.inline_data.mime_type or ""
    raise CallFailed(FailureClass.UNUSABLE_ANSWER)


def _use_of(answer: types.GenerateContentResponse) -> ModelUse:
    """Read what the call is billed for."""
    pictures = sum(1 for part in answer.parts or [] if part.inline_data and not part.thought)
    usage = answer.usage_metadata
    if usage is None:
        return ModelUse(calls=1, pictures=pictures)
    tokens = {
        "prompt": usage.prompt_token_count or 0,
        "output": usage.candidates_token_count or 0,
        "thoughts": usage.thoughts_token_count or 0,
    }
    return ModelUse(calls=1, pictures=pictures, tokens=tokens)


def _refuse(answer: types.GenerateContentResponse) -> None:
    """Raise what a refusal in a 200 means. Names are compared as text: new ones must not break us."""
    feedback = answer.prompt_feedback
    if feedback and feedback.block_reason:
        raise CallFailed(classify_reason(feedback.block_reason.value, is_block=True) or FailureClass.UNUSABLE_ANSWER)
    for candidate in answer.candidates or []:
        failure = classify_reason(candidate.finish_reason.value) if candidate.finish_reason else None
        if failure is not None:
            raise CallFailed(failure)


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn whatever a call raises into CallFailed."""
    try:
        yield
    except errors.APIError as error:
        failure = classify_http(error.code, error.status, error.details)
        if POLICIES[failure].opens_breaker:
            logger.error("Gemini refuses our requests", extra={"action": "gemini_refused", "status": error.code})  # noqa: TRY400
        # Without its cause: the answer may quote what the user wrote.
        raise CallFailed(failure, retry_delay(error.details)) from None
    except TimeoutError as error:
        raise CallFailed(FailureClass.TIMEOUT) from error
    except (aiohttp.ClientError, json.JSONDecodeError) as error:
        raise CallFailed(FailureClass.TRANSIENT) from error
    except (pydantic.ValidationError, errors.UnknownApiResponseError):
        raise CallFailed(FailureClass.TRANSIENT) from None  # these quote the answer, and with it what the user wrote
