"""The outbox, and the webhooks that are kept for it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from jobs.errors import CloudUnavailable, TooManyWebhooks, WebhookNotFound
from jobs.ids import UserId
from jobs.webhook_outbox import WebhookOutbox
from jobs.webhook_queue import WebhookQueue
from jobs.webhooks import MAX_WEBHOOKS, WebhookTable, new_webhook
from tests.aws_faults import RefusesCalls
from tests.webhooks.ground import WebhookGround

URL = "http://127.0.0.1:9/"


class Counting:
    """Counts the queries of the real client."""

    def __init__(self, client: object) -> None:
        self._client = client
        self.queries = 0

    def __getattr__(self, name: str) -> Any:
        self.queries += name == "query"
        return getattr(self._client, name)


async def test_who_has_no_webhook_costs_one_look(webhooks: WebhookGround, user: UserId) -> None:
    """A busy user's events are many: that there is nobody to tell is remembered too."""
    client = Counting(webhooks.clients.dynamodb)
    outbox = WebhookOutbox(
        WebhookTable(cast(Any, client), webhooks.table._table, webhooks.table._users_table), webhooks.queue
    )
    for event in await webhooks.completed(user):
        await outbox.offer(event)

    assert 1 == client.queries


async def test_a_new_webhook_is_told_at_once_in_this_process(webhooks: WebhookGround, user: UserId) -> None:
    """Also where it was remembered that there is none, and after one is deleted."""
    await webhooks.offer(await webhooks.completed(user))
    webhook = await webhooks.webhook(user, URL)
    order = await webhooks.order(user)
    await webhooks.table.remove(webhook)
    await webhooks.offer(await webhooks.completed(user))
    await webhooks.webhook(user, URL)
    await webhooks.offer(await webhooks.completed(user))
    orders = await webhooks.orders()

    assert webhook.webhook_id == order.webhook_id
    assert 1 == len(orders)


async def test_an_event_that_could_not_be_ordered_is_the_caller_s_to_offer_again(
    webhooks: WebhookGround, user: UserId
) -> None:
    """The queue is out of reach: CloudUnavailable."""
    await webhooks.webhook(user, URL)
    events = await webhooks.completed(user)
    broken = cast(Any, RefusesCalls(webhooks.clients.sqs, "send_message_batch", 1))
    outbox = WebhookOutbox(webhooks.table, WebhookQueue(broken, webhooks.clients.receiver, url=webhooks.queue_url))
    with pytest.raises(CloudUnavailable):
        await outbox.offer(events[-1])
    await outbox.offer(events[-1])

    assert 1 == len(await webhooks.orders())


async def test_a_user_has_ten_webhooks_at_most_also_at_once(webhooks: WebhookGround, user: UserId) -> None:
    """A dozen requests race; deleting one makes room for one."""
    answers = await asyncio.gather(
        *(webhooks.webhook(user, f"{URL}{number}") for number in range(MAX_WEBHOOKS + 2)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyWebhooks)]
    kept = await webhooks.table.of_user(user)
    await webhooks.table.remove(kept[0])
    await webhooks.table.remove(kept[0])
    await webhooks.webhook(user, URL)
    with pytest.raises(TooManyWebhooks):
        await webhooks.webhook(user, URL)

    assert (2, MAX_WEBHOOKS) == (len(refused), len(kept))


async def test_a_webhook_belongs_to_its_user(webhooks: WebhookGround, user: UserId) -> None:
    """To all others it does not exist."""
    webhook = await webhooks.webhook(user, URL)
    with pytest.raises(WebhookNotFound):
        await webhooks.table.get(UserId(f"{user}-other"), webhook.webhook_id)

    assert webhook == await webhooks.table.get(user, webhook.webhook_id)
    assert (webhook,) == await webhooks.table.of_user(user)


async def test_an_event_that_only_newer_tasks_know_hurts_no_other(webhooks: WebhookGround, user: UserId) -> None:
    """While a new version is rolled out, webhooks are registered there and read here."""
    webhook = await webhooks.webhook(user, URL)
    await webhooks.clients.dynamodb.update_item(
        TableName=webhooks.table._table,
        Key={"userId": user, "webhookId": webhook.webhook_id},
        UpdateExpression="SET events = list_append(events, :more)",
        ExpressionAttributeValues={":more": ["job.praised"]},
    )

    assert webhook == await webhooks.table.get(user, webhook.webhook_id)
    assert webhook.webhook_id == (await webhooks.order(user)).webhook_id


def test_a_webhook_in_a_log_shows_neither_its_secret_nor_its_address() -> None:
    """Many an address is a secret by itself."""
    webhook = new_webhook(UserId("user"), "https://hooks.example/key", (), None)

    assert webhook.secret not in repr(webhook)
    assert "hooks.example" not in repr(webhook)
