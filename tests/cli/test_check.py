"""``check``, on a good deployment and on broken ones."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import yaml

from service.commands.checking import findings
from service.commands.checks.finding import Finding, State
from service.commands.checks.tables import FORMS, Form
from service.settings import Settings
from tests.cli.conftest import end, run, within
from tests.conftest import CHECKOUT, PAGE_ORIGIN


async def look(environment: dict[str, str], **changes: object) -> dict[str, Finding]:
    """Look at the deployment that the environment names, and return what was found by part."""
    told = {name.lower(): value for name, value in environment.items()}
    settings = Settings(**{**told, "public_url": PAGE_ORIGIN, **changes})  # type: ignore[arg-type]  # as the environment would
    return {finding.part: finding async for finding in findings(settings)}


def by_state(found: dict[str, Finding], state: State) -> set[str]:
    """Return the parts that are so."""
    return {part for part, finding in found.items() if finding.state is state}


async def test_a_good_deployment_has_nothing_wrong(settings: dict[str, str]) -> None:
    """Each part has its line; letters that other tests have buried are a warning at most."""
    found = await look(settings)

    assert set() == by_state(found, State.FAILED), found
    assert {f"table {setting.removesuffix('_table').replace('_', ' ')}" for setting in FORMS} <= by_state(
        found, State.OK
    )
    assert {"clock", "queue jobs", "bucket upload, events", "Gemini vision model", "token keys"} <= by_state(
        found, State.OK
    )


async def test_what_is_broken_is_said_part_by_part(settings: dict[str, str]) -> None:
    """A table that is not there, another's table, a wrong queue, an unknown model, keys that nobody hands out, no bus."""
    changes = {
        "users_table": "nowhere",
        "webhooks_table": settings["USERS_TABLE"],
        "sqs_queue_url": f"{settings['SQS_QUEUE_URL']}-not",
        "upload_events_queue_url": settings["WEBHOOK_DELIVERIES_QUEUE_URL"],
        "vision_model_name": "gemini-of-yesterday",
        "token_jwks_url": "http://127.0.0.1:1/keys.json",
        "event_bus_url": "redis://127.0.0.1:1",
        "allowed_origins": "https://elsewhere.example",
    }
    found = await look(settings, **changes)
    expected = {
        "table users": "There is no table nowhere.",
        "table webhooks": "Its key is userId, not userId and webhookId.",
        "queue jobs": f"There is no queue {changes['sqs_queue_url']}.",
        "Gemini vision model": "There is no model gemini-of-yesterday for this key.",
        "token keys": "No connection to 127.0.0.1:1: Connection refused.",
        "event bus": "It does not answer within a second.",
        "bucket upload, origins": "Pages of https://elsewhere.example cannot put and get files.",
    }

    assert expected == {part: found[part].message for part in expected}
    assert {*expected, "queue upload events", "bucket upload, events", "bucket result, origins"} == by_state(
        found, State.FAILED
    )
    assert all(found[part].advice for part in expected)
    adopted = ("bucket upload, origins", "bucket result, origins", "bucket upload, events")
    assert all("step 2 of docs/migration.md" in found[part].advice for part in adopted)


async def test_without_settings_it_says_where_they_may_come_from() -> None:
    """After the names of all that is missing."""
    ran = await run("check")
    *_, last_name, where = ran.said.splitlines()

    assert (2, "") == (ran.code, ran.told)
    assert "GEMINI_API_KEY or GEMINI_API_KEY_SECRET_ARN is missing" == last_name
    assert "a file named by --env-file" in where


@pytest.mark.parametrize("arguments", [["check"], ["check", "--help"], ["submit", "photo.png"]])
async def test_a_python_without_the_environment_is_told_in_a_line(arguments: list[str]) -> None:
    """As whoever types `python3 -m service` has."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-S", "-m", "service", *arguments),
        cwd=CHECKOUT,
        env={},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ran = await end(process)
    [line] = ran.said.splitlines()

    assert (2, "") == (ran.code, ran.told)
    assert line.startswith("No module named ")
    assert "run `bash scripts/demo` once" in line


async def test_no_finding_says_who_signs_in(settings: dict[str, str]) -> None:
    """Whether an address answers or not."""
    keys = settings["TOKEN_JWKS_URL"].replace("://", "://user:sekret@")
    changes = {"token_jwks_url": keys, "sqs_queue_url": "https://user:sekret@nowhere.example/queue"}
    found = await look(settings, **changes)

    assert State.OK == found["token keys"].state
    assert "http://********@" in found["token keys"].message
    assert "There is no queue https://********@nowhere.example/queue." == found["queue jobs"].message
    assert "sekret" not in repr(found)


@pytest.mark.usefixtures("deployment")
async def test_a_key_that_is_refused_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line by line, with what to do below, and without colour where nobody sees it."""
    monkeypatch.setenv("GEMINI_API_KEY", "bad")
    code = await within("check", f"--public-url={PAGE_ORIGIN}")
    told = capsys.readouterr().out

    assert 1 == code
    assert 3 == told.count("Gemini refuses the key.\n")
    assert "\nFAILED   Gemini model " in told
    assert "→ Is GEMINI_API_KEY" in told
    assert "\x1b" not in told
    assert told.splitlines()[-1].endswith("3 failed")


async def test_an_aws_that_does_not_answer_is_said_once(settings: dict[str, str]) -> None:
    """Not for each table, bucket and queue."""
    found = await look(settings, aws_endpoint_url="http://127.0.0.1:1")

    assert {"clock"} == by_state(found, State.FAILED)
    assert {"tables, buckets, queues"} == by_state(found, State.WARNING)


@pytest.mark.parametrize("setting", FORMS)
def test_the_forms_are_those_of_the_template(setting: str) -> None:
    """What is checked is what deploy/data.yaml makes."""
    name = "".join(word.capitalize() for word in setting.split("_"))
    table = yaml.load((CHECKOUT / "deploy" / "data.yaml").read_text(), _Loader)["Resources"][name]["Properties"]
    expected = Form(
        keys=_keys(table),
        indexes={index["IndexName"]: _keys(index) for index in table.get("GlobalSecondaryIndexes", [])},
        expires_by=table.get("TimeToLiveSpecification", {}).get("AttributeName"),
    )

    assert expected == FORMS[setting]


def _keys(described: Any) -> tuple[str, ...]:
    return tuple(key["AttributeName"] for key in described["KeySchema"])


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as nothing."""


_Loader.add_multi_constructor("!", lambda *_: None)
