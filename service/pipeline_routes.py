"""The form in which a pipeline states its routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from jobs.files import UploadLink
from jobs.model import JSON
from service.schemas import UploadRequest

SignUpload: TypeAlias = Callable[[web.Request, UploadRequest, Mapping[str, Any]], Awaitable[UploadLink]]
"""Signs a link for a photo; the last is the whole body of the request, for what the pipeline has in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRoutes:
    """The routes of a pipeline: those that start its jobs, those that need no token, and the others.

    Whoever has no token may start its jobs where the settings allow it. ``sign_upload``: its photos go straight to S3.
    ``page_config``: what the page needs to know of it, told in ``app-config.json``.
    """

    name: str
    submits: tuple[web.RouteDef, ...]
    public: tuple[web.RouteDef, ...] = ()
    others: tuple[web.RouteDef, ...] = ()
    sign_upload: SignUpload | None = None
    page_config: Mapping[str, JSON] = field(default_factory=dict)
