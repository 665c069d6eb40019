"""What the journeys start with."""

from __future__ import annotations

import pytest

from tests.conftest import CHECKOUT


@pytest.fixture(scope="session")
def photo() -> bytes:
    """Read the real photo."""
    return (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()
