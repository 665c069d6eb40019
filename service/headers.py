"""The headers of every answer: what browsers may do with it, and which other origins may read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from jobs.errors import Forbidden
from service import keys
from service.settings import Settings

PREFLIGHT_SECONDS: Final = 3600
_ALLOWED_METHODS: Final = "GET, HEAD, POST, DELETE"
_ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-Request-Id"
_EXPOSED_HEADERS: Final = "X-Request-Id, Retry-After, Idempotency-Replayed, Location, Preference-Applied"
_PAGES: Final = frozenset({"/", "/docs", "/docs/websocket", "/ops"})
_DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_WORKER: Final = "/worker.js"
_WORKER_POLICY: Final = "default-src 'none'; connect-src 'self'"
_FOR_ALL: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(self), microphone=()",
}


def content_security_policy(settings: Settings) -> str:
    """Write what the page may load, run and reach."""
    storage = " ".join(settings.storage_origins)
    signs_in = f" {settings.cognito_domain}" if settings.cognito_domain else ""
    sockets = " ".join(origin.replace("http", "ws", 1) for origin in settings.page_origins)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src 'self' blob: data: {storage}; connect-src 'self' {sockets} {storage}{signs_in}; "
        "manifest-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def add_headers(settings: Settings) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Make the signal handler that puts our headers on each answer, whoever made it."""
    page_policy = content_security_policy(settings)
    origins = settings.origins
    secure = settings.public_url.startswith("https:")

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        request[keys.PREPARED] = True
        if keys.REQUEST_ID in request:
            response.headers["X-Request-Id"] = request[keys.REQUEST_ID]
        response.headers.update(_FOR_ALL)
        # A 304 has no content type, and its headers replace those that the browser has kept with the page.
        is_page = response.content_type == "text/html" or (response.status == 304 and request.path in _PAGES)
        other_policy = _WORKER_POLICY if request.path == _WORKER else _DATA_POLICY
        response.headers["Content-Security-Policy"] = page_policy if is_page else other_policy
        # The page and its modules are asked for anew each time, by ETag; everything else is one user's and changes.
        is_static = request.path in _PAGES or request.path.startswith(("/page/", "/favicon"))
        response.headers.setdefault("Cache-Control", "no-cache" if is_static else "no-store")
        if secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        _share(request, response, origins)

    return add


def answer_preflights(settings: Settings) -> Middleware:
    """Make the middleware that tells browsers whether a page of another origin may send a request."""
    origins = settings.origins

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return await handler(request)
        if request.headers.get(hdrs.ORIGIN) not in origins:
            raise Forbidden("Pages of this origin may not call this service")
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: _ALLOWED_METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
            },
        )

    return answer


def _share(request: web.Request, response: web.StreamResponse, origins: frozenset[str]) -> None:
    response.headers.add(hdrs.VARY, hdrs.ORIGIN)
    origin = request.headers.get(hdrs.ORIGIN)
    if origin in origins:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = str(origin)
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED_HEADERS
