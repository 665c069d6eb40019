"""Who is let in, and what a forger achieves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp
import jwt
import pytest

from jobs.errors import CloudUnavailable, Unauthorized
from service.tokens import LEEWAY_SECONDS, TokenVerifier
from tests.rest import issuer as issuers
from tests.rest.api import Api
from tests.rest.issuer import Issuer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(slots=True)
class Clock:
    """A clock that is turned by hand, in seconds."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Make a clock."""
    return Clock()


@pytest.fixture
def verifier(session: aiohttp.ClientSession, jwks_url: str, clock: Clock) -> TokenVerifier:
    """Make a verifier on the issuer's key server."""
    return TokenVerifier(session, issuers.NAME, jwks_url, issuers.CLIENT_ID, clock=clock, monotonic=clock)


async def test_an_id_token_tells_who_calls(verifier: TokenVerifier, issuer: Issuer) -> None:
    """Name, e-mail and who vouched for them come from its claims."""
    identities = [{"providerName": "Google", "userId": "1"}]
    claims = {"email": "a@b.c", "name": "앨리스", "picture": "https://p/1", "identities": identities, "auth_time": 7}
    caller = await verifier.verify(issuer.id_token("alice", **claims))

    assert (caller.user_id, caller.email, caller.name, caller.picture) == ("alice", "a@b.c", "앨리스", "https://p/1")
    assert (caller.provider, caller.signed_in_at) == ("Google", 7)
    assert caller.expires_at > time.time()


async def test_a_sign_in_without_a_time_is_as_old_as_its_token(verifier: TokenVerifier, issuer: Issuer) -> None:
    """Or whoever has erased the account could never come back."""
    now = int(time.time())
    caller = await verifier.verify(issuer.id_token("alice", auth_time=None, iat=now))

    assert now == caller.signed_in_at


async def test_an_access_token_works_too(verifier: TokenVerifier, issuer: Issuer) -> None:
    """It knows no e-mail, and the provider only as a group."""
    groups = ["us-east-1_Tests_Google", "operators"]
    caller = await verifier.verify(issuer.access_token("alice", **{"cognito:groups": groups}))

    assert ("alice", None, "Google", tuple(groups)) == (caller.user_id, caller.email, caller.provider, caller.groups)
    assert (await verifier.verify(issuer.access_token("bob"))).provider == "Cognito"


@pytest.mark.parametrize("subject", ["google|7+a@b.example:x", "us-east-1:8a1b0c2d", "a" * 255, "0"])
async def test_subjects_of_other_issuers_are_taken(verifier: TokenVerifier, issuer: Issuer, subject: str) -> None:
    """What may stand in the keys of files."""
    assert subject == (await verifier.verify(issuer.id_token(subject))).user_id


def forged_tokens(issuer: Issuer) -> dict[str, str]:
    """Make every token that must not open the door."""
    good = {"token_use": "id", "aud": issuers.CLIENT_ID, **issuers.standard_claims("alice")}
    header, payload, signature = issuer.id_token("alice").split(".")
    hmac_key = jwt.utils.base64url_encode(issuer.public_pem())
    return {
        "alg none": jwt.encode(good, "", algorithm="none", headers={"kid": issuers.KEY_ID}),
        "HS256 with the public key": jwt.encode(good, hmac_key, algorithm="HS256", headers={"kid": issuers.KEY_ID}),
        "another key under our id": issuer.sign(good, key=issuers.new_key()),
        "no key id": jwt.encode(good, issuers.new_key(), algorithm="RS256"),
        "unknown key id": issuer.sign(good, key_id="unknown"),
        "other issuer": issuer.id_token("alice", iss=f"{issuers.NAME}2"),
        "no issuer": issuer.id_token("alice", iss=None),
        "other audience": issuer.id_token("alice", aud="another-client"),
        "audience among others": issuer.id_token("alice", aud=[issuers.CLIENT_ID, "another-client"]),
        "no audience": issuer.id_token("alice", aud=None),
        "other client": issuer.access_token("alice", client_id="another-client"),
        "access token with audience only": issuer.access_token("alice", client_id=None, aud=issuers.CLIENT_ID),
        "other use": issuer.id_token("alice", token_use="refresh"),
        "no use": issuer.id_token("alice", token_use=None),
        "expired": issuer.id_token("alice", exp=int(time.time()) - 60),
        "no end": issuer.id_token("alice", exp=None),
        "no subject": issuer.id_token("alice", sub=None),
        "a subject with a folder": issuer.id_token("alice/bob"),
        "a subject with a row": issuer.id_token("alice#2026-11-20"),
        "an empty subject": issuer.id_token(""),
        "a subject of blanks": issuer.id_token("alice "),
        "a subject in other letters": issuer.id_token("앨리스"),
        "a long subject": issuer.id_token("a" * 256),
        "a subject that is a number": issuer.id_token("alice", sub=7),
        "from the future": issuer.id_token("alice", nbf=int(time.time()) + 600),
        "changed payload": f"{header}.{payload[:-4]}AAAA.{signature}",
        "no signature": f"{header}.{payload}.",
        "garbage": "garbage",
        "empty parts": "..",
    }


