"""Look-ups of names, some of which nobody answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from consumers.addresses import Addresses
from consumers.webhook_courier import LEASE_SECONDS, Outcome
from consumers.webhook_lookups import LookupPool, LookupsFull
from consumers.webhook_sender import Answer, open_sender
from consumers.webhooks import DeliveryLimits, WebhookWorker
from jobs.ids import UserId
from jobs.webhooks import new_webhook
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround, until_counted

USER = UserId("user")
OTHER = UserId("other")
AT_ONCE = 64
PER_USER = 8


class Names:
    """Leads every name to loopback; those that begin with "dead", not before ``answered`` is set."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def find(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        """Look a name up."""
        if host.startswith("dead"):
            self.answered.wait(20)
        return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]


@pytest.fixture
def names() -> Iterator[Names]:
    """Make names, and answer for all of them in the end."""
    made = Names()
    yield made
    made.answered.set()


async def begin(addresses: Addresses, count: int) -> list[asyncio.Task[object]]:
    """Let so many deliveries hang in the look-up of names that nobody answers for, no user in more than may be."""

    async def resolve(number: int) -> object:
        with addresses.called_for(UserId(f"user{number // PER_USER}")):
            return await addresses.resolve(f"dead{number}", 80)

    begun = [asyncio.create_task(resolve(number)) for number in range(count)]
    await asyncio.sleep(0)
    return begun


async def test_names_that_nobody_answers_for_hold_up_no_other_lookup(names: Names, endpoint: Endpoint) -> None:
    """More names than the process has threads of its usual kind, and one of them asked for again and again."""
    addresses = Addresses(allow_private=True, lookup=names.find)
    webhook = new_webhook(USER, endpoint.url(host="hooks.example"), (), None)
    async with open_sender(addresses) as sender:
        dead = await begin(addresses, 40) + await begin(addresses, 40)
        answer = await sender.send(webhook, "msg_1", b"{}")
        usual = await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        still_waiting = [not one.done() for one in dead]
        names.answered.set()
        await asyncio.gather(*dead)

    assert Answer(status_code=204) == answer
    assert usual
    assert all(still_waiting)


async def test_a_user_s_hanging_names_hold_up_neither_other_registrations_nor_deliveries(names: Names) -> None:
    """Two at once; the third is refused at once, and another user's name and a delivery's are found."""
    addresses = Addresses(allow_private=True, lookup=names.find)
    dead = [asyncio.create_task(addresses.check(f"https://dead{number}/", USER)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LookupsFull, match="Too many names"):
        await addresses.check("https://dead2/", USER)
    await addresses.check("https://hooks.example/", OTHER)
    found = await addresses.resolve("hooks.example", 443)
    names.answered.set()
    await asyncio.gather(*dead)
    await addresses.check("https://hooks.example/", USER)

    assert "127.0.0.1" == found[0]["host"]


async def test_a_user_s_deliveries_to_hanging_names_leave_room_for_another_s(names: Names, endpoint: Endpoint) -> None:
    """Names outlast the calls that asked for them, so their number is bounded by itself: here they come one after another."""
    addresses = Addresses(allow_private=True, lookup=names.find)
    theirs = new_webhook(OTHER, endpoint.url(host="hooks.example"), (), None)
    async with open_sender(addresses, total_seconds=0.05) as impatient:
        for number in range(PER_USER):
            webhook = new_webhook(USER, f"http://dead{number}:80/", (), None)
            assert Answer(error="The endpoint did not answer in time") == await impatient.send(webhook, "msg_1", b"{}")
        with pytest.raises(LookupsFull):
            await impatient.send(new_webhook(USER, "http://dead:80/", (), None), "msg_1", b"{}")
    async with open_sender(addresses) as sender:
        answer = await sender.send(theirs, "msg_1", b"{}")

    assert Answer(status_code=204) == answer


async def test_a_full_pool_refuses_at_once_and_ends_with_the_process(names: Names) -> None:
    """Nothing is queued, and no thread has to be waited for."""
    pool = LookupPool(names.find, at_once=1)
    dead = asyncio.create_task(pool.find("dead", 443, 0))
    await asyncio.sleep(0)
    daemons = [thread.daemon for thread in threading.enumerate() if thread.name == "webhook-dns"]
    with pytest.raises(LookupsFull):
        await pool.find("hooks.example", 443, 0)
    names.answered.set()
    await dead

    assert daemons
    assert all(daemons)
    assert await pool.find("hooks.example", 443, 0)


async def test_a_delivery_that_finds_the_look_ups_full_uses_up_no_attempt(
    names: Names, webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Nobody was called; what it had claimed is free at once."""
    webhook = await webhooks.webhook(user, endpoint.url(host="hooks.example"))
    order = await webhooks.order(user)
    addresses = Addresses(allow_private=True, lookup=names.find)
    dead = await begin(addresses, AT_ONCE)
    async with webhooks.courier(addresses) as courier:
        full = await courier.carry_out(order)
        (waiting,) = await webhooks.listed(webhook)
        names.answered.set()
        await asyncio.gather(*dead)
        free = await courier.carry_out(order)
    (delivery,) = await webhooks.listed(webhook)

    assert [Outcome.UNRESOLVED, Outcome.DELIVERED] == [full, free]
    assert ("pending", 0, None) == (waiting.status, waiting.attempts, waiting.error)
    assert ("delivered", 1, 1) == (delivery.status, delivery.attempts, len(endpoint.calls))


async def test_a_delivery_that_finds_the_look_ups_full_is_made_a_few_seconds_later(
    names: Names, webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Long before a claim that nobody gave back would be over."""
    await webhooks.webhook(user, endpoint.url(host="hooks.example"))
    await webhooks.offer(await webhooks.completed(user))
    addresses, registry = Addresses(allow_private=True, lookup=names.find), CollectorRegistry()
    dead = await begin(addresses, AT_ONCE)
    async with webhooks.courier(addresses) as courier:
        worker = WebhookWorker(webhooks.queue, courier, DeliveryLimits(), registry)
        worker.start()
        async with asyncio.timeout(LEASE_SECONDS / 2):
            await until_counted(registry, Outcome.UNRESOLVED)
            names.answered.set()
            await asyncio.gather(*dead)
            await endpoint.until(1)
        await worker.stop(5)

    assert 1 == len(endpoint.calls)
