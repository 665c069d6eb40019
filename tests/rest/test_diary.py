"""What an entry of a diary may say."""

from __future__ import annotations

import pytest

from tests.rest.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("said", [0, 86_400, True, [], "soon", "2026-02-30"])
async def test_a_date_is_a_day(api: Api, said: object) -> None:
    """No number is one, though it might be taken for seconds."""
    answer = await api.post("/diary", {"text": "A quiet day.", "date": said})

    assert (400, "invalid_request") == answer.error
    assert ("date", "date must be a day, such as 2026-11-20") == (answer.body["field"], answer.body["error"])
    assert await api.has_left_nothing()
