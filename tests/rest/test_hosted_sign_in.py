"""What the service says of the pool's own sign-in page."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.settings import Settings, explain
from tests.rest.api import Api
from tests.rest.conftest import Start
from tests.rest.test_settings import NEEDED

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOMAIN = "https://photos.auth.ap-northeast-2.amazoncognito.com"


async def test_the_page_is_told_where_to_sign_in_and_may_ask_for_tokens_there(start: Start) -> None:
    """And nothing of it leads out of the policy: forms still go nowhere."""
    api = await start(cognito_domain=DOMAIN, cognito_identity_provider="Google")
    config = (await api.get("/app-config.json", token="")).body
    page = await api.get("/", token="", headers={"Accept": "text/html"})
    directives = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))

    assert {"domain": DOMAIN, "identityProvider": "Google"}.items() <= config["signIn"].items()
    assert config["signIn"]["clientId"]
    assert DOMAIN in directives["connect-src"].split()
    assert "'none'" == directives["form-action"]
    assert [DOMAIN] == [
        source for sources in directives.values() for source in sources.split() if "amazoncognito" in source
    ]


async def test_without_a_domain_the_page_offers_no_such_sign_in(api: Api) -> None:
    """It is left out, not empty."""
    assert "signIn" not in (await api.get("/app-config.json", token="")).body


@pytest.mark.parametrize(
    "domain",
    [
        "photos.auth.amazoncognito.com",
        "http://photos.example.com",
        f"{DOMAIN}/login",
        f"{DOMAIN}?a=b",
        "https://",
        "https://user:word@photos.example.com",
        "https://a.example; script-src *",
    ],
)
async def test_codes_go_to_an_https_origin_only(domain: str) -> None:
    """Whatever else it says would be in the page's policy, too."""
    with pytest.raises(ValidationError) as caught:
        Settings(**{name.lower(): value for name, value in NEEDED.items()}, cognito_domain=domain)  # type: ignore[arg-type]

    assert "COGNITO_DOMAIN: must be an https address and no more" in explain(caught.value)[0]


@pytest.mark.parametrize("domain", [DOMAIN, f"{DOMAIN}/", "http://127.0.0.1:4000"])
async def test_a_slash_at_the_end_is_no_path(domain: str) -> None:
    """And a sign-in page on this machine may do without TLS."""
    settings = Settings(**{name.lower(): value for name, value in NEEDED.items()}, cognito_domain=domain)  # type: ignore[arg-type]

    assert domain.removesuffix("/") == settings.cognito_domain
