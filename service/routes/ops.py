"""The operator's view: the figures of this task and of the queues, and what an operator may do about them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from jobs import clock, conditions
from jobs.errors import InvalidRequest, UserBlocked
from jobs.ids import USER_ID, UserId
from jobs.model import JSON
from service import keys
from service.bodies import read_object
from service.errors import NoDeadLetters, OperatorsOnly, OtherTask, RedriveUnderWay, TooBusy, UserNotFound
from service.openapi import operator_answers
from service.openapi.answers import ServerSentEvent
from service.openapi.operations import Answer, Tag, operation
from service.ops.desk import OperatorDesk
from service.ops.figures import Figures
from service.ops.sampler import KEPT_SECONDS
from service.redrive import Outcome
from service.routes.page import PAGE
from service.schemas import DrainRequest, RedriveRequest, UserChangeRequest, parse
from service.tokens import LEEWAY_SECONDS, OPERATORS_GROUP

logger = logging.getLogger(__name__)

WRITE_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 5.0
_STREAM_HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # proxies of nginx's kind would keep small events back
}
_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _for_operators(handler: _Handler) -> _Handler:
    @wraps(handler)
    async def handle(request: web.Request) -> web.StreamResponse:
        if OPERATORS_GROUP not in request[keys.CALLER].groups:
            raise OperatorsOnly
        return await handler(request)

    return handle


@operation("showOperatorPage", Tag.PAGE, {200: Answer(contents={"text/html": str})})
async def view(_: web.Request) -> web.StreamResponse:
    """Show the page; it holds nothing that is not public, and signs its reader in."""
    return web.FileResponse(PAGE / "ops" / "index.html")


@operation("showFigures", Tag.OPERATORS, {200: operator_answers.OperatorView}, raises=(OperatorsOnly,))
@_for_operators
async def figures(request: web.Request) -> web.StreamResponse:
    """Show the figures of now and of the last hour."""
    sampler = _desk(request).sampler
    body = {"task": _task(request), "now": _now(request, sampler.latest), "history": _history(sampler.history)}
    return web.json_response(body)


@operation(
    "followFigures",
    Tag.OPERATORS,
    {200: Answer(contents={"text/event-stream": ServerSentEvent})},
    raises=(OperatorsOnly, TooBusy),
)
@_for_operators
async def stream(request: web.Request) -> web.StreamResponse:
    """Tell the hour that was, then the figures whenever they are taken, until the token ends or the task leaves."""
    sampler = _desk(request).sampler
    if not sampler.has_room:
        raise TooBusy("Too many operators look on. Please try again")
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    response.force_close()
    with sampler.watching(), suppress(TimeoutError, ConnectionError, UserBlocked):
        async with asyncio.timeout(WRITE_SECONDS):
            await response.prepare(request)
        left_seconds = request[keys.CALLER].expires_at + LEEWAY_SECONDS - clock.now_milliseconds() / 1000
        async with asyncio.timeout(left_seconds):
            await _tell(request, response)
    # A closed transport still waits for its buffer to drain, for ever if the client does not read.
    if request.transport is not None:
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, request.transport.abort)
    return response


async def _tell(request: web.Request, response: web.StreamResponse) -> None:
    sampler, told = _desk(request).sampler, None
    users, user_id = request.app[keys.SERVICES].users, request[keys.CALLER].user_id
    latest: Figures | None = sampler.latest
    while latest is not None:
        await users.check(user_id)
        body: dict[str, JSON] = {"task": _task(request), "now": _now(request, latest)}
        if told is None:
            body["history"] = _history(sampler.history)
        async with asyncio.timeout(WRITE_SECONDS):
            await response.write(f"data: {json.dumps(body)}\n\n".encode())
        told = latest
        latest = await sampler.newer(told)


@operation(
    "drainTask", Tag.OPERATORS, {202: operator_answers.Draining}, body=DrainRequest, raises=(OperatorsOnly, OtherTask)
)
@_for_operators
async def drain(request: web.Request) -> web.StreamResponse:
    """Have this task leave, as on SIGTERM: others take over, and what is in hand is finished or handed back."""
    wanted = parse(DrainRequest, await read_object(request))
    _note(request, "drain", task=wanted.task)
    _desk(request).drain(wanted.task)
    return web.json_response({"task": wanted.task, "state": "draining"}, status=202)


@operation(
    "redriveDeadLetters",
    Tag.OPERATORS,
    {200: operator_answers.Redriven},
    body=RedriveRequest,
    raises=(OperatorsOnly, NoDeadLetters, RedriveUnderWay),
)
@_for_operators
async def redrive(request: web.Request) -> web.StreamResponse:
    """Bring dead letters of the jobs queue back, or say what that would do."""
    wanted = parse(RedriveRequest, await read_object(request))
    _note(request, "redrive", dry_run=wanted.dry_run, limit=wanted.limit)
    done = await _desk(request).redrive(wanted.limit, dry_run=wanted.dry_run)
    counts = {outcome.name.lower(): number for outcome, number in done.counts.items()}
    _note(request, "redriven", dry_run=wanted.dry_run, **counts)
    letters = {_camel(outcome.name): done.counts.get(outcome, 0) for outcome in Outcome}
    return web.json_response({"letters": letters, "dryRun": wanted.dry_run, "complete": done.is_whole})


@operation(
    "showUser", Tag.OPERATORS, {200: operator_answers.KnownUser}, raises=(OperatorsOnly, UserNotFound, InvalidRequest)
)
@_for_operators
async def user(request: web.Request) -> web.StreamResponse:
    """Show what is kept of a user, and what an operator has said of the user."""
    return web.json_response(await _user_view(request, _user_id(request)))


@operation(
    "changeUser",
    Tag.OPERATORS,
    {200: operator_answers.KnownUser},
    body=UserChangeRequest,
    raises=(OperatorsOnly, UserNotFound),
)
@_for_operators
async def change_user(request: web.Request) -> web.StreamResponse:
    """Give a user another daily limit, or the service's again; block a user, or no longer."""
    user_id, wanted = _user_id(request), parse(UserChangeRequest, await read_object(request))
    if wanted.blocked and user_id == request[keys.CALLER].user_id:
        raise InvalidRequest("You cannot block yourself", field="blocked")
    await _user_view(request, user_id)
    users = request.app[keys.SERVICES].users
    if wanted.changes_limit:
        _note(request, "set_daily_limit", of_user=user_id, daily_limit=wanted.daily_limit)
        await users.set_daily_limit(user_id, wanted.daily_limit)
    if wanted.blocked is not None:
        _note(request, "block" if wanted.blocked else "unblock", of_user=user_id)
        await users.set_blocked(user_id, wanted.blocked)
    return web.json_response(await _user_view(request, user_id))


