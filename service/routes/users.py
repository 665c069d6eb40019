"""The caller, and the caller's jobs in the form of the originals."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from jobs import clock
from jobs.errors import InvalidRequest
from service import keys
from service.openapi import answers
from service.openapi.operations import Tag, operation
from service.routes.jobs import page_view
from service.schemas import UserJobsRequest, parse


@operation("showMe", Tag.USER, {200: answers.User})
async def me(request: web.Request) -> web.Response:
    """Show the caller and what is left of the day."""
    services = request.app[keys.SERVICES]
    user_id = request[keys.CALLER].user_id
    limit = request.app[keys.SETTINGS].user_limits().daily_of(user_id)
    user, quota = await asyncio.gather(services.users.get(user_id), services.jobs.quota(user_id, limit))
    return web.json_response(
        {
            "userId": user.user_id,
            "email": user.email,
            "displayName": user.display_name,
            "profileImage": user.profile_image,
            "provider": user.provider,
            "dailyLimit": quota.daily_limit,
            "remainingQuota": quota.remaining,
            "usedToday": quota.used,
            "totalImages": user.total_pictures,
            "createdAt": user.created_at,
            "lastLoginAt": user.last_login_at,
            "quotaResetsAt": clock.iso(quota.resets_at),
        }
    )


@operation("listMyJobs", Tag.USER, {200: answers.UserJobs}, query=UserJobsRequest)
async def my_jobs(request: web.Request) -> web.Response:
    """List the caller's jobs, newest first; ``total`` counts this page, as it always did."""
    wanted = parse(UserJobsRequest, request.query)
    try:
        page = await request.app[keys.SERVICES].jobs.page(
            request[keys.CALLER].user_id, limit=wanted.limit, status=wanted.wanted_status, cursor=wanted.next_token
        )
    except InvalidRequest as error:
        raise InvalidRequest("The nextToken is not one of ours", field="nextToken") from error
    return web.json_response(
        {
            "jobs": await page_view(request, page),
            "total": len(page.jobs),
            "limit": wanted.limit,
            "hasMore": page.cursor is not None,
            "nextToken": page.cursor,
        }
    )


ROUTES: Final = (web.get("/user/me", me), web.get("/user/jobs", my_jobs))
