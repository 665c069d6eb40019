"""Identifiers."""

from __future__ import annotations

import pytest

from jobs import clock
from jobs.ids import EventIds


def test_event_ids_sort_by_the_order_of_their_making() -> None:
    """Ten thousand ids within a few milliseconds, the clock stepping back meanwhile."""
    ids = EventIds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            clock, "now_milliseconds", iter([1_700_000_000_000 - step // 100 for step in range(10_000)]).__next__
        )
        made = [ids.next() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert {28} == {len(event_id) for event_id in made}
