"""Somebody's endpoint: a real server on loopback that takes webhooks and does as a test says."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that came."""

    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """The body, read."""
        return json.loads(self.content)

    @property
    def delivery_id(self) -> str:
        """What it calls itself."""
        return self.headers["webhook-id"]


class Endpoint:
    """Answers with what is in ``answers``, then with 204; while ``hangs`` is set, not at all."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: deque[web.Response] = deque()
        self.hangs = False
        self._let_go = asyncio.Event()
        self._came = asyncio.Condition()
        app = web.Application()
        app.add_routes([web.post("/{path:.*}", self._take), web.get("/{path:.*}", self._take)])
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1") -> str:
        """Return where it is, under a host's name that leads here."""
        return f"http://{host}:{self.server.port}{path}"

    async def until(self, count: int) -> list[Call]:
        """Wait for so many calls, and return all there were."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.calls) >= count)
        return self.calls

    def let_go(self) -> None:
        """Answer those who wait."""
        self.hangs = False
        self._let_go.set()

    async def _take(self, request: web.Request) -> web.Response:
        self.calls.append(Call(headers=request.headers.copy(), content=await request.read()))
        async with self._came:
            self._came.notify_all()
        if self.hangs:
            await self._let_go.wait()
        return self.answers.popleft() if self.answers else web.Response(status=204)
