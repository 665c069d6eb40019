"""The users: those who submit and wait for the push, those who only hold a socket, and those whose line is cut."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group
from locust import FastHttpUser, constant, task
from locust.exception import StopUser

from kit.ledger import Ledger
from kit.line import Line
from kit.memory import Known

SIGN_IN_TRIES: Final = 3
SIGN_IN_PAUSE_SECONDS: Final = 2
READY_SECONDS: Final = 30
SOCKETS_OF_A_USER: Final = 10
GRACE_SECONDS: Final = 5
"""How long the push of an end may still be on its way when REST tells of that end."""
MOST_OPEN_JOBS: Final = 1000
STYLE: Final = "formal_interview"
SIGNATURES: Final = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")

ledger = Ledger()


def most_seconds_in_hand(patience_seconds: float) -> float:
    """Return how long to wait for jobs that have arrived, with their uploads, the grace and the reading."""
    return patience_seconds + 4 * GRACE_SECONDS


class JobFailed(Exception):
    """A job, or one of its requests, that did not come to a good end; its text is a stable code."""


class SocketUser(FastHttpUser):
    """A signed-in user with one socket."""

    abstract = True
    insecure = False
    concurrency = 64
    connection_timeout = 10.0
    network_timeout = 60.0
    wait_time = constant(1)
    _numbers: ClassVar[Iterator[int]] = itertools.count()

    def on_start(self) -> None:
        """Sign in and open the socket; whoever cannot do so in three tries goes away."""
        self.options: Any = self.environment.parsed_options
        self.number = next(self._numbers)
        ledger.count("starts")
        self._sign_in_at_last()
        self.line = Line(self.host or "", token=lambda: self.token, renew=self.renew, ledger=ledger, row=self.row)
        if not self.line.ready.wait(READY_SECONDS):
            ledger.fail("no_socket")

    def on_stop(self) -> None:
        """Leave."""
        if hasattr(self, "line"):
            self.line.close()

    def sign_in(self) -> None:
        """Take a fresh token: from the file where there is one, which may have been written anew, else as a demo user."""
        worker = getattr(self.environment.runner, "worker_index", 0)
        if self.options.tokens:
            tokens = Path(self.options.tokens).read_text(encoding="utf-8").split()
            self.token = tokens[(worker * 997 + self.number) % len(tokens)]
        else:
            self.token = self._demo_token(f"load-{worker}-{self.number}")

    def _demo_token(self, name: str) -> str:
        return str(self.ask("POST", "/auth/demo", json={"user": name})["idToken"])

    def renew(self) -> None:
        """Take a fresh token, or keep the one there is: the line asks again."""
        with suppress(JobFailed):
            self.sign_in()

    def _sign_in_at_last(self) -> None:
        self.token = ""
        for tries_left in reversed(range(SIGN_IN_TRIES)):
            try:
                self.sign_in()
            except JobFailed as failure:
                if not tries_left:
                    ledger.fail(f"sign_in:{failure}")
                    raise StopUser from failure
                gevent.sleep(random.uniform(0, SIGN_IN_PAUSE_SECONDS))
            else:
                return

    def ask(self, method: str, path: str, *, name: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Send a request to the service and read its JSON. Raises JobFailed with the code of the answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= arguments.pop("headers", {})
        answer = self.client.request(method, path, name=name or path, headers=headers, **arguments)
        if answer.status_code == 429:
            ledger.count("rate_limited")
        try:
            body: dict[str, Any] = answer.json() if answer.status_code else {}
        except ValueError:
            body = {}
        if answer.status_code != 200:
            raise JobFailed(body.get("code") or (f"http_{answer.status_code}" if answer.status_code else "no_answer"))
        return body

    def row(self, kind: str, name: str, seconds: float, exception: Exception | None = None) -> None:
        """Add to one of Locust's own rows."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=seconds * 1000,
            response_length=0,
            exception=exception,
            context={},
        )


class IdleSocket(SocketUser):
    """Holds a socket, answers pings, and does nothing else; several are one demo user, whose sign-in is no part of the load."""

    _signing_in: ClassVar[BoundedSemaphore] = BoundedSemaphore()
    _tokens: ClassVar[dict[str, str]] = {}

    def _demo_token(self, name: str) -> str:
        name = f"{name.rpartition('-')[0]}-idle-{self.number // SOCKETS_OF_A_USER}"
        with self._signing_in:
            # Whoever comes back for another has found the shared one refused or near its end.
            if self._tokens.get(name, "") in {"", self.token}:
                self._tokens[name] = super()._demo_token(name)
            return self._tokens[name]

    @task
    def hold(self) -> None:
        """Let the line do it all."""


