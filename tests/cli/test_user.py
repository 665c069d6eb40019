"""``user``: what an operator may do with one user of a deployment."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from jobs.aws import Clients
from jobs.events import InProcessBus
from jobs.ids import UserId
from jobs.job_table import JobTable, Tables
from service.process import CannotStart
from tests.cli.conftest import within
from tests.jobs import story


@pytest.fixture(autouse=True)
def _deployment(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


async def test_a_limit_and_a_block_are_set_and_shown(user: UserId, capsys: pytest.CaptureFixture[str]) -> None:
    """For somebody who has never come too, which is said."""
    assert 0 == await within("user", "limit", user, "7")
    assert "Nobody has signed in under this id yet" in capsys.readouterr().err
    assert 0 == await within("user", "block", user)
    capsys.readouterr()
    assert 0 == await within("user", "show", user, "--json")
    told = json.loads(capsys.readouterr().out)
    assert 0 == await within("user", "limit", user, "default")
    assert 0 == await within("user", "unblock", user)
    last = capsys.readouterr().out.splitlines()

    assert (7, True, True, 0) == tuple(
        told[name] for name in ("daily_limit", "has_own_limit", "is_blocked", "used_today")
    )
    assert {"daily limit     10", "has own limit   no", "is blocked      no"} <= {*last}


async def test_an_account_is_handed_over_and_erased(
    user: UserId, tmp_path: Path, clients: Clients, tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive names the jobs; nothing is erased unless that is said twice."""
    job = await story.stored(JobTable(clients.dynamodb, tables, InProcessBus()), user)
    archive = tmp_path / "theirs.zip"
    assert 0 == await within("user", "export", user, f"--output={archive}")
    with pytest.raises(CannotStart, match=r"theirs.zip is there already; --force overwrites it\.$"):
        await within("user", "export", user, f"--output={archive}")
    with pytest.raises(CannotStart, match=r"--yes says that it is meant\.$"):
        await within("user", "delete", user)
    capsys.readouterr()
    assert 0 == await within("user", "delete", user, "--yes")

    assert job.job_id in zipfile.ZipFile(archive).read("jobs.jsonl").decode()
    assert capsys.readouterr().out.startswith("Erased 1 jobs, ")


async def test_what_is_no_user_s_id_is_refused() -> None:
    """Before anything is asked."""
    with pytest.raises(CannotStart, match=r"^\.\./x is no user's id\.$"):
        await within("user", "show", "../x")
