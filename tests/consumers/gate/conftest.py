"""The gate's fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from consumers.gate import GateConfig
from tests.consumers.gate.scene import MakeScene, Scene


@pytest.fixture
async def scenes() -> AsyncIterator[MakeScene]:
    """Make gates of the wanted sizes."""
    made: list[Scene] = []

    def make(most: int = 4, start: int | None = None, max_waiting: int = 100) -> Scene:
        made.append(Scene(GateConfig(most=most, start=start or most, max_waiting=max_waiting)))
        return made[-1]

    yield make
    for scene in made:
        await scene.end()
