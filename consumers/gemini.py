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
import random
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import aiohttp
import pydantic
from google import genai
from google.genai import errors, types

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
from consumers.images import Picture
from consumers.limits import BreakerState
from jobs.errors import DarkroomError
from jobs.model import ModelUse
from jobs.secret import Key

logger = logging.getLogger(__name__)

MIN_TIMEOUT_SECONDS: Final = 10
LONELY_SECONDS: Final = (5, 900)
"""So long a job is put off, first and at most, that failed while no other was answered: nobody can tell it from an outage."""
T = TypeVar("T")


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

    ``patience_seconds``: how long a call may wait at the gate before its job is put off. ``pace`` scales the back-off.
    """

    image_model: str
    base_url: str | None = None
    timeout_seconds: float = 100
    connections: int = 600
    patience_seconds: float = 120
    pace: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """What an image model answered. ``content_type`` is what the model says it is."""

    content: bytes
    content_type: str
    model_name: str
    milliseconds: int


class Customer(Protocol):
    """Whoever has a model called for a job."""

    def call_begins(self) -> None:
        """Hear that a call starts now: the wait at the gate is over. Told of each try."""

    def is_billed(self, use: ModelUse) -> None:
        """Hear what an answer costs, useless ones included."""


class Gemini:
    """Calls the models, each through its gate, and tries again as ``consumers.failures`` says.

    ``spend(model, use)`` is told what each answer costs.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: GeminiConfig,
        key: Key,
        gates: Mapping[str, Gate],
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

    async def edit(self, prompt: str, photo: Picture, customer: Customer) -> Painting:
        """Have the image model make a picture of the photo and the words. Raises CallFailed, and NotNow: the job can wait."""
        parts = [types.Part.from_bytes(data=photo.content, mime_type=photo.content_type), types.Part(text=prompt)]
        config = types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        return await self._generate(self._config.image_model, parts, config, self._painting_of, customer)

    def _painting_of(self, answer: types.GenerateContentResponse, seconds: float) -> Painting:
        content, content_type = _picture_of(answer)
        return Painting(
            content=content,
            content_type=content_type,
            model_name=self._config.image_model,
            milliseconds=round(seconds * 1000),
        )

    async def _generate(
        self,
        model: str,
        parts: list[types.Part],
        config: types.GenerateContentConfig,
        read: Callable[[types.GenerateContentResponse, float], T],
        customer: Customer,
    ) -> T:
        """Call until there is an answer that ``read`` takes, or the class of the failure says that it is enough."""
        gate = self._gates[model]
        contents = types.Content(role="user", parts=parts)
        began = gate.now()
        deadline = time.monotonic() + self._config.patience_seconds
        for attempt in itertools.count(1):
            try:
                # All waits at the gate together take the patience once: a job that is throttled for long is put off.
                patience = max(0, deadline - time.monotonic())
                return await self._call_once(gate, model, contents, config, patience, read, customer)
            except CallFailed as error:
                await self._wait_or_raise(gate, error, attempt, began)
            config = config.model_copy(update={"seed": attempt})  # the same dice would fall the same way
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
        self,
        gate: Gate,
        model: str,
        contents: types.Content,
        config: types.GenerateContentConfig,
        patience_seconds: float,
        read: Callable[[types.GenerateContentResponse, float], T],
        customer: Customer,
    ) -> T:
        async with gate.admit(patience_seconds) as permit:
            customer.call_begins()
            started = time.monotonic()
            try:
                with self._meters.gemini_call(model), _mapped_errors():
                    async with asyncio.timeout(self._config.timeout_seconds):
                        answer = await self._post(model, contents, config)
                    # Refused and unusable answers cost as well.
                    self._bill(model, _use_of(answer), customer)
                    _refuse(answer)
                    result = read(answer, time.monotonic() - started)
            except CallFailed as error:
                permit.failed(error.failure, error.retry_after_seconds)
                raise
            permit.succeeded()
            return result

    def _bill(self, model: str, use: ModelUse, customer: Customer) -> None:
        self._meters.count_use(model, use)
        self._spend(model, use)
        customer.is_billed(use)

    async def _post(
        self, model: str, contents: types.Content, config: types.GenerateContentConfig
    ) -> types.GenerateContentResponse:
        client = await self._current_client()
        try:
            return await client.aio.models.generate_content(model=model, contents=contents, config=config)
        except errors.ClientError as error:
            renewed = await self._renewed_client(error)
            if renewed is None:
                raise
            return await renewed.aio.models.generate_content(model=model, contents=contents, config=config)

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
    except (
        aiohttp.ClientError,
        json.JSONDecodeError,
        pydantic.ValidationError,
        errors.UnknownApiResponseError,
    ) as error:
        raise CallFailed(FailureClass.TRANSIENT) from error
