"""What the documents tell people to paste."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from service.settings import Settings
from tests.browser.conftest import CHROMIUM
from tests.browser.visit import visit
from tests.browser.wire import Wire
from tests.conftest import CHECKOUT
from tests.journey.running import Running, embedded_service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

API = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Run what `bash scripts/demo` runs."""
    async with embedded_service(tmp_path_factory.mktemp("data"), "--gemini-latency=1") as running:
        yield running


async def test_the_blocks_with_curl_work_as_pasted(service: Running, tmp_path: Path) -> None:
    """The blocks of docs/api.md, with nothing but port and folder changed, end with pictures on disk and the right words."""
    whole_job, others = _blocks("bash")
    await _paste(whole_job, service.url, tmp_path)
    said = await _paste(others, service.url, tmp_path)

    assert b"\x89PNG" == (tmp_path / "result.png").read_bytes()[:4]
    assert b"\xff\xd8" == (tmp_path / "cracks.jpg").read_bytes()[:2]
    wanted = ('"crack_count": 2', r'"plate": ["12\uac003456"]', '"report_id": "report_', '"label": "positive"')
    assert [] == [words for words in wanted if words not in said]


async def _paste(block: str, url: str, folder: Path) -> str:
    script = block.replace("http://127.0.0.1:8080", url).replace(
        "curl -fsS -o ", f"curl -fsS --output-dir {folder} -o "
    )
    process = await asyncio.create_subprocess_exec("bash", "-euc", script, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert 0 == process.returncode, output.decode()
    return output.decode()


async def test_the_program_in_python_gets_its_picture_over_a_cut_line(service: Running, tmp_path: Path) -> None:
    """With nothing but addresses changed it saves the picture, though its socket is reset while the job runs."""
    (block,) = _blocks("python")
    async with Wire() as wire:
        wire.lead_to(service.url)
        result = tmp_path / "result.png"
        program = block.replace("http://127.0.0.1:8080", wire.url).replace('"result.png"', f'"{result}"')
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-W", "error", "-c", program), cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            first = (await process.stdout.readline()).decode()
            await wire.down()
            await wire.up()
            rest, _ = await process.communicate()

    assert 0 == process.returncode, first + rest.decode()
    assert re.fullmatch(r"[a-z]+ \d+%\n", first)
    assert f"saved {result}" == rest.decode().splitlines()[-1]
    assert b"\x89PNG" == result.read_bytes()[:4]


async def test_the_block_in_javascript_shows_its_picture(service: Running) -> None:
    """Pasted into the console of the demo's page, it ends with the picture shown."""
    (block,) = _blocks("js")
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM) as browser,
        visit(browser, service.url) as seen,
    ):
        await seen.page.evaluate(f"async () => {{ {block} }}")
        await seen.page.wait_for_function("document.querySelector('#developed').naturalWidth > 0")

    assert [] == seen.complaints


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", API, re.DOTALL)


async def test_every_setting_is_documented() -> None:
    """One row, or a place in one, for each variable that is an operator's to set."""
    documented = set(re.findall(r"`([A-Z_]+)`", (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    internal = {"EMBEDDED", "SIMULATED", "VISION_MODEL_NAME", "EMBEDDING_MODEL_NAME"}

    assert set() == {name.upper() for name in Settings.model_fields} - documented - internal
