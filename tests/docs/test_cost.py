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
    """Neither of those that a deployment makes without saying anything, nor of the two that each policy of scaling makes."""
    alarms = [alarm for alarm in _of_type("AWS::CloudWatch::Alarm") if "Condition" not in alarm]
    policies = _of_type("AWS::ApplicationAutoScaling::ScalingPolicy")
    followed = [
        policy["Properties"]["TargetTrackingScalingPolicyConfiguration"].get("CustomizedMetricSpecification", {})
        for policy in policies
    ]

    assert cost_load.ALARM_METRICS == sum(_metrics_of(alarm["Properties"]) for alarm in alarms)
    assert cost_load.SCALING_ALARM_METRICS == sum(2 * _metrics_of(one) for one in followed)
    assert cost_load.DASHBOARDS == len(_of_type("AWS::CloudWatch::Dashboard"))


def _of_type(name: str) -> list[dict[str, Any]]:
    return [resource for resource in COMPUTE["Resources"].values() if resource["Type"] == name]


def _metrics_of(watching: dict[str, Any]) -> int:
    return sum("MetricStat" in metric for metric in watching["Metrics"]) if "Metrics" in watching else 1


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
