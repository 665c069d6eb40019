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
async def test_the_whole_job_with_curl_works_as_pasted(tmp_path: Path) -> None:
    """The block of docs/api.md, with nothing but the port changed, ends with a picture on disk."""
    block = re.search(r"```bash\n(.*?)```", API, re.DOTALL)
    assert block is not None
    async with embedded_service(tmp_path / "data", "--gemini-latency=0.2") as service:
        script = (
            block[1].replace("http://127.0.0.1:8080", service.url).replace("-o result.png", f"-o {tmp_path}/result.png")
        )
        process = await asyncio.create_subprocess_exec(
            "bash", "-euc", script, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            output, _ = await process.communicate()

    assert 0 == process.returncode, output.decode()
    assert b"\x89PNG" == (tmp_path / "result.png").read_bytes()[:4]


def test_every_setting_is_documented() -> None:
    """One row, or a place in one, for each variable that is an operator's to set."""
    documented = set(re.findall(r"`([A-Z_]+)`", (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    internal = {"EMBEDDED", "SIMULATED", "VISION_MODEL_NAME", "EMBEDDING_MODEL_NAME"}

    assert set() == {name.upper() for name in Settings.model_fields} - documented - internal
