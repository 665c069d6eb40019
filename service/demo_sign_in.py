"""Sign-in without a password, for the emulated Cognito of the embedded mode only."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs import aws
from service.tokens import OPERATORS_GROUP

if TYPE_CHECKING:
    from types_aiobotocore_cognito_idp.client import CognitoIdentityProviderClient

OPERATOR: Final = "operator"
"""Whoever signs in under this name may use the operator's view, so that anybody can try it."""
_LOCKS = 64
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a sign-in gives; ``expires_in`` is in seconds."""

    id_token: str
    access_token: str
    refresh_token: str
    expires_in: int


class DemoSignIn:
    """Signs anybody in under any name, making the user at the first time. All errors: CloudUnavailable."""

    def __init__(self, client: CognitoIdentityProviderClient, pool_id: str, client_id: str) -> None:
        self._client = client
        self._pool_id = pool_id
        self._client_id = client_id
        # The emulator makes two users of two simultaneous calls with one name. Names share a fixed number of locks.
        self._locks = tuple(asyncio.Lock() for _ in range(_LOCKS))

    async def sign_in(self, user: str) -> Tokens:
        """Return fresh tokens of the user."""
        async with self._locks[zlib.crc32(user.encode()) % _LOCKS]:
            with aws.mapped_errors():
                await self._ensure_user(user)
                return await self._fresh_tokens(user)

    async def _ensure_user(self, user: str) -> None:
        attributes = {"email": f"{user}@demo.invalid", "email_verified": "true", "name": user}
        with contextlib.suppress(self._client.exceptions.UsernameExistsException):
            await self._client.admin_create_user(
                UserPoolId=self._pool_id,
                Username=user,
                MessageAction="SUPPRESS",
                UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
            )
        if user == OPERATOR:  # not only when the user is new: one of an older data folder is none yet
            await self._client.admin_add_user_to_group(
                UserPoolId=self._pool_id, Username=user, GroupName=OPERATORS_GROUP
            )

    async def _fresh_tokens(self, user: str) -> Tokens:
        # Another process on this cloud may set its own password between our two calls: then ours is set anew.
        for _ in range(_TRIES - 1):
            try:
                return await self._sign_in_once(user)
            except self._client.exceptions.NotAuthorizedException:
                continue
        return await self._sign_in_once(user)

    async def _sign_in_once(self, user: str) -> Tokens:
        password = f"aA1{secrets.token_urlsafe(24)}"  # random and forgotten: the only way in is this class
        await self._client.admin_set_user_password(
            UserPoolId=self._pool_id, Username=user, Password=password, Permanent=True
        )
        answer = await self._client.initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": password},
            ClientId=self._client_id,
        )
        result = answer["AuthenticationResult"]
        return Tokens(
            id_token=result["IdToken"],
            access_token=result["AccessToken"],
            refresh_token=result["RefreshToken"],
            expires_in=result["ExpiresIn"],
        )
