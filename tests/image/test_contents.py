"""What is in the image, and what is not."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from deploy.emulator_environment import _find_uv
from service.process import VERSION
from tests.conftest import CHECKOUT
from tests.image.build import BUILD_SECONDS
from tests.image.container import Image

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 60)  # whichever test is the first builds the image

APP_MEGABYTES = 160
"""What Darkroom and its libraries may take beside the base, unpacked."""
UNCHECKED_HASH = 0b01
OF_OTHERS = re.compile(r"(tests?|testing|deploy|benchmarks|docs|pip|setuptools|ministack|moto|pytest|\.cache|\.git)")


def files(image: Image, pattern: str = "*") -> list[Path]:
    """List what lies under /app."""
    return [path for path in (image.root / "app").rglob(pattern) if path.is_file()]


def test_nothing_of_the_tests_the_emulators_and_the_installer_is_in_it(image: Image) -> None:
    """Our floors and their libraries, and no more; the embedded mode is left out of the floor it stands on."""
    app = image.root / "app"
    floors = {"jobs", "consumers", "websocket", "service"}
    packages = next((app / ".venv").glob("lib/python3*/site-packages"))
    suspicious = [path for folder in (app, packages) for path in folder.iterdir() if OF_OTHERS.fullmatch(path.name)]

    assert floors | {".venv"} == set(os.listdir(app))
    assert [] == suspicious
    assert [] == list(packages.glob("google/genai/tests"))
    assert not (app / "service" / "embedded.py").exists()
    assert not list((image.root / "root").glob(".cache/*"))


def test_every_module_is_compiled_and_believed_without_a_look_at_its_source(image: Image) -> None:
    """A start compiles nothing, and writes nothing that a read-only file system would refuse."""
    compiled = {path.parent.parent / f"{path.name.partition('.')[0]}.py": path for path in files(image, "*.pyc")}
    ours = [path for path in files(image, "*.py") if ".venv" not in path.parts]

    assert len(ours) > 100
    assert [] == [path for path in files(image, "*.py") if path not in compiled and path.parent.name != "bin"]
    assert {UNCHECKED_HASH} == {path.read_bytes()[4] for path in compiled.values()}


def test_no_file_belongs_to_the_user_that_runs_it(image: Image) -> None:
    """Root owns all of it, nobody else may write, and nothing raises anybody's rights."""
    entries = [path.lstat() for path in (image.root / "app").rglob("*") if not path.is_symlink()]

    assert {(0, 0)} == {(entry.st_uid, entry.st_gid) for entry in entries}
    assert not any(entry.st_mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID) for entry in entries)


def test_no_secret_and_no_address_of_the_build_stays_in_it(image: Image) -> None:
    """What told the installer where to go was there for one step only."""
    assert not (image.root / "run" / "secrets").exists() or not list((image.root / "run" / "secrets").iterdir())
    assert not (image.root / "etc" / "pip.conf").exists()
    assert {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "HOST", "LOG_FORMAT"} >= {
        name for name in image.environment if not name.startswith(("PYTHON_", "LANG", "GPG_"))
    }


def test_the_image_says_how_it_is_run(image: Image) -> None:
    """Without a shell anywhere, as a user by number, ended by SIGTERM, and with its version on it."""
    config = image.config
    labels = config["Labels"]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])
    assert ("python", "-m", "service", "serve") == image.command
    assert ("python", "-I", "/app/service/healthcheck.py") == image.health_command
    assert "SIGTERM" == config["StopSignal"]
    assert {"8080/tcp", "9090/tcp"} == set(config["ExposedPorts"])
    assert ("Darkroom", VERSION) == tuple(labels[f"org.opencontainers.image.{name}"] for name in ("title", "version"))


def test_the_image_stays_small(image: Image) -> None:
    """The bound is there to be argued with."""
    sizes = {path.stat().st_ino: path.stat().st_size for path in files(image)}

    assert sum(sizes.values()) / 1e6 < APP_MEGABYTES


@pytest.mark.parametrize("processor", ["aarch64", "x86_64"])
def test_every_library_has_a_wheel_for_both_processors(processor: str, tmp_path: Path) -> None:
    """Nothing is compiled in a build: the locked hashes hold wheels for the Python of the published base."""
    uv = _find_uv()
    assert uv, "scripts/test installs uv"
    command = [uv, "pip", "install", "--dry-run", "--require-hashes", "--only-binary=:all:", "--target", str(tmp_path)]
    command += ["--python-version=3.13", f"--python-platform={processor}-unknown-linux-gnu"]
    command += ["--requirement", "requirements/runtime.txt"]
    found = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)

    assert 0 == found.returncode, found.stderr
