"""What happens to a user's jobs, for clients without a socket: a stream of events, or one answer after another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import hdrs, web

from jobs.errors import CloudUnavailable, DarkroomError, InvalidRequest
from jobs.model import Job
from service import keys
from service.errors import NotReady, TooManyRequests
from service.routes.jobs import find
from service.schemas import EventsRequest, parse
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.messages import Frame, Snapshot
from websocket.metrics import Transport
from websocket.polling import MAX_WAIT_SECONDS, poll
from websocket.streams import CONTENT_TYPE, Stream

LAST_EVENT_ID: Final = "Last-Event-ID"
_RETRY_AFTER_SECONDS: Final = 10.0


async def events(request: web.Request) -> web.StreamResponse:
    """Tell what happens to the caller's jobs: for ever, to a client that accepts a stream; else once something has."""
    wanted = _wanted(request)
    after = request.headers.get(LAST_EVENT_ID) or wanted.after
    hub, caller = request.app[keys.SERVICES].hub, request[keys.CALLER]
    try:
        if CONTENT_TYPE not in request.headers.get(hdrs.ACCEPT, ""):
            body = await poll(hub, caller.user_id, after, wanted.wait, is_gone=lambda: request.transport is None)
            return web.json_response(body=body)
        stream = Stream(hub, caller)
        with hub.holding(stream, Transport.STREAM):
            hub.join(stream, caller.user_id)
            _check_open(stream)
            await hub.listening(caller.user_id)
            return await stream.run(request, _beginning(request, after))
    except Disconnect as error:
        raise _refusal(error) from error
    except TimeoutError as error:
        raise CloudUnavailable from error


async def job_events(request: web.Request) -> web.StreamResponse:
    """Tell how one job is and what happens to it, until it ends."""
    hub, caller = request.app[keys.SERVICES].hub, request[keys.CALLER]
    job = await find(request)
    stream = Stream(hub, caller, job.job_id)
    try:
        with hub.holding(stream, Transport.STREAM):
            hub.join(stream, caller.user_id)
            _check_open(stream)
            await hub.listening(caller.user_id)
            job = await find(request)  # once more: from now on nothing is missed
            return await stream.run(request, _beginning_of(request, job), is_over=job.terminal)
    except Disconnect as error:
        raise _refusal(error) from error


def _wanted(request: web.Request) -> EventsRequest:
    try:
        return parse(EventsRequest, request.query)
    except InvalidRequest as error:
        if error.field != "wait":
            raise
        raise InvalidRequest(f"wait must be a number of seconds from 0 to {MAX_WAIT_SECONDS}", field="wait") from error


def _refusal(error: Disconnect) -> DarkroomError:
    """Return how a request is told what a socket is told by a close code."""
    return TooManyRequests(_RETRY_AFTER_SECONDS) if error.code is CloseCode.TOO_MANY else NotReady()


def _check_open(stream: Stream) -> None:
    """Refuse, while that can still be said by a status. Raises NotReady."""
    if stream.is_closed:
        raise NotReady


async def _beginning(request: web.Request, after: str | None) -> AsyncIterator[Frame]:
    hub, caller = request.app[keys.SERVICES].hub, request[keys.CALLER]
    yield messages.welcome(None, caller, ping_seconds=hub.limits.ping_message_seconds)
    async for frame in hub.recovered(caller.user_id, after, lambda: request.transport is None):
        yield frame
    degraded = hub.degraded()
    if degraded is not None:
        yield degraded


async def _beginning_of(request: web.Request, job: Job) -> AsyncIterator[Frame]:
    view = await request.app[keys.SERVICES].views.view(job)
    yield messages.snapshot(Snapshot(position=None, jobs=[view], has_more=False, quota={}))


ROUTES: Final = (
    web.get("/events", events, allow_head=False),
    web.get("/jobs/{job_id}/events", job_events, allow_head=False),
)
