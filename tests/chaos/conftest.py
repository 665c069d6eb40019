"""What the chaos tests stand on: one cloud for a module, and no service left over from the test before."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.stage import Stage, chaos_stage
from tests.conftest import CHECKOUT


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Run a cloud of the module's own."""
    async with chaos_stage(tmp_path_factory.mktemp("chaos")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> AsyncIterator[Stage]:
    """Give the stage, and afterwards kill every service and lift every fault."""
    yield module_stage
    await module_stage.kill_all()
    module_stage.aws.clear()
    module_stage.gemini.clear()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """Read the real photo."""
    return (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()
