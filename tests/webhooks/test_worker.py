"""The delivering worker, when things go wrong around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError
from prometheus_client import CollectorRegistry

from consumers.webhook_courier import LEASE_SECONDS, RETRY_SECONDS, Courier, Outcome
from consumers.webhook_sender import open_sender
from consumers.webhooks import DeliveryLimits, WebhookWorker
from jobs import clock
from jobs.ids import UserId, new_job_id
from jobs.webhook_deliveries import DeliveryStatus
from jobs.webhook_queue import MAX_RECEIVES, ReceivedOrder, WebhookQueue
from jobs.webhooks import WebhookTable
from tests.aws_faults import RefusesCalls
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround, until_counted

BROKEN = "The attempt was broken off on our side, more than once"


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
        table = WebhookTable(
            cast(Any, Silent(webhooks.clients.dynamodb)), webhooks.table._table, webhooks.table._users_table
        )
        courier = Courier(
            table, webhooks.deliveries, webhooks.queue, webhooks.changes, webhooks.views.view, sender, retry_scale=0
        )
        worker = WebhookWorker(webhooks.queue, courier, DeliveryLimits(), registry)
        worker.start()
        await until_counted(registry, Outcome.PUT_OFF)
        await worker.stop(5)

    assert (1, 0) == await delayed_and_hidden(webhooks)
    assert [] == endpoint.calls


async def test_an_attempt_that_another_makes_uses_up_no_receive(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """A copy waits until that other must have ended, or be dead."""
    await webhooks.webhook(user, endpoint.url())
    order, registry = await webhooks.order(user), CollectorRegistry()
    await webhooks.deliveries.claim(order, "another", clock.now_milliseconds() + LEASE_SECONDS * 1000)
    await webhooks.queue.send([order])
    async with webhooks.courier() as courier:
        worker = WebhookWorker(webhooks.queue, courier, DeliveryLimits(), registry)
        worker.start()
        await until_counted(registry, Outcome.BUSY)
        await worker.stop(5)

    assert (1, 0) == await delayed_and_hidden(webhooks)
    assert [] == endpoint.calls


@pytest.mark.parametrize(
    ("attempt", "end", "calls"),
    [(0, (DeliveryStatus.DELIVERED, 2, None), 1), (len(RETRY_SECONDS), (DeliveryStatus.FAILED, 8, BROKEN), 0)],
    ids=["the first of them", "the last of them"],
)
async def test_an_attempt_that_breaks_its_workers_has_failed_before_it_is_a_dead_letter(
    webhooks: WebhookGround,
    endpoint: Endpoint,
    user: UserId,
    attempt: int,
    end: tuple[DeliveryStatus, int, str | None],
    calls: int,
) -> None:
    """It was received twice and nobody came to an end with it: the next attempt follows, and after the last one none."""
    webhook = await webhooks.webhook(user, endpoint.url())
    order = (await webhooks.order(user)).model_copy(update={"attempt": attempt})
    dead_letters = await with_dead_letters(webhooks)
    queue = WebhookQueue(webhooks.clients.sqs, webhooks.clients.receiver, url=webhooks.queue_url, visibility_seconds=1)
    breaking = RefusesCalls(webhooks.clients.dynamodb, "get_item", MAX_RECEIVES - 1)
    table = WebhookTable(cast(Any, breaking), webhooks.table._table, webhooks.table._users_table)
    async with open_sender(webhooks.addresses) as sender:
        courier = Courier(
            table, webhooks.deliveries, queue, webhooks.changes, webhooks.views.view, sender, retry_scale=0
        )
        worker = WebhookWorker(queue, courier, DeliveryLimits(), CollectorRegistry())
        await queue.send([order])
        worker.start()
        (delivery,) = await webhooks.until(webhook, lambda listed: bool(listed) and listed[0].status is end[0])
        await worker.stop(5)

    assert end == (delivery.status, delivery.attempts, delivery.error)
    assert calls == len(endpoint.calls)
    assert (0, 0) == await delayed_and_hidden(webhooks)
    assert [] == (await webhooks.clients.sqs.receive_message(QueueUrl=dead_letters)).get("Messages", [])


async def test_messages_are_received_as_often_as_we_count(
    webhooks: WebhookGround, cloud_environment: Mapping[str, str]
) -> None:
    """The template says how often; the last of them must be known."""
    url = cloud_environment["WEBHOOK_DELIVERIES_QUEUE_URL"]
    answer = await webhooks.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])

    assert MAX_RECEIVES == int(json.loads(answer["Attributes"]["RedrivePolicy"])["maxReceiveCount"])


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


async def delayed_and_hidden(webhooks: WebhookGround) -> tuple[int, int]:
    """Return how many messages wait for their time, and how many were received and not removed."""
    names: Any = ["ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"]
    answer = await webhooks.clients.sqs.get_queue_attributes(QueueUrl=webhooks.queue_url, AttributeNames=names)
    delayed, hidden = (int(answer["Attributes"][name]) for name in names)
    return delayed, hidden


async def with_dead_letters(webhooks: WebhookGround) -> str:
    """Give the test's queue dead letters like the real one's; returns their URL."""
    sqs = webhooks.clients.sqs
    url = (await sqs.create_queue(QueueName=new_job_id()))["QueueUrl"]
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    policy = json.dumps({"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": MAX_RECEIVES})
    await sqs.set_queue_attributes(QueueUrl=webhooks.queue_url, Attributes={"RedrivePolicy": policy})
    return url
