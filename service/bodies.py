"""Reading a request's JSON body, bounded in size and time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, NoReturn

from aiohttp import hdrs, web

from jobs.errors import InvalidRequest
from service.errors import BodyTooLarge, InvalidJSON, UnsupportedMediaType

MAX_JSON_BYTES: Final = 64 * 1024
READ_SECONDS: Final = 15.0


async def read_object(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object; a missing Content-Type counts as JSON, as clients of the originals leave it out.

    Raises InvalidJSON, BodyTooLarge, UnsupportedMediaType and, for a body that does not arrive, InvalidRequest.
    """
    if hdrs.CONTENT_TYPE in request.headers and request.content_type != "application/json":
        raise UnsupportedMediaType
    body = await _read(request)
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidJSON from error
    if not isinstance(value, dict):
        raise InvalidJSON("The body must be a JSON object")
    return value


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_JSON_BYTES:
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_JSON_BYTES:
                    raise BodyTooLarge
    except TimeoutError as error:
        raise InvalidRequest(f"The body did not arrive within {READ_SECONDS:g} seconds") from error
    except web.RequestPayloadError as error:
        raise InvalidRequest("The body could not be read") from error
    return bytes(body)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
