"""The OpenAPI document of a service under certain settings, without running it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from service import routes
from service.openapi.document import describe
from service.settings import Settings


def document(origin: str, settings: Settings) -> dict[str, Any]:
    """Describe the service as it is under these settings, reached at ``origin``, such as ``https://photos.example.com``."""
    app = web.Application()
    routes.add_routes(app, settings)
    return describe(app, origin)
