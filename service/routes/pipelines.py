"""What each pipeline has of routes: a new one is one module beside this, and one line in ``PIPELINES``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.pipeline_routes import PipelineRoutes
from service.routes import crack_detection, diary, parking_report, profile_photo

UNNAMED: Final = profile_photo.NAME
"""Whose photo it is when ``POST /upload`` names no pipeline: callers of the original know of one only."""

PIPELINES: Final[Mapping[str, PipelineRoutes]] = {
    routes.name: routes
    for routes in (
        profile_photo.ROUTES,
        crack_detection.ROUTES,
        parking_report.ROUTES,
        diary.ROUTES,
    )
}