class Submitter(SocketUser):
    """Uploads and submits as time tells, never as answers do, and waits for each push over the one socket.

    Its arrivals are a Poisson process; those of many users together are one of the whole rate, on however many workers.
    """

    prefix = ""
    jobs: ClassVar[Group] = Group()
    """What all submitters of this process have in hand."""
    is_over: ClassVar[bool] = False
    """Whether jobs have ceased to arrive in this process."""

    def on_start(self) -> None:
        """Begin at a moment of its own."""
        super().on_start()
        self.own_jobs = Group()
        self.photo = Path(self.options.photo).read_bytes()
        self.rate = self.options.arrivals_per_second / max(1, self.options.people)
        self.due = time.monotonic() + random.expovariate(self.rate)

    def on_stop(self) -> None:
        """Let what has arrived come to its end before leaving."""
        if hasattr(self, "own_jobs"):
            self.own_jobs.join(timeout=most_seconds_in_hand(self.options.patience))
        super().on_stop()

    def wait_time(self) -> float:
        """Return the time to the next arrival, from where it was due and not from where this user is."""
        return max(0.0, self.due - time.monotonic())

    @classmethod
    def drain(cls, seconds: float) -> None:
        """Let no more jobs arrive in this process, and wait for those in hand."""
        Submitter.is_over = True
        cls.jobs.join(timeout=seconds)

    @task
    def arrive(self) -> None:
        """Start the job that is due in a greenlet of its own, so that a slow one holds up nobody."""
        if self.due > time.monotonic():
            return
        due, self.due = self.due, self.due + random.expovariate(self.rate)
        if Submitter.is_over:
            return
        if len(self.own_jobs) < MOST_OPEN_JOBS:
            self.jobs.add(self.own_jobs.spawn(self._do_job, due))
        else:
            ledger.count("jobs")
            ledger.fail("too_many_open")

    def _do_job(self, due: float) -> None:
        ledger.count("jobs")
        began = time.monotonic()
        ledger.took("lag", began - due)
        try:
            self._follow_job()
        except JobFailed as failure:
            ledger.fail(str(failure))
            self.row("JOB", "failed", time.monotonic() - began, failure)
        except (KeyError, ValueError) as error:
            ledger.fail("unreadable_answer")
            self.row("JOB", "failed", time.monotonic() - began, error)
        else:
            ledger.count("done")

    def _follow_job(self) -> None:
        began = time.monotonic()
        file_key = self._upload()
        self._took("upload", began)
        submitted = time.monotonic()
        asked = {"fileKey": file_key, "style": STYLE}
        job_id = self.ask("POST", "/generate", json=asked, headers={"Idempotency-Key": str(uuid.uuid4())})["jobId"]
        self._took("accepted", submitted)
        known = self.line.memory.of(job_id)
        self._await_end(job_id, known)
        self._took(self.prefix + "first_event", submitted, known.first_told_at)
        self._took(self.prefix + "completed", submitted, known.ended_at)
        read = time.monotonic()
        self._read_back(job_id, known)
        self._took("read_back", read)
        self.line.memory.forget(job_id)

    def _upload(self) -> str:
        wanted = {"fileName": "load.png", "contentType": "image/png", "fileSize": len(self.photo)}
        link = self.ask("POST", "/upload", json=wanted)
        answer = self.client.request(
            "PUT",
            link["uploadUrl"],
            name="photo to S3",
            data=self.photo,  # type: ignore[arg-type]  # bytes do as well
            headers=link["uploadHeaders"],
        )
        if answer.status_code != 200:
            raise JobFailed(f"s3_put_{answer.status_code}")
        return str(link["fileKey"])

    def _await_end(self, job_id: str, known: Known) -> None:
        """Wait for the push; when patience ends, ask REST whether there is one to wait for."""
        if known.ended.wait(self.options.patience):
            return
        if not self._job(job_id)["terminal"]:
            ledger.count("unfinished")
            raise JobFailed("unfinished")
        if not known.ended.wait(GRACE_SECONDS):
            ledger.count("missed")
            raise JobFailed("missed")
        ledger.count("late")

    def _read_back(self, job_id: str, known: Known) -> None:
        told, read = known.job, self._job(job_id)
        if told["status"] != "completed":
            raise JobFailed(told.get("failure", {}).get("code", told["status"]))
        if (told["status"], told["version"]) != (read["status"], read["version"]):
            raise JobFailed("told_otherwise")
        answer = self.client.request("GET", told["outputImageUrl"], name="picture from S3")
        picture = answer.content or b""
        if answer.status_code != 200:
            raise JobFailed(f"s3_get_{answer.status_code}")
        if len(picture) != told["result"]["bytes"] or not picture.startswith(SIGNATURES):
            raise JobFailed("wrong_picture")

    def _job(self, job_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/jobs/{job_id}", name="/jobs/{id}")

    def _took(self, name: str, since: float, until: float | None = None) -> None:
        seconds = (time.monotonic() if until is None else until) - since
        ledger.took(name, seconds)
        self.row("JOB", name.replace("_", " "), seconds)


class ReconnectStorm(Submitter):
    """A submitter whose line is cut every so often, at the same moment as those of all its kind on all workers."""

    prefix = "storm_"

    def on_start(self) -> None:
        """Wait for the storm."""
        super().on_start()
        self.storm = gevent.spawn(self._cut)

    def on_stop(self) -> None:
        """Leave the storm first: what it has cut comes back while the jobs end."""
        if hasattr(self, "storm"):
            self.storm.kill()
        super().on_stop()

    def _cut(self) -> None:
        while True:
            gevent.sleep(self.options.storm_every - time.time() % self.options.storm_every)
            if self.line.cut():
                ledger.count("cuts")
