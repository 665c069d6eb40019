"""What requests may say, where one type serves several."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from jobs.errors import InvalidRequest
from service.schemas import Degrees, DeliveriesRequest, EventsRequest, parse


class _Place(BaseModel):
    latitude: Degrees
    longitude: Degrees | None = None


@pytest.mark.parametrize("said", [37.5, "37.5"])
def test_degrees_are_numbers(said: Any) -> None:
    """Clients of the originals send them as text, too."""
    assert _Place(latitude=37.5) == parse(_Place, {"latitude": said})


@pytest.mark.parametrize("said", [True, False, "true", "north", [], {}])
@pytest.mark.parametrize("field", ["latitude", "longitude"])
def test_nothing_else_is_degrees(said: Any, field: str) -> None:
    """Least of all the truth, which would be one degree."""
    with pytest.raises(InvalidRequest) as caught:
        parse(_Place, {"latitude": 1, field: said})

    assert (field, f"{field} must be a number") == (caught.value.field, caught.value.message)


@pytest.mark.parametrize(
    ("model", "said", "sentence"),
    [
        (DeliveriesRequest, {"limit": "0"}, "limit must be a whole number from 1 to 100"),
        (DeliveriesRequest, {"limit": "many"}, "limit must be a whole number from 1 to 100"),
        (EventsRequest, {"wait": "56"}, "wait must be a number from 0 to 55"),
    ],
)
def test_a_number_out_of_bounds_is_told_its_own_bounds(
    model: type[BaseModel], said: dict[str, str], sentence: str
) -> None:
    """Not those of another field."""
    with pytest.raises(InvalidRequest, match=sentence):
        parse(model, said)
