"""What happens to a user's jobs, for clients without a socket: a stream of events, or one answer after another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import hdrs, web

from jobs.errors import CloudUnavailable, DarkroomError, Forbidden, InvalidRequest, JobNotFound
from jobs.model import Job
from service import keys
from service.errors import NotReady, TooManyRequests
from service.openapi import answers
from service.openapi.operations import JSON_TYPE, Answer, RequestHeader, Tag, operation
from service.routes.jobs import find
from service.schemas import EventsRequest, SocketRequest, parse
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.messages import Frame, Snapshot
from websocket.metrics import Transport
from websocket.polling import MAX_WAIT_SECONDS, poll
from websocket.streams import CONTENT_TYPE, Stream

LAST_EVENT_ID: Final = "Last-Event-ID"
_RETRY_AFTER_SECONDS: Final = 10.0
_EITHER: Final = "What has happened; to a client that accepts `text/event-stream`, a stream of it that does not end."


@operation(
    "followEvents",
    Tag.EVENTS,
    {200: Answer(contents={JSON_TYPE: answers.News, CONTENT_TYPE: answers.ServerSentEvent}, description=_EITHER)},
    query=EventsRequest,
    headers=(RequestHeader.LAST_EVENT_ID,),
    raises=(NotReady,),
    more_at="/asyncapi.json",
)
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


@operation(
    "followJob",
    Tag.EVENTS,
    {200: Answer(contents={CONTENT_TYPE: answers.ServerSentEvent})},
    raises=(JobNotFound, Forbidden, NotReady),
    more_at="/asyncapi.json",
)
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


@operation(
    "openSocket",
    Tag.EVENTS,
    {101: Answer(contents={}, description="The socket is open. What is said on it, `/asyncapi.json` describes.")},
    query=SocketRequest,
    raises=(Forbidden, InvalidRequest),
    more_at="/asyncapi.json",
)
async def open_socket(request: web.Request) -> web.StreamResponse:
    """Open a WebSocket, which tells what happens to the caller's jobs as it happens.

    Offer the subprotocol `darkroom.v1`. Who calls is said by the `Authorization` header, by a second offer `bearer.<token>`, or
    by a first message; a refused token is told after the upgrade, by a close code.
    """
    return await request.app[keys.SERVICES].socket_endpoint(request)


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


SOCKET_ROUTES: Final = (web.get("/ws", open_socket, allow_head=False),)
ROUTES: Final = (
    web.get("/events", events, allow_head=False),
    web.get("/jobs/{job_id}/events", job_events, allow_head=False),
)
