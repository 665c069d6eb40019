"""Signing in without a password, against the emulated Cognito."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import aioboto3
import aiohttp
import jwt
import pytest
import pytest_asyncio

from service.demo_sign_in import OPERATOR, DemoSignIn
from service.settings import Settings
from service.tokens import OPERATORS_GROUP, TokenVerifier
from tests.conftest import PAGE_ORIGIN
from tests.rest.api import Api
from tests.rest.conftest import Start, connection

if TYPE_CHECKING:
    from types_aiobotocore_cognito_idp.client import CognitoIdentityProviderClient

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cognito(cloud_environment: Mapping[str, str]) -> AsyncIterator[CognitoIdentityProviderClient]:
    """Open the emulated Cognito."""
    config = connection(cloud_environment)
    keys = aioboto3.Session(config.access_key_id, config.secret_access_key, region_name=config.region)
    async with keys.client("cognito-idp", endpoint_url=config.endpoint_url) as client:
        yield client


@pytest.fixture
def demo_sign_in(cognito: CognitoIdentityProviderClient, cloud_environment: Mapping[str, str]) -> DemoSignIn:
    """Make the sign-in."""
    pool, client = cloud_environment["COGNITO_USER_POOL_ID"], cloud_environment["COGNITO_CLIENT_ID"]
    return DemoSignIn(cognito, pool, client)


def subject(token: str) -> str:
    """Read whom a token speaks for."""
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])


async def test_five_parallel_sign_ins_make_one_user(demo_sign_in: DemoSignIn) -> None:
    """And so does another one later: the emulator alone would make two."""
    parallel = await asyncio.gather(*(demo_sign_in.sign_in("parallel") for _ in range(5)))
    later = await demo_sign_in.sign_in("parallel")
    other = await demo_sign_in.sign_in("other")

    assert len({subject(tokens.id_token) for tokens in (*parallel, later)}) == 1
    assert subject(later.id_token) != subject(other.id_token)


async def test_tokens_of_the_emulated_cognito_are_verified_like_any_other(
    demo_sign_in: DemoSignIn, cloud_environment: Mapping[str, str], session: aiohttp.ClientSession
) -> None:
    """Both kinds, with the pool's real keys."""
    settings = Settings(**{name.lower(): value for name, value in cloud_environment.items()})  # type: ignore[arg-type]
    verifier = TokenVerifier(session, settings.issuer, settings.jwks_url, settings.cognito_client_id)
    tokens = await demo_sign_in.sign_in("alice")
    caller = await verifier.verify(tokens.id_token)

    assert (caller.email, caller.name, caller.provider) == ("alice@demo.invalid", "alice", "Cognito")
    assert caller.signed_in_at > 0
    assert caller.user_id == (await verifier.verify(tokens.access_token)).user_id


async def test_the_demo_user_operator_is_one(demo_sign_in: DemoSignIn) -> None:
    """So that anybody can try the operator's view; each time, and nobody else."""
    tokens = [await demo_sign_in.sign_in(name) for name in (OPERATOR, "alice", OPERATOR)]
    claims = [jwt.decode(each.id_token, options={"verify_signature": False}) for each in tokens]

    assert [[OPERATORS_GROUP], [], [OPERATORS_GROUP]] == [each.get("cognito:groups", []) for each in claims]


async def test_the_route_gives_tokens(start: Start, demo_sign_in: DemoSignIn) -> None:
    """Anybody on this machine gets in, under any name."""
    api = await start(embedded=True, demo_sign_in=demo_sign_in)
    answer = await api.post("/auth/demo", {"user": "bob"}, token="", headers={"Origin": PAGE_ORIGIN})

    assert answer.status == 200
    assert {"idToken", "accessToken", "refreshToken", "expiresIn"} == answer.body.keys()
    assert answer.body["expiresIn"] == 3600


@pytest.mark.parametrize("name", ["", "Alice", "a b", "a" * 33, "앨리스", "a/b", "a\n", None, 7])
async def test_a_name_of_other_characters_is_refused(start: Start, demo_sign_in: DemoSignIn, name: object) -> None:
    """It becomes an e-mail address."""
    api = await start(embedded=True, demo_sign_in=demo_sign_in)
    answer = await api.post("/auth/demo", {"user": name}, token="")

    assert (*answer.error, answer.body["field"]) == (400, "invalid_request", "user")


async def test_a_foreign_page_may_not_sign_in(start: Start, demo_sign_in: DemoSignIn) -> None:
    """A browser on this machine may show one, even under a name that leads here."""
    api = await start(embedded=True, demo_sign_in=demo_sign_in)
    answer = await api.post("/auth/demo", {"user": "bob"}, token="", headers={"Origin": "http://evil.example:8080"})

    assert answer.error == (403, "forbidden")


async def test_there_is_no_such_route_elsewhere(api: Api, demo_sign_in: DemoSignIn) -> None:
    """Only the embedded mode has it."""
    assert (await api.post("/auth/demo", {"user": "bob"}, token="")).error == (404, "not_found")
