"""Webhooks over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs import clock
from jobs.webhook_deliveries import DeliveryStatus, Settlement
from jobs.webhook_queue import Order, delivery_id_of
from tests.rest.api import Api
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")
URL = "https://93.184.216.34/hook"
NOBODY_S = f"wh_{'0' * 28}"


async def registered(api: Api, **fields: Any) -> str:
    """Register a webhook and return its id."""
    answer = await api.post("/webhooks", {"url": URL} | fields)

    assert 201 == answer.status, answer.body
    return str(answer.body["webhookId"])


async def delivered(api: Api, webhook_id: str, count: int) -> list[str]:
    """Do the worker's part for so many deliveries, and return their ids, newest first."""
    deliveries = api.services.webhooks._deliveries
    now = clock.now_milliseconds()
    ids = [delivery_id_of(now + number, str(number)) for number in range(count)]
    for delivery_id in ids:
        order = Order(
            user_id=api.user, webhook_id=webhook_id, delivery_id=delivery_id, host="h", type="webhook.test", due=now
        )
        await deliveries.claim(order, "me", now + 10_000)
        await deliveries.settle(order, "me", Settlement(status=DeliveryStatus.DELIVERED, ended_at=now, status_code=204))
    return ids[::-1]


async def test_the_secret_is_shown_once(api: Api) -> None:
    """At the registration, and never again."""
    answer = await api.post("/webhooks", {"url": URL, "description": "My back end"})
    body = answer.body
    secret = body.pop("secret")
    one = await api.get(f"/webhooks/{body['webhookId']}")
    listed = await api.get("/webhooks")

    assert (201, True) == (answer.status, secret.startswith("whsec_"))
    assert body == one.body
    assert {"webhooks": [body]} == listed.body
    assert {
        "webhookId": body["webhookId"],
        "url": URL,
        "events": ["job.completed", "job.failed", "job.canceled"],
        "description": "My back end",
        "enabled": True,
        "createdAt": body["createdAt"],
    } == body


