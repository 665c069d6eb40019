"""What hanging endpoints can do to others."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from consumers.webhooks import DeliveryLimits, WebhookWorker
from jobs.ids import UserId
from jobs.webhook_queue import Order, WebhookQueue
from tests.webhooks.conftest import Listen
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround


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
