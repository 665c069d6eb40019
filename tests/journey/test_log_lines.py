"""What the log of a running service tells of one job, and what it never tells."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.journey.running import embedded_service
from tests.person import Person, until

WISH = "a-wish-nobody-else-may-read"


@pytest.mark.timeout(120)
async def test_one_id_leads_from_the_request_through_every_step_of_its_job(tmp_path: Path, photo: bytes) -> None:
    """Request, job and user stand in each line, whoever wrote it; no token, wish or signed link stands in any."""
    log = tmp_path / "log"
    with log.open("wb") as errors:
        async with (
            embedded_service(
                tmp_path / "data", "--gemini-latency=0.1", settings={"LOG_LEVEL": "INFO"}, log=errors
            ) as service,
            aiohttp.ClientSession() as session,
        ):
            alice = await Person.sign_in(session, service.url, "alice")
            async with alice.socket() as opened:
                job_id = await alice.generate(photo, WISH)
                await until(opened, "job.completed")
            await service.end(signal.SIGTERM)
    text = log.read_text()
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    of_job = [line for line in lines if line.get("job_id") == job_id]
    steps = [line["action"] for line in of_job]
    stages = [line["stage"] for line in of_job if line["action"] == "job_stage"]

    assert {"request", "job_taken_in", "job_claimed", "gemini_call", "job_completed"} < set(steps)
    assert ["downloading", "preparing", "generating", "storing"] == stages
    assert 1 == len({(line["request_id"], line["user_id"]) for line in of_job})
    assert {"socket_open", "socket_close"} <= {
        line["action"] for line in lines if line.get("user_id") == of_job[0]["user_id"]
    }
    assert not [secret for secret in (WISH, "Bearer", "eyJ", "X-Amz-Signature") if secret in text]
