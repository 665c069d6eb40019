"""Secret texts: from the settings, or from Secrets Manager and read anew every five minutes, so rotated without a restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from jobs import aws
from jobs.errors import CloudUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_secretsmanager.client import SecretsManagerClient

SECRET_LIFE_SECONDS = 300


class Key(Protocol):
    """A secret text that may change."""

    async def read(self) -> str:
        """Return the text as it is now. Raises CloudUnavailable."""

    def forget(self) -> None:
        """Read it anew at the next use: it was refused."""


class FixedKey:
    """A key from the settings: it never changes."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def read(self) -> str:
        """Return the key."""
        return self._text

    def forget(self) -> None:
        """Nothing can be read anew."""


class SecretKey:
    """A key in Secrets Manager."""

    def __init__(self, client: SecretsManagerClient, arn: str) -> None:
        self._client = client
        self._arn = arn
        self._value = ""
        self._read_at = float("-inf")

    async def read(self) -> str:
        """Return the secret, at most five minutes old. Raises CloudUnavailable."""
        if time.monotonic() - self._read_at > SECRET_LIFE_SECONDS:
            try:
                answer = await aws.retrying(lambda: self._client.get_secret_value(SecretId=self._arn))
            except CloudUnavailable:
                # An old key is better than none, unless it was refused.
                if not self._value or self._read_at == float("-inf"):
                    raise
                return self._value
            self._value, self._read_at = answer["SecretString"], time.monotonic()
        return self._value

    def forget(self) -> None:
        """Read it anew at the next use: it was refused."""
        self._read_at = float("-inf")
