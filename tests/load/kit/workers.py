"""How a master and its workers end a run together: Locust's master waits half a second for their last figures, jobs take longer."""

from __future__ import annotations

from typing import Any, Final

from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from kit.users import Submitter, most_seconds_in_hand

DRAIN: Final = "darkroom_drain"
DRAINED: Final = "darkroom_drained"
MARGIN_SECONDS: Final = 10


class Ending:
    """The master's side: it tells the workers that jobs cease to arrive, and waits until each has none in hand."""

    def __init__(self) -> None:
        self._left: set[str] = set()
        self._all_drained = Event()

    def listen(self, runner: Runner) -> None:
        """Take part in endings, as whatever this process is."""
        if isinstance(runner, MasterRunner):
            runner.register_message(DRAINED, self._note)
        elif isinstance(runner, WorkerRunner):
            runner.register_message(DRAIN, _drain, concurrent=True)

    def wait(self, runner: MasterRunner, patience_seconds: float) -> None:
        """Wait for the jobs that the workers have in hand."""
        self._left = {client.id for client in runner.clients.all}
        if self._left:
            self._all_drained.clear()
            runner.send_message(DRAIN)
            self._all_drained.wait(most_seconds_in_hand(patience_seconds) + MARGIN_SECONDS)

    def _note(self, msg: Any, **_: Any) -> None:
        self._left.discard(msg.node_id)
        if not self._left:
            self._all_drained.set()


def _drain(environment: Environment, **_: Any) -> None:
    options, runner = environment.parsed_options, environment.runner
    assert options is not None
    assert isinstance(runner, WorkerRunner)
    Submitter.drain(most_seconds_in_hand(options.patience))
    runner.send_message(DRAINED)
