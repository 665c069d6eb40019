"""What happens around every request: its id and log line, its errors as answers, its caller, its headers."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from jobs.errors import DarkroomError, Forbidden, Unauthorized
from jobs.ids import JOB_ID, anonymous_user
from jobs.model import Caller
from service import errors, keys
from service.rate_limits import RateLimit, client_address
from service.settings import Settings

logger = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz"})


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, then log and time its answer."""
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
    request[keys.REQUEST_ID] = request_id
    request[keys.STARTED_AT] = started = time.monotonic()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await handler(request)
        # A socket lives for hours; whoever keeps it says when it opens and closes.
        if not isinstance(response, web.WebSocketResponse):
            _note(request, response.status, time.monotonic() - started)
    return response


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer of the one form."""
    request_id = request[keys.REQUEST_ID]
    try:
        return await handler(request)
    except DarkroomError as error:
        _refuse_if_prepared(request)
        response = errors.answer(error, request_id)
        # What a job has come to was logged where it happened.
        if response.status >= 500 and not isinstance(error, errors.NotReady | errors.JobOutcome):
            logger.exception("A request failed", extra={"action": "request_failed", "code": error.code})
        return response
    except web.HTTPException as error:
        if error.status < 400:
            raise
        _refuse_if_prepared(request)
        return errors.answer_http(error, request_id)
    except ConnectionError:
        raise  # the client is gone: there is nobody to answer
    except Exception:
        _refuse_if_prepared(request)
        logger.exception("A request failed", extra={"action": "request_failed"})
        return errors.answer(DarkroomError(), request_id)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who calls, except where a resource is public or there is none."""
    match_info = request.match_info
    if match_info.http_exception is not None or match_info.route.resource in request.app[keys.PUBLIC_RESOURCES]:
        return await handler(request)
    services = request.app[keys.SERVICES]
    anonymous = hdrs.AUTHORIZATION not in request.headers and match_info.handler in request.app[keys.ANONYMOUS_HANDLERS]
    if anonymous:
        caller = _anonymous(request)
    else:
        caller = await services.verifier.verify(_bearer_token(request))
    request[keys.CALLER] = caller
    with structlog.contextvars.bound_contextvars(user_id=caller.user_id):
        await services.users.check(caller.user_id)
        if not anonymous:
            await services.users.note_sign_in(caller)
        return await handler(request)


def limit_addresses(settings: Settings) -> Middleware:
    """Make the middleware that bounds how often one address may call, whoever it says it is."""
    limit = RateLimit(settings.rates().address)

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.route.resource not in request.app[keys.UNCOUNTED_RESOURCES]:
            _take(limit, _address(request))
        return await handler(request)

    return count


def limit_users(settings: Settings) -> Middleware:
    """Make the middleware that bounds how often one user may call, and how often to start a job."""
    requests, submits = RateLimit(settings.rates().user), RateLimit(settings.rates().submits)

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        if keys.CALLER in request:
            user_id = request[keys.CALLER].user_id
            _take(requests, user_id)
            if request.match_info.route.resource in request.app[keys.SUBMIT_RESOURCES]:
                _take(submits, user_id)
        return await handler(request)

    return count


def _anonymous(request: web.Request) -> Caller:
    # Without a token to ask for, nothing else keeps a foreign page from sending a form here in its reader's name: such a
    # request needs no preflight. Browsers always say where it is from; programs say nothing.
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin not in request.app[keys.SETTINGS].origins:
        raise Forbidden("Pages of this origin may not call this service")
    return Caller(user_id=anonymous_user(_address(request)), expires_at=0)


def _address(request: web.Request) -> str:
    forwarded_for = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
    return client_address(request.remote, forwarded_for, request.app[keys.SETTINGS].trusted_proxy_hops)


def _take(limit: RateLimit, key: str) -> None:
    seconds = limit.take(key)
    if seconds > 0:
        raise errors.TooManyRequests(seconds)


def _bearer_token(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized
    return token.strip()


def _refuse_if_prepared(request: web.Request) -> None:
    """Re-raise the error in hand when an answer is under way: a second one would be written into its middle."""
    if keys.PREPARED in request:
        raise  # noqa: PLE0704 - called from except blocks only


def _whom(request: web.Request) -> dict[str, object]:
    """Tell who asked, and for which job, as far as that is known."""
    job_id = request.get(keys.JOB_ID) or request.match_info.get("job_id")
    # What a path says of a job may be anything; an id has a form.
    known_job = {"job_id": job_id} if job_id is not None and JOB_ID.fullmatch(job_id) else {}
    return ({"user_id": request[keys.CALLER].user_id} if keys.CALLER in request else {}) | known_job


def _note(request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    method = request.method if request.method in hdrs.METH_ALL else "other"
    # For how long a caller waits for its job is the caller's choice and the job's length; the service is no slower for it.
    own_seconds = max(0.0, seconds - request.get(keys.WAITED_SECONDS, 0.0))
    request.app[keys.METRICS].observe(route=route, method=method, status=status, seconds=own_seconds)
    logger.log(
        logging.DEBUG if route in _QUIET_ROUTES else logging.INFO,
        "Request",
        extra=_whom(request)
        | {
            "action": "request",
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        },
    )
