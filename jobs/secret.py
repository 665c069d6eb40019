"""Secret texts: from the settings, or from Secrets Manager and read anew every five minutes, so rotated without a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from jobs import aws
from jobs.errors import CloudUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_secretsmanager.client import SecretsManagerClient

logger = logging.getLogger(__name__)

Stage: TypeAlias = Literal["AWSCURRENT", "AWSPREVIOUS"]
SECRET_LIFE_SECONDS: Final = 300
_AGAIN_SECONDS: Final = 30
"""How soon it is tried again where an old text could not be read anew."""
_PATIENCE_SECONDS: Final = 5.0
"""The longest that a reading takes, all its tries together: a call of Gemini may wait for it."""


class Key(Protocol):
    """A secret text that may change."""

    async def read(self) -> str:
        """Return the text as it is now. Raises CloudUnavailable."""

    async def instead_of(self, refused: str) -> str | None:
        """Return what to try instead of a text that was refused; None when there is nothing else."""

    def keep(self, good: str) -> None:
        """Use what ``instead_of`` has returned from now on: it was not refused."""


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

    def keep(self, good: str) -> None:
        """There is no other."""


class SecretKey:
    """A key in Secrets Manager. However many use it, one task reads it, and nobody who has a text waits for a newer one."""

    def __init__(
        self,
        client: SecretsManagerClient,
        arn: str,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._arn = arn
        self._patience_seconds = patience_seconds
        self._now_seconds = now_seconds
        self._text = ""
        self._read_again_at = float("-inf")
        self._readings: dict[Stage, asyncio.Task[str]] = {}

    async def read(self) -> str:
        """Return the secret; one that is older than five minutes is read anew meanwhile.

        Raises CloudUnavailable, within five seconds, while there is none yet.
        """
        if not self._text:
            return await self._version("AWSCURRENT")
        if self._now_seconds() >= self._read_again_at:
            self._begin("AWSCURRENT")
        return self._text

    async def instead_of(self, refused: str) -> str | None:
        """Return the newest version, or the one before: a new one may be mistyped, or unknown to Google for a while yet.

        None where there is no other or it cannot be read within five seconds. The newest is used from now on whatever becomes
        of it, the one before when it is said to be good; after five minutes the newest is tried again.
        """
        if self._text != refused:  # somebody else has found it out
            return self._text
        with suppress(CloudUnavailable):
            for stage in ("AWSCURRENT", "AWSPREVIOUS"):
                found = await self._version(stage)
                if found != refused:
                    return found
        return None

    def keep(self, good: str) -> None:
        """Use this text for five minutes. What is not in use already is the version before."""
        self._use(good, "AWSPREVIOUS")

    async def close(self) -> None:
        """End what is being read."""
        readings = [*self._readings.values()]
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    async def _version(self, stage: Stage) -> str:
        self._begin(stage)
        # Shielded: whoever gives up does not take it from the others who wait.
        return await asyncio.shield(self._readings[stage])

    def _begin(self, stage: Stage) -> None:
        """Begin to read a version, unless that is under way."""
        if stage not in self._readings:
            reading = asyncio.create_task(self._fetch(stage), name=f"secret-{stage}")
            reading.add_done_callback(partial(self._end, stage))
            self._readings[stage] = reading

    def _end(self, stage: Stage, reading: asyncio.Task[str]) -> None:
        del self._readings[stage]
        if reading.cancelled():
            return
        if error := reading.exception():
            # An old key is better than none; whether it is still good, Google says.
            self._read_again_at = self._now_seconds() + _AGAIN_SECONDS
            extra = {"action": "key_unread", "stage": stage, "reason": str(error)}
            logger.warning("A version of the key cannot be read", extra=extra)
        elif stage == "AWSCURRENT":
            self._use(reading.result(), stage)

    def _use(self, text: str, stage: Stage) -> None:
        if self._text not in ("", text):
            extra = {"action": "key_changed", "stage": stage}
            logger.warning("Another version of the key is used from now on", extra=extra)
        self._text, self._read_again_at = text, self._now_seconds() + SECRET_LIFE_SECONDS

    async def _fetch(self, stage: Stage) -> str:
        with aws.unavailable_whatever_it_says():
            async with asyncio.timeout(self._patience_seconds):
                answer = await aws.retrying(
                    lambda: self._client.get_secret_value(SecretId=self._arn, VersionStage=stage)
                )
        text = answer.get("SecretString", "").strip()  # a line break at the end is easily put in, and no key has one
        if not text:
            raise CloudUnavailable("The secret has no text.")
        return text


@asynccontextmanager
async def open_secret(config: aws.AWSConfig, arn: str) -> AsyncIterator[SecretKey]:
    """Open the secret of this ARN; in the end nobody reads it any more."""
    async with aws.client(config, "secretsmanager") as client:
        key = SecretKey(client, arn)
        try:
            yield key
        finally:
            await key.close()
