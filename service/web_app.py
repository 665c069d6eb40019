"""The web application: routes and what happens around them. It opens nothing."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from service import headers, keys, middlewares, routes
from service.bodies import Seats
from service.metrics import RequestMetrics
from service.services import Services
from service.settings import Settings

RUNNER_OPTIONS: Final[dict[str, Any]] = {"max_field_size": 32_768, "access_log": None}
"""For ``web.AppRunner``: room for long tokens, and no access log besides ours, for aiohttp's holds whole paths."""


def create_app(settings: Settings, services: Services) -> web.Application:
    """Make the application on resources that are open already and stay so until it has stopped."""
    app = web.Application(
        middlewares=[
            middlewares.observe,
            middlewares.answer_errors,
            headers.answer_preflights(settings),
            middlewares.limit_addresses(settings),
            middlewares.authenticate,
            middlewares.limit_users(settings),
        ]
    )
    app[keys.SETTINGS] = settings
    app[keys.SERVICES] = services
    app[keys.SEATS] = Seats()
    app[keys.METRICS] = RequestMetrics(services.registry)
    app.on_response_prepare.append(headers.add_headers(settings))
    routes.add_routes(app, settings)
    return app
