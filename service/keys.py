"""Where the web application and its requests keep what handlers need."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from jobs.model import Caller
from service.bodies import Seats
from service.metrics import RequestMetrics
from service.services import Services
from service.settings import Settings

SETTINGS = web.AppKey("SETTINGS", Settings)
SERVICES = web.AppKey("SERVICES", Services)
METRICS = web.AppKey("METRICS", RequestMetrics)
PUBLIC_RESOURCES = web.AppKey[frozenset[web.AbstractResource]]("PUBLIC_RESOURCES")
"""The resources that need no token; all others do."""
ANONYMOUS_HANDLERS = web.AppKey[frozenset[Handler]]("ANONYMOUS_HANDLERS")
"""What may also be asked without a token, as the settings allow."""
UNCOUNTED_RESOURCES = web.AppKey[frozenset[web.AbstractResource]]("UNCOUNTED_RESOURCES")
"""The resources that anyone may ask for at any rate."""
SUBMIT_RESOURCES = web.AppKey[frozenset[web.AbstractResource]]("SUBMIT_RESOURCES")
"""The resources that start jobs."""
SEATS = web.AppKey("SEATS", Seats)

REQUEST_ID = web.RequestKey("REQUEST_ID", str)
STARTED_AT = web.RequestKey("STARTED_AT", float)
"""When the request began, by the clock of ``time.monotonic``."""
WAITED_SECONDS = web.RequestKey("WAITED_SECONDS", float)
"""How long the request has waited for its job, where it has."""
CALLER = web.RequestKey("CALLER", Caller)
JOB_ID = web.RequestKey("JOB_ID", str)
"""The job that the request has started, for its line in the log."""
PREPARED = web.RequestKey("PREPARED", bool)
"""Present once the answer's head is out: nothing may be answered after that."""
