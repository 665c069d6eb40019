"""What a proxy, or whoever plays one, says of the outside is believed of nothing but the caller's address."""

from __future__ import annotations

import pytest

from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIES = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=1.2.3.4;host=evil.example;proto=https",
    "X-Real-IP": "1.2.3.4",
}
PATHS = ("/", "/app-config.json", "/openapi.json", "/asyncapi.json", "/healthz", "/nothing/here", "/user/me")


async def test_addresses_come_from_the_settings_alone(start: Start) -> None:
    """However many proxies are trusted, no answer is another one for it: PUBLIC_URL says where the service is."""
    api = await start(public_url="http://photos.example.com", trusted_proxy_hops=2)
    for path in PATHS:
        plain, told = await api.get(path, token=""), await api.get(path, token="", headers=LIES)

        assert plain.status == told.status
        assert "evil" not in f"{told.body} {told.headers}"
        assert "Strict-Transport-Security" not in told.headers
