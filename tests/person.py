"""A program that uses the service as a browser would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE_SECONDS = 40


class Person:
    """One signed-in demo user."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    async def sign_in(cls, session: aiohttp.ClientSession, url: str, name: str) -> Person:
        """Continue as a demo user."""
        async with session.post(f"{url}/auth/demo", json={"user": name}) as answer:
            answer.raise_for_status()
            return cls(session, url, (await answer.json())["idToken"])

    async def get(self, path: str) -> dict[str, Any]:
        """Read JSON."""
        async with self._session.get(self._url + path, headers=self._headers) as answer:
            answer.raise_for_status()
            body: dict[str, Any] = await answer.json()
            return body

    async def readiness(self) -> int:
        """Return the status that a load balancer sees."""
        async with self._session.get(f"{self._url}/readyz") as answer:
            return answer.status

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send JSON."""
        async with self._session.post(self._url + path, json=body, headers=self._headers) as answer:
            assert answer.status == 200, await answer.text()
            made: dict[str, Any] = await answer.json()
            return made

    async def upload(self, photo: bytes) -> str:
        """Upload a PNG and return its key."""
        asked = {"fileName": "photo.png", "contentType": "image/png", "fileSize": len(photo)}
        link = await self.post("/upload", asked)
        async with self._session.put(link["uploadUrl"], data=photo, headers=link["uploadHeaders"]) as answer:
            assert answer.status == 200, await answer.text()
        return str(link["fileKey"])

    async def generate(self, photo: bytes, prompt: str = "") -> str:
        """Upload and submit; return the job's id."""
        key = await self.upload(photo)
        made = await self.post("/generate", {"fileKey": key, "style": "professional", "prompt": prompt})
        return str(made["jobId"])

    async def fetch(self, link: str) -> bytes:
        """Read a signed link."""
        async with self._session.get(link) as answer:
            answer.raise_for_status()
            return await answer.read()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open the socket and pass its welcome and snapshot."""
        async with self._session.ws_connect(
            f"{self._url}/ws", headers=self._headers, protocols=("darkroom.v1",), max_msg_size=0
        ) as opened:
            await until(opened, "snapshot")
            yield opened


async def until(socket: aiohttp.ClientWebSocketResponse, message_type: str) -> dict[str, Any]:
    """Read messages until one of this type."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            message: dict[str, Any] = await socket.receive_json()
            if message["type"] == message_type:
                return message
