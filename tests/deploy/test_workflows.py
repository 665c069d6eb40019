"""The workflows of GitHub Actions, and the scripts they run: valid, pinned, without keys, and still for documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release.parts import CHECKOUT, image_files, is_deployed

GITHUB = CHECKOUT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def tool(name: str, *arguments: str | Path) -> tuple[int, str]:
    """Run a tool of the locked environment; returns its exit code and what it said."""
    ran = subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True, timeout=50, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


def jobs_of(path: Path) -> dict[str, Any]:
    """Read the jobs of a workflow."""
    jobs: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return jobs


def test_the_workflows_are_valid() -> None:
    """GitHub would take them as they stand."""
    schema = ("--builtin-schema", "vendor.github-workflows")

    assert (0, "ok -- validation done\n") == tool("check-jsonschema", *schema, *WORKFLOWS)
    assert 0 == tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", GITHUB / "dependabot.yml")[0]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    """A moved tag changes nothing here; the version stands beside the commit, where Dependabot renews it."""
    used = [line.strip().removeprefix("- ") for line in workflow.read_text().splitlines() if "uses:" in line]

    assert used
    assert [] == [line for line in used if not PINNED.match(line) and not line.startswith("uses: ./")]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_nobody_may_more_than_needed(workflow: Path) -> None:
    """Nothing by default; a job names what it may, writes nothing but the token's request, and knows no secret."""
    text = workflow.read_text()
    jobs = jobs_of(workflow)

    assert {} == yaml.safe_load(text)["permissions"]
    assert [] == [word for word in ("secrets.", "access-key", "pull_request_target") if word in text]
    for job in jobs.values():
        assert "permissions" in job
        assert {"read", "write"} >= set(job["permissions"].values())
        assert {"id-token"} >= {name for name, what in job["permissions"].items() if what == "write"}
        assert ("id-token" in job["permissions"]) == ("environment" in job)


def test_what_deploys_waits_for_the_tests_and_for_each_other() -> None:
    """Nothing untested is deployed, nothing by two at once, and no deployment is cut off in its middle."""
    jobs = jobs_of(GITHUB / "workflows" / "deploy.yml")
    deploying = [jobs["deploy"], jobs["rollback"]]

    assert {"changes", "test"} == set(jobs["deploy"]["needs"])
    # Any of these in a condition would start it where a job that it needs has failed.
    assert [] == [word for word in ("always", "failure", "cancelled") if any(word in job["if"] for job in deploying)]
    assert all(job["concurrency"] == {"group": "deploy-production", "cancel-in-progress": False} for job in deploying)
    assert all("vars.DEPLOY_ROLE_ARN != ''" in job["if"] for job in deploying)


def test_each_commit_is_tested_once() -> None:
    """A push to main by deploy.yml, any other within its pull request."""
    test, deploy = (
        yaml.safe_load((GITHUB / "workflows" / name).read_text(encoding="utf-8"))[True]
        for name in ("test.yml", "deploy.yml")
    )

    assert {"pull_request", "workflow_call"} == set(test)
    assert {"branches": ["main"]} == deploy["push"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_fails_before_a_pipe_fails(workflow: Path) -> None:
    """GitHub starts bash with pipefail only where it is asked for by name."""
    assert {"run": {"shell": "bash"}} == yaml.safe_load(workflow.read_text(encoding="utf-8"))["defaults"]


def test_git_reads_a_workspace_of_another_user(tmp_path: Path) -> None:
    """The tests run as root, in a folder of the runner's own user, which git trusts only when told to."""
    (steps,) = [job["steps"] for job in jobs_of(GITHUB / "workflows" / "test.yml").values()]
    checkout = next(number for number, step in enumerate(steps) if "actions/checkout@" in step.get("uses", ""))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GITHUB_WORKSPACE": str(CHECKOUT)}
    environment |= {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}

    def runs(command: str) -> bool:
        ran = subprocess.run(
            ["bash", "-c", command], cwd=CHECKOUT, env=environment, capture_output=True, timeout=20, check=False
        )
        return ran.returncode == 0

    assert not runs("git rev-parse HEAD")
    assert all(runs(step["run"]) for step in steps[checkout + 1 : -1])
    assert "bash .ci/run" == steps[-1]["run"]
    assert runs("git rev-parse HEAD")


@pytest.mark.parametrize(
    "path",
    ["README.md", "docs/deploy.md", "docs/images/main-job.png", "tests/deploy/test_release.py", "deploy/cloud.py",
     "requirements/dev.txt", ".github/workflows/test.yml", "CHANGELOG.md", "services/other.py", "service/embedded.py"],
)  # fmt: skip
def test_other_changes_deploy_nothing(path: str) -> None:
    """Documents, tests and the embedded cloud reach no account."""
    assert not is_deployed(path)


@pytest.mark.parametrize(
    "path",
    ["Dockerfile", ".dockerignore", "service/app.py", "service/page/index.html", "jobs/model.py", "requirements/runtime.txt",
     "deploy/data.yaml", "deploy/compute.yaml", "deploy/accepted-findings.txt"],
)  # fmt: skip
def test_what_runs_or_is_applied_is_deployed(path: str) -> None:
    """The image's own files and the templates are."""
    assert is_deployed(path)


def test_the_image_is_made_of_what_docker_lets_through() -> None:
    """What the tag is made of is what the build sees: nothing that is generated, and the locked requirements."""
    names = {path.relative_to(CHECKOUT).as_posix() for path in image_files()}

    assert {"Dockerfile", "requirements/runtime.txt", "service/__main__.py"} <= names
    assert [] == [name for name in names if name.endswith(".pyc") or name.startswith(("tests/", "deploy/"))]


@pytest.mark.parametrize(
    ("commit", "told"), [("HEAD", "deploy=false\n"), ("", "deploy=true\n"), ("0" * 40, "deploy=true\n")]
)
def test_a_workflow_asks_without_an_environment(commit: str, told: str) -> None:
    """Python alone can tell, and a commit that nobody knows means that there is something to do."""
    asked = [sys.executable, "-S", "-m", "deploy.release.parts", commit]

    assert told == subprocess.run(asked, cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=True).stdout


def test_the_scripts_pass_shellcheck() -> None:
    """No script has a quoting mistake."""
    scripts = [path for path in sorted((CHECKOUT / "scripts").iterdir()) if path.is_file()]

    assert (0, "") == tool("shellcheck", "--shell=bash", "--severity=warning", *scripts, CHECKOUT / ".ci" / "run")
