"""Google Gemini: the only module that speaks google-genai.

The settings of the client are measured ones: our own aiohttp session (the SDK's hides a second POST behind a sleep), no gzip
on answers (unpacking 2 MB costs more than parsing it), one attempt (retries are ours), and a time-out of at least 10 seconds,
because the API refuses shorter ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import pydantic
from google import genai
from google.genai import errors, types

from consumers import metrics
from consumers.images import Picture
from jobs.errors import (
    ContentRejected,
    DarkroomError,
    InvalidImage,
    MisconfiguredProvider,
    ProviderFailure,
    UnusableAnswer,
)
from jobs.secret import Key

logger = logging.getLogger(__name__)

MIN_TIMEOUT_SECONDS: Final = 10
_REJECTED: Final = frozenset(
    {
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "LANGUAGE",
        "ESCALATION",
        "JAILBREAK",
    }
)
# Sampling may save these, so they are retried although they speak of the content.
_REJECTED_BY_CHANCE: Final = frozenset({"IMAGE_SAFETY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiConfig:
    """Where and how to call. ``base_url`` None is Google; times in seconds."""

    image_model: str
    base_url: str | None = None
    timeout_seconds: float = 100
    connections: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """What an image model answered. ``content_type`` is what the model says it is."""

    content: bytes
    content_type: str
    model_name: str
    milliseconds: int


class Gemini:
    """Calls the models. Each failure is one of our errors: see ``_mapped_errors``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: GeminiConfig,
        key: Key,
        meters: metrics.PoolMetrics,
    ) -> None:
        self._session = session
        self._config = config
        self._key = key
        self._meters = meters
        self._client: genai.Client | None = None
        self._client_key = ""

    async def edit(self, prompt: str, photo: Picture) -> Painting:
        """Have the image model make a picture of the photo and the words.

        Raises ContentRejected, InvalidImage, MisconfiguredProvider, ProviderFailure, UnusableAnswer.
        """
        started = time.monotonic()
        parts = [types.Part.from_bytes(data=photo.content, mime_type=photo.content_type), types.Part(text=prompt)]
        config = types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        answer = await self._generate(self._config.image_model, parts, config)
        content, content_type = _picture_of(answer)
        return Painting(
            content=content,
            content_type=content_type,
            model_name=self._config.image_model,
            milliseconds=round((time.monotonic() - started) * 1000),
        )

    async def _generate(
        self, model: str, parts: list[types.Part], config: types.GenerateContentConfig
    ) -> types.GenerateContentResponse:
        contents = types.Content(role="user", parts=parts)
        with self._meters.gemini_call(model), _mapped_errors():
            async with asyncio.timeout(self._config.timeout_seconds):
                client = await self._current_client()
                try:
                    answer = await client.aio.models.generate_content(model=model, contents=contents, config=config)
                except errors.ClientError as error:
                    renewed = await self._renewed_client(error)
                    if renewed is None:
                        raise
                    answer = await renewed.aio.models.generate_content(model=model, contents=contents, config=config)
            _refuse(answer)
            return answer

    async def _renewed_client(self, error: errors.ClientError) -> genai.Client | None:
        """Return a client with a newer key when this error says that the key was refused and there is one."""
        refused = self._client_key
        if not _is_key_refused(error):
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
    raise UnusableAnswer


def _refuse(answer: types.GenerateContentResponse) -> None:
    """Raise what a refusal in a 200 means. Names are compared as text: new ones must not break us."""
    feedback = answer.prompt_feedback
    if feedback and feedback.block_reason:
        raise _refusal(feedback.block_reason.value)
    for candidate in answer.candidates or []:
        reason = candidate.finish_reason.value if candidate.finish_reason else "STOP"
        if reason != "STOP":
            raise _refusal(reason)


def _refusal(reason: str) -> DarkroomError:
    if reason in _REJECTED - _REJECTED_BY_CHANCE:
        return ContentRejected()
    return UnusableAnswer(f"The image service gave no picture ({reason}).")


@contextmanager
def _mapped_errors() -> Iterator[None]:
    """Turn whatever a call raises into one of our errors."""
    try:
        yield
    except errors.APIError as error:
        raise _api_error(error) from error
    except TimeoutError as error:
        raise ProviderFailure("The image service did not answer in time.") from error
    except aiohttp.ClientError as error:
        raise ProviderFailure("The image service could not be reached.") from error
    except (json.JSONDecodeError, pydantic.ValidationError, errors.UnknownApiResponseError) as error:
        raise ProviderFailure("The image service gave an answer that cannot be read.") from error


def _is_key_refused(error: errors.APIError) -> bool:
    # Google answers a key that is not one with 400, and one that may not with 401 or 403.
    return error.code in (401, 403) or "API_KEY_INVALID" in str(error.details)


def _api_error(error: errors.APIError) -> DarkroomError:
    match error.code:
        case 400 if "process input image" in (error.message or ""):
            return InvalidImage("The image service cannot read this photo.")
        case 400 | 401 | 403 | 404 | 413:
            # A wrong key, a closed region or a retired model: no retry helps, and an operator must look.
            logger.error("Gemini refuses our requests", extra={"action": "gemini_refused", "status": error.code})
            return MisconfiguredProvider()
        case 429:
            return ProviderFailure("The image service is busy.", retry_after_seconds=_retry_delay(error))
        case _:
            return ProviderFailure(f"The image service failed ({error.code}).")


def _retry_delay(error: errors.APIError) -> float | None:
    """Read ``RetryInfo.retryDelay``, such as "58.9s"; the SDK does not."""
    body = error.details if isinstance(error.details, dict) else {}
    for detail in body.get("error", {}).get("details", []):
        delay = str(detail.get("retryDelay", ""))
        if str(detail.get("@type", "")).endswith("RetryInfo") and delay.endswith("s"):
            return float(delay[:-1])
    return None
