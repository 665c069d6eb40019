"""What the image's tests stand on: the image, built once, and what a service on the embedded cloud is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from tests.image.build import image_root
from tests.image.container import Image

ANY_PORT: Final = "0"


@pytest.fixture(scope="session")
def image() -> Image:
    """Build the image of this checkout, unless that is done, and read it."""
    return Image.read(image_root())


@pytest.fixture
def environment(cloud_environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a service on the embedded cloud, whose demo sign-in is on."""
    own = {"EMBEDDED": "true", "HOST": "127.0.0.1", "PORT": ANY_PORT, "METRICS_PORT": "off", "LOG_LEVEL": "WARNING"}
    return {**cloud_environment, **own}
