"""One call of an endpoint, signed as Standard Webhooks 1.0 say."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from consumers.addresses import Addresses, AddressRefused
from jobs import clock
from jobs.webhooks import SECRET_PREFIX, Webhook

TOTAL_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 3.0
MOST_READ_BYTES: Final = 32 * 1024
# The first that fits: some are subclasses of later ones.
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TimeoutError, "The endpoint did not answer in time"),
    (aiohttp.ClientConnectorDNSError, "The endpoint's host cannot be found"),
    (aiohttp.ClientSSLError, "The endpoint's certificate is not valid, or it speaks no TLS"),
    (aiohttp.ClientConnectorError, "No connection to the endpoint could be made"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint answered; without a ``status_code``, why it did not, as a sentence."""

    status_code: int | None = None
    error: str | None = None

    @property
    def is_taken(self) -> bool:
        """Tell whether the endpoint has taken the delivery."""
        return self.status_code is not None and HTTPStatus.OK <= self.status_code < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_gone(self) -> bool:
        """Tell whether the endpoint wants to be called never again."""
        return self.status_code == HTTPStatus.GONE


class _Beginning(ResponseHandler):
    """Listens to what an endpoint says first: its status is there, and one could say "102 Processing" without end."""

    _left = MOST_READ_BYTES

    def data_received(self, data: bytes) -> None:
        """Take what may still be said, and hang up after that."""
        super().data_received(data[: self._left])
        self._left = max(0, self._left - len(data))
        if not self._left and self.transport is not None:
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    """Makes connections of which the beginning alone is read."""

    def __init__(self, addresses: Addresses) -> None:
        # Every call looks the name up and connects anew, so no address is older than its check; whoever sends bounds the calls.
        super().__init__(resolver=addresses, use_dns_cache=False, force_close=True, limit=0)
        beginning: type[ResponseHandler] = _Beginning
        self._factory = partial(beginning, loop=self._loop)


class WebhookSender:
    """Calls endpoints. Whatever goes wrong is an answer, but LookupsFull: then nobody was called."""

    def __init__(self, session: aiohttp.ClientSession, addresses: Addresses) -> None:
        self._session = session
        self._addresses = addresses

    async def send(self, webhook: Webhook, delivery_id: str, body: bytes) -> Answer:
        """Post the body, signed at this moment, and wait for the status alone."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Darkroom-Webhooks/1",
            **signed_headers(webhook.secret, delivery_id, clock.now_milliseconds() // 1000, body),
        }
        try:
            # Once more, for one registered when more was allowed; and redirects would lead past every check.
            where = self._addresses.read(webhook.url)
            with self._addresses.called_for(webhook.user_id):
                async with self._session.post(where, data=body, headers=headers, allow_redirects=False) as response:
                    return _answer(response.status)
        except (aiohttp.ClientError, AddressRefused, OSError, ValueError) as error:
            return Answer(error=_reason(error))


def signed_headers(secret: str, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a signed message; ``timestamp`` is in seconds since the epoch."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    content = f"{delivery_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


@asynccontextmanager
async def open_sender(addresses: Addresses, *, total_seconds: float = TOTAL_SECONDS) -> AsyncIterator[WebhookSender]:
    """Open a session that knows no proxy, no cookie and no address but the checked ones; close it in the end."""
    async with aiohttp.ClientSession(
        connector=_Connector(addresses),
        timeout=aiohttp.ClientTimeout(total=total_seconds, connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield WebhookSender(session, addresses)


def _answer(status: int) -> Answer:
    answer = Answer(status_code=status)
    if answer.is_taken:
        return answer
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Answer(status_code=status, error="The endpoint answered with a redirect, which is not followed")
    return Answer(status_code=status, error=f"The endpoint answered {status}")


def _reason(error: Exception) -> str:
    if isinstance(error, AddressRefused):
        return error.message
    fitting = (sentence for kind, sentence in _REASONS if isinstance(error, kind))
    return next(fitting, "The endpoint's answer could not be read")
