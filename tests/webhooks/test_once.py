"""Deliveries that are ordered, received or begun more than once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from consumers.webhook_courier import Outcome
from jobs import clock
from jobs.ids import EventId, UserId
from jobs.webhook_deliveries import DeliveryStatus, Settlement
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround


async def test_an_order_that_comes_twice_at_once_is_carried_out_once(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """One attempt claims it; the copy stays in the queue while that is unknown, and is removed once it is done."""
    endpoint.hangs = True
    await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    async with webhooks.courier() as one, webhooks.courier() as other:
        first = asyncio.create_task(one.carry_out(order))
        await endpoint.until(1)
        at_once = await other.carry_out(order)
        endpoint.let_go()
        done = await first
        afterwards = await other.carry_out(order)

    assert [Outcome.BUSY, Outcome.DELIVERED, Outcome.DROPPED] == [at_once, done, afterwards]
    assert 1 == len(endpoint.calls)


async def test_an_event_that_is_offered_again_is_delivered_once(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """A worker that died after its commit offers it once more; a late commit is told under a second id."""
    webhook = await webhooks.webhook(user, endpoint.url())
    end = (await webhooks.completed(user))[-1]
    told_again = replace(end, event_id=EventId(f"{int(end.event_id, 16) + 1:028x}"))
    await webhooks.offer([end, end, told_again])
    orders = await webhooks.orders()
    async with webhooks.courier() as courier:
        for order in orders:
            await courier.carry_out(order)
    deliveries = await webhooks.listed(webhook)

    assert (3, 1, 1) == (len(orders), len(deliveries), len(endpoint.calls))


async def test_an_attempt_whose_worker_died_is_made_by_another(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Its claim is over when its message comes back."""
    webhook = await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    await webhooks.deliveries.claim(order, "the dead", clock.now_milliseconds() - 1)
    async with webhooks.courier() as courier:
        await courier.carry_out(order)
    too_late = await webhooks.deliveries.settle(
        order, "the dead", Settlement(status=DeliveryStatus.FAILED, ended_at=clock.now_milliseconds())
    )
    (delivery,) = await webhooks.listed(webhook)

    assert not too_late
    assert (DeliveryStatus.DELIVERED, 1, 1) == (delivery.status, delivery.attempts, len(endpoint.calls))


async def test_a_worker_that_died_before_it_ordered_the_next_attempt_loses_nothing(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Its message comes back, and whoever has it orders the attempt that is owed."""
    await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    await webhooks.deliveries.claim(order, "the dead", clock.now_milliseconds() + 40_000)
    now = clock.now_milliseconds()
    await webhooks.deliveries.settle(
        order, "the dead", Settlement(status=DeliveryStatus.PENDING, ended_at=now, next_attempt_at=now)
    )
    async with webhooks.courier() as courier:
        outcome = await courier.carry_out(order)
        (owed,) = await webhooks.orders()
        await courier.carry_out(owed)

    assert Outcome.DROPPED is outcome
    assert (order.delivery_id, 1, now) == (owed.delivery_id, owed.attempt, owed.due)
    assert 1 == len(endpoint.calls)
