"""Google Gemini: the only module that speaks google-genai.

The settings of the client are measured ones: our own aiohttp session (the SDK's hides a second POST behind a sleep), no gzip
on answers (unpacking 2 MB costs more than parsing it), one attempt (retries are ours), and a time-out of at least 10 seconds,
because the API refuses shorter ones.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import math
import random
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import aiohttp
import pydantic
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from consumers import metrics
from consumers.failures import (
    POLICIES,
    FailureClass,
    Then,
    back_off,
    classify_http,
    classify_reason,
    is_key_refused,
    retry_delay,
)
from consumers.gate import Gate
from consumers.gate_state import NotNow
from consumers.gates import Gates, Role
from consumers.images import Picture
from consumers.limits import BreakerState
from jobs.errors import DarkroomError
from jobs.model import ModelUse
from jobs.secret import Key

logger = logging.getLogger(__name__)

MIN_TIMEOUT_SECONDS: Final = 10
LONELY_SECONDS: Final = (5, 900)
"""So long a job is put off, first and at most, that failed while no other was answered: nobody can tell it from an outage."""
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
class GeminiConfig:
    """Where and how to call. ``base_url`` None is Google; times in seconds.

    A model that is not named is not called.

    ``patience_seconds``: how long a call may wait at the gate before its job is put off. ``pace`` scales the back-off.
    """

    image_model: str
    vision_model: str = ""
    embedding_model: str = ""
    base_url: str | None = None
    timeout_seconds: float = 100
    connections: int = 600
    patience_seconds: float = 120
    pace: float = 1

    def model_of(self, role: Role) -> str:
        """Return the model that is called for this."""
        return {
            Role.IMAGE: self.image_model,
            Role.VISION: self.vision_model,
            Role.EMBEDDING: self.embedding_model,
        }[role]


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


class Customer(Protocol):
    """Whoever has a model called for a job."""

    def call_begins(self) -> None:
        """Hear that a call starts now: the wait at the gate is over. Told of each try."""

    def is_billed(self, use: ModelUse) -> None:
        """Hear what an answer costs, useless ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request(Generic[Given, T]):
    """One wish to a model: how it is sent (with a seed from the second try on), what its answer costs, and what it means.

    ``read`` is given the seconds it took, and raises CallFailed for what is of no use.
    """

    model: str
    send: Callable[[genai.Client, int | None], Awaitable[Given]]
    use_of: Callable[[Given], ModelUse]
    read: Callable[[Given, float], T]


