"""A user's webhooks and their deliveries."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from jobs import clock
from jobs.errors import (
    AccountErasing,
    DeliveryNotFound,
    InvalidRequest,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
)
from jobs.ids import UserId
from jobs.model import JSON
from jobs.webhook_deliveries import Delivery
from jobs.webhook_desk import WebhookDesk
from jobs.webhook_queue import DELIVERY_ID
from jobs.webhooks import Webhook
from service import keys
from service.bodies import read_object
from service.openapi import answers
from service.openapi.operations import Tag, operation
from service.schemas import DeliveriesRequest, WebhookRequest, parse

_WEBHOOK_ID: Final = re.compile(r"wh_[0-9a-f]{28}")


@operation(
    "registerWebhook",
    Tag.WEBHOOKS,
    {201: answers.NewWebhook},
    body=WebhookRequest,
    raises=(TooManyWebhooks, AccountErasing),
)
async def register(request: web.Request) -> web.Response:
    """Register a webhook; the answer alone holds its secret."""
    wanted = parse(WebhookRequest, await read_object(request))
    webhook = await _desk(request).register(
        _user(request),
        wanted.url,
        events=wanted.wanted_events,
        description=wanted.description,
        since=request[keys.CALLER].since,
    )
    return web.json_response(_view(webhook) | {"secret": webhook.secret}, status=HTTPStatus.CREATED)


@operation("listWebhooks", Tag.WEBHOOKS, {200: answers.Webhooks})
async def list_webhooks(request: web.Request) -> web.Response:
    """List the caller's webhooks, oldest first."""
    webhooks = await _desk(request).of_user(_user(request))
    return web.json_response({"webhooks": [_view(webhook) for webhook in webhooks]})


@operation("showWebhook", Tag.WEBHOOKS, {200: answers.Webhook}, raises=(WebhookNotFound,))
async def show(request: web.Request) -> web.Response:
    """Show one webhook."""
    return web.json_response(_view(await _desk(request).find(_user(request), _webhook_id(request))))


@operation("deleteWebhook", Tag.WEBHOOKS, {200: answers.WebhookDeleted}, raises=(WebhookNotFound,))
async def delete(request: web.Request) -> web.Response:
    """Delete a webhook."""
    webhook_id = _webhook_id(request)
    await _desk(request).remove(_user(request), webhook_id)
    return web.json_response({"webhookId": webhook_id, "deleted": True})


@operation(
    "enableWebhook",
    Tag.WEBHOOKS,
    {200: answers.Webhook},
    raises=(WebhookNotFound, InvalidRequest),
)
async def enable(request: web.Request) -> web.Response:
    """Enable a webhook that was disabled."""
    return web.json_response(_view(await _desk(request).enable(_user(request), _webhook_id(request))))


@operation("testWebhook", Tag.WEBHOOKS, {202: answers.DeliveryOrdered}, raises=(WebhookNotFound, WebhookDisabled))
async def test(request: web.Request) -> web.Response:
    """Send a test event."""
    delivery_id = await _desk(request).test(_user(request), _webhook_id(request))
    return web.json_response({"deliveryId": delivery_id}, status=HTTPStatus.ACCEPTED)


@operation(
    "listDeliveries", Tag.WEBHOOKS, {200: answers.Deliveries}, query=DeliveriesRequest, raises=(WebhookNotFound,)
)
async def list_deliveries(request: web.Request) -> web.Response:
    """List a webhook's deliveries, newest first."""
    wanted = parse(DeliveriesRequest, request.query)
    page = await _desk(request).deliveries(
        _user(request), _webhook_id(request), limit=wanted.limit, cursor=wanted.cursor
    )
    answer: dict[str, JSON] = {"deliveries": [_delivery_view(delivery) for delivery in page.deliveries]}
    if page.cursor is not None:
        answer["nextCursor"] = page.cursor
    return web.json_response(answer)


@operation(
    "redeliver",
    Tag.WEBHOOKS,
    {202: answers.Delivery},
    raises=(WebhookNotFound, DeliveryNotFound, WebhookDisabled),
)
async def redeliver(request: web.Request) -> web.Response:
    """Deliver something once more."""
    delivery_id = request.match_info["delivery_id"]
    if not DELIVERY_ID.fullmatch(delivery_id):
        raise DeliveryNotFound
    delivery = await _desk(request).redeliver(_user(request), _webhook_id(request), delivery_id)
    return web.json_response(_delivery_view(delivery), status=HTTPStatus.ACCEPTED)


def _desk(request: web.Request) -> WebhookDesk:
    return request.app[keys.SERVICES].webhooks


def _user(request: web.Request) -> UserId:
    return request[keys.CALLER].user_id


def _webhook_id(request: web.Request) -> str:
    webhook_id = request.match_info["webhook_id"]
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise WebhookNotFound
    return webhook_id


def _view(webhook: Webhook) -> dict[str, JSON]:
    return _present(
        webhookId=webhook.webhook_id,
        url=webhook.url,
        events=[event.value for event in webhook.events],
        description=webhook.description,
        enabled=webhook.is_enabled,
        disabledReason=webhook.disabled_reason,
        createdAt=clock.iso(webhook.created_at),
    )


def _delivery_view(delivery: Delivery) -> dict[str, JSON]:
    return _present(
        deliveryId=delivery.delivery_id,
        type=delivery.type,
        jobId=delivery.job_id,
        version=delivery.version or None,
        eventId=delivery.event_id,
        status=delivery.status.value,
        attempts=delivery.attempts,
        statusCode=delivery.status_code,
        error=delivery.error,
        createdAt=clock.iso(delivery.created_at),
        lastAttemptAt=_iso(delivery.last_attempt_at),
        nextAttemptAt=_iso(delivery.next_attempt_at),
    )


def _present(**values: Any) -> dict[str, JSON]:
    return {name: value for name, value in values.items() if value is not None}


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else clock.iso(milliseconds)


SUBMIT_ROUTES: Final = (
    web.post("/webhooks", register),
    web.post("/webhooks/{webhook_id}/test", test),
    web.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", redeliver),
)
"""They make the service call others, so they are counted like what starts jobs."""
ROUTES: Final = (
    web.get("/webhooks", list_webhooks),
    web.get("/webhooks/{webhook_id}", show),
    web.delete("/webhooks/{webhook_id}", delete),
    web.post("/webhooks/{webhook_id}/enable", enable),
    web.get("/webhooks/{webhook_id}/deliveries", list_deliveries),
)
