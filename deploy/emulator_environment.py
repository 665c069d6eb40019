"""The emulator's own Python environment, made once from its locked requirements and kept by their hash."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent
REQUIREMENTS: Final = CHECKOUT / "deploy" / "requirements.txt"
INSTALL_SECONDS: Final = 300


class EmulatorUnavailable(Exception):
    """The AWS emulator cannot be installed here."""


def emulator_python(tools: Path = CHECKOUT / ".tools") -> Path:
    """Return the interpreter of the emulator's environment, making the environment first if it is not there.

    Safe to call from several processes at once. Blocks: the first call installs some 60 MB.
    Raises EmulatorUnavailable with one line for a person.
    """
    environment = tools / f"emulator-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    python = environment / "bin" / "python"
    complete = environment / "complete"
    if complete.exists():
        return python
    try:
        tools.mkdir(parents=True, exist_ok=True)
        with _only_one(tools / "emulator.lock"):
            if not complete.exists():
                _install(environment, python)
                complete.touch()
    except OSError as error:
        raise EmulatorUnavailable(f"The AWS emulator cannot be installed under {tools}: {error}") from error
    return python


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        deadline = time.monotonic() + INSTALL_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmulatorUnavailable(f"Another process has held {path} for {INSTALL_SECONDS} s.") from None
                time.sleep(0.1)
        yield


def _install(environment: Path, python: Path) -> None:
    """Build in place: a virtual environment cannot be moved, so the marker beside it says whether it is whole."""
    shutil.rmtree(environment, ignore_errors=True)
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    locked = ["--require-hashes", "--requirement", str(REQUIREMENTS)]
    if uv := _find_uv():
        _run(uv, "venv", "--quiet", "--no-project", "--python", base, str(environment))
        _run(uv, "pip", "install", "--quiet", "--python", str(python), *locked)
    else:
        _run(base, "-m", "venv", str(environment))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *locked)


def _find_uv() -> str | None:
    bundled = CHECKOUT / ".tools" / "uv" / "bin" / "uv"
    return os.environ.get("UV") or shutil.which("uv") or (str(bundled) if bundled.exists() else None)


def _run(*command: str) -> None:
    # VIRTUAL_ENV and PYTHON* belong to the caller's environment; they would be warned about or, worse, used.
    environment = {
        name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV" and not name.startswith("PYTHON")
    }
    try:
        subprocess.run(  # noqa: S603 - our own fixed commands
            command, env=environment, check=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL, capture_output=True
        )
    except subprocess.TimeoutExpired:
        raise EmulatorUnavailable(
            f"Installing the AWS emulator took longer than {INSTALL_SECONDS} s; is a package index reachable?"
        ) from None
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode(errors="replace").split()) or f"exit code {error.returncode}"
        raise EmulatorUnavailable(f"The AWS emulator cannot be installed: {reason[-400:]}") from error
