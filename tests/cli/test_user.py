"""``user``: what an operator may do with one user of a deployment."""

from __future__ import annotations

import json
import os
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


def logged(said: str) -> list[tuple[object, ...]]:
    """Return what the log says of an operator's acts, and of whom."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [(line["action"], line["operator"], line["of_user"]) for line in lines if "operator" in line]


pytestmark = pytest.mark.usefixtures("deployment")


async def test_a_limit_and_a_block_are_set_and_shown(user: UserId, capsys: pytest.CaptureFixture[str]) -> None:
    """For somebody who has never come too, which is said."""
    assert 0 == await within("user", "limit", user, "7")
    first = capsys.readouterr().err
    assert 0 == await within("user", "block", user)
    second = capsys.readouterr().err
    assert 0 == await within("user", "show", user, "--json")
    told = json.loads(capsys.readouterr().out)
    assert 0 == await within("user", "limit", user, "default")
    assert 0 == await within("user", "unblock", user)
    last = capsys.readouterr().out.splitlines()

    assert (7, True, True, 0) == tuple(
        told[name] for name in ("daily_limit", "has_own_limit", "is_blocked", "used_today")
    )
    assert {"daily limit     10", "has own limit   no", "is blocked      no"} <= {*last}
    assert "Nobody has signed in under this id yet" in first
    assert [("operator_set_daily_limit", "command line", user)] == logged(first)
    assert [("operator_block", "command line", user)] == logged(second)


async def test_an_account_is_handed_over_and_erased(
    user: UserId, tmp_path: Path, clients: Clients, tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive names the jobs; nothing is erased unless that is said twice."""
    job = await story.stored(JobTable(clients.dynamodb, tables, InProcessBus()), user)
    archive = tmp_path / "theirs.zip"
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    (tmp_path / ".theirs.zip.part").symlink_to(precious)
    archive.symlink_to(precious)
    assert 0 == await within("user", "export", user, f"--output={archive}", "--force")
    exported = logged(capsys.readouterr().err)
    with pytest.raises(CannotStart, match=r"theirs.zip is there already; --force overwrites it\.$"):
        await within("user", "export", user, f"--output={archive}")
    with pytest.raises(CannotStart, match=r"--yes says that it is meant\.$"):
        await within("user", "delete", user)
    capsys.readouterr()
    assert 0 == await within("user", "delete", user, "--yes")

    told = capsys.readouterr()

    assert job.job_id in zipfile.ZipFile(archive).read("jobs.jsonl").decode()
    assert (0o600, False, "as it was") == (
        archive.stat().st_mode & 0o777,
        archive.is_symlink(),
        precious.read_text(),
    )
    assert {"theirs.zip", "precious", ".theirs.zip.part"} == {*os.listdir(tmp_path)}
    assert told.out.startswith("Erased 1 jobs, ")
    assert [("operator_export", "command line", user), ("operator_delete", "command line", user)] == [
        *exported,
        *logged(told.err),
    ]


@pytest.mark.parametrize("action", [("show",), ("export",), ("delete", "--yes")])
async def test_a_slip_of_the_pen_is_said(
    user: UserId, action: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has no row is no user, and nothing is written of that."""
    output = [f"--output={tmp_path / 'theirs.zip'}"] if action == ("export",) else []
    code = await within("user", action[0], user, *action[1:], *output)

    assert (1, ("", f"There is no user {user}.\n")) == (code, tuple(capsys.readouterr()))
    assert [] == os.listdir(tmp_path)


async def test_what_is_no_user_s_id_is_refused() -> None:
    """Before anything is asked."""
    with pytest.raises(CannotStart, match=r"^\.\./x is no user's id\.$"):
        await within("user", "show", "../x")
