"""The command behind `bash scripts/load`: starts a service where none is named, Locust on it, and stops both."""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from kit.report import checked_threshold
from kit.thresholds import DEFAULTS

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parents[1]
START_SECONDS: Final = 180
STOP_SECONDS: Final = 40
SETTLE_SECONDS: Final = 30
OWN_FILES: Final = 200
FILES_OF_A_USER: Final = 3
BAD_USAGE: Final = 2
ENDED_EARLY: Final = 130
PR_SET_PDEATHSIG: Final = 1
MACHINE: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"),
    *(name for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for name in (proxy, proxy.lower())),
)
MAY_SAY: Final = (
    *("DAILY_LIMIT", "MAX_USER_UNFINISHED", "MAX_USER_IN_FLIGHT", "ANONYMOUS_PIPELINES", "ANONYMOUS_DAILY_LIMIT"),
    *("SIMILARITY_THRESHOLD", "USER_REQUESTS_PER_MINUTE", "ADDRESS_REQUESTS_PER_MINUTE", "SUBMITS_PER_MINUTE"),
    *(
        "TRUSTED_PROXY_HOPS",
        "WORKER_SLOTS",
        "LEASE_SECONDS",
        "SWEEP_SECONDS",
        "STOP_TIMEOUT_SECONDS",
        "DEREGISTRATION_SECONDS",
        "GEMINI_TIMEOUT_SECONDS",
    ),
    *("METRICS_PORT", "LOG_LEVEL"),
)
"""What docs/configuration.md lets one say of the embedded mode, without the key that costs money."""


class CannotRun(Exception):
    """There is no run; the text says why."""


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what is not known here is for Locust."""
    parser = argparse.ArgumentParser(
        prog="bash scripts/load",
        allow_abbrev=False,
        description="Put load on Darkroom with Locust, print what its users and sockets saw, and exit with 1 if a threshold "
        "is exceeded. Any other option is handed to Locust. docs/load-testing.md explains the figures.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="the service to load, such as https://darkroom.example")
    where.add_argument(
        "--embedded", action="store_true", help="start one on this machine, and forget it after (default)"
    )
    _add_load(parser)
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        type=checked_threshold,
        metavar="THRESHOLD",
        help="such as 'completed.p95 > 20s'; several. Unless you name their figure, these hold too: "
        + ", ".join(DEFAULTS).replace("%", "%%"),
    )
    parser.add_argument("--report-dir", type=Path, help="where the report goes (default load-reports/<time>)")
    parser.add_argument(
        "--gemini-latency",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="with --embedded: the simulator's (default 1)",
    )
    return parser.parse_known_args(arguments)


def _add_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=4, help="who submit (default %(default)s)")
    parser.add_argument(
        "--arrivals-per-second",
        type=float,
        default=1.0,
        metavar="N",
        help="jobs that arrive, however slow the answers are (default %(default)s)",
    )
    parser.add_argument("--sockets", type=int, default=10, help="users who only hold a socket (default %(default)s)")
    parser.add_argument(
        "--storm-sockets", type=int, default=2, help="more who submit, and whose lines are cut (default %(default)s)"
    )
    parser.add_argument(
        "--storm-every", type=float, default=10.0, metavar="SECONDS", help="from cut to cut (default %(default)s)"
    )
    parser.add_argument("--run-time", default="30s", help="how long jobs arrive: 30s, 10m, 1h30m (default %(default)s)")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="SECONDS", help="until a job is given up (default %(default)s)"
    )
    parser.add_argument("--photo", type=Path, help="a PNG to upload (default tests/data/astronaut.png)")
    parser.add_argument("--tokens", type=Path, help="a file of id tokens, one a line; without it, demo users")


def main(arguments: list[str]) -> int:
    """Run; returns 0, 1 when a threshold is exceeded, 2 for what cannot be run, 130 for a second Ctrl-C."""
    options, others = parse(arguments)
    # Started in the background of a script, a process ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _allow_files(options)
        report = _report_folder(options)
        if options.url:
            return _load(options, others, options.url, report)
        with _service(options, report) as url:
            return _load(options, others, url, report)
    except CannotRun as reason:
        print(reason, file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return ENDED_EARLY


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _allow_files(options: argparse.Namespace) -> None:
    """Take as many open files as the system gives; Locust and the service inherit them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    needed = OWN_FILES + FILES_OF_A_USER * (options.users + options.sockets + options.storm_sockets)
    if needed > most != resource.RLIM_INFINITY:
        raise CannotRun(
            f"So many sockets need {needed} open files, and this machine allows {most}: raise `ulimit -Hn`."
        )