async def test_a_webhook_takes_the_events_it_asks_for(api: Api) -> None:
    """Each once."""
    answer = await api.post("/webhooks", {"url": URL, "events": ["job.queued", "job.queued", "job.deleted"]})

    assert ["job.queued", "job.deleted"] == answer.body["events"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": 7}, "url"),
        ({"url": "https://hooks.example/" + "a" * 2048}, "url"),
        ({"url": "http://93.184.216.34/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://me:secret@93.184.216.34/"}, "url"),
        ({"url": "https://93.184.216.34:25/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["job.exploded"]}, "events"),
        ({"url": URL, "events": "job.completed"}, "events"),
        ({"url": URL, "events": [7]}, "events"),
        ({"url": URL, "description": "a" * 201}, "description"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
async def test_a_bad_registration_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    """The answer names the field, and nothing is stored."""
    answer = await api.post("/webhooks", body)

    assert (400, "invalid_request") == answer.error
    assert field == answer.body["field"]
    assert {"webhooks": []} == (await api.get("/webhooks")).body


async def test_private_addresses_are_taken_on_one_s_own_machine(start: Start) -> None:
    """The embedded mode's setting."""
    api = await start(webhook_allow_private=True)
    answer = await api.post("/webhooks", {"url": "http://localhost:8000/hook"})

    assert 201 == answer.status


async def test_the_eleventh_webhook_is_refused(api: Api) -> None:
    """With a code of its own."""
    for _ in range(10):
        await registered(api)
    answer = await api.post("/webhooks", {"url": URL})

    assert (409, "too_many_webhooks") == answer.error


async def test_a_deleted_webhook_is_gone(api: Api) -> None:
    """From the list too; a second time there is nothing to delete."""
    webhook_id = await registered(api)
    answer = await api.delete(f"/webhooks/{webhook_id}")
    again = await api.delete(f"/webhooks/{webhook_id}")

    assert (200, {"webhookId": webhook_id, "deleted": True}) == (answer.status, answer.body)
    assert (404, "webhook_not_found") == again.error
    assert {"webhooks": []} == (await api.get("/webhooks")).body


async def test_another_s_webhook_does_not_exist(api: Api, as_other: Callable[[], Api]) -> None:
    """On every path, like one that never was."""
    webhook_id = await registered(api)
    (delivery_id,) = await delivered(api, webhook_id, 1)
    other = as_other()
    for wanted in (webhook_id, NOBODY_S, "wh_x"):
        path = f"/webhooks/{wanted}"
        answers = [
            await other.get(path),
            await other.delete(path),
            await other.post(f"{path}/enable", {}),
            await other.post(f"{path}/test", {}),
            await other.get(f"{path}/deliveries"),
            await other.post(f"{path}/deliveries/{delivery_id}/redeliver", {}),
        ]

        assert [(404, "webhook_not_found")] * 6 == [answer.error for answer in answers]
    assert {"webhooks": []} == (await other.get("/webhooks")).body


async def test_deliveries_come_in_pages_newest_first(api: Api) -> None:
    """The cursor leads on, and ends."""
    webhook_id = await registered(api)
    ids = await delivered(api, webhook_id, 5)
    found: list[str] = []
    page: dict[str, Any] = {"nextCursor": ""}
    while "nextCursor" in page:
        page = (await api.get(f"/webhooks/{webhook_id}/deliveries?limit=2&cursor={page['nextCursor']}")).body
        found += [delivery["deliveryId"] for delivery in page["deliveries"]]
    first = (await api.get(f"/webhooks/{webhook_id}/deliveries?limit=1")).body["deliveries"][0]

    assert ids == found
    assert first.pop("createdAt") > first.pop("lastAttemptAt")
    assert {
        "deliveryId": ids[0],
        "type": "webhook.test",
        "status": "delivered",
        "attempts": 1,
        "statusCode": 204,
    } == first


@pytest.mark.parametrize(
    ("query", "field"), [("cursor=nonsense", "cursor"), ("limit=0", "limit"), ("limit=x", "limit")]
)
async def test_a_bad_page_is_refused(api: Api, query: str, field: str) -> None:
    """The answer names the field."""
    answer = await api.get(f"/webhooks/{await registered(api)}/deliveries?{query}")

    assert ((400, "invalid_request"), field) == (answer.error, answer.body["field"])


async def test_a_disabled_webhook_is_enabled_again(api: Api) -> None:
    """Meanwhile nothing can be sent to it, and it says why."""
    webhook_id = await registered(api)
    (delivery_id,) = await delivered(api, webhook_id, 1)
    table = api.services.webhooks._table
    await table.disable(await table.get(api.user, webhook_id), "It wanted no more.")
    shown = await api.get(f"/webhooks/{webhook_id}")
    refused = [
        await api.post(f"/webhooks/{webhook_id}/test", {}),
        await api.post(f"/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", {}),
    ]
    enabled = await api.post(f"/webhooks/{webhook_id}/enable", {})

    assert (False, "It wanted no more.") == (shown.body["enabled"], shown.body["disabledReason"])
    assert [(409, "webhook_disabled")] * 2 == [answer.error for answer in refused]
    assert (200, True) == (enabled.status, enabled.body["enabled"])
    assert "disabledReason" not in enabled.body


async def test_a_delivery_that_never_was_cannot_be_made_again(api: Api) -> None:
    """Nor one whose id is none."""
    webhook_id = await registered(api)
    for delivery_id in (f"msg_{'0' * 28}", "nonsense"):
        answer = await api.post(f"/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", {})

        assert (404, "delivery_not_found") == answer.error


async def test_a_caller_without_a_token_is_refused(api: Api) -> None:
    """Like everywhere."""
    answer = await api.get("/webhooks", token="")

    assert (401, "unauthorized") == answer.error
