"""Parts of `bash scripts/deploy` that need no cloud: engines, the scan of an image, who has not signed in, the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.release import __main__ as command_line
from deploy.release import images
from deploy.release.account import open_account
from deploy.release.failures import ReleaseFailed
from deploy.release.images import Images, Registry, build_command, read_accepted
from deploy.release.options import Options, check_change
from deploy.release.stacks import Stack
from deploy.templates import load_template
from service.process import VERSION
from tests.conftest import CHECKOUT
from tests.deploy.conftest import REGISTRY, Told


def test_other_engines_need_no_word_about_provenance() -> None:
    """Podman and buildah push one manifest anyway."""
    assert "--provenance=false" not in build_command("podman", "image", "X86_64")
    assert "linux/amd64" in build_command("buildah", "image", "X86_64")


@pytest.mark.parametrize(
    ("programs", "emulators", "lacks"),
    [
        ((), (), "docker, podman or buildah"),
        (("podman",), ("qemu-arm",), "QEMU for linux/arm64 (apt-get install qemu-user-static)"),
        (("podman",), ("qemu-aarch64",), ""),
    ],
)
def test_what_a_machine_lacks_for_a_build_is_known_before(
    programs: tuple[str, ...], emulators: tuple[str, ...], lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an Intel machine with Linux the tasks' default processor is emulated; its own needs the engine alone."""
    for name in (*programs, *emulators):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(images, "EMULATORS", tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    assert lacks == images.lacking("ARM64")
    assert ("" if programs else lacks) == images.lacking("X86_64")


def test_an_image_says_of_which_version_it_is() -> None:
    """As docs/image.md promises of its labels."""
    assert f"VERSION={VERSION}" in build_command("docker", "image", "ARM64")


class Scanner:
    """ECR's answers about the scan of an image: not begun, under way, and then these findings."""

    def __init__(self, *severities: str) -> None:
        self.asked = 0
        self.findings = [{"name": f"CVE-{number}", "severity": severity} for number, severity in enumerate(severities)]

    async def answer(self, _: web.Request) -> web.Response:
        """Answer the next call."""
        self.asked += 1
        if self.asked == 1:
            return self._said(400, {"__type": "ScanNotFoundException", "message": "not yet"})
        status = "IN_PROGRESS" if self.asked == 2 else "COMPLETE"
        return self._said(
            200, {"imageScanStatus": {"status": status}, "imageScanFindings": {"findings": self.findings}}
        )

    def _said(self, status: int, body: Any) -> web.Response:
        return web.json_response(body, status=status, content_type="application/x-amz-json-1.1")


@pytest.mark.parametrize(
    ("severities", "accepted", "passes"),
    [
        (("HIGH", "LOW"), "", True),
        (("HIGH", "CRITICAL"), "", False),
        (("CRITICAL",), "# why\nCVE-0 not called\n", True),
    ],
)
async def test_critical_findings_stop_a_deployment(
    severities: tuple[str, ...],
    accepted: str,
    passes: bool,
    tmp_path: Path,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The scan is waited for; a critical flaw passes only when somebody has written down why."""
    scanner = Scanner(*severities)
    app = web.Application()
    app.router.add_post("/", scanner.answer)
    (tmp_path / "accepted").write_text(accepted)
    monkeypatch.setattr(images, "ACCEPTED", tmp_path / "accepted")
    monkeypatch.setattr(images, "_POLL_SECONDS", 0)
    async with TestServer(app) as server:
        endpoint = {
            "AWS_ENDPOINT_URL": str(server.make_url("")),
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
        }
        for name, value in (endpoint | {"AWS_REGION": "us-east-1"}).items():
            monkeypatch.setenv(name, value)
        async with open_account("trial", None, told) as account:
            checking = Images(account.ecr, Registry(uri=REGISTRY), told).check("sha256:a")
            if passes:
                await checking
            else:
                with pytest.raises(ReleaseFailed, match="critical flaws: CVE-1"):
                    await checking

    assert scanner.asked >= 3


def test_every_accepted_finding_has_a_reason() -> None:
    """The list that is really used says why, line by line."""
    lines = [line for line in images.ACCEPTED.read_text().splitlines() if line and not line.startswith("#")]

    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)
    assert len(lines) == len(read_accepted(images.ACCEPTED))


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be somebody without credentials, on no machine of AWS's."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("region", "sentence"), [("", "There is no AWS region."), ("us-east-1", "There are no AWS credentials.")]
)
@pytest.mark.usefixtures("nobody")
async def test_a_missing_account_is_one_sentence(region: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has not signed in is told how."""
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(ReleaseFailed, match=sentence):
        await command_line.run(command_line.parse_arguments(["--dry-run"]))


def test_without_a_command_it_deploys() -> None:
    """The two commands of the documents read as they are written."""
    up = command_line.parse_arguments(
        ["--domain", "photos.example.com", "--hosted-zone", "Z1", "--parameter", "Cpu=512"]
    )
    back = command_line.parse_arguments(["rollback", "--prefix", "staging"])
    change = command_line.parse_arguments(["set", "MaxTasks=4", "EventBus=single"])

    assert ("up", "photos.example.com", [("Cpu", "512")]) == (up.command, up.domain, up.parameter)
    assert ("rollback", "staging") == (back.command, back.prefix)
    assert ("set", [("MaxTasks", "4"), ("EventBus", "single")]) == (change.command, change.parameter)


def test_the_first_help_has_every_command_and_the_options_of_a_deployment(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks need not know that a deployment is a command of its own."""
    with pytest.raises(SystemExit):
        command_line.parse_arguments(["--help"])
    said = capsys.readouterr().out

    for word in ("rollback", "set", "pipeline", "page", "--domain", "--parameter", "--dry-run", "--region"):
        assert f"  {word} " in said


def documented() -> list[list[str]]:
    """Return the arguments of each `bash scripts/deploy` in docs/deploy.md, in blocks and within sentences."""
    text = (CHECKOUT / "docs" / "deploy.md").read_text(encoding="utf-8").replace("\\\n", " ")
    said = re.findall(r"bash scripts/deploy\b([^`\n]*)", text)
    return [shlex.split(arguments) for arguments in said]


@pytest.mark.parametrize("arguments", documented(), ids=" ".join)
def test_what_the_document_says_can_be_typed(arguments: list[str]) -> None:
    """Each command is one that there is, and its parameters are those of the templates."""
    read = command_line.parse_arguments(arguments)
    named = {
        "compute.yaml": dict(getattr(read, "parameter", [])),
        "data.yaml": dict(getattr(read, "data_parameter", [])),
    }

    if read.command == "set":
        as_it_is = Stack(name="darkroom", status="UPDATE_COMPLETE", parameters={"EventBus": "none"}, outputs={})
        check_change(Options(parameters=named["compute.yaml"]), as_it_is, CHECKOUT / "deploy")
    for template, parameters in named.items():
        assert set(parameters) <= set(load_template(CHECKOUT / "deploy" / template)["Parameters"])


def test_the_documents_links_lead_somewhere() -> None:
    """Every file and heading that docs/deploy.md names is there."""
    text = (CHECKOUT / "docs" / "deploy.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    links = re.findall(r"\]\(([^)]+)\)", text)

    assert [] == [link for link in links if link.startswith("#") and link[1:] not in headings]
    assert [] == [link for link in links if not link.startswith("#") and not (CHECKOUT / "docs" / link).exists()]
