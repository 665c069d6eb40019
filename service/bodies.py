"""Reading a request's body, bounded in size, time and number: JSON, or a form with one photo."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, NoReturn, TypeAlias, cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import Field

from consumers.images import ImageWorker
from jobs.errors import InvalidImage, InvalidRequest
from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
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
MAX_LINES: Final = 1000
"""Of boundaries and headers, which are read line by line: megabytes of short lines would hold up everybody for seconds."""
MAX_FIELD_BYTES: Final = 1024
PHOTO_FIELDS: Final = ("file", "image")
Photo: TypeAlias = Annotated[bytes, Field(json_schema_extra={"contentMediaType": ", ".join(EXTENSIONS)})]
"""One of these fields, to those who are told of the form."""
FORM_SECONDS: Final = 45.0
"""The wait for room included, and less than the minute after which an original's client gives up."""
PAUSE_SECONDS: Final = 5.0
"""How long nothing of a form may arrive: nobody holds room for what does not come."""
Grow: TypeAlias = Callable[[int], Awaitable[None]]
"""Takes room for so many bytes more. Raises TooBusy."""


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
    """Room in memory for photos, in all and of one user, taken when their bytes begin to arrive: a crowd waits, then comes again.

    Whoever only holds a connection open takes none.
    """

    def __init__(
        self,
        *,
        most_bytes: int = 16 * MAX_UPLOAD_BYTES,
        most_bytes_of_one: int = 6 * MAX_UPLOAD_BYTES,
        patience_seconds: float = 25.0,
    ) -> None:
        self._free = most_bytes
        self._most_bytes_of_one = most_bytes_of_one
        self._patience_seconds = patience_seconds
        self._held: Counter[UserId] = Counter()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def taken(self, user_id: UserId) -> AsyncIterator[Grow]:
        """Sit down for a photo, with no room yet: it grows with the photo, and is free again in the end."""
        held = 0

        async def grow(count: int) -> None:
            nonlocal held
            await self._wait_for_room(user_id, count)
            self._note(user_id, count)
            held += count

        try:
            yield grow
        finally:
            self._note(user_id, -held)
            freed, self._freed = self._freed, asyncio.Event()
            freed.set()

    async def _wait_for_room(self, user_id: UserId, count: int) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while count > min(self._free, self._most_bytes_of_one - self._held[user_id]):
                    await self._freed.wait()
        except TimeoutError as error:
            raise TooBusy from error

    def _note(self, user_id: UserId, count: int) -> None:
        self._free -= count
        self._held[user_id] += count
        if not self._held[user_id]:
            del self._held[user_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoForm:
    """A photo that came with a request, as its bytes say, and the form's other fields."""

    content: bytes
    content_type: str
    fields: Mapping[str, str]


async def read_photo(request: web.Request, grow: Grow, images: ImageWorker) -> PhotoForm:
    """Read a form with one photo in the field ``file`` or ``image``, 10 MiB at most, all of it in memory, with a seat that grows.

    Raises NoImageFile, also for a body that is no such form, InvalidImageFile, BodyTooLarge, TooBusy and InvalidRequest.
    """
    if request.content_type != "multipart/form-data":
        raise NoImageFile
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise _too_large()
    form = await _read_form(request, grow)
    if not form.photo:
        raise NoImageFile
    try:
        picture = await images.inspect(form.photo)
    except InvalidImage as error:
        raise InvalidImageFile from error
    return PhotoForm(content=form.photo, content_type=picture.content_type, fields=form.fields)


@dataclass(slots=True)
class _Form:
    photo: bytes | None = None
    fields: dict[str, str] = field(default_factory=dict)


async def _read_form(request: web.Request, grow: Grow) -> _Form:
    form, size = _Form(), min(request.content_length or MAX_UPLOAD_BYTES, MAX_UPLOAD_BYTES)
    try:
        async with asyncio.timeout(FORM_SECONDS):
            reader = MultipartReader(request.headers, cast(StreamReader, _Capped(request.content)))
            for _ in range(MAX_PARTS + 1):
                part = await reader.next()
                if part is None:
                    return form
                await _take(form, part, grow, size)
    except TimeoutError as error:
        sentence = f"The form must arrive within {FORM_SECONDS:g} seconds, and without a pause of {PAUSE_SECONDS:g}"
        raise InvalidRequest(sentence) from error
    # Besides its own errors, the reader asserts and decodes what the sender wrote.
    except (web.RequestPayloadError, HttpProcessingError, ValueError, RuntimeError, AssertionError) as error:
        raise InvalidRequest("The form could not be read") from error
    raise InvalidRequest(f"The form must have at most {MAX_PARTS} fields")


async def _take(form: _Form, part: MultipartReader | BodyPartReader, grow: Grow, size: int) -> None:
    if isinstance(part, MultipartReader):
        raise InvalidRequest("The form must not have forms within")
    name = part.name or ""
    if name in PHOTO_FIELDS:
        if form.photo:
            raise InvalidRequest("Send one photo at a time", field=name)
        form.photo = await _read_photo(part, grow, size)
    elif part.filename:
        await part.release()  # a file that nobody asked for; the whole form is bounded
    else:
        form.fields[name] = await _read_field(part, name)


async def _read_photo(part: BodyPartReader, grow: Grow, size: int) -> bytes:
    content = io.BytesIO()  # its value is no second copy
    while not part.at_eof():
        chunk = await part.read_chunk()
        if not content.tell():
            # All of it at once: a crowd of photos that have each begun would wait for one another.
            await grow(size)
        content.write(chunk)
        if content.tell() > MAX_UPLOAD_BYTES:
            raise _too_large()
    return content.getvalue()


async def _read_field(part: BodyPartReader, name: str) -> str:
    content = b""
    while not part.at_eof():
        content += await part.read_chunk()
        if len(content) > MAX_FIELD_BYTES:
            raise BodyTooLarge(f"The field {name[:40]!r} is too long")
    return content.decode(errors="replace")


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The photo is larger than 10 MiB")


class _Capped:
    """A body that ends with BodyTooLarge where it goes on for too long, also in what nobody looks at.

    Raises TimeoutError where nothing of it arrives, and ValueError where it has too many lines.
    """

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._lines_left = MAX_LINES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, size: int = -1) -> bytes:
        self._check()
        async with asyncio.timeout(PAUSE_SECONDS):
            return await self._content.read(size)

    async def readline(self, **options: Any) -> bytes:
        self._check()
        self._lines_left -= 1
        if self._lines_left < 0:
            raise ValueError(f"more than {MAX_LINES} lines")
        async with asyncio.timeout(PAUSE_SECONDS):
            return await self._content.readline(**options)

    def _check(self) -> None:
        if self._content.total_bytes > MAX_FORM_BYTES:
            raise _too_large()
