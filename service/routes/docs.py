"""What the service says of itself: to machines, and to the people who write them."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web

from service import keys
from service.openapi.document import describe
from service.openapi.operations import Answer, Tag, operation
from websocket import asyncapi

_PAGES: Final = Path(__file__).parents[1] / "page" / "docs"
_VIEWER: Final = _PAGES / "vendor"
_A_PAGE: Final = Answer(contents={"text/html": str})
_TAKES_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


@operation("describeREST", Tag.DOCUMENTS, {200: dict[str, Any]})
async def openapi(request: web.Request) -> web.Response:
    """Describe the REST routes, as this service has them."""
    origin = request.app[keys.SETTINGS].page_origins[0]
    # It takes a moment, the first time.
    return web.json_response(body=await asyncio.to_thread(_openapi, request.app, origin))


@lru_cache(maxsize=1)
def _openapi(app: web.Application, origin: str) -> bytes:
    return _json(describe(app, origin))


@operation("describeSocket", Tag.DOCUMENTS, {200: dict[str, Any]})
async def asyncapi_document(request: web.Request) -> web.Response:
    """Describe the messages of the socket."""
    settings = request.app[keys.SETTINGS]
    return web.json_response(body=_asyncapi(settings.page_origins[0]))


@cache
def _asyncapi(origin: str) -> bytes:
    return _json(asyncapi.document(origin))


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@operation("showDocs", Tag.DOCUMENTS, {200: _A_PAGE})
async def rest_page(_: web.Request) -> web.StreamResponse:
    """Show people the REST routes, to read and to try."""
    return web.FileResponse(_PAGES / "index.html")


@operation("showSocketDocs", Tag.DOCUMENTS, {200: _A_PAGE})
async def socket_page(_: web.Request) -> web.StreamResponse:
    """Show people the messages of the socket, with a live one."""
    return web.FileResponse(_PAGES / "websocket.html")


@operation(
    "showDocsFile",
    Tag.DOCUMENTS,
    {200: Answer(contents=dict.fromkeys(("text/css", "text/javascript", "application/javascript"), str))},
    raises=(web.HTTPNotFound,),
)
async def viewer_file(request: web.Request) -> web.StreamResponse:
    """Send a part of the viewer as it is kept, packed; unpacked to those who do not take that."""
    file = _VIEWER / f"swagger-ui{request.match_info['part']}"
    kind = "text/css" if file.suffix == ".css" else "text/javascript"
    headers = {
        hdrs.CACHE_CONTROL: "no-cache",
        hdrs.CONTENT_TYPE: f"{kind}; charset=utf-8",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if _TAKES_GZIP.search(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        return web.FileResponse(file, headers=headers)  # finds the packed one beside the name
    packed = file.with_name(f"{file.name}.gz")
    return web.Response(body=await asyncio.to_thread(lambda: gzip.decompress(packed.read_bytes())), headers=headers)


ROUTES: Final = (
    web.get("/openapi.json", openapi),
    web.get("/asyncapi.json", asyncapi_document),
    web.get("/docs", rest_page),
    web.get("/docs/websocket", socket_page),
    web.get("/docs/swagger-ui{part:-bundle.js|.css}", viewer_file),
)