async def test_no_forged_token_opens_the_door(api: Api) -> None:
    """Each gets 401 in the form of the originals, and leaves no user behind."""
    for name, token in forged_tokens(api.issuer).items():
        answer = await api.get("/user/me", token=token)

        assert answer.error == (401, "unauthorized"), name
        assert answer.body["error"].startswith("Unauthorized: "), name
        assert token not in str(answer.body), name
        assert answer.headers["WWW-Authenticate"] == "Bearer", name
    found = await api.clients.dynamodb.get_item(TableName=api.tables.users, Key={"userId": "alice"})
    assert "Item" not in found


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_without_a_bearer_token_nobody_comes_in(api: Api, header: str | None) -> None:
    """Every route that is not marked public is closed."""
    headers = {} if header is None else {"Authorization": header}
    for path in ("/user/me", "/user/jobs", "/jobs", "/jobs/job_1", "/jobs/job_1/download"):
        assert (await api.get(path, token="", headers=headers)).error == (401, "unauthorized"), path
    for path in ("/upload", "/upload/presigned", "/generate"):
        assert (await api.post(path, {}, token="", headers=headers)).error == (401, "unauthorized"), path


async def test_a_long_token_is_no_problem(api: Api) -> None:
    """aiohttp's own limit of 8 KiB a header would refuse it, and log its head."""
    token = api.issuer.id_token(api.user, **{"cognito:groups": [f"group-{number}" for number in range(1000)]})

    assert len(token) > 16_000
    assert (await api.get("/user/me", token=token)).status == 200


async def test_a_flood_of_unknown_keys_fetches_once_a_minute(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    """Whatever key ids arrive, at once or one after another."""

    async def knock(number: int) -> None:
        token = issuer.sign({"sub": "alice"}, key_id=f"unknown-{number}")
        with pytest.raises(Unauthorized):
            await verifier.verify(token)

    await verifier.verify(issuer.id_token("alice"))
    await asyncio.gather(*(knock(number) for number in range(20)))
    assert issuer.fetches == 1

    clock.now += 61
    await asyncio.gather(*(knock(number) for number in range(20)))
    await knock(99)
    assert issuer.fetches == 2


async def test_parallel_first_callers_fetch_once(verifier: TokenVerifier, issuer: Issuer) -> None:
    """The others wait for the fetch that is under way."""
    await asyncio.gather(*(verifier.verify(issuer.id_token(f"user-{number}")) for number in range(20)))

    assert issuer.fetches == 1


async def test_a_new_key_is_found_within_a_minute(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    """The issuer may change its keys at any time."""
    await verifier.verify(issuer.id_token("alice"))
    issuer.published["new"] = issuers.new_key()
    claims = {"token_use": "id", "aud": issuers.CLIENT_ID, **issuers.standard_claims("bob")}
    token = issuer.sign(claims, key_id="new", key=issuer.published["new"])
    clock.now += 61

    assert (await verifier.verify(token)).user_id == "bob"


async def test_old_keys_are_refreshed_and_keep_working_when_that_fails(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    """A sign-in service that is away locks nobody out who has a token."""
    await verifier.verify(issuer.id_token("alice"))
    issuer.answers = False
    clock.now += 3601
    for _ in range(3):
        await verifier.verify(issuer.id_token("alice"))
    assert issuer.fetches == 2

    issuer.answers = True
    issuer.published.clear()
    issuer.published["new"] = issuers.new_key()
    clock.now += 61
    with pytest.raises(Unauthorized):
        await verifier.verify(issuer.id_token("alice"))
    assert issuer.fetches == 3


async def test_a_withdrawn_key_ends_its_tokens(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    """Also those that were verified before, within the hour."""
    token = issuer.id_token("alice", exp=int(clock.now) + 86_400)
    for _ in range(2):
        await verifier.verify(token)
    issuer.published.clear()
    issuer.published["new"] = issuers.new_key()
    clock.now += 3601

    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_a_verified_token_ends_in_time(session: aiohttp.ClientSession, issuer: Issuer, jwks_url: str) -> None:
    """Remembering it does not prolong it."""
    verifier = TokenVerifier(session, issuers.NAME, jwks_url, issuers.CLIENT_ID)
    end = int(time.time()) - LEEWAY_SECONDS + 2
    token = issuer.id_token("alice", exp=end)
    await verifier.verify(token)
    await asyncio.sleep(end + LEEWAY_SECONDS + 0.05 - time.time())

    with pytest.raises(Unauthorized, match="expired"):
        await verifier.verify(token)


async def test_without_any_keys_the_caller_is_asked_to_wait(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    """That is our failure and not the token's; seconds later it is tried again."""
    issuer.answers = False
    for _ in range(3):
        with pytest.raises(CloudUnavailable):
            await verifier.verify(issuer.id_token("alice"))
    assert issuer.fetches == 1

    issuer.answers = True
    clock.now += 6
    assert (await verifier.verify(issuer.id_token("alice"))).user_id == "alice"


async def test_an_unreachable_sign_in_service_is_503(api: Api) -> None:
    """With the time to wait."""
    api.issuer.answers = False
    answer = await api.get("/user/me")

    assert answer.error == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
