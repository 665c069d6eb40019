"""The runbook: a section for every alarm, and nothing in it that is not there: log lines, panels, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from botocore import xform_name
from botocore.session import Session

from tests.conftest import CHECKOUT
from tests.deploy.compute import COMPUTE, dashboard
from tests.deploy.intrinsics import of_type

RUNBOOK: Final = (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")
OF_EVERY_COMMAND: Final = {"query", "output", "region"}
OF_THE_COMMAND_LINE_ALONE: Final = {
    ("logs", "tail"): {"since", "filter-pattern"},
    ("dynamodb", "wait"): {"table-name"},
}
"""Commands that no operation of AWS stands behind."""


def test_every_alarm_has_its_section_in_the_runbook_and_no_other_is_there() -> None:
    """Whoever is woken finds what to do under the name in the message."""
    watched = [*of_type(COMPUTE, "AWS::CloudWatch::Alarm"), *of_type(COMPUTE, "AWS::Events::Rule")]
    alarms = RUNBOOK.partition("\n## Alarms\n")[2].partition("\n## ")[0]

    assert sorted(watched) == sorted(re.findall(r"^### (\w+)$", alarms, re.MULTILINE))


def test_every_section_of_an_alarm_says_what_it_means_where_to_look_and_what_to_do() -> None:
    """In that order."""
    alarms = RUNBOOK.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    sections = re.split(r"^### ", alarms, flags=re.MULTILINE)[1:]

    assert [["Meaning", "Look", "Do"]] * len(sections) == [
        re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) for section in sections
    ]


def test_the_runbook_names_log_lines_and_panels_that_there_are() -> None:
    """A query for a line that nobody writes finds nothing, and says so of an outage too."""
    sources = "".join(
        path.read_text(encoding="utf-8")
        for room in ("jobs", "consumers", "websocket", "service")
        for path in (CHECKOUT / room).rglob("*.py")
    )
    lists = re.findall(r"action (?:= |in )(\[.*?\]|\"\w+\")", RUNBOOK)
    actions = {action for found in lists for action in re.findall(r'"(\w+)"', found)}
    panels = set(re.findall(r"panel \*([^*]+)\*", RUNBOOK))

    assert len(actions) > 10
    assert set() == {action for action in actions if f'"{action}"' not in sources}
    assert set() == panels - dashboard().keys()


def commands() -> Iterator[tuple[str, str, set[str]]]:
    """Yield service, operation and options of each call of the AWS command line."""
    for line in RUNBOOK.replace("\\\n", " ").splitlines():
        for service, operation, rest in re.findall(r"\baws ([a-z0-9-]+) ([a-z-]+)((?: [^|`]*?)?)(?=$|[|;`]|\)$)", line):
            yield service, operation, set(re.findall(r" --([a-z-]+)", rest)) - OF_EVERY_COMMAND


def test_the_runbook_s_commands_are_those_of_aws() -> None:
    """Services, operations and options are spelled as AWS's own description of them has it."""
    session, told = Session(), list(commands())

    assert len(told) > 15
    for service, operation, options in told:
        if (service, operation) in OF_THE_COMMAND_LINE_ALONE:
            assert options <= OF_THE_COMMAND_LINE_ALONE[service, operation]
            continue
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(operations[operation]).input_shape
        known = {xform_name(name, "-") for name in shape.members} if shape else set()
        assert set() == options - known, (service, operation)


def test_the_runbook_s_links_lead_somewhere() -> None:
    """To a heading of the page itself, or to another page."""
    headings = re.findall(r"^#+ (.*)$", RUNBOOK, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(([^)]+)\)", RUNBOOK)

    assert {link for link in links if link.startswith("#")} <= {f"#{anchor}" for anchor in anchors}
    assert all((CHECKOUT / "docs" / link.partition("#")[0]).is_file() for link in links if not link.startswith("#"))
