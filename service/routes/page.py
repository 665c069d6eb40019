"""The web page, and what it needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web

from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
from jobs.model import JSON
from service import keys
from service.openapi import answers
from service.openapi.operations import JSON_TYPE, Answer, Tag, operation
from service.routes.health import health_view
from service.routes.pipelines import PIPELINES

PAGE: Final = Path(__file__).parents[1] / "page"
_MODULE_TYPES: Final = ("text/javascript", "application/javascript")  # it depends on the machine
_A_FILE: Final = Answer(contents={"*/*": bytes})
# Looked up, not resolved: no path leads out of the folder, and a missing file is an error like any other.
_FILES: Final = frozenset(file.relative_to(PAGE).as_posix() for file in PAGE.rglob("*") if file.is_file())
_SHELL_TYPES: Final = (".js", ".css", ".json", ".svg")
_NOT_OF_THE_SHELL: Final = ("docs/", "ops/", "worker.js")
_SHELL_FILES: Final = [
    f"/page/{name}" for name in sorted(_FILES) if name.endswith(_SHELL_TYPES) and not name.startswith(_NOT_OF_THE_SHELL)
]


@operation("showPage", Tag.PAGE, {200: Answer(contents={"text/html": str, JSON_TYPE: answers.Health})})
async def index(request: web.Request) -> web.StreamResponse:
    """Show browsers the page, and tell programs what the originals told them."""
    headers = {hdrs.VARY: hdrs.ACCEPT}
    if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return web.FileResponse(PAGE / "index.html", headers=headers)
    return web.json_response(health_view(request), headers=headers)


@operation("showPageFile", Tag.PAGE, {200: _A_FILE}, raises=(web.HTTPNotFound,))
async def page_file(request: web.Request) -> web.StreamResponse:
    """Send a file of the page."""
    name = request.match_info["name"]
    if name not in _FILES:
        raise web.HTTPNotFound
    return web.FileResponse(PAGE / name)


@operation(
    "showClient", Tag.PAGE, {200: Answer(contents=dict.fromkeys(_MODULE_TYPES, str))}, raises=(web.HTTPNotFound,)
)
async def client_file(request: web.Request) -> web.StreamResponse:
    """Send a part of the client for other pages: modules that lie beside each other, at addresses that stay."""
    file = PAGE / f"darkroom-{request.match_info['part']}.js"
    return web.FileResponse(file, headers={hdrs.CACHE_CONTROL: "no-cache"})


@operation("showWorker", Tag.PAGE, {200: Answer(contents=dict.fromkeys(_MODULE_TYPES, str))})
async def worker(_: web.Request) -> web.StreamResponse:
    """Send the service worker, from the top: it serves what lies below its own address only."""
    return web.FileResponse(PAGE / "worker.js", headers={hdrs.CACHE_CONTROL: "no-cache"})


@operation("showManifest", Tag.PAGE, {200: Answer(contents={"application/manifest+json": dict[str, Any]})})
async def manifest(_: web.Request) -> web.StreamResponse:
    """Tell browsers how the page is installed."""
    headers = {hdrs.CONTENT_TYPE: "application/manifest+json", hdrs.CACHE_CONTROL: "no-cache"}
    return web.FileResponse(PAGE / "manifest.webmanifest", headers=headers)


@operation("listPageFiles", Tag.PAGE, {200: dict[str, list[str]]})
async def page_files(_: web.Request) -> web.Response:
    """List the files that the page is made of, for the worker to keep."""
    return web.json_response({"files": _SHELL_FILES})


@operation("showIcon", Tag.PAGE, {200: Answer(contents={"image/svg+xml": str})})
async def favicon(_: web.Request) -> web.StreamResponse:
    """Send the icon to browsers that ask for it under its old name."""
    return web.FileResponse(PAGE / "favicon.svg")


@operation("showPageConfig", Tag.PAGE, {200: dict[str, Any]})
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
    if settings.cognito_domain:
        config["signIn"] = {
            "domain": settings.cognito_domain,
            "clientId": settings.cognito_client_id,
            "identityProvider": settings.cognito_identity_provider,
        }
    for pipeline in PIPELINES.values():
        config |= pipeline.page_config
    return web.json_response(config)


ROUTES: Final = (
    web.get("/", index),
    web.get("/favicon.ico", favicon),
    web.get("/worker.js", worker),
    web.get("/manifest.webmanifest", manifest),
    web.get("/page-files.json", page_files),
    web.get("/app-config.json", app_config),
    web.get("/page/{name:.+}", page_file),
    web.get("/darkroom-{part:client|line|links}.js", client_file),
)
