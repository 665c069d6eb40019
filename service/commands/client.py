"""A client of the service's own API, for the commands: who is signed in, uploads, jobs, pictures. It needs aiohttp alone."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp

Told: TypeAlias = Callable[[float], None]
JSONObject: TypeAlias = dict[str, Any]
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
"""For bodies that take as long as the line is slow."""
CALL: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)
CONTENT_TYPES: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_CHUNK_BYTES: Final = 32 * 1024
_TRIES: Final = 4


class Refused(Exception):
    """The service does not do it; the message is its sentence, `code` its code."""

    def __init__(self, code: str, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Unreachable(Exception):
    """Nobody answers; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo to send."""

    name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Token:
    """What shows who calls. `renew` returns another one, or None where nobody can."""

    text: str = field(repr=False)
    renew: Callable[[], Any] | None = None

    async def renewed(self) -> bool:
        """Take a fresh one; returns False where there is none to have. Raises Refused and Unreachable."""
        if self.renew is None:
            return False
        self.text = await self.renew()
        return True


class Client:
    """One caller of the service at an address. All calls raise Refused and Unreachable."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: Token) -> None:
        self.session = session
        self.url = url.rstrip("/")
        self.token = token

    @property
    def headers(self) -> dict[str, str]:
        """What shows who calls."""
        return {"Authorization": f"Bearer {self.token.text}"}

    async def upload(self, photo: Photo, told: Told) -> str:
        """Put the photo into the store and return its key; `told` hears which fraction has been sent."""
        asked = {"fileName": photo.name, "contentType": photo.content_type, "fileSize": len(photo.content)}
        link = await self.call("POST", "/upload", json=asked)
        headers = {**link["uploadHeaders"], "Content-Length": str(len(photo.content))}
        async with (
            _reached(self.url),
            self.session.put(
                link["uploadUrl"], data=_chunks(photo.content, told), headers=headers, timeout=NO_TIMEOUT
            ) as answer,
        ):
            if answer.status != 200:
                raise Refused("upload_failed", f"The store does not take the photo (HTTP {answer.status}).")
        return str(link["fileKey"])

    async def generate(self, file_key: str, *, style: str | None, prompt: str | None) -> str:
        """Start a picture of an uploaded photo; returns the job's id."""
        said = {"fileKey": file_key, "style": style, "prompt": prompt}
        body = {name: value for name, value in said.items() if value is not None}
        return str((await self._once("/generate", json=body))["jobId"])

    async def detect_cracks(self, photo: Photo, told: Told) -> str:
        """Send the photo to have its cracks found; returns the job's id."""
        form = aiohttp.FormData()
        form.add_field("file", photo.content, filename=photo.name, content_type=photo.content_type)
        parts = form()
        body, kind = await parts.as_bytes(), str(parts.headers["Content-Type"])
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Prefer": "wait=0"}
        return str((await self._once("/detect-crack", body=body, told=told, headers=headers))["jobId"])

    async def job(self, job_id: str) -> JSONObject:
        """Read a job."""
        return await self.call("GET", f"/jobs/{job_id}")

    async def cancel(self, job_id: str) -> JSONObject:
        """Cancel a job."""
        return await self.call("POST", f"/jobs/{job_id}/cancel")

    async def fetch(self, link: str) -> bytes:
        """Read a signed link."""
        async with _reached(self.url), self.session.get(link, timeout=NO_TIMEOUT) as answer:
            if answer.status != 200:
                raise Refused("download_failed", f"The store does not hand the picture out (HTTP {answer.status}).")
            return await answer.read()

    async def call(self, method: str, path: str, **request: Any) -> JSONObject:
        """Send a request and return the answer's object; a token that was refused is renewed once."""
        try:
            return await self._send(method, path, **request)
        except Refused as refusal:
            if refusal.status != 401 or not await self.token.renewed():
                raise
        return await self._send(method, path, **request)

    async def _once(self, path: str, **request: Any) -> JSONObject:
        """Start a job: however often the request must be sent, under one key it is one job."""
        headers = {**request.pop("headers", {}), "Idempotency-Key": str(uuid.uuid4())}
        for attempt in range(_TRIES - 1):
            try:
                return await self.call("POST", path, headers=headers, **request)
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and error.status not in (502, 503, 504):
                    raise
            await asyncio.sleep(2**attempt)
        return await self.call("POST", path, headers=headers, **request)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        body: bytes | None = None,
        told: Told | None = None,
    ) -> JSONObject:
        content: Any = {"json": json}
        if body is not None and told is not None:
            content = {"data": _chunks(body, told)}
        timeout = CALL if body is None else NO_TIMEOUT
        async with (
            _reached(self.url),
            self.session.request(
                method, self.url + path, headers={**(headers or {}), **self.headers}, timeout=timeout, **content
            ) as answer,
        ):
            return await read(answer)


async def read(answer: aiohttp.ClientResponse) -> JSONObject:
    """Return the object that the service answers with. Raises Refused."""
    try:
        said = await answer.json(content_type=None)
    except ValueError:
        said = None
    if answer.ok and isinstance(said, dict):
        return said
    told = said if isinstance(said, dict) else {}
    sentence = told.get("message") or told.get("error") or f"HTTP {answer.status} {answer.reason}"
    raise Refused(str(told.get("code", "http_error")), str(sentence), status=answer.status)


async def demo_token(session: aiohttp.ClientSession, url: str, user: str) -> Token:
    """Sign in as a user of the embedded mode. Raises Refused, with status 404 elsewhere, and Unreachable."""

    async def sign_in() -> str:
        address = f"{url.rstrip('/')}/auth/demo"
        async with _reached(url), session.post(address, json={"user": user}, timeout=CALL) as answer:
            return str((await read(answer))["idToken"])

    return Token(text=await sign_in(), renew=sign_in)


def read_photo(path: Path) -> Photo:
    """Read a photo to send. Raises OSError, and ValueError for a file whose name is no photo's."""
    content_type = CONTENT_TYPES.get(path.suffix.lower())
    if content_type is None:
        raise ValueError(f"{path} is no photo that the service takes: {', '.join(CONTENT_TYPES)}")
    return Photo(name=path.name, content_type=content_type, content=path.read_bytes())


def extension_of(content_type: str) -> str:
    """Return what the name of such a file ends with."""
    known = {kind: extension for extension, kind in reversed(CONTENT_TYPES.items())}
    return known.get(content_type) or mimetypes.guess_extension(content_type) or ".png"


@asynccontextmanager
async def _reached(url: str) -> AsyncIterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"{url} does not answer{why(error)}.") from error


def why(error: BaseException) -> str:
    """Return the cause as it stands at the end of a sentence, without addresses."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        # Names and certificates have numbers of their own.
        is_ours = isinstance(cause, socket.gaierror | ssl.SSLError)
        return f": {os.strerror(cause.errno) if cause.errno and not is_ours else cause.strerror or cause}"
    return f": {error}" if str(error) else " in time"


async def _chunks(content: bytes, told: Told) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]
        told(min(1, (start + _CHUNK_BYTES) / len(content)))
