"""What CloudWatch takes for a line of its embedded metric format: the official schema, and the rules that stand beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema

from tests.conftest import CHECKOUT

MOST_VALUES: Final = 100
MOST_METRICS: Final = 100
_SCHEMA: Final = jsonschema.Draft7Validator(
    json.loads((CHECKOUT / "tests" / "contracts" / "emf-2026-11.json").read_text())
)


def read_line(line: bytes) -> dict[str, Any]:
    """Read one line as CloudWatch would; fails with what is wrong with it."""
    document: dict[str, Any] = json.loads(line)
    problems = [error.message for error in _SCHEMA.iter_errors(document)] or [*_complaints(document)]
    assert not problems, problems
    return document


def metrics_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that the line defines."""
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    return {definition["Name"]: document[definition["Name"]] for definition in directive["Metrics"]}


def _complaints(document: Mapping[str, Any]) -> Iterator[str]:
    for directive in document["_aws"]["CloudWatchMetrics"]:
        names = [definition["Name"] for definition in directive["Metrics"]]
        if len(set(names)) != len(names) or len(names) > MOST_METRICS:
            yield "a metric is defined twice, or there are too many"
        yield from (f"{name} has no value" for name in names if not _is_value(document.get(name)))
        dimensions = [name for names in directive["Dimensions"] for name in names]
        yield from (f"{name} is no text" for name in dimensions if not _is_text(document.get(name)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1024


def _is_value(value: Any) -> bool:
    """Tell a number, or the set of values that CloudWatch's own exporters write for a histogram."""
    if not isinstance(value, dict):
        return _is_number(value)
    values, counts = value["Values"], value["Counts"]
    numbers = [*values, *counts, value["Min"], value["Max"], value["Sum"], value["Count"]]
    return (
        value.keys() == {"Values", "Counts", "Min", "Max", "Sum", "Count"}
        and all(map(_is_number, numbers))
        and 1 <= len(values) == len(counts) <= MOST_VALUES
        and sum(counts) == value["Count"]
        and value["Min"] <= min(values) <= max(values) <= value["Max"]
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
