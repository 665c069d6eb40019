"""The line between the service and the simulator, on which a test can see what really goes out."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from PIL import Image


class Wire:
    """Hands every request on, and keeps its body.

    Answers to requests with the word ``breaks_off_at`` lose their last third; paths with ``fails_at`` are not served; the next
    request at ``throttles_at`` is told to come back in so many seconds.
    """

    def __init__(self, simulator_url: str, session: ClientSession) -> None:
        self._simulator_url = simulator_url
        self._session = session
        self.bodies: list[Any] = []
        self.breaks_off_at: str | None = None
        self.broken = b""
        self.fails_at: str | None = None
        self.throttles_at: tuple[str, int] | None = None

    async def hand_on(self, request: web.Request) -> web.Response:
        """Ask the simulator."""
        asked = await request.json() if request.can_read_body else None
        self.bodies.append(asked)
        if self.fails_at and self.fails_at in request.path:
            return web.json_response({"error": {"code": 503, "status": "UNAVAILABLE"}}, status=503)
        if self.throttles_at and self.throttles_at[0] in request.path:
            (_, seconds), self.throttles_at = self.throttles_at, None
            return web.json_response(_too_many(seconds), status=429)
        headers = {
            name: request.headers[name] for name in ("x-goog-api-key", "Content-Type") if name in request.headers
        }
        url = f"{self._simulator_url}{request.path_qs}"
        async with self._session.request(request.method, url, data=await request.read(), headers=headers) as answer:
            body = await answer.read()
            if self.breaks_off_at and self.breaks_off_at in str(asked):
                body = self.broken = body[: len(body) * 2 // 3]
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    @property
    def pictures(self) -> list[Image.Image]:
        """All pictures that were sent."""
        return [Image.open(io.BytesIO(base64.urlsafe_b64decode(data))) for data in _data_in(self.bodies)]


def _too_many(seconds: int) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds}s"}
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Later.", "details": [info]}}


def _data_in(part: Any) -> Iterator[str]:
    """Find what is sent in base64, wherever it stands."""
    if isinstance(part, list):
        for item in part:
            yield from _data_in(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "data" and isinstance(value, str):
                yield value
            else:
                yield from _data_in(value)


@asynccontextmanager
async def open_wire(simulator_url: str) -> AsyncIterator[tuple[Wire, str]]:
    """Open a line, and name the address of its near end."""
    async with ClientSession() as session:
        wire = Wire(simulator_url, session)
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", wire.hand_on)
        async with TestServer(app) as server:
            yield wire, str(server.make_url("/")).rstrip("/")
