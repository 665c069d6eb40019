"""What all answers have in common: the error form, the request id, the headers, who may read them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.conftest import PAGE_ORIGIN
from tests.rest.api import Api
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

JSON_TYPE = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/upload", "/generate"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"text"', "invalid_json"),
        (b"null", "invalid_json"),
        (b'{"fileSize": NaN}', "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b"[" * 60_000, "invalid_json"),
        (b'{"fileSize": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b"{}", "invalid_request"),
    ],
)
async def test_a_broken_body_is_refused(api: Api, path: str, body: bytes, code: str) -> None:
    """Always with 400, and nothing is stored or charged."""
    answer = await api.call("POST", path, data=body, headers=JSON_TYPE)

    assert (400, code) == answer.error
    assert await api.has_left_nothing()


@pytest.mark.parametrize("path", ["/upload", "/generate"])
async def test_a_megabyte_of_json_is_too_large(api: Api, path: str) -> None:
    """With its length told or not, before it is all read; nothing is stored or charged."""

    async def endless() -> object:
        for _ in range(16):
            yield b" " * 65_536

    told = await api.call("POST", path, data=b" " * 1_048_576, headers=JSON_TYPE)
    untold = await api.call("POST", path, data=endless(), headers=JSON_TYPE)

    assert (413, "body_too_large") == told.error == untold.error
    assert await api.has_left_nothing()


@pytest.mark.parametrize("path", ["/upload", "/generate"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png"]
)
async def test_a_body_that_says_it_is_no_json_is_refused(api: Api, path: str, content_type: str) -> None:
    """With 415, and nothing is stored or charged."""
    answer = await api.call("POST", path, data=b"{}", headers={"Content-Type": content_type})

    assert answer.error == (415, "unsupported_media_type")
    assert await api.has_left_nothing()


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json; charset=utf-8"}])
async def test_a_body_of_an_original_client_is_read(api: Api, headers: dict[str, str]) -> None:
    """They may leave the type out."""
    body = b'{"fileName":"me.jpg","contentType":"image/jpeg","fileSize":7}'
    answer = await api.call("POST", "/upload", data=body, headers=headers, skip_auto_headers={"Content-Type"})

    assert answer.status == 200


async def test_unknown_addresses_and_methods_have_the_error_form(api: Api) -> None:
    """Like every other error."""
    unknown = await api.get("/nothing/here", token="")
    method = await api.call("DELETE", "/generate", token="")
    file = await api.get("/page/nothing.js", token="")

    assert (404, "not_found") == unknown.error == file.error
    assert (*method.error, method.headers["Allow"]) == (405, "method_not_allowed", "POST")
    for answer in (unknown, method, file):
        assert {"error", "code", "requestId"} == answer.body.keys()


async def test_a_defect_of_ours_is_500_and_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets no detail, the log gets the stack."""
    await api.clients.dynamodb.put_item(
        TableName=api.tables.jobs, Item={"jobId": "job_broken", "userId": api.user, "version": 1}
    )
    answer = await api.get("/jobs/job_broken")

    assert answer.error == (500, "internal_error")
    assert {"error", "code", "requestId"} == answer.body.keys()
    assert "ValueError" in caplog.text


async def test_the_request_id_goes_in_and_out(api: Api) -> None:
    """One of the caller's is kept if it is harmless."""
    kept = await api.get("/nothing", headers={"X-Request-Id": "abc-1.2_3"})
    replaced = await api.get("/nothing", headers={"X-Request-Id": "a b<script>"})
    made = await api.get("/healthz")

    assert (404, "not_found") == kept.error == replaced.error
    assert "abc-1.2_3" == kept.headers["X-Request-Id"]
    assert replaced.headers["X-Request-Id"] != "a b<script>"
    assert made.headers["X-Request-Id"]


async def test_the_access_log_has_the_route_and_no_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The user and the job it is about, but neither the query nor the token, nor a path that is no id."""
    caplog.set_level(logging.INFO)
    token = api.issuer.id_token(api.user)
    await api.get("/jobs/job_1?secret=1", token=token)
    await api.get("/jobs/secret", token=token)
    known, unknown = [vars(record) for record in caplog.records if getattr(record, "action", "") == "request"]

    asked = {"method": "GET", "route": "/jobs/{job_id}", "status": 404, "user_id": api.user}
    assert asked | {"job_id": "job_1"} == {name: known[name] for name in (*asked, "job_id")}
    assert asked == {name: unknown[name] for name in asked}
    assert "secret" not in str([known, unknown])
    assert token not in caplog.text


async def test_pages_of_known_origins_may_read_answers(start: Start) -> None:
    """Errors too, for the page shows them."""
    api = await start(allowed_origins="https://photos.example.com")
    for origin in ("https://photos.example.com", PAGE_ORIGIN):
        for path in ("/styles", "/nothing", "/user/me"):
            answer = await api.get(path, token="", headers={"Origin": origin})
            assert origin == answer.headers["Access-Control-Allow-Origin"]
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert exposed == "X-Request-Id, Retry-After, Idempotency-Replayed, Location, Preference-Applied"
            assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", f"{PAGE_ORIGIN}.evil.example", "HTTPS://x"])
async def test_pages_of_other_origins_may_not(api: Api, origin: str) -> None:
    """The list is exact."""
    answer = await api.get("/styles", headers={"Origin": origin})
    preflight = await api.call(
        "OPTIONS", "/generate", token="", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]
    assert preflight.error == (403, "forbidden")
    assert "Access-Control-Allow-Origin" not in preflight.headers


async def test_a_preflight_is_answered_without_a_token(api: Api) -> None:
    """It names what may be sent."""
    headers = {"Origin": PAGE_ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = await api.call("OPTIONS", "/generate", token="", headers=headers)
    allowed = answer.headers["Access-Control-Allow-Headers"]

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, PAGE_ORIGIN)
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, DELETE"
    assert all(name in allowed for name in ("Authorization", "Content-Type", "Idempotency-Key", "Prefer"))


async def test_every_answer_is_careful_with_browsers(api: Api) -> None:
    """Errors as well."""
    for path in ("/healthz", "/nothing", "/user/me"):
        headers = (await api.get(path, token="")).headers
        assert tuple(headers[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "Cache-Control")) == (
            "nosniff",
            "no-referrer",
            "no-store",
        )
        assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_nothing_is_written_into_a_socket_that_failed(api: Api) -> None:
    """An error answer after the upgrade would be garbage to the client; the connection just ends."""
    async with api.http.ws_connect("/ws") as socket:
        assert (await socket.receive_str()) == "hello"
        async with asyncio.timeout(5):
            end = await socket.receive()

    assert socket.close_code == 1006, end


async def test_metrics_know_routes_and_not_paths(api: Api) -> None:
    """A path is the caller's to choose."""
    await api.get("/jobs/job_1")
    await api.get("/made/up")
    await api.call("PROPFIND", "/made/up")
    registry = api.services.registry

    def count(route: str, method: str, status: str) -> float | None:
        labels = {"route": route, "method": method, "status": status}
        return registry.get_sample_value("http_request_duration_seconds_count", labels)

    assert count("/jobs/{job_id}", "GET", "404") == 1
    assert count("none", "GET", "404") == 1
    assert count("none", "other", "404") == 1
