"""What the documents say of cost and scale, against what the arithmetic prints and the parts it was taken from."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks import cost, cost_load, scaling, scaling_storm, tables
from deploy.templates import load_template
from tests.conftest import CHECKOUT

COMPUTE = load_template(CHECKOUT / "deploy" / "compute.yaml")


def test_the_tables_of_cost_are_what_the_arithmetic_prints() -> None:
    """Else: `python -m benchmarks.cost --write`, and read the sentences around them."""
    assert cost.all_tables() == tables.shown(cost.DOCUMENT)


@pytest.mark.timeout(60)
def test_the_tables_of_scaling_are_what_the_simulation_prints() -> None:
    """Else: `python -m benchmarks.scaling --write`, and read the sentences around them."""
    assert scaling.all_tables() == tables.shown(scaling.DOCUMENT)


def test_clients_come_back_in_the_simulation_as_they_do_in_the_page() -> None:
    """The back-off has the page's own numbers."""
    links = (CHECKOUT / "service" / "page" / "darkroom-links.js").read_text(encoding="utf-8")
    timing = {name: int(value.replace("_", "")) / 1000 for name, value in re.findall(r"(\w+Ms): ([\d_]+),", links)}

    assert scaling_storm.SHORTEST_WAIT_SECONDS == timing["shortestWaitMs"]
    assert scaling_storm.LONGEST_WAIT_SECONDS == timing["longestWaitMs"]
    assert scaling_storm.LATER_SECONDS == timing["laterMs"]
    assert scaling_storm.OPENING_SECONDS == timing["openingMs"]


def test_no_alarm_and_no_dashboard_is_forgotten_in_the_price() -> None:
    """What the template makes costs no more than what is reckoned with."""
    resources = COMPUTE["Resources"].values()
    alarms = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
    dashboards = [resource for resource in resources if resource["Type"] == "AWS::CloudWatch::Dashboard"]

    assert cost_load.ALARM_METRICS >= sum(map(_metrics_of, alarms))
    assert cost_load.DASHBOARDS >= len(dashboards)


def _metrics_of(alarm: dict[str, Any]) -> int:
    queries = alarm.get("Metrics", [])
    asked = sum(cost_load.TABLES for query in queries if str(query.get("Expression", "")).startswith("SELECT"))
    return asked + sum("MetricStat" in query for query in queries) if queries else 1


def test_the_sizes_are_parameters_of_the_template() -> None:
    """Each column is a parameter, and each value one that it allows."""
    document = (CHECKOUT / "docs" / "cost.md").read_text(encoding="utf-8")
    head, *sizes = re.findall(r"^\| (?:size|small|medium|large) \|.*$", document, re.MULTILINE)
    columns = [re.findall(r"`(\w+)`", cell) for cell in head.split("|")[2:7]]

    assert ["small", "medium", "large"] == [size.split("|")[1].strip() for size in sizes]
    for size in sizes:
        for names, cell in zip(columns, size.split("|")[2:7], strict=True):
            for name, value in zip(names, cell.split(","), strict=False):
                allowed = COMPUTE["Parameters"][name].get("AllowedValues", [value.strip(" `")])

                assert value.strip(" `") in map(str, allowed)
