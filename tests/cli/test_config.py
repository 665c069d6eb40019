"""What there is to set, and how it is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service import catalogue
from service.__main__ import parse_arguments
from service.addresses import masked
from service.process import CannotStart, read_settings
from service.settings import Settings
from tests.cli.conftest import run
from tests.conftest import CHECKOUT
from tests.rest.test_settings import NEEDED


def test_every_setting_is_explained() -> None:
    """In a sentence, which --help, the documentation and the example show."""
    for entry in catalogue.entries():
        assert re.fullmatch(r"[A-Z].+\.", entry.description), entry.name
        assert entry.example or not entry.is_needed, entry.name


def test_the_documentation_has_the_tables_of_the_model() -> None:
    """`bash scripts/settings` writes them anew."""
    text = (CHECKOUT / "docs" / "configuration.md").read_text(encoding="utf-8")
    written = text.split("<!-- settings -->\n")[1].split("<!-- end of settings -->")[0]

    assert catalogue.as_table().strip() == written.strip()
    assert catalogue.as_env_example() == (CHECKOUT / ".env.example").read_text(encoding="utf-8")


async def test_each_value_is_told_with_where_it_comes_from(tmp_path: Path) -> None:
    """A flag wins over the environment, and that over the file; secrets are masked."""
    file = tmp_path / "production.env"
    lines = [f"{name}={value}" for name, value in NEEDED.items()]
    bus = "EVENT_BUS_URL='redis://user:open$PATH@bus:6379/1'"
    file.write_text("\n".join([*lines, "export DAILY_LIMIT=5", "WORKER_SLOTS=7", bus]))
    ran = await run("config", "--json", f"--env-file={file}", "--daily-limit=50", WORKER_SLOTS="9", HOST="")
    rows = {row["variable"]: (row["value"], row["source"]) for row in json.loads(ran.told)}

    assert (0, "") == (ran.code, ran.said)
    assert ("50", "flag") == rows["DAILY_LIMIT"]
    assert ("9", "environment") == rows["WORKER_SLOTS"]
    assert ("up", "file") == rows["UPLOAD_BUCKET"]
    assert ("127.0.0.1", "default") == rows["HOST"]
    assert ("********", "file") == rows["GEMINI_API_KEY"]
    assert ("redis://********@bus:6379/1", "file") == rows["EVENT_BUS_URL"]
    assert {"EMBEDDED", "SIMULATED"}.isdisjoint(rows)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("redis://h:6379/0?password=sekret&db=1", "redis://h:6379/0?password=********&db=1"),
        ("redis://h?Username=sekret&pass%77ord=sekret", "redis://h?Username=********&pass%77ord=********"),
        ("rediss+cluster://:un/quoted#sekret@h:6379", "rediss+cluster://********@h:6379"),
        ("https://sekret@h/x", "https://********@h/x"),
        ("No keys at https://user:sekret@h/x, or so.", "No keys at https://********@h/x, or so."),
    ],
)
def test_no_address_says_who_signs_in(told: str, expected: str) -> None:
    """Whether before the host or in the query, where redis-py takes it from as well."""
    assert expected == masked(told)


async def test_no_setting_says_who_signs_in() -> None:
    """Each address is masked, the buses' and the others'."""
    secret = "https://user:sekret@host.example/?password=sekret"
    names = ("GEMINI_BASE_URL", "AWS_ENDPOINT_URL", "TOKEN_JWKS_URL", "TOKEN_ISSUER", "SQS_QUEUE_URL")
    told: dict[str, str] = (
        NEEDED | dict.fromkeys(names, secret) | {"EVENT_BUS_URL": "redis://bus:6379/0?password=sekret"}
    )
    ran = await run("config", **told)
    wrong = {"allowed_origins": secret, "event_bus_url": "redis://user:sekret"}
    with pytest.raises(CannotStart) as refused:
        read_settings({**{name.lower(): value for name, value in told.items()}, **wrong})
    settings = read_settings({name.lower(): value for name, value in told.items()})

    assert (0, "") == (ran.code, ran.said)
    assert len(names) == ran.told.count("https://********@host.example/?password=********")
    assert "redis://bus:6379/0?password=********" in ran.told
    assert ("https://host.example",) == settings.storage_origins
    assert "sekret" not in ran.told + str(refused.value)
    assert ["ALLOWED_ORIGINS", "EVENT_BUS_URL"] == [line.split(":")[0] for line in str(refused.value).splitlines()[1:]]


async def test_all_that_is_wrong_is_told_at_once() -> None:
    """The Gemini key too, which is a matter of two settings; a line each, and no value, for it may be a secret."""
    environment = {name: value for name, value in NEEDED.items() if name not in ("GEMINI_API_KEY", "UPLOAD_BUCKET")}
    ran = await run("config", "--daily-limit=many", "--host=0.0.0.0", **environment, LEASE_SECONDS="1")
    headline, *lines = ran.said.splitlines()

    assert (2, "") == (ran.code, ran.told)
    assert "The settings are not complete:" == headline
    assert [
        "UPLOAD_BUCKET is missing",
        "GEMINI_API_KEY or GEMINI_API_KEY_SECRET_ARN is missing",
        "PUBLIC_URL is missing",
        "DAILY_LIMIT",
        "LEASE_SECONDS",
    ] == [line.split(":")[0] for line in lines]


@pytest.mark.parametrize("flag", ["--gemini-api-key=x", "--event-bus-url=x", "--embed", "--simulated=aws", "--port"])
def test_a_flag_that_there_is_not_is_bad_usage(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Secrets have none, for others on the machine could read it; and none can be shortened."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["config", flag])

    assert 2 == ended.value.code
    assert "usage: python -m service config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["redrive", "--limit=0"], "argument --limit: must be a number from 1 to 1,000,000"),
        (["user", "limit", "somebody", "-1"], "argument N: must be a number from 0 to 1,000,000"),
        (["serve", "--gemini-error-rate=2"], "argument --gemini-error-rate: must be a number from 0 to 1"),
        (["submit", "x.png", "--pipeline=diary"], "choose from 'profile-photo', 'crack-detection'"),
    ],
)
def test_bad_usage_says_what_there_is(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With numbers as people write them."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)

    assert 2 == ended.value.code
    assert sentence in capsys.readouterr().err


async def test_a_file_that_is_not_there_is_one_line() -> None:
    """Before anything else."""
    ran = await run("config", "--env-file=nowhere.env")

    assert (2, "--env-file nowhere.env cannot be read: No such file or directory.\n") == (ran.code, ran.said)


@pytest.mark.parametrize(
    "command", ["serve", "check", "config", "submit", "watch", "redrive", "user", "calibrate", "openapi"]
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With an example; serving with the flag of each setting that is no secret."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments([command, "--help"])
    told = capsys.readouterr().out
    flags = set(re.findall(r"--[a-z-]+", told))
    expected = {f"--{entry.name.replace('_', '-')}" for entry in catalogue.entries() if not entry.is_secret}

    assert 0 == ended.value.code
    assert "Example: python -m service" in told
    assert expected <= flags or command not in ("serve", "check", "config", "openapi")
    assert {"--gemini-api-key", "--aws-secret-access-key", "--event-bus-url"}.isdisjoint(flags)


def test_help_and_version_load_nothing_heavy() -> None:
    """The commands are listed and the version is told within a blink."""
    program = "import sys; sys.argv = ['service', '--help']\ntry:\n    from service.__main__ import main; main()\n"
    program += (
        "except SystemExit:\n    print(*sorted({'pydantic', 'aiohttp', 'uvloop', 'botocore'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, check=True, capture_output=True, text=True, timeout=30
    ).stdout

    assert re.search(r"^  +submit +send a photo", told, re.MULTILINE)
    assert "" == told.splitlines()[-1]


def test_a_model_s_field_is_documented_or_hidden() -> None:
    """Two are the embedded mode's own."""
    shown = {entry.name for entry in catalogue.entries()}

    assert {"embedded", "simulated"} == Settings.model_fields.keys() - shown
