"""Gotcha's devices and its metadata function: photos go straight to S3, and what is known of them is snake_case JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.clients.replies import Reply, call

PATIENCE_SECONDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A photo in S3: its key, and its addresses without a signature."""

    key: str
    address: str

    @property
    def s3(self) -> str:
        """Name it as the S3 event does: by bucket and key."""
        return f"s3:/{urlsplit(self.address).path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gotcha:
    """A device, or the function that speaks for one; without a token it is known by its address."""

    url: str
    device_id: str = "phone-1"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask_upload(self, photo: bytes, **said: Any) -> Reply:
        """Ask where to put a photo; ``said`` is what the device knows of it."""
        asked = {"fileName": "car.jpg", "contentType": "image/jpeg", "fileSize": len(photo)}
        wish = {"pipeline": "parking-report", "deviceId": self.device_id, **asked, **said}
        return await self._call("POST", "/upload", wish)

    async def upload(self, photo: bytes, **said: Any) -> Uploaded:
        """Put a photo where S3 tells of it."""
        link = (await self.ask_upload(photo, **said)).json
        put = await call("PUT", link["uploadUrl"], data=photo, headers=link["uploadHeaders"])
        assert put.status == 200, put.body
        return Uploaded(key=link["fileKey"], address=link["uploadUrl"].partition("?")[0])

    async def process_metadata(self, **row: Any) -> Reply:
        """Send a row of the table of sightings."""
        return await self._call("POST", "/process_metadata", {"device_id": self.device_id, **row})

    async def compare_background(self, first: str, second: str) -> Reply:
        """Ask how alike the places behind two cars are."""
        wish = {"first_cropped_url": first, "second_cropped_url": second}
        return await self._call("POST", "/compare_background", wish)

    async def reports(self, path: str = "") -> Reply:
        """Read the reports, or one of them: ``/report_…``."""
        return await self._call("GET", f"/reports{path}")

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        return await call(method, self.url + path, json=body, headers=dict(self.headers))


async def told_of(socket: aiohttp.ClientWebSocketResponse, upload: Uploaded, *types: str) -> dict[str, dict[str, Any]]:
    """Read until one message of each type has come, in whatever order; of job messages those of this photo's job count."""
    told: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not told.keys() >= set(types):
            message = await socket.receive_json()
            if "job" not in message or message["job"].get("inputImageUrl", "").endswith(upload.key):
                told[message["type"]] = message
    return told
