"""Health, readiness, the page and its configuration."""

from __future__ import annotations

import json
import re

import pytest
from aiohttp.test_utils import TestClient, TestServer
from playwright.async_api import async_playwright

from jobs.conditions import Degradation
from jobs.model import Status
from service.metrics import make_metrics_app
from service.routes.page import PAGE
from service.routes.pipelines import PIPELINES
from tests.browser.conftest import CHROMIUM
from tests.rest.api import Api
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_readiness_follows_the_life_of_the_task(api: Api) -> None:
    """Alive all the time, ready between start and drain, and still serving while draining."""
    readiness = api.services.readiness
    statuses = [(await api.get("/readyz", token="")).status]
    readiness.ready()
    statuses.append((await api.get("/readyz", token="")).status)
    readiness.drain()
    readiness.ready()
    draining = await api.get("/readyz", token="")

    assert [*statuses, draining.status] == [503, 200, 503]
    assert draining.error == (503, "not_ready")
    assert (await api.get("/healthz", token="")).body == {"status": "healthy"}
    assert (await api.get("/user/me")).status == 200


async def test_the_root_is_a_page_for_browsers(api: Api) -> None:
    """With a policy that lets it reach this service and the buckets only."""
    answer = await api.get("/", token="", headers={"Accept": "text/html,*/*"})
    policy = answer.headers["Content-Security-Policy"]
    storage = api.services.files.upload_url("x")

    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert "<!doctype html>" in answer.body.lower()
    assert storage.startswith("s3://")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "connect-src 'self' ws://127.0.0.1:8080 http://127.0.0.1:" in policy
    assert "unsafe" not in policy


async def test_a_page_that_is_still_fresh_keeps_its_policy(api: Api) -> None:
    """A browser puts the headers of a 304 on the page it has kept; on a reload the page must still be allowed its files."""
    browser = {"Accept": "text/html,*/*"}
    first = await api.get("/", token="", headers=browser)
    again = await api.get("/", token="", headers=browser | {"If-None-Match": first.headers["ETag"]})

    assert 304 == again.status
    assert first.headers["Content-Security-Policy"] == again.headers["Content-Security-Policy"]


async def test_the_root_tells_programs_what_the_original_told(api: Api) -> None:
    """Health checks of original clients read it."""
    answer = await api.get("/", token="")

    assert answer.status == 200
    assert {"status": "healthy", "message": "AI server is running", "model_loaded": True} == answer.body
    assert answer.body == (await api.get("/health", token="")).body


@pytest.mark.parametrize(
    ("model", "condition", "loaded"),
    [
        ("gemini-3.5-flash-lite", "open", False),
        ("gemini-3.5-flash-lite", "closed_until", False),
        ("gemini-3.5-flash-lite", "throttled", True),
        ("gemini-nano-banana-2.1", "open", True),
    ],
)
async def test_the_model_counts_as_loaded_unless_it_is_cut_off(
    api: Api, model: str, condition: str, loaded: bool
) -> None:
    """The one that looks at photos; health itself is about this process, and stays."""
    trouble = Degradation(part=f"gemini:{model}", condition=condition, reason="Gemini is away.")
    api.services.conditions.report(trouble.part, trouble)
    answers = [await api.get(path, token="") for path in ("/health", "/")]

    assert [(200, loaded)] * 2 == [(answer.status, answer.body["model_loaded"]) for answer in answers]
    assert ["healthy"] * 2 == [answer.body["status"] for answer in answers]


async def test_modules_of_the_page_are_revalidated(api: Api) -> None:
    """An unchanged one is not sent again."""
    first = await api.get("/page/api.js", token="")
    again = await api.get("/page/api.js", token="", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status, first.headers["Cache-Control"], again.status) == (200, "no-cache", 304)
    assert (await api.get("/favicon.ico", token="")).status == 200


@pytest.mark.parametrize("path", ["/page/../settings.py", "/page/%2e%2e/settings.py", "/page/", "/page/vendor"])
async def test_nothing_but_the_page_is_served(api: Api, path: str) -> None:
    """No folder lists, and no way out of the folder."""
    assert (await api.get(path, token="")).error == (404, "not_found")


