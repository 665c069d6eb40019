"""Reading a request's body, bounded in size, time and number: JSON, or a form with one photo."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast
from weakref import WeakValueDictionary

from aiohttp import BodyPartReader, MultipartReader, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from consumers.images import inspect
from jobs.errors import InvalidImage, InvalidRequest
from jobs.files import MAX_UPLOAD_BYTES
from jobs.ids import UserId
from service.errors import (
    BodyTooLarge,
    InvalidImageFile,
    InvalidJSON,
    NoImageFile,
    TooBusy,
    UnsupportedMediaType,
)

MAX_JSON_BYTES: Final = 64 * 1024
READ_SECONDS: Final = 15.0
MAX_FORM_BYTES: Final = MAX_UPLOAD_BYTES + 64 * 1024
MAX_PARTS: Final = 8
MAX_FIELD_BYTES: Final = 1024
PHOTO_FIELDS: Final = ("file", "image")
FORM_SECONDS: Final = 30.0


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


class Seats:
    """Room in memory for so many photos at once, and for so many of one user: a crowd waits a moment, then comes again."""

    def __init__(self, *, most: int = 16, most_of_one: int = 8, patience_seconds: float = 5.0) -> None:
        self._room = asyncio.Semaphore(most)
        self._most_of_one = most_of_one
        self._patience_seconds = patience_seconds
        self._of_users: WeakValueDictionary[UserId, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, user_id: UserId) -> AsyncIterator[None]:
        """Hold a seat. Raises TooBusy."""
        own = self._of_users.setdefault(user_id, asyncio.Semaphore(self._most_of_one))
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._room)
            except TimeoutError as error:
                raise TooBusy from error
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoForm:
    """A photo that came with a request, as its bytes say, and the form's other fields."""

    content: bytes
    content_type: str
    fields: Mapping[str, str]


async def read_photo(request: web.Request) -> PhotoForm:
    """Read a form with one photo in the field ``file`` or ``image``, 10 MiB at most. Take a seat first: all of it is in memory.

    Raises NoImageFile, InvalidImageFile, BodyTooLarge, UnsupportedMediaType and InvalidRequest.
    """
    if request.content_type != "multipart/form-data":
        raise UnsupportedMediaType("Send the photo as multipart/form-data") if request.can_read_body else NoImageFile
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise _too_large()
    form = await _read_form(request)
    if not form.photo:
        raise NoImageFile
    try:
        picture = inspect(form.photo)
    except InvalidImage as error:
        raise InvalidImageFile from error
    return PhotoForm(content=form.photo, content_type=picture.content_type, fields=form.fields)


@dataclass(slots=True)
class _Form:
    photo: bytes | None = None
    fields: dict[str, str] = field(default_factory=dict)


async def _read_form(request: web.Request) -> _Form:
    form = _Form()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            reader = MultipartReader(request.headers, cast(StreamReader, _Capped(request.content)))
            for _ in range(MAX_PARTS + 1):
                part = await reader.next()
                if part is None:
                    return form
                await _take(form, part)
    except TimeoutError as error:
        raise InvalidRequest(f"The form did not arrive within {FORM_SECONDS:g} seconds") from error
    # Besides its own errors, the reader asserts and decodes what the sender wrote.
    except (web.RequestPayloadError, HttpProcessingError, ValueError, RuntimeError, AssertionError) as error:
        raise InvalidRequest("The form could not be read") from error
    raise InvalidRequest(f"The form must have at most {MAX_PARTS} fields")


async def _take(form: _Form, part: MultipartReader | BodyPartReader) -> None:
    if isinstance(part, MultipartReader):
        raise InvalidRequest("The form must not have forms within")
    name = part.name or ""
    if name not in PHOTO_FIELDS:
        form.fields[name] = (await _read_part(part, MAX_FIELD_BYTES, name)).decode(errors="replace")
    elif form.photo:
        raise InvalidRequest("Send one photo at a time", field=name)
    else:
        form.photo = await _read_part(part, MAX_UPLOAD_BYTES, name)


async def _read_part(part: BodyPartReader, most_bytes: int, name: str) -> bytes:
    content = io.BytesIO()  # its value is no second copy
    while not part.at_eof():
        content.write(await part.read_chunk())
        if content.tell() > most_bytes:
            raise (
                _too_large() if most_bytes == MAX_UPLOAD_BYTES else BodyTooLarge(f"The field {name[:40]!r} is too long")
            )
    return content.getvalue()


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The photo is larger than 10 MiB")


class _Capped:
    """A body that ends with BodyTooLarge where it goes on for too long, also in what nobody looks at."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, size: int = -1) -> bytes:
        self._check()
        return await self._content.read(size)

    async def readline(self, **options: Any) -> bytes:
        self._check()
        return await self._content.readline(**options)

    def _check(self) -> None:
        if self._content.total_bytes > MAX_FORM_BYTES:
            raise _too_large()