def _report_folder(options: argparse.Namespace) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder: Path = (options.report_dir or CHECKOUT / "load-reports" / now).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _service(options: argparse.Namespace, report: Path) -> Iterator[str]:
    """Run the embedded mode on a free port, its data thrown away after; gives its address."""
    with tempfile.TemporaryDirectory(prefix="darkroom-load-") as data, (report / "service.log").open("wb") as log:
        print("Starting a service on this machine …", flush=True)
        process = subprocess.Popen(
            [
                *(CHECKOUT / ".venv" / "bin" / "python", "-m", "service", "--embedded", "--port=0"),
                *(f"--data-dir={data}", f"--gemini-latency={options.gemini_latency}"),
            ],
            cwd=CHECKOUT,
            env=service_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for Locust first
            preexec_fn=ends_with_us(signal.SIGTERM),  # noqa: PLW1509 - no thread runs yet
        )
        try:
            yield _address(process, report)
        finally:
            _stop(process)


def service_environment() -> dict[str, str]:
    """Return what the service is told: nothing of a deployment's, whose bus and tables the caller's environment may name."""
    own = {name: os.environ[name] for name in (*MACHINE, *MAY_SAY) if os.environ.get(name)}
    return {"DAILY_LIMIT": "1000000"} | own


def ends_with_us(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does first, so that on Linux it gets the signal when we end, even where we are killed."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before, and sends no signal any more
            os._exit(1)

    return ask


def _address(process: subprocess.Popen[bytes], report: Path) -> str:
    assert process.stdout is not None
    alarm = threading.Timer(START_SECONDS, process.kill)
    alarm.start()
    try:
        for line in process.stdout:
            if match := re.search(rb"ready: (http://\S+)", line):
                return match[1].decode()
    finally:
        alarm.cancel()
    raise CannotRun(f"The service did not start; see {report / 'service.log'}.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _load(options: argparse.Namespace, others: list[str], url: str, report: Path) -> int:
    """Run Locust to its end, and say where its report is."""
    print(f"Load on {url} for {options.run_time}; Ctrl-C ends it early, and still writes the report.", flush=True)
    log, summary = report / "locust.log", report / "summary.json"
    summary.unlink(missing_ok=True)
    code = _run(_command(options, others, url, report), log)
    if code < 0:
        return ENDED_EARLY
    if not summary.exists():
        raise CannotRun("\n".join(["Locust made no report:", *log.read_text().splitlines()[-5:]]))
    print(f"\nReport: {report / 'report.html'}", flush=True)
    return code


def _command(options: argparse.Namespace, others: list[str], url: str, report: Path) -> list[str]:
    everybody = options.users + options.sockets + options.storm_sockets
    is_near = not options.url or re.match(r"https?://(127\.|localhost|\[::1\])", url)
    named = {
        "host": url,
        "users": everybody,
        "spawn-rate": 50,
        "run-time": options.run_time,
        "stop-timeout": int(options.patience) + SETTLE_SECONDS,
        "arrivals-per-second": options.arrivals_per_second,
        "sockets": options.sockets,
        "storm-sockets": options.storm_sockets,
        "storm-every": options.storm_every,
        "patience": options.patience,
        "summary-dir": report,
        "html": report / "report.html",
        "csv": report / "locust",
    }
    named |= {name: path.resolve() for name in ("photo", "tokens") if (path := getattr(options, name))}
    return [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
        *(f"--{name}={value}" for name, value in named.items()),
        *(f"--fail-if={text}" for text in options.fail_if),
        *(["--same-machine"] if is_near else []),
        *others,
    ]


def _run(command: list[str], log: Path) -> int:
    """Run Locust from its folder, where `websocket` is the client's; the first Ctrl-C lets it finish, the next does not."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=HERE,
            stderr=errors,
            start_new_session=True,
            preexec_fn=ends_with_us(signal.SIGKILL),  # noqa: PLW1509 - no thread runs any more
        )
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                print("\nWaiting for the jobs in hand; Ctrl-C once more leaves them.", flush=True)
                process.send_signal(signal.SIGINT)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
