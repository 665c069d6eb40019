"""Whether Gemini, the token keys, the sign-in page and the event bus answer."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import aiohttp
from prometheus_client import CollectorRegistry

from consumers import gemini_wire
from consumers.failures import FailureClass
from consumers.gemini_wire import CallFailed, Line
from jobs.secret import FixedKey, Key, open_secret
from service.commands.checks.finding import Look, Wrong
from service.settings import Settings

_CALL: Final = aiohttp.ClientTimeout(total=10)
_MODELS: Final = ("model_name", "vision_model_name", "embedding_model_name")
_KEY_ADVICE: Final = (
    "Is GEMINI_API_KEY, or what GEMINI_API_KEY_SECRET_ARN names, a key that Google knows? Then GEMINI_BASE_URL?"
)


@asynccontextmanager
async def open_line(session: aiohttp.ClientSession, settings: Settings) -> AsyncIterator[Line]:
    """Open the line to Gemini, under the key that the service would use."""
    async with AsyncExitStack() as stack:
        key: Key
        if settings.gemini_api_key is not None:
            key = FixedKey(settings.gemini_api_key.get_secret_value())
        else:
            secret = open_secret(settings.aws_config(), settings.gemini_api_key_secret_arn or "")
            key = await stack.enter_async_context(secret)
        yield Line(session, key, base_url=settings.gemini_base_url, timeout_seconds=10)


def looks(session: aiohttp.ClientSession, line: Line, settings: Settings) -> Iterator[Look]:
    """Return the looks at what is not AWS's."""
    for setting in _MODELS:
        take = partial(_look_at_model, line, setting, str(getattr(settings, setting)))
        yield Look(part=f"Gemini {setting.removesuffix('_name').replace('_', ' ')}", take=take, advice=_KEY_ADVICE)
    advice = "Are COGNITO_USER_POOL_ID and AWS_REGION right, or TOKEN_ISSUER and TOKEN_JWKS_URL?"
    yield Look(part="token keys", take=partial(_look_at_keys, session, settings.jwks_url), advice=advice)
    if settings.cognito_domain:
        take = partial(_look_at_sign_in, session, settings)
        yield Look(part="sign-in page", take=take, advice="Is COGNITO_DOMAIN right?")
    if settings.event_bus_url:
        # Loaded here and not in the look: meanwhile nobody hears what the others are answered.
        redis_bus = importlib.import_module("jobs.redis_bus")
        take = partial(_look_at_bus, redis_bus.open_redis_bus, settings.event_bus_url)
        yield Look(part="event bus", take=take, advice="Is EVENT_BUS_URL right?")


async def _look_at_model(line: Line, setting: str, model: str) -> str:
    try:
        is_known = await gemini_wire.knows_model(line, model)
    except CallFailed as error:
        is_refused = error.failure is FailureClass.MISCONFIGURED
        raise Wrong("Gemini refuses the key." if is_refused else error.message, _KEY_ADVICE) from error
    if not is_known:
        raise Wrong(f"There is no model {model} for this key.", f"Set {setting.upper()} to one that there is.")
    return f"{model} may be called."


async def _look_at_keys(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url, timeout=_CALL, allow_redirects=False) as answer:
        if answer.status != 200:
            raise Wrong(f"{url} answers {answer.status}.", "Is it the address of a key set (JWKS)?")
        try:
            told: Any = await answer.json(content_type=None)
            keys = [key for key in told["keys"] if _is_usable(key)]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Wrong(f"{url} has no key set (JWKS).", "Is TOKEN_JWKS_URL right?") from error
    if not keys:
        raise Wrong(f"{url} has no RS256 key.", "Only RS256 tokens are accepted: is it the pool's own address?")
    return f"{len(keys)} RS256 {'key' if len(keys) == 1 else 'keys'} at {url}"


def _is_usable(key: Any) -> bool:
    return (key["kty"], key.get("use", "sig"), key.get("alg", "RS256")) == ("RSA", "sig", "RS256")


async def _look_at_sign_in(session: aiohttp.ClientSession, settings: Settings) -> str:
    asked = {
        "response_type": "code",
        "client_id": settings.cognito_client_id,
        "redirect_uri": f"{settings.page_origins[0]}/",
        "scope": "openid",
    }
    url = f"{settings.cognito_domain}/oauth2/authorize"
    async with session.get(url, params=asked, timeout=_CALL, allow_redirects=False) as answer:
        where = answer.headers.get("Location", "")
        if answer.status >= 400 or "error=" in where or "/error" in where:
            advice = f"Is {asked['redirect_uri']} one of the client's callback addresses (SignInCallbackUrls)?"
            raise Wrong(f"{settings.cognito_domain} does not sign in for this client.", advice)
    return f"{settings.cognito_domain} signs in for this client."


async def _look_at_bus(open_redis_bus: Callable[..., Any], url: str) -> str:
    opening = open_redis_bus(url, prefix="darkroom-check", registry=CollectorRegistry(), report=lambda _: None)
    async with opening as bus:
        if not bus.is_whole:
            raise Wrong("It does not answer within a second.", "Is EVENT_BUS_URL right, and may this machine reach it?")
    return "It answers."
