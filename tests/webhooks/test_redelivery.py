"""What an owner can have delivered: a test, and a delivery once more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web

from consumers.webhook_courier import Courier, Outcome
from jobs import clock
from jobs.errors import CloudUnavailable
from jobs.ids import UserId
from jobs.webhook_deliveries import Delivery, DeliveryStatus
from jobs.webhook_desk import WebhookDesk
from jobs.webhook_queue import WebhookQueue
from tests.aws_faults import RefusesCalls
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround


async def test_a_test_event_is_delivered_like_any_other(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Signed, and listed under the id that the request was told."""
    webhook = await webhooks.webhook(user, endpoint.url())
    delivery_id = await webhooks.desk.test(user, webhook.webhook_id)
    async with webhooks.worker():
        (call,) = await endpoint.until(1)
        (delivery,) = await webhooks.until(webhook, lambda listed: listed[0].status is DeliveryStatus.DELIVERED)

    assert delivery_id == call.delivery_id == delivery.delivery_id
    assert ("webhook.test", {"webhookId": webhook.webhook_id}) == (call.body["type"], call.body["data"])
    assert {"type", "time", "data"} == call.body.keys()


async def test_a_delivery_is_made_again_under_its_own_id(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Delivered or failed: it begins anew, and its receiver knows it again."""
    endpoint.answers.append(web.Response(status=410))
    webhook = await webhooks.webhook(user, endpoint.url())
    async with webhooks.courier() as courier:
        await courier.carry_out(await webhooks.order(user))
        await webhooks.desk.enable(user, webhook.webhook_id)
        (failed,) = await webhooks.listed(webhook)
        begun = [await _redelivered(webhooks, courier, failed) for _ in range(2)]
    (delivery,) = await webhooks.listed(webhook)

    assert [DeliveryStatus.PENDING] * 2 == [one.status for one in begun]
    assert DeliveryStatus.FAILED is failed.status
    assert (DeliveryStatus.DELIVERED, 1, 204) == (delivery.status, delivery.attempts, delivery.status_code)
    assert [failed.delivery_id] * 3 == [call.delivery_id for call in endpoint.calls]


async def test_a_retry_that_was_ordered_before_a_redelivery_is_dropped(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """The redelivery stands in its place: nothing is called twice."""
    endpoint.answers.append(web.Response(status=500))
    webhook = await webhooks.webhook(user, endpoint.url())
    async with webhooks.courier() as courier:
        await courier.carry_out(await webhooks.order(user))
        (retry,) = await webhooks.orders()
        await webhooks.desk.redeliver(user, webhook.webhook_id, retry.delivery_id)
        (order,) = await webhooks.orders()
        outcome = await courier.carry_out(retry)
        await courier.carry_out(order)
        await courier.carry_out(retry)

    assert Outcome.DROPPED is outcome
    assert 2 == len(endpoint.calls)
    assert [] == await asyncio.wait_for(_orders_if_any(webhooks), 5)


async def test_a_redelivery_that_cannot_be_ordered_changes_nothing(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """The queue is out of reach: the list does not speak of a delivery that nobody will make."""
    webhook = await webhooks.webhook(user, endpoint.url())
    async with webhooks.courier() as courier:
        await courier.carry_out(await webhooks.order(user))
    before = await webhooks.listed(webhook)
    refusing = cast(Any, RefusesCalls(webhooks.clients.sqs, "send_message_batch", 1))
    queue = WebhookQueue(refusing, webhooks.clients.receiver, url=webhooks.queue_url)
    desk = WebhookDesk(webhooks.table, webhooks.deliveries, queue, webhooks.addresses.check)
    with pytest.raises(CloudUnavailable):
        await desk.redeliver(user, webhook.webhook_id, before[0].delivery_id)

    assert before == await webhooks.listed(webhook)


async def test_a_redelivery_whose_request_died_is_made_by_its_order(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """The order is out and the list does not know of it; a copy of it is dropped, and so is the request's late word."""
    webhook = await webhooks.webhook(user, endpoint.url())
    async with webhooks.courier() as courier:
        await courier.carry_out(await webhooks.order(user))
        (first,) = await webhooks.listed(webhook)
        again = first.again(clock.now_milliseconds())
        order = again.order(clock.now_milliseconds())
        outcomes = [await courier.carry_out(order) for _ in range(2)]
        late = await webhooks.deliveries.begin_again(again)

    assert [Outcome.DELIVERED, Outcome.DROPPED] == outcomes
    assert (DeliveryStatus.DELIVERED, 1, 1) == (late.status, late.round, late.attempts)
    assert 2 == len(endpoint.calls)


async def _redelivered(webhooks: WebhookGround, courier: Courier, delivery: Delivery) -> Delivery:
    begun = await webhooks.desk.redeliver(delivery.user_id, delivery.webhook_id, delivery.delivery_id)
    (order,) = await webhooks.orders()
    await courier.carry_out(order)
    return begun


async def _orders_if_any(webhooks: WebhookGround) -> list[object]:
    answer = await webhooks.clients.sqs.receive_message(QueueUrl=webhooks.queue_url, MaxNumberOfMessages=10)
    return list(answer.get("Messages", []))
