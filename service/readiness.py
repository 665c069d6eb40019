"""Whether this task wants new requests."""

from __future__ import annotations

from enum import StrEnum


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
