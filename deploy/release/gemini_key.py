"""The Gemini key in its secret: put there once, from the environment or the keyboard, and never on a command line."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Final

from deploy.release.failures import ReleaseFailed

if TYPE_CHECKING:
    from types_aiobotocore_secretsmanager import SecretsManagerClient

VARIABLE: Final = "GEMINI_API_KEY"


async def new_key(secrets: SecretsManagerClient, arn: str | None) -> str:
    """Return the key that is to be put into the secret, or nothing where it has the right one; `arn` is None before it is made.

    The environment's wins; whoever sits here is asked for the first one. Raises ReleaseFailed where nobody can be asked, and
    botocore's errors.
    """
    if said := os.environ.get(VARIABLE, "").strip():
        return "" if arn and said == (await secrets.get_secret_value(SecretId=arn)).get("SecretString") else said
    if arn and await has_key(secrets, arn):
        return ""
    if not sys.stdin.isatty():
        raise ReleaseFailed(
            f"There is no Gemini key yet. Put it into the environment variable {VARIABLE} and start again; it goes into Secrets "
            "Manager, and is needed this once."
        )
    if key := getpass.getpass("The Gemini API key (it is not shown): ").strip():
        return key
    raise ReleaseFailed("Without a Gemini key the service does not start.")


async def has_key(secrets: SecretsManagerClient, arn: str) -> bool:
    """Tell whether anybody has put a key there: the placeholder that the template makes is the only version without one."""
    return len((await secrets.describe_secret(SecretId=arn)).get("VersionIdsToStages", {})) > 1
