"""FairStay's back end as it calls its AI server: with a photo in a form, without a token."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import aiohttp

from tests.clients.replies import Reply, call

AXIOS: Final = {"Accept": "application/json, text/plain, */*", "User-Agent": "axios/1.7.2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A body, and the type it is announced with, unless it says that itself."""

    body: bytes | aiohttp.FormData
    headers: Mapping[str, str] = field(default_factory=dict)


WriteForm: TypeAlias = Callable[[bytes, str], Form]
"""Makes a form of a photo and the name of its field."""


def form_by_hand(photo: bytes, name: str) -> Form:
    """Write what npm's form-data writes."""
    boundary = "-" * 26 + secrets.token_hex(12)
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{name}"; filename="room.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    return Form(body=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})


def form_by_library(photo: bytes, name: str) -> Form:
    """Leave it to aiohttp."""
    form = aiohttp.FormData()
    form.add_field(name, io.BytesIO(photo), filename="방 사진.jpg", content_type="application/octet-stream")
    return Form(body=form)


@dataclass(frozen=True, slots=True, kw_only=True)
class FairStay:
    """``url`` is its ``AI_SERVER_URL``; ``headers`` go with every call."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def health(self, path: str = "/health") -> Reply:
        """Ask whether the server is up."""
        return await self._call("GET", path)

    async def detect_crack(
        self, photo: bytes, name: str = "file", *, write: WriteForm = form_by_hand, query: str = ""
    ) -> Reply:
        """Send a photo and wait for the cracks in it."""
        return await self.send(write(photo, name), query)

    async def send(self, form: Form, query: str = "") -> Reply:
        """Send a form, whatever is in it."""
        return await self._call("POST", f"/detect-crack{query}", form)

    async def result(self, file_id: str) -> Reply:
        """Fetch the photo with the boxes drawn."""
        return await self._call("GET", f"/result/{file_id}")

    async def _call(self, method: str, path: str, form: Form | None = None) -> Reply:
        headers = {**AXIOS, **self.headers, **(form.headers if form else {})}
        data = io.BytesIO(form.body) if form and isinstance(form.body, bytes) else form and form.body
        return await call(method, self.url + path, headers=headers, data=data)
