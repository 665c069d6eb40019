"""The image of this checkout, built once for whoever asks."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import CHECKOUT

BUILD_SECONDS = 280


def image_root() -> Path:
    """Return the image's root file system, building the image first unless that is done; ``config.json`` lies beside it.

    Blocks, up to minutes the first time. Safe to call from several processes: the second waits for the first one's image.
    """
    build = subprocess.run(
        ["bash", "scripts/image"],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert build.returncode == 0, build.stdout
    return CHECKOUT / ".image" / "root"
