"""The web page, and what it needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
from jobs.model import JSON
from service import keys
from service.routes.health import health_view
from service.routes.pipelines import PIPELINES

PAGE: Final = Path(__file__).parents[1] / "page"
# Looked up, not resolved: no path leads out of the folder, and a missing file is an error like any other.
_FILES: Final = frozenset(file.relative_to(PAGE).as_posix() for file in PAGE.rglob("*") if file.is_file())


async def index(request: web.Request) -> web.StreamResponse:
    """Show browsers the page, and tell programs what the originals told them."""
    headers = {hdrs.VARY: hdrs.ACCEPT}
    if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return web.FileResponse(PAGE / "index.html", headers=headers)
    return web.json_response(health_view(request), headers=headers)


async def page_file(request: web.Request) -> web.StreamResponse:
    """Send a file of the page."""
    name = request.match_info["name"]
    if name not in _FILES:
        raise web.HTTPNotFound
    return web.FileResponse(PAGE / name)


async def client_file(request: web.Request) -> web.StreamResponse:
    """Send a part of the client for other pages: modules that lie beside each other, at addresses that stay."""
    file = PAGE / f"darkroom-{request.match_info['part']}.js"
    return web.FileResponse(file, headers={hdrs.CACHE_CONTROL: "no-cache"})


async def favicon(_: web.Request) -> web.StreamResponse:
    """Send the icon to browsers that ask for it under its old name."""
    return web.FileResponse(PAGE / "favicon.svg")


async def app_config(request: web.Request) -> web.Response:
    """Tell the page how this service is set up."""
    settings = request.app[keys.SETTINGS]
    config: dict[str, JSON] = {
        "demo": settings.embedded,
        "simulated": list(settings.simulated),
        "dailyLimit": settings.daily_limit,
        "maxUploadBytes": MAX_UPLOAD_BYTES,
        "contentTypes": list(EXTENSIONS),
        "pipelines": list(PIPELINES),
    }
    for pipeline in PIPELINES.values():
        config |= pipeline.page_config
    return web.json_response(config)


ROUTES: Final = (
    web.get("/", index),
    web.get("/favicon.ico", favicon),
    web.get("/app-config.json", app_config),
    web.get("/page/{name:.+}", page_file),
    web.get("/darkroom-{part:client|line|links}.js", client_file),
)