async def test_the_page_is_told_how_the_service_is_set_up(start: Start) -> None:
    """What it may offer, and what is simulated."""
    api = await start(embedded=True, simulated="aws,gemini", daily_limit=3)
    answer = await api.get("/app-config.json", token="")

    assert answer.body == {
        "demo": True,
        "simulated": ["aws", "gemini"],
        "dailyLimit": 3,
        "maxUploadBytes": 10_485_760,
        "contentTypes": ["image/jpeg", "image/png", "image/webp"],
        "maxPromptLength": 2000,
        "pipelines": list(PIPELINES),
        "maxDiaryCharacters": 5000,
    }


DELETION = """async () => {
  const { Studio } = await import('/page/studio.js');
  const { withAccepted, withFreshLinks, withPage } = await import('/page/store.js');
  const { store, client } = new Studio({ session: {} });
  const job = (jobId, version, status) => ({ jobId, version, status, createdAt: '2026-01-01T00:00:00.000Z' });
  const say = (type, about, data) => client.line.options.onFrame({ type, job: about, data });
  const progress = () => say('job.progress', job('job_1', 2), { stage: 'generating', fraction: 0.5 });
  store.update((state) => withAccepted(state, { jobId: 'job_1', status: 'queued' }, {}, 'blob:photo'));
  say('job.processing', job('job_1', 2, 'processing'));
  say('job.processing', job('job_2', 2, 'processing'));
  progress();
  say('job.deleted', job('job_1', 4, 'canceled'));
  const left = () => [store.state.jobs, store.state.progress, store.state.previews].map((map) => [...map.keys()]);
  const after = left();
  say('job.processing', job('job_1', 2, 'processing'));
  say('job.canceled', job('job_1', 9, 'canceled'));
  progress();
  say('snapshot', undefined, { jobs: [job('job_1', 3, 'processing')], hasMore: false });
  store.update((state) => withPage(state, { jobs: [job('job_1', 3, 'processing')] }));
  store.update((state) => withFreshLinks(state, job('job_1', 4, 'canceled')));
  store.update((state) => withAccepted(state, { jobId: 'job_1', status: 'queued' }, {}, 'blob:photo'));
  return [after, left()];
}"""


async def test_a_deleted_job_leaves_the_page_for_good(api: Api) -> None:
    """With all that belongs to it; no late event, snapshot, page of history or reply brings it back."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        page = await browser.new_page()
        await page.goto(str(api.http.make_url("/")))
        after, at_last = await page.evaluate(DELETION)
        await browser.close()

    assert [["job_2"], [], []] == after == at_last


@pytest.mark.parametrize("folder", ["i18n", "ops/i18n"])
async def test_both_catalogues_say_the_same(folder: str) -> None:
    """All of it, with the same gaps for figures."""
    english, korean = (
        json.loads((PAGE / folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "ko")
    )
    gaps = {key: [sorted(re.findall(r"\{\w+\}", words.get(key, ""))) for words in (english, korean)] for key in english}

    assert english.keys() == korean.keys()
    assert [] == [key for key, (one, other) in gaps.items() if one != other or not english[key] or not korean[key]]


@pytest.mark.parametrize("language", ["en", "ko"])
async def test_every_status_has_a_name(language: str) -> None:
    """In both languages."""
    words = json.loads((PAGE / "i18n" / f"{language}.json").read_text(encoding="utf-8"))

    assert [] == [status for status in Status if not words.get(f"status.{status}")]


async def test_metrics_are_read_on_a_port_of_their_own(api: Api) -> None:
    """So that no load balancer shows them."""
    await api.get("/healthz")
    async with TestClient(TestServer(make_metrics_app(api.services.registry))) as metrics:
        answer = await metrics.get("/metrics")
        text = await answer.text()

    assert 'http_request_duration_seconds_count{method="GET",route="/healthz",status="200"} 1.0' in text
    assert (await api.get("/metrics", token="")).error == (404, "not_found")
