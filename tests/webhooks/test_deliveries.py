"""Deliveries: to whom, of what, and how often."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from consumers.webhook_courier import RETRY_SECONDS, Outcome, settle
from consumers.webhook_sender import Answer
from jobs import clock
from jobs.events import EventType
from jobs.ids import EventId, UserId
from jobs.webhook_deliveries import DeliveryStatus
from tests.webhooks.conftest import Listen
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround


async def test_an_endpoint_is_told_of_ends_unless_it_asks_for_more(
    webhooks: WebhookGround, listen: Listen, user: UserId
) -> None:
    """The filter decides what is ordered; a job's whole life passes."""
    usual, curious = await listen(), await listen()
    await webhooks.webhook(user, usual.url())
    await webhooks.webhook(user, curious.url(), EventType.QUEUED, EventType.PROCESSING, EventType.COMPLETED)
    await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker():
        await asyncio.gather(usual.until(1), curious.until(3))

    assert ["job.completed"] == [call.body["type"] for call in usual.calls]
    assert ["job.completed", "job.processing", "job.queued"] == sorted(call.body["type"] for call in curious.calls)


async def test_nobody_is_told_of_another_s_jobs(webhooks: WebhookGround, endpoint: Endpoint, user: UserId) -> None:
    """A webhook is its user's."""
    await webhooks.webhook(user, endpoint.url())
    await webhooks.offer(await webhooks.completed(UserId(f"{user}-other")))
    own = (await webhooks.order(user)).job_id

    assert own is not None
    assert [] == endpoint.calls


async def test_a_failed_attempt_is_made_again(webhooks: WebhookGround, endpoint: Endpoint, user: UserId) -> None:
    """500, then taken: under the same id, signed anew; the list says how it went."""
    endpoint.answers.append(web.Response(status=500, text="a" * 100_000))
    webhook = await webhooks.webhook(user, endpoint.url())
    await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker():
        first, second = await endpoint.until(2)
        (delivery,) = await webhooks.until(webhook, lambda listed: listed[0].status is DeliveryStatus.DELIVERED)

    assert first.delivery_id == second.delivery_id == delivery.delivery_id
    assert first.content == second.content
    assert (2, 204, None, None) == (
        delivery.attempts,
        delivery.status_code,
        delivery.error,
        delivery.next_attempt_at,
    )


async def test_a_delivery_that_always_fails_has_failed_in_the_end(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """After one attempt and a retry for each wait, nothing is ordered any more."""
    endpoint.answers.extend(web.Response(status=503) for _ in range(20))
    webhook = await webhooks.webhook(user, endpoint.url())
    await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker():
        (delivery,) = await webhooks.until(
            webhook, lambda listed: bool(listed) and listed[0].status is DeliveryStatus.FAILED
        )

    assert len(RETRY_SECONDS) + 1 == delivery.attempts == len(endpoint.calls)
    assert (503, "The endpoint answered 503") == (delivery.status_code, delivery.error)


def test_the_waits_grow_and_end() -> None:
    """Seconds at first, hours at last, a day in all; each with a little jitter."""
    now = clock.now_milliseconds()
    failed = Answer(status_code=500, error="The endpoint answered 500")
    settlements = [settle(failed, attempt, is_last=False) for attempt in range(8)]
    waits = [(one.next_attempt_at or now) - now for one in settlements]

    for seconds, wait in zip(RETRY_SECONDS, waits[:-1], strict=True):
        assert seconds == pytest.approx(wait / 1000, rel=0.12)
    assert [DeliveryStatus.PENDING] * 7 + [DeliveryStatus.FAILED] == [one.status for one in settlements]


async def test_an_attempt_that_is_not_due_waits_in_the_queue(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """The queue delays 15 minutes at most: what comes out early goes back in, and is called when it is time."""
    webhook = await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    due = clock.now_milliseconds() + 1500
    await webhooks.queue.send([order.model_copy(update={"due": due})], delay_seconds=0)
    async with webhooks.worker():
        await webhooks.until(webhook, lambda listed: bool(listed) and listed[0].status is DeliveryStatus.DELIVERED)
    (delivery,) = await webhooks.listed(webhook)

    assert due <= (delivery.last_attempt_at or 0)
    assert 1 == len(endpoint.calls)


async def test_410_disables_the_webhook(webhooks: WebhookGround, endpoint: Endpoint, user: UserId) -> None:
    """It is called never again, until its owner says so."""
    endpoint.answers.append(web.Response(status=410))
    webhook = await webhooks.webhook(user, endpoint.url())
    async with webhooks.courier() as courier:
        await courier.carry_out(await webhooks.order(user))
        await webhooks.offer(await webhooks.completed(user))
        left = await webhooks.table.get(user, webhook.webhook_id)
        await webhooks.desk.enable(user, webhook.webhook_id)
        await courier.carry_out(await webhooks.order(user))
    newest, oldest = await webhooks.listed(webhook)

    assert not left.is_enabled
    assert (DeliveryStatus.FAILED, 410) == (oldest.status, oldest.status_code)
    assert (DeliveryStatus.DELIVERED, 2) == (newest.status, len(endpoint.calls))


async def test_a_disabled_webhook_is_not_called_for_what_was_ordered_before(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Its delivery has failed, and says why."""
    webhook = await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    await webhooks.table.disable(webhook, "Enough")
    async with webhooks.courier() as courier:
        await courier.carry_out(order)
    (delivery,) = await webhooks.listed(webhook)

    assert (DeliveryStatus.FAILED, "The webhook is disabled") == (delivery.status, delivery.error)
    assert [] == endpoint.calls


async def test_a_deleted_webhook_is_not_called(webhooks: WebhookGround, endpoint: Endpoint, user: UserId) -> None:
    """What was ordered before is dropped."""
    webhook = await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    await webhooks.table.remove(webhook)
    async with webhooks.courier() as courier:
        outcome = await courier.carry_out(order)

    assert Outcome.DROPPED is outcome
    assert [] == endpoint.calls


async def test_a_redirect_is_not_followed(webhooks: WebhookGround, listen: Listen, user: UserId) -> None:
    """It would lead past every check."""
    endpoint, inside = await listen(), await listen()
    endpoint.answers.append(web.Response(status=307, headers={"Location": inside.url()}))
    webhook = await webhooks.webhook(user, endpoint.url())
    async with webhooks.courier() as courier:
        await courier.carry_out(await webhooks.order(user))
    (delivery,) = await webhooks.listed(webhook)

    assert (DeliveryStatus.PENDING, 307) == (delivery.status, delivery.status_code)
    assert "The endpoint answered with a redirect, which is not followed" == delivery.error
    assert [] == inside.calls


async def test_an_event_that_is_no_longer_kept_is_not_delivered(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """The log forgets after a week."""
    webhook = await webhooks.webhook(user, endpoint.url())
    order = (await webhooks.order(user)).model_copy(update={"event_id": EventId("0" * 28)})
    async with webhooks.courier() as courier:
        await courier.carry_out(order)
    (delivery,) = await webhooks.listed(webhook)

    assert (DeliveryStatus.FAILED, "The event is no longer kept") == (delivery.status, delivery.error)
    assert [] == endpoint.calls
