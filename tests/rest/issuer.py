"""A token issuer of our own: a real key, real tokens, and a real server of public keys that counts its calls."""

from __future__ import annotations

import base64
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

NAME = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Tests"
CLIENT_ID = "the-client"
KEY_ID = "a/key+id="


class Issuer:
    """Signs tokens as Cognito does; ``answers`` False makes the key server fail."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self.published = {KEY_ID: key}
        self.fetches = 0
        self.answers = True

    def app(self) -> web.Application:
        """Make the server of public keys."""
        app = web.Application()
        app.router.add_get("/jwks.json", self._jwks)
        return app

    def id_token(self, user: str, **claims: Any) -> str:
        """Sign an id token; a claim of None is left out."""
        return self.sign({"token_use": "id", "aud": CLIENT_ID, **standard_claims(user), **claims})

    def access_token(self, user: str, **claims: Any) -> str:
        """Sign an access token; a claim of None is left out."""
        return self.sign({"token_use": "access", "client_id": CLIENT_ID, **standard_claims(user), **claims})

    def sign(self, claims: dict[str, Any], *, key_id: str = KEY_ID, key: rsa.RSAPrivateKey | None = None) -> str:
        """Sign any claims."""
        told = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(told, key or self._key, algorithm="RS256", headers={"kid": key_id})

    def public_pem(self) -> bytes:
        """Return the public key as a forger would have it."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        self.fetches += 1
        if not self.answers:
            raise web.HTTPServiceUnavailable
        return web.json_response({"keys": [_jwk(key_id, key) for key_id, key in self.published.items()]})


def standard_claims(user: str) -> dict[str, Any]:
    """Return what both kinds of token say."""
    now = int(time.time())
    return {"iss": NAME, "sub": user, "iat": now, "exp": now + 3600, "auth_time": now}


def new_key() -> rsa.RSAPrivateKey:
    """Make a key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _jwk(key_id: str, key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    values = {"n": _base64(numbers.n), "e": _base64(numbers.e)}
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, **values}


def _base64(number: int) -> str:
    content = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
