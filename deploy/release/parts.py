"""What is part of what: the files of the image, and those whose change means that there is something to deploy.

Run as `python3 -m deploy.release.parts COMMIT` it says, for a workflow, whether anything has changed since that commit; it
needs the standard library only.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
DEPLOYED: Final = ("deploy/data.yaml", "deploy/compute.yaml", "deploy/accepted-findings.txt")
"""Beside the image: what else reaches the account."""


def image_parts() -> tuple[str, ...]:
    """Return the files and folders that the image is made of, as .dockerignore lets them through."""
    return ("Dockerfile", ".dockerignore", *(line[1:] for line in _ignore_lines() if line.startswith("!")))


def _left_out() -> frozenset[str]:
    """Return the single files within them that .dockerignore takes out again."""
    return frozenset(line for line in _ignore_lines() if line and line[0] not in "!#*")


def _ignore_lines() -> list[str]:
    return (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def image_files() -> Iterator[Path]:
    """Yield the image's files in a fixed order."""
    left_out = {CHECKOUT / name for name in _left_out()}
    for part in sorted(image_parts()):
        path = CHECKOUT / part
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            file for file in files if file.is_file() and "__pycache__" not in file.parts and file not in left_out
        )


def is_deployed(path: str) -> bool:
    """Tell whether a change of this file, named from the top of the checkout, must be deployed."""
    if path in _left_out():
        return False
    return any(path == part or path.startswith(f"{part}/") for part in (*image_parts(), *DEPLOYED))


def changed_since(commit: str) -> Iterable[str] | None:
    """Return the files that have changed since the commit, or None where that cannot be said."""
    command = ["git", "-C", str(CHECKOUT), "diff", "--name-only", "--no-renames", "--end-of-options", commit, "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a list, no shell
    return git.stdout.splitlines() if git.returncode == 0 else None


def main() -> None:
    """Print `deploy=true` or `deploy=false`; an unknown commit means true."""
    commit = sys.argv[1] if len(sys.argv) > 1 else ""
    changed = changed_since(commit) if commit else None
    needed = changed is None or any(is_deployed(path) for path in changed)
    sys.stdout.write(f"deploy={str(needed).lower()}\n")


if __name__ == "__main__":
    main()
