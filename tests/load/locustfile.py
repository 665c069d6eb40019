"""Load on Darkroom for Locust. `bash scripts/load` runs it; by hand, run Locust from this folder: see docs/load-testing.md."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from kit import report, thresholds
from kit.users import IdleSocket, ReconnectStorm, Submitter, ledger
from kit.workers import Ending

__all__ = ["IdleSocket", "ReconnectStorm", "Submitter"]

PHOTO = Path(__file__).parents[1] / "data" / "astronaut.png"
ending = Ending()
said: list[str] = []


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Add what these users need to Locust's command line and page."""
    group = parser.add_argument_group("Darkroom", "Of all --users, those who are none of --sockets submit jobs.")
    group.add_argument(
        "--arrivals-per-second", type=float, default=1.0, help="jobs that arrive a second, by all users together"
    )
    group.add_argument("--sockets", type=int, default=0, help="users who only hold a socket")
    group.add_argument("--storm-sockets", type=int, default=0, help="users among those who submit whose line is cut")
    group.add_argument("--storm-every", type=float, default=10.0, help="seconds from one cut to the next")
    group.add_argument(
        "--patience", type=float, default=60.0, help="seconds until a job that has not ended is given up"
    )
    group.add_argument("--photo", default=str(PHOTO), help="the PNG that is uploaded")
    group.add_argument("--tokens", default="", help="a file of id tokens, one a line, instead of demo users")
    group.add_argument("--summary-dir", default="", help="folder for summary.json and summary.csv")
    group.add_argument("--same-machine", action="store_true", help="note that the service runs on this machine too")
    group.add_argument(
        "--fail-if",
        action="append",
        default=[],
        type=report.checked_threshold,
        metavar="THRESHOLD",
        help="exit with 1 if this holds, such as 'completed.p95 > 20s'; several",
    )
    # Told to the workers by the master: among so many the rate is shared.
    group.add_argument("--people", type=int, default=1, help=argparse.SUPPRESS)


@events.init.add_listener
def set_up(environment: Environment, **_: Any) -> None:
    """Fix how many users of each kind there are, and end in good order on the first Ctrl-C."""
    options = environment.parsed_options
    assert options is not None
    if environment.runner is not None:
        ending.listen(environment.runner)
    for kind, count in ((IdleSocket, options.sockets), (ReconnectStorm, options.storm_sockets)):
        kind.fixed_count, kind.weight = count, 0
    # The loop's clock stood still while modules were imported: without this the run would be shorter by that time.
    gevent.get_hub().loop.update_now()
    if options.headless and not isinstance(environment.runner, WorkerRunner):
        gevent.signal_handler(signal.SIGINT, _end_early, environment)


def _end_early(environment: Environment) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    assert environment.runner is not None
    environment.runner.quit()


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Note the time, and how many share the rate."""
    options, runner = environment.parsed_options, environment.runner
    assert options is not None
    if runner is not None and not isinstance(runner, WorkerRunner):
        options.people = max(1, runner.target_user_count - options.sockets)
        ledger.clear()
    Submitter.is_over = False
    report.clock.begin(time.time())


@events.test_stopping.add_listener
def stop(environment: Environment, **_: Any) -> None:
    """Note when arrivals end; what has arrived is still waited for."""
    report.clock.end(time.time())
    if isinstance(environment.runner, MasterRunner) and environment.parsed_options is not None:
        ending.wait(environment.runner, environment.parsed_options.patience)


@events.report_to_master.add_listener
def hand_over(data: dict[str, Any], **_: Any) -> None:
    """Send the master what this worker has measured since."""
    data["darkroom"] = ledger.take()


@events.worker_report.add_listener
def take_over(data: dict[str, Any], **_: Any) -> None:
    """Add what a worker has measured."""
    ledger.add(data["darkroom"])


@events.quit.add_listener
def tell(**_: Any) -> None:
    """Print the summary last, below Locust's own tables."""
    if said:  # a worker has nothing to say
        print("\n".join(said), flush=True)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Write the summary, and make the thresholds the exit code."""
    if isinstance(environment.runner, WorkerRunner) or not report.clock.has_begun:
        return
    options = environment.parsed_options
    assert options is not None
    workers = environment.runner.worker_count if isinstance(environment.runner, MasterRunner) else 0
    summary = report.summarise(
        ledger,
        [report.read_threshold(text) for text in thresholds.with_defaults(options.fail_if)],
        report.environment(options, host=environment.host or "", workers=workers),
    )
    said.append(report.as_text(summary))
    if options.summary_dir:
        report.write(summary, Path(options.summary_dir))
    environment.process_exit_code = 1 if summary["exceeded"] else 0
