"""Boxes in pixels, and the vehicle that a photo is of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.boxes import Box, Seen, Size, as_json, choose_subject, from_gemini, inside, scaled, surroundings

PHOTO = (4000, 3000)
sides = st.integers(1, 16_000)
sizes = st.tuples(sides, sides)
numbers = st.one_of(st.integers(), st.floats())


def box(x: int, y: int, width: int, height: int) -> Box:
    """Write a box in short."""
    return Box(x=x, y=y, width=width, height=height)


def lies_within(one: Box, size: Size) -> bool:
    """Say whether a box has an area and is whole in a picture of that size."""
    return (
        min(one.x, one.y) >= 0
        and min(one.width, one.height) > 0
        and one.x + one.width <= size[0]
        and one.y + one.height <= size[1]
    )


def holds(outer: Box, inner: Box) -> bool:
    """Say whether one box lies in the other."""
    return inside(inner, outer) == Box(x=inner.x - outer.x, y=inner.y - outer.y, width=inner.width, height=inner.height)


@st.composite
def boxes_within(draw: st.DrawFn, size: Size) -> Box:
    """Draw a box in a picture of that size."""
    x, y = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    return Box(x=x, y=y, width=draw(st.integers(1, size[0] - x)), height=draw(st.integers(1, size[1] - y)))


@pytest.mark.parametrize(
    ("box_2d", "expected"),
    [
        ([100, 200, 300, 400], box(800, 300, 800, 600)),
        ([300, 400, 100, 200], box(800, 300, 800, 600)),
        ([0, 0, 1000, 1000], box(0, 0, 4000, 3000)),
        ([-50, -1, 1500, 10**400], box(0, 0, 4000, 3000)),
        ([333, 333, 334, 334], box(1332, 999, 4, 3)),
        ([0.5, 0.5, 1.0, 1.0], box(2, 1, 2, 2)),
        ([0, 0, 0.01, 0.01], box(0, 0, 1, 1)),
    ],
)
def test_geminis_thousandths_become_pixels(box_2d: list[float], expected: Box) -> None:
    """Top, left, bottom, right; clamped, turned round where inverted, and never thinner than a pixel."""
    assert expected == from_gemini(box_2d, *PHOTO)


@pytest.mark.parametrize(
    "box_2d",
    [
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [100, 100, 100, 200],
        [100, 100, 200, 100],
        [1000, 1000, 2000, 2000],
        [-9, -9, 0, 0],
        [0, 0, math.nan, 1],
        [0, 0, math.inf, 1],
        [False, 0, True, 1],
        ["0", "0", "9", "9"],
        [None, None, None, None],
    ],
    ids=str,
)
def test_what_is_no_box_is_none(box_2d: list[float]) -> None:
    """A model may answer anything."""
    assert from_gemini(box_2d, *PHOTO) is None


@given(st.lists(numbers, min_size=4, max_size=4), sizes)
def test_geminis_boxes_lie_in_the_picture(box_2d: list[float], size: Size) -> None:
    """Whatever the numbers are."""
    found = from_gemini(box_2d, *size)

    assert found is None or lies_within(found, size)


@given(st.data(), sizes, sizes)
def test_a_scaled_box_lies_in_the_picture_and_comes_back(data: st.DataObject, before: Size, after: Size) -> None:
    """There and back it holds what it held."""
    one = data.draw(boxes_within(before))
    there = scaled(one, before, after)
    back = scaled(there, after, before)

    assert lies_within(there, after)
    assert lies_within(back, before)
    assert holds(back, one)


@given(st.data(), sizes)
def test_a_box_in_a_picture_of_the_same_size_is_the_same(data: st.DataObject, size: Size) -> None:
    """Nothing grows by being asked for."""
    one = data.draw(boxes_within(size))

    assert one == scaled(one, size, size)


@given(st.data(), st.tuples(st.integers(1, 8000), st.integers(1, 8000)), st.integers(2, 4))
def test_a_box_comes_back_from_a_larger_picture(data: st.DataObject, size: Size, times: int) -> None:
    """Exactly."""
    one, larger = data.draw(boxes_within(size)), (size[0] * times, size[1] * times)

    assert one == scaled(scaled(one, size, larger), larger, size)


@pytest.mark.parametrize(
    ("vehicle", "expected"),
    [
        (box(1000, 1000, 800, 600), box(700, 700, 1400, 1000)),
        (box(100, 50, 800, 600), box(0, 0, 1200, 750)),
        (box(3500, 2500, 500, 450), box(3200, 2200, 800, 800)),
        (box(0, 0, 4000, 3000), box(0, 0, 4000, 3000)),
    ],
)
def test_surroundings_are_those_of_the_originals(vehicle: Box, expected: Box) -> None:
    """300 pixels around and 100 below, as far as there is a picture: never from below nought."""
    assert expected == surroundings(vehicle, within=PHOTO)


@given(st.data(), sizes)
def test_surroundings_hold_the_vehicle(data: st.DataObject, size: Size) -> None:
    """And lie in the picture."""
    vehicle = data.draw(boxes_within(size))
    around = surroundings(vehicle, within=size)

    assert lies_within(around, size)
    assert holds(around, vehicle)


def test_a_box_is_seen_from_its_frame() -> None:
    """The vehicle in its crop; what lies outside is cut, and nothing is left of what lies beside."""
    assert box(300, 300, 800, 600) == inside(box(1000, 1000, 800, 600), box(700, 700, 1400, 1000))
    assert box(0, 0, 50, 60) == inside(box(-50, -40, 100, 100), box(0, 0, 4000, 3000))
    assert inside(box(0, 0, 700, 700), box(700, 700, 10, 10)) is None


def test_a_box_is_written_as_answers_have_it() -> None:
    """And can be read again from that."""
    one = box(1, 2, 3, 4)

    assert {"x": 1, "y": 2, "width": 3, "height": 4} == as_json(one)
    assert one == Box(**as_json(one))


SUBJECT = Seen(box=box(1300, 1200, 1200, 800), label="car", confidence=0.9)


@pytest.mark.parametrize(
    "bystander",
    [
        Seen(box=box(0, 1100, 900, 1600), label="car", confidence=0.98),
        Seen(box=box(3500, 1000, 500, 900), label="truck", confidence=0.99),
        Seen(box=box(1900, 900, 250, 160), label="car", confidence=0.99),
        Seen(box=box(1400, 1300, 900, 500), label="car", confidence=0.4),
        Seen(box=box(1000, 600, 2000, 1700), label="bus", confidence=0.99),
        Seen(box=box(1200, 1100, 1400, 1000), label="motorcycle", confidence=0.99),
    ],
    ids=["near, cut by the edge", "at the edge", "far away in the middle", "doubtful", "a bus", "a motorcycle"],
)
def test_a_bystander_is_not_reported(bystander: Seen) -> None:
    """Though the model may be surer of it; in whichever order it names them."""
    assert SUBJECT == choose_subject([bystander, SUBJECT], *PHOTO)
    assert SUBJECT == choose_subject([SUBJECT, bystander], *PHOTO)


def test_confidence_decides_between_equals() -> None:
    """Side by side, as large and as near to the middle."""
    left = Seen(box=box(900, 1200, 1000, 700), label="car", confidence=0.8)
    right = Seen(box=box(2100, 1200, 1000, 700), label="Truck ", confidence=0.9)

    assert right == choose_subject([left, right], *PHOTO)


def test_only_cars_and_trucks_are_subjects() -> None:
    """A photo of others, or of nothing, has none; a single car is it, wherever it stands."""
    bus = Seen(box=box(0, 0, 4000, 3000), label="bus", confidence=1)
    alone = Seen(box=box(0, 0, 400, 300), label="car", confidence=0.5)

    assert choose_subject([], *PHOTO) is None
    assert choose_subject([bus], *PHOTO) is None
    assert alone == choose_subject([bus, alone], *PHOTO)


@given(st.data(), sizes)
def test_the_subject_is_one_of_those_seen(data: st.DataObject, size: Size) -> None:
    """For any boxes."""
    drawn = data.draw(st.lists(st.tuples(boxes_within(size), st.floats(0, 1)), min_size=1, max_size=5))
    seen = [Seen(box=one, label="car", confidence=confidence) for one, confidence in drawn]

    assert choose_subject(seen, *size) in seen
