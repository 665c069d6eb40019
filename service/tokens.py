"""Who a bearer token speaks for: verified against its issuer's public keys, which are kept here."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import jwt

from jobs.errors import CloudUnavailable, Unauthorized
from jobs.ids import USER_ID, UserId, is_anonymous
from jobs.model import Caller

logger = logging.getLogger(__name__)

OPERATORS_GROUP: Final = "operators"
"""The group of the user pool whose members may use the operator's view."""
LEEWAY_SECONDS: Final = 5
FETCH_SECONDS: Final = 3.0
MIN_SECONDS_BETWEEN_FETCHES: Final = 60.0
RETRY_SECONDS: Final = 5.0
"""How soon the keys are asked for again while there are none at all."""
REFRESH_SECONDS: Final = 3600.0
_REMEMBERED_TOKENS: Final = 10_000
_REQUIRED: Final = ["exp", "iss", "sub", "token_use"]


class SigningKeys:
    """The issuer's public keys by id, fetched when first needed, hourly in passing, and once for a new id."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, clock: Callable[[], float]) -> None:
        self._session = session
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._may_ask_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key, or None for one the issuer does not have. Raises CloudUnavailable while no keys are known."""
        # A refresh holds up the one caller that starts it; a caller with an unknown id waits for a fetch under way.
        if key_id not in self._keys or (self._old() and not self._fetching.locked()):
            async with self._fetching:
                if (key_id not in self._keys or self._old()) and self._clock() >= self._may_ask_at:
                    await self._fetch()
        if not self._keys:
            raise CloudUnavailable("The sign-in service cannot be reached just now", retry_after_seconds=RETRY_SECONDS)
        return self._keys.get(key_id)

    def _old(self) -> bool:
        return self._clock() - self._fetched_at > REFRESH_SECONDS

    async def _fetch(self) -> None:
        self._may_ask_at = self._clock() + MIN_SECONDS_BETWEEN_FETCHES
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        try:
            async with self._session.get(self._url, timeout=timeout, allow_redirects=False) as response:
                response.raise_for_status()
                self._keys = _read_keys(await response.json(content_type=None))
            self._fetched_at = self._clock()
        except (aiohttp.ClientError, TimeoutError, ValueError, TypeError, AttributeError, jwt.PyJWTError):
            logger.warning("The token keys cannot be fetched", extra={"action": "fetch_keys"}, exc_info=True)
            if not self._keys:
                self._may_ask_at = self._clock() + RETRY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    caller: Caller
    key: jwt.PyJWK


class TokenVerifier:
    """Verifies Cognito's id and access tokens.

    Verified ones are remembered by hash while they and their key are good: verifying costs an eighth of reading a job.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        issuer: str,
        jwks_url: str,
        client_id: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # A wall clock that is set back must not keep new keys from being fetched.
        self._keys = SigningKeys(session, jwks_url, clock=monotonic)
        self._issuer = issuer
        self._client_id = client_id
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Return whom the token speaks for. Raises Unauthorized, and CloudUnavailable while no keys are known."""
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is None or not await self._still_good(known):
            known = await self._verify(token)
        self._remember(digest, known)
        return known.caller

    async def _still_good(self, known: _Verified) -> bool:
        # Each fetch makes new key objects: a token is verified anew after it, so a withdrawn key ends its tokens.
        fresh = known.caller.expires_at + LEEWAY_SECONDS > self._clock()
        return fresh and await self._keys.find(str(known.key.key_id)) is known.key

    async def _verify(self, token: str) -> _Verified:
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise Unauthorized("Unauthorized: the token was not signed by our sign-in service")
        claims = self._decode(token, key)
        if not _is_for(claims, self._client_id):
            raise Unauthorized("Unauthorized: the token is not meant for this service")
        if is_anonymous(claims["sub"]) or not USER_ID.fullmatch(claims["sub"]):
            raise Unauthorized("Unauthorized: the token is not valid")
        return _Verified(caller=_caller(claims), key=key)

    def _remember(self, digest: bytes, known: _Verified) -> None:
        self._verified[digest] = known
        self._verified.move_to_end(digest)
        if len(self._verified) > _REMEMBERED_TOKENS:
            self._verified.popitem(last=False)

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=["RS256"],
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                # The audience stands in another claim of each kind of token; `_is_for` looks at it.
                options={"require": _REQUIRED, "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("Unauthorized: the token has expired") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise Unauthorized("Unauthorized: the token is not valid") from error


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise Unauthorized("Unauthorized: the token is not valid") from error
    key_id = header.get("kid")
    # Refused here, an unsigned or wrongly signed token cannot even make us look for keys.
    if header.get("alg") != "RS256" or not isinstance(key_id, str):
        raise Unauthorized("Unauthorized: the token is not valid")
    return key_id


def _read_keys(document: Any) -> Mapping[str, jwt.PyJWK]:
    usable = (key for key in document["keys"] if key.get("kty") == "RSA" and key.get("use", "sig") == "sig")
    keys = {str(key["kid"]): jwt.PyJWK(key, algorithm="RS256") for key in usable if "kid" in key}
    if not keys:
        raise ValueError("The issuer has no RSA keys")
    return keys


def _is_for(claims: Mapping[str, Any], client_id: str) -> bool:
    match claims["token_use"]:
        case "id":
            return claims.get("aud") == client_id
        case "access":
            return claims.get("client_id") == client_id
        case _:
            return False


def _caller(claims: Mapping[str, Any]) -> Caller:
    groups = tuple(group for group in claims.get("cognito:groups") or () if isinstance(group, str))
    return Caller(
        user_id=UserId(claims["sub"]),
        expires_at=int(claims["exp"]),
        signed_in_at=int(claims.get("auth_time", claims.get("iat", 0))),
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        picture=_text(claims.get("picture")),
        provider=_provider(claims, groups),
        groups=groups,
    )


def _provider(claims: Mapping[str, Any], groups: tuple[str, ...]) -> str:
    """Name who vouched for the user: an id token lists identities, an access token has only Cognito's group for them."""
    match claims.get("identities"):
        case [{"providerName": str() as name}, *_]:
            return name
        case _:
            pass
    pool = str(claims["iss"]).rsplit("/", 1)[-1]
    return next((group.removeprefix(f"{pool}_") for group in groups if group.startswith(f"{pool}_")), "Cognito")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