def _desk(request: web.Request) -> OperatorDesk:
    return request.app[keys.SERVICES].operator_desk


def _user_id(request: web.Request) -> UserId:
    user_id = request.match_info["user_id"]
    if not USER_ID.fullmatch(user_id):
        raise InvalidRequest("userId is not an id of a user", field="userId")
    return UserId(user_id)


async def _user_view(request: web.Request, user_id: UserId) -> dict[str, JSON]:
    """Raises UserNotFound, so that a slip of the pen makes no row."""
    services, usual = request.app[keys.SERVICES], request.app[keys.SETTINGS].user_limits().daily_of(user_id)
    if not await services.users.knows(user_id):
        raise UserNotFound
    found = await services.users.get(user_id)
    limit = usual if found.daily_limit is None else found.daily_limit
    quota = await services.jobs.quota(user_id, limit)
    return {
        "userId": user_id,
        "email": found.email,
        "displayName": found.display_name,
        "provider": found.provider,
        "createdAt": found.created_at,
        "lastLoginAt": found.last_login_at,
        "totalImages": found.total_pictures,
        "dailyLimit": found.daily_limit,
        "usualDailyLimit": usual,
        "usedToday": quota.used,
        "remainingQuota": quota.remaining,
        "quotaResetsAt": clock.iso(quota.resets_at),
        "blocked": found.is_blocked,
    }


def _task(request: web.Request) -> dict[str, JSON]:
    task, state = _desk(request).task, request.app[keys.SERVICES].readiness.state
    return {
        "name": task.name,
        "version": task.version,
        "startedAt": clock.iso(task.started_at),
        "state": state.value,
        "embedded": request.app[keys.SETTINGS].embedded,
    }


def _now(request: web.Request, taken: Figures) -> dict[str, JSON]:
    degraded = request.app[keys.SERVICES].conditions.current()
    return {
        "at": clock.iso(taken.at),
        "figures": {name: _rounded(value) for name, value in taken.values.items()},
        "bounds": {name: list(bounds) for name, bounds in taken.bounds.items()},
        "counts": dict(taken.counts),
        "queues": {name: dict(depths) for name, depths in taken.queues.items()},
        "gates": {model: dict(gate) for model, gate in taken.gates.items()},
        "degraded": [conditions.view(each) | {"since": clock.iso(each.since)} for each in degraded],
    }


def _history(taken: Sequence[Figures]) -> dict[str, JSON]:
    """Write the hour in columns: one list of moments, and one of values for each figure."""
    names = taken[-1].values if taken else ()
    return {
        "everySeconds": KEPT_SECONDS,
        "at": [each.at for each in taken],
        "figures": {name: [_rounded(each.values.get(name)) for each in taken] for name in names},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}") if abs(value) < 1000 else round(value)


def _note(request: web.Request, what: str, **about: object) -> None:
    extra = {"action": f"operator_{what}", "operator": request[keys.CALLER].user_id, **about}
    # Before the act, which may be cut off in its middle; a warning, for it must be found whatever is logged else.
    logger.warning("An operator acts", extra=extra)


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(map(str.capitalize, rest))


PAGE_ROUTES: Final = (web.get("/ops", view),)
ROUTES: Final = (
    web.get("/ops/figures", figures),
    web.get("/ops/stream", stream, allow_head=False),
    web.post("/ops/drain", drain),
    web.post("/ops/redrive", redrive),
    web.get("/ops/users/{user_id}", user),
    web.post("/ops/users/{user_id}", change_user),
)
