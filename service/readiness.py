"""Whether this task wants new requests, and what makes it less than well."""

from __future__ import annotations

from enum import StrEnum

from consumers.gate_state import Condition, GateState
from jobs.conditions import Conditions, Degradation


class State(StrEnum):
    """The life of a task, in order."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Readiness:
    """What ``/readyz`` tells the load balancer."""

    def __init__(self) -> None:
        self.state = State.STARTING

    def ready(self) -> None:
        """Ask for requests, unless the task is leaving already."""
        if self.state is State.STARTING:
            self.state = State.READY

    def drain(self) -> None:
        """Ask for no more requests; those that come are still served."""
        self.state = State.DRAINING


def report_bus(conditions: Conditions, *, is_whole: bool) -> None:
    """Tell the house whether events of other tasks arrive at once."""
    reason = "Updates from other servers take a few seconds longer."
    down = Degradation(part="events", condition="delayed", reason=reason)
    conditions.report("events", None if is_whole else down)


def is_cut_off(conditions: Conditions, model: str) -> bool:
    """Tell whether nothing is sent to this model just now; one that is merely slow is not cut off."""
    now = (degradation for degradation in conditions.current() if degradation.part == _part_of(model))
    return any(degradation.condition in (Condition.OPEN, Condition.CLOSED_UNTIL) for degradation in now)


def report_gate(conditions: Conditions, state: GateState) -> None:
    """Tell the house how the gate of a model stands."""
    part = _part_of(state.model)
    if state.condition is Condition.OK:
        conditions.report(part, None)
    else:
        degradation = Degradation(
            part=part,
            condition=state.condition,
            reason=state.reason,
            retry_after_seconds=state.retry_after_seconds,
        )
        conditions.report(part, degradation)


def _part_of(model: str) -> str:
    return f"gemini:{model}"
