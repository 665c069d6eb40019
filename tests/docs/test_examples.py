"""What the documents tell people to paste."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from service.settings import Settings
from tests.conftest import CHECKOUT
from tests.journey.running import embedded_service

API = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
async def test_the_blocks_with_curl_work_as_pasted(tmp_path: Path) -> None:
    """The blocks of docs/api.md, with nothing but port and folder changed, end with pictures on disk and the right words."""
    whole_job, others = re.findall(r"```bash\n(.*?)```", API, re.DOTALL)
    async with embedded_service(tmp_path / "data", "--gemini-latency=0.2") as service:
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


def test_every_setting_is_documented() -> None:
    """One row, or a place in one, for each variable that is an operator's to set."""
    documented = set(re.findall(r"`([A-Z_]+)`", (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    internal = {"EMBEDDED", "SIMULATED", "VISION_MODEL_NAME", "EMBEDDING_MODEL_NAME"}

    assert set() == {name.upper() for name in Settings.model_fields} - documented - internal
