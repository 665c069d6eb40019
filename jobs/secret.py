"""Secret texts: from the settings, or from Secrets Manager and read anew every five minutes, so rotated without a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import ClientError

from jobs import aws
from jobs.errors import CloudUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_secretsmanager.client import SecretsManagerClient

logger = logging.getLogger(__name__)

SECRET_LIFE_SECONDS: Final = 300
_AGAIN_SECONDS: Final = 30
"""How long an old text is good where it cannot be read anew: nobody waits for Secrets Manager at each use."""


class Key(Protocol):
    """A secret text that may change."""

    async def read(self) -> str:
        """Return the text as it is now. Raises CloudUnavailable."""

    async def instead_of(self, refused: str) -> str | None:
        """Return what to try instead of a text that was refused; None when there is nothing else."""


class FixedKey:
    """A key from the settings: it never changes."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def read(self) -> str:
        """Return the key."""
        return self._text

    async def instead_of(self, refused: str) -> str | None:
        """There is no other."""
        return None


class SecretKey:
    """A key in Secrets Manager. However many use it, one of them reads it."""

    def __init__(
        self, client: SecretsManagerClient, arn: str, *, now_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._arn = arn
        self._now_seconds = now_seconds
        self._value = ""
        self._read_again_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self) -> str:
        """Return the secret, at most five minutes old. Raises CloudUnavailable."""
        if self._is_due:
            async with self._reading:
                if self._is_due:
                    await self._refresh()
        return self._value

    async def instead_of(self, refused: str) -> str | None:
        """Return the newest version, or the one before: a new one may be mistyped, or unknown to Google for a while yet.

        What is found is used for five minutes; then the newest is tried again. None where neither can be read.
        """
        async with self._reading:
            if self._value != refused:  # somebody else has found it out
                return self._value
            for stage in ("AWSCURRENT", "AWSPREVIOUS"):
                found = await self._found(stage)
                if found not in ("", refused):
                    extra = {"action": "key_changed", "stage": stage}
                    logger.warning("The key was refused, and another is used", extra=extra)
                    self._keep(found)
                    return found
        return None

    @property
    def _is_due(self) -> bool:
        return self._now_seconds() >= self._read_again_at

    async def _refresh(self) -> None:
        try:
            self._keep(await self._fetch("AWSCURRENT"))
        except (CloudUnavailable, ClientError):
            if not self._value:
                raise
            # An old key is better than none; whether it is still good, Google says.
            self._read_again_at = self._now_seconds() + _AGAIN_SECONDS

    def _keep(self, value: str) -> None:
        self._value, self._read_again_at = value, self._now_seconds() + SECRET_LIFE_SECONDS

    async def _found(self, stage: str) -> str:
        """Read a version; "" where it cannot be read: a secret that was never changed has none before."""
        try:
            return await self._fetch(stage)
        except (CloudUnavailable, ClientError) as error:
            extra = {"action": "key_unread", "stage": stage, "reason": str(error)}
            logger.info("A version of the key cannot be read", extra=extra)
            return ""

    async def _fetch(self, stage: str) -> str:
        answer = await aws.retrying(lambda: self._client.get_secret_value(SecretId=self._arn, VersionStage=stage))
        return answer["SecretString"].strip()  # a line break at the end is easily put in, and no key has one
