"""Deliveries: to whom, how often, and what endpoints can do to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import pytest
from aiohttp import web
from botocore.exceptions import ReadTimeoutError
from prometheus_client import CollectorRegistry

from consumers.webhook_courier import RETRY_SECONDS, Courier, Outcome, settle
from consumers.webhook_sender import Answer, open_sender
from consumers.webhooks import DeliveryLimits, WebhookWorker
from jobs import clock
from jobs.events import EventType
from jobs.ids import EventId, UserId
from jobs.webhook_deliveries import DeliveryStatus, Settlement
from jobs.webhook_queue import Order, ReceivedOrder, WebhookQueue
from jobs.webhooks import WebhookTable
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


async def test_a_hanging_endpoint_delays_nobody_else(webhooks: WebhookGround, listen: Listen, user: UserId) -> None:
    """Three places in all, six deliveries owed to a host that hangs: it holds two, and the healthy one is told meanwhile."""
    hanging, healthy = await listen(), await listen()
    hanging.hangs = True
    other = UserId(f"{user}-other")
    await webhooks.webhook(user, hanging.url(host="hanging.example"))
    await webhooks.webhook(other, healthy.url(host="healthy.example"))
    for _ in range(6):
        await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker(DeliveryLimits(at_once=3, retry_scale=0)):
        await hanging.until(2)
        await webhooks.offer(await webhooks.completed(other))
        await healthy.until(1)
        held = len(hanging.calls)
        hanging.let_go()
        await hanging.until(6)

    assert 2 == held


async def test_one_user_s_many_dead_endpoints_leave_room_for_others(
    webhooks: WebhookGround, listen: Listen, user: UserId
) -> None:
    """They are at as many hosts as there are places."""
    hanging, healthy = await listen(), await listen()
    hanging.hangs = True
    other = UserId(f"{user}-other")
    for number in range(4):
        await webhooks.webhook(user, hanging.url(host=f"hanging-{number}.example"))
    await webhooks.webhook(other, healthy.url())
    await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker(DeliveryLimits(at_once=3, per_user=2, retry_scale=0)):
        await hanging.until(2)
        await webhooks.offer(await webhooks.completed(other))
        await healthy.until(1)
        held = len(hanging.calls)
        hanging.let_go()
        await hanging.until(4)

    assert 2 == held


async def test_one_user_s_hanging_calls_leave_others_room_at_the_same_host(
    webhooks: WebhookGround, listen: Listen, user: UserId
) -> None:
    """A host that serves many: two places are the user's, the next is another's."""
    hanging, healthy = await listen(), await listen()
    hanging.hangs = True
    other = UserId(f"{user}-other")
    await webhooks.webhook(user, hanging.url(host="shared.example"))
    await webhooks.webhook(other, healthy.url(host="shared.example"))
    for _ in range(3):
        await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker():
        await hanging.until(2)
        await webhooks.offer(await webhooks.completed(other))
        await healthy.until(1)
        held = len(hanging.calls)
        hanging.let_go()
        await hanging.until(3)

    assert 2 == held


async def test_a_message_that_is_not_ours_hurts_nobody(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """It lies before the real one, and goes to the dead letters by itself."""
    for body in ("not json", "{}", "[" * 10_000, '{"userId": 7}'):
        await webhooks.clients.sqs.send_message(QueueUrl=webhooks.queue_url, MessageBody=body)
    await webhooks.webhook(user, endpoint.url())
    await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker() as worker:
        await endpoint.until(1)

        assert not worker.failed.done()


async def test_a_stopped_worker_ends_what_it_has_begun(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """The delivery is written down, and its message is gone."""
    endpoint.hangs = True
    webhook = await webhooks.webhook(user, endpoint.url())
    await webhooks.offer(await webhooks.completed(user))
    async with webhooks.worker() as worker:
        await endpoint.until(1)
        stopping = asyncio.create_task(worker.stop(10))
        await asyncio.sleep(0)
        endpoint.let_go()
        await stopping
    (delivery,) = await webhooks.listed(webhook)

    assert DeliveryStatus.DELIVERED is delivery.status


class Silent:
    """A client whose reads of one item are never answered; all else is the real one's."""

    def __init__(self, client: object) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def get_item(self, **_: object) -> None:
        """Time out."""
        raise ReadTimeoutError(endpoint_url="http://dynamodb")


async def test_an_outage_of_our_own_uses_up_no_receive(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """A copy of the order waits for better times; its original is gone. Three receives would make it a dead letter."""
    await webhooks.webhook(user, endpoint.url())
    await webhooks.offer(await webhooks.completed(user))
    registry = CollectorRegistry()
    async with open_sender(webhooks.addresses) as sender:
        table = WebhookTable(cast(Any, Silent(webhooks.clients.dynamodb)), webhooks.table._table)
        courier = Courier(
            table, webhooks.deliveries, webhooks.queue, webhooks.events, webhooks.views.view, sender, retry_scale=0
        )
        worker = WebhookWorker(webhooks.queue, courier, DeliveryLimits(), registry)
        worker.start()
        async with asyncio.timeout(20):
            while registry.get_sample_value("webhook_orders_total", {"outcome": "put_off"}) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await worker.stop(5)
    names: Any = ["ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"]
    counts = await webhooks.clients.sqs.get_queue_attributes(QueueUrl=webhooks.queue_url, AttributeNames=names)

    assert ["1", "0"] == [counts["Attributes"][name] for name in names]
    assert [] == endpoint.calls


async def test_a_worker_that_dies_says_so(webhooks: WebhookGround) -> None:
    """An error that is no outage must stop the process, not leave it silent."""

    class Broken(WebhookQueue):
        async def receive(self, most: int) -> list[ReceivedOrder]:
            raise RuntimeError(most)

    queue = Broken(webhooks.clients.sqs, webhooks.clients.receiver, url=webhooks.queue_url)
    async with webhooks.courier() as courier:
        worker = WebhookWorker(queue, courier, DeliveryLimits(), CollectorRegistry())
        worker.start()
        async with asyncio.timeout(5):
            await worker.failed
        await worker.stop(0)


async def test_whoever_is_turned_away_waits_half_a_minute_at_most(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """However often that was."""
    delays: list[float] = []

    class Noting(WebhookQueue):
        async def send(self, orders: Iterable[Order], *, delay_seconds: float | None = None) -> None:
            delays.append(delay_seconds or 0)

    await webhooks.webhook(user, endpoint.url())
    order = await webhooks.order(user)
    queue = Noting(webhooks.clients.sqs, webhooks.clients.receiver, url=webhooks.queue_url)
    async with webhooks.courier() as courier:
        worker = WebhookWorker(queue, courier, DeliveryLimits(), CollectorRegistry())
        for times in (0, 3, 50, 5000):
            await worker._turn_away(order.model_copy(update={"turned_away": times}))

    assert 4 == len(delays)
    assert delays[0] <= 3
    assert all(0 < delay <= 30 for delay in delays)
