"""What the service says of itself, for machines."""

from __future__ import annotations

import json
from functools import cache
from typing import Final

from aiohttp import web

from service import keys
from websocket import asyncapi


async def asyncapi_document(request: web.Request) -> web.Response:
    """Describe the messages of the socket."""
    settings = request.app[keys.SETTINGS]
    return web.json_response(body=_asyncapi(settings.page_origins[0]))


@cache
def _asyncapi(origin: str) -> bytes:
    return json.dumps(asyncapi.document(origin), ensure_ascii=False, separators=(",", ":")).encode()


ROUTES: Final = (web.get("/asyncapi.json", asyncapi_document),)