class Gemini:
    """Calls the models, each through its gate, and tries again as ``consumers.failures`` says.

    ``spend(model, use)`` is told what each answer costs. All calls raise CallFailed, and NotNow: the job can wait.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: GeminiConfig,
        key: Key,
        gates: Gates,
        meters: metrics.PoolMetrics,
        spend: Callable[[str, ModelUse], None],
    ) -> None:
        self._session = session
        self._config = config
        self._key = key
        self._gates = gates
        self._meters = meters
        self._spend = spend
        self._client: genai.Client | None = None
        self._client_key = ""
        self._chance = random.Random()  # noqa: S311 - jitter is no secret

    async def paint(self, prompt: str, photo: Picture | None, customer: Customer) -> Painting:
        """Have the image model make a picture of the words, and of the photo if there is one."""
        model = self._config.image_model

        def read(answer: types.GenerateContentResponse, seconds: float) -> Painting:
            _refuse(answer)
            content, content_type = _picture_of(answer)
            return Painting(
                content=content, content_type=content_type, model_name=model, milliseconds=round(seconds * 1000)
            )

        config = _config(response_modalities=["IMAGE"])
        return await self._answered(_generation(model, _parts(photo, prompt), config, read), customer)

    async def ask(
        self, instruction: str, answer_model: type[Answer], customer: Customer, *, photo: Picture | None, text: str = ""
    ) -> Reading[Answer]:
        """Have the vision model look at the photo, or read the text, and answer in the form of ``answer_model``."""
        model = self._config.vision_model

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
        return await self._answered(_generation(model, _parts(photo, text or instruction), config, read), customer)

    async def embed(self, pictures: Sequence[Picture], customer: Customer) -> list[Vector]:
        """Return a vector of length 1 for each picture: alike pictures lie close together."""

        async def send(client: genai.Client, _: int | None) -> types.EmbedContentResponse:
            # Bare parts would be fused into one vector.
            contents = [types.Content(role="user", parts=_parts(picture)) for picture in pictures]
            config = types.EmbedContentConfig(output_dimensionality=EMBEDDING_DIMENSIONS)
            return await client.aio.models.embed_content(
                model=self._config.embedding_model, contents=contents, config=config
            )

        request = _Request(
            model=self._config.embedding_model,
            send=send,
            use_of=lambda _: ModelUse(calls=1),  # its answers do not say what they cost
            read=lambda answer, _: _vectors(answer, len(pictures)),
        )
        return await self._answered(request, customer)

    async def _answered(self, request: _Request[Given, T], customer: Customer) -> T:
        """Call until there is an answer of use, or the class of the failure says that it is enough."""
        gate = self._gates[request.model]
        began = gate.now()
        deadline = time.monotonic() + self._config.patience_seconds
        for attempt in itertools.count(1):
            try:
                # All waits at the gate together take the patience once: a job that is throttled for long is put off.
                patience = max(0, deadline - time.monotonic())
                # With the same seed the same dice would fall the same way.
                return await self._call_once(gate, request, attempt - 1 or None, patience, customer)
            except CallFailed as error:
                await self._wait_or_raise(gate, error, attempt, began)
        raise AssertionError  # counting has no end

    async def _wait_or_raise(self, gate: Gate, error: CallFailed, attempt: int, began: float) -> None:
        policy = error.policy
        if policy.in_process_tries is not None and attempt >= policy.in_process_tries:
            if policy.then is Then.REQUEUE:
                _blame_an_outage(gate, error, began)
            raise error
        if not policy.counts_as_throttling:  # there the gate does the waiting
            await asyncio.sleep(self._config.pace * back_off(policy, attempt, self._chance))

    async def _call_once(
        self, gate: Gate, request: _Request[Given, T], seed: int | None, patience_seconds: float, customer: Customer
    ) -> T:
        async with gate.admit(patience_seconds) as permit:
            customer.call_begins()
            started = time.monotonic()
            try:
                with self._meters.gemini_call(request.model), _mapped_errors():
                    async with asyncio.timeout(self._config.timeout_seconds):
                        answer = await self._post(request, seed)
                    # Refused and unusable answers cost as well.
                    self._bill(request.model, request.use_of(answer), customer)
                    result = request.read(answer, time.monotonic() - started)
            except CallFailed as error:
                permit.failed(error.failure, error.retry_after_seconds)
                raise
            permit.succeeded()
            return result

    def _bill(self, model: str, use: ModelUse, customer: Customer) -> None:
        self._meters.count_use(model, use)
        self._spend(model, use)
        customer.is_billed(use)

    async def _post(self, request: _Request[Given, T], seed: int | None) -> Given:
        try:
            return await request.send(await self._current_client(), seed)
        except errors.ClientError as error:
            renewed = await self._renewed_client(error)
            if renewed is None:
                raise
            return await request.send(renewed, seed)

    async def _renewed_client(self, error: errors.ClientError) -> genai.Client | None:
        """Return a client with a newer key when this error says that the key was refused and there is one."""
        refused = self._client_key
        if not is_key_refused(error.code, error.details):
            return None
        self._key.forget()
        client = await self._current_client()
        return None if self._client_key == refused else client

    async def _current_client(self) -> genai.Client:
        key = await self._key.read()
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
                    base_url=self._config.base_url,
                    api_version="v1beta",
                    timeout=round(max(self._config.timeout_seconds, MIN_TIMEOUT_SECONDS) * 1000),
                    aiohttp_client=self._session,
                    headers={"Accept-Encoding": "identity"},
                    retry_options=types.HttpRetryOptions(attempts=1),
                ),
            )


def _blame_an_outage(gate: Gate, error: CallFailed, began: float) -> None:
    """Raise NotNow when it was not this job's doing: the breaker is open, or nobody else was answered meanwhile either."""
    state = gate.state
    if state.breaker is not BreakerState.CLOSED:
        raise NotNow(state.retry_after_seconds or 1, state.reason) from error
    if not gate.has_answered_since(began):
        first, most = LONELY_SECONDS
        raise NotNow(first, error.message, at_most_seconds=most) from error


@asynccontextmanager
async def open_session(config: GeminiConfig) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the HTTP session the SDK is given; it closes with the process, never by the SDK."""
    connector = aiohttp.TCPConnector(limit=config.connections, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**22) as session:
        yield session


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
) -> _Request[types.GenerateContentResponse, T]:
    contents = types.Content(role="user", parts=parts)

    async def send(client: genai.Client, seed: int | None) -> types.GenerateContentResponse:
        seeded = config if seed is None else config.model_copy(update={"seed": seed})
        return await client.aio.models.generate_content(model=model, contents=contents, config=seeded)

    return _Request(model=model, send=send, use_of=_use_of, read=read)


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
def _mapped_errors() -> Iterator[None]:
    """Turn whatever a call raises into CallFailed."""
    try:
        yield
    except errors.APIError as error:
        failure = classify_http(error.code, error.status, error.details)
        if POLICIES[failure].opens_breaker:
            logger.error("Gemini refuses our requests", extra={"action": "gemini_refused", "status": error.code})  # noqa: TRY400
        raise CallFailed(failure, retry_delay(error.details)) from error
    except TimeoutError as error:
        raise CallFailed(FailureClass.TIMEOUT) from error
    except (aiohttp.ClientError, json.JSONDecodeError) as error:
        raise CallFailed(FailureClass.TRANSIENT) from error
    except (pydantic.ValidationError, errors.UnknownApiResponseError):
        raise CallFailed(FailureClass.TRANSIENT) from None  # these quote the answer, and with it what the user wrote
