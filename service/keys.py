"""Where the web application and its requests keep what handlers need."""

from __future__ import annotations

from aiohttp import web

from jobs.model import Caller
from service.metrics import RequestMetrics
from service.services import Services
from service.settings import Settings

SETTINGS = web.AppKey("SETTINGS", Settings)
SERVICES = web.AppKey("SERVICES", Services)
METRICS = web.AppKey("METRICS", RequestMetrics)
PUBLIC_RESOURCES = web.AppKey[frozenset[web.AbstractResource]]("PUBLIC_RESOURCES")
"""The resources that need no token; all others do."""
UNCOUNTED_RESOURCES = web.AppKey[frozenset[web.AbstractResource]]("UNCOUNTED_RESOURCES")
"""The resources that anyone may ask for at any rate."""
SUBMIT_RESOURCES = web.AppKey[frozenset[web.AbstractResource]]("SUBMIT_RESOURCES")
"""The resources that start jobs."""

REQUEST_ID = web.RequestKey("REQUEST_ID", str)
CALLER = web.RequestKey("CALLER", Caller)
PREPARED = web.RequestKey("PREPARED", bool)
"""Present once the answer's head is out: nothing may be answered after that."""
