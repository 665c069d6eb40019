"""The signature, as its receivers verify it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from consumers.webhook_sender import signed_headers
from jobs.ids import UserId
from jobs.webhooks import new_webhook
from tests.conftest import CHECKOUT
from tests.webhooks.endpoint import Endpoint
from tests.webhooks.ground import WebhookGround

DOCUMENT = (CHECKOUT / "docs" / "webhooks.md").read_text(encoding="utf-8")


def hmac_sha256(key: bytes, content: bytes) -> bytes:
    """Compute an HMAC from its definition (RFC 2104), without the library that signs."""
    padded = key.ljust(64, b"\0") if len(key) <= 64 else hashlib.sha256(key).digest().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + content).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


def test_the_signature_is_that_of_the_standard() -> None:
    """The example that the libraries of Standard Webhooks are tested with."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == headers["webhook-signature"]
    assert ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330") == (headers["webhook-id"], headers["webhook-timestamp"])


def test_a_secret_is_of_the_standard_s_form_and_nobody_else_s() -> None:
    """A prefix, and 24 to 64 random bytes in base64."""
    secrets = [new_webhook(UserId("u"), "https://hooks.example", (), None).secret for _ in range(2)]
    key = base64.b64decode(secrets[0].removeprefix("whsec_"), validate=True)

    assert secrets[0] != secrets[1]
    assert secrets[0].startswith("whsec_")
    assert 24 <= len(key) <= 64


def test_the_documented_check_takes_what_is_genuine_alone() -> None:
    """The block of docs/webhooks.md, as it would be pasted."""
    block = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {"base64": base64, "hmac": hmac, "time": time, "Mapping": Mapping}
    exec(block[1], names)
    check, now, body = names["is_genuine"], int(time.time()), b'{"type":"webhook.test"}'
    secret, other = (new_webhook(UserId("u"), "https://hooks.example", (), None).secret for _ in range(2))
    headers = signed_headers(secret, "msg_1", now, body)

    assert check(secret, headers, body)
    assert not check(other, headers, body)
    assert not check(secret, headers, body + b" ")
    assert not check(secret, headers | {"webhook-id": "msg_2"}, body)
    assert not check(secret, signed_headers(secret, "msg_1", now - 600, body), body)


async def test_what_an_endpoint_receives_can_be_verified(
    webhooks: WebhookGround, endpoint: Endpoint, user: UserId
) -> None:
    """Id, time and the very bytes of the body are signed; the body is the event that sockets are sent."""
    webhook = await webhooks.webhook(user, endpoint.url())
    events = await webhooks.completed(user)
    await webhooks.offer(events)
    async with webhooks.worker():
        (call,) = await endpoint.until(1)
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.content
    key = base64.b64decode(webhook.secret.removeprefix("whsec_"))
    view = await webhooks.views.view(events[-1].job)

    assert f"v1,{base64.b64encode(hmac_sha256(key, signed)).decode()}" == call.headers["webhook-signature"]
    assert "application/json" == call.headers["Content-Type"]
    assert {"type", "id", "time", "job"} == call.body.keys()
    assert ("job.completed", events[-1].event_id) == (call.body["type"], call.body["id"])
    assert json.loads(json.dumps(view)) == call.body["job"]
