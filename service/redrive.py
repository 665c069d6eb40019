"""``python -m service redrive``: bring the jobs whose messages died back to the queue, one by one."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final, TextIO

from jobs import aws, clock, moves
from jobs.dead_letters import DeadLetters, Letter
from jobs.errors import CloudUnavailable, JobDeleted, JobNotFound, LostClaim
from jobs.events import InProcessBus
from jobs.ids import JobId
from jobs.job_table import JobTable
from jobs.model import Job, Status
from jobs.work_queue import MAX_BATCH, WorkQueue
from service.log import configure_logging
from service.process import CannotStart, read_settings, stop_on_signals
from service.settings import Settings

logger = logging.getLogger(__name__)

_EMPTY_POLLS: Final = 2
_GIVE_UP_AFTER: Final = 10
_LETTERS_PER_RECORD: Final = 100


class Outcome(StrEnum):
    """What became of a letter."""

    BROUGHT_BACK = "brought back"
    SENT_AGAIN = "sent again"
    OVER = "over"
    NOT_OURS = "not ours"
    NOT_MOVED = "not moved"


_MEANINGS: Final = {
    Outcome.BROUGHT_BACK: "failed jobs that wait in the queue again",
    Outcome.SENT_AGAIN: "unfinished jobs that got a message again",
    Outcome.OVER: "letters of completed, canceled or deleted jobs, thrown away",
    Outcome.NOT_OURS: "unreadable or foreign letters, left where they are",
    Outcome.NOT_MOVED: "letters that could not be moved, left where they are; the log says why",
}


class Redrive:
    """One walk through the dead letters. A death in between makes a second message at worst, which a claim absorbs."""

    def __init__(self, letters: DeadLetters, table: JobTable, queue: WorkQueue, *, dry_run: bool) -> None:
        self._letters = letters
        self._table = table
        self._queue = queue
        self._dry_run = dry_run
        self._in_hand: dict[str, Letter] = {}
        self._failures_in_a_row = 0
        self.counts: Counter[Outcome] = Counter()

    @property
    def clean(self) -> bool:
        """Whether every letter of ours that was met could be moved."""
        return not self.counts[Outcome.NOT_MOVED]

    async def run(self, limit: int | None, stop: asyncio.Event, on_letter: Callable[[], None]) -> None:
        """Settle letters until none is left, ``limit`` of ours are, or ``stop`` is set. Raises CloudUnavailable.

        What stays in the dead-letter queue is visible there again afterwards.
        """
        try:
            await self._walk(limit, stop, on_letter)
        finally:
            await self._put_back()

    async def _walk(self, limit: int | None, stop: asyncio.Event, on_letter: Callable[[], None]) -> None:
        empty_polls = 0
        while empty_polls < _EMPTY_POLLS and (room := self._room(limit)) > 0:
            letters = await self._letters.take(room)
            # What stays shows itself again when its time has passed: it was seen, and is held on by its newest receipt.
            fresh = [letter for letter in letters if letter.message_id not in self._in_hand]
            self._in_hand |= {letter.message_id: letter for letter in letters}
            empty_polls = 0 if fresh else empty_polls + 1
            for letter in fresh:
                if stop.is_set():
                    return
                self.counts[await self._settle(letter)] += 1
                on_letter()
                self._check_failures()
            if stop.is_set():
                return

    def _room(self, limit: int | None) -> int:
        """Say how many letters may be taken: foreign ones do not use the limit up, or nothing would pass them."""
        if limit is None:
            return MAX_BATCH
        return min(MAX_BATCH, limit - (self.counts.total() - self.counts[Outcome.NOT_OURS]))

    def _check_failures(self) -> None:
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            raise CloudUnavailable(f"{_GIVE_UP_AFTER} letters in a row could not be moved.")

    async def _settle(self, letter: Letter) -> Outcome:
        """Do with one letter what its job needs; whatever goes wrong concerns that letter alone."""
        extra = {"letter_id": letter.message_id, "job_id": letter.job_id}
        if letter.job_id is None:
            logger.warning("A dead letter is not ours", extra=extra | {"action": "letter_foreign"})
            return Outcome.NOT_OURS
        try:
            outcome = await self._move(letter, letter.job_id)
        except Exception:
            self._failures_in_a_row += 1
            logger.exception("A dead letter could not be moved", extra=extra | {"action": "letter_not_moved"})
            return Outcome.NOT_MOVED
        self._failures_in_a_row = 0
        return outcome

    async def _move(self, letter: Letter, job_id: JobId) -> Outcome:
        try:
            job = await self._find(job_id)
        except JobNotFound:
            extra = {"action": "letter_foreign", "letter_id": letter.message_id, "job_id": job_id}
            logger.warning("A dead letter names a job that never was", extra=extra)
            return Outcome.NOT_OURS
        outcome = _outcome_of(job)
        if self._dry_run:
            return outcome
        if job is not None and outcome is not Outcome.OVER:
            # The order makes a death harmless: first the job waits, then its message is out, then the letter goes.
            await self._queue.send(await self._brought_back(job))
        await self._letters.delete(letter)
        del self._in_hand[letter.message_id]
        return outcome

    async def _put_back(self) -> None:
        try:
            await self._letters.put_back(self._in_hand.values())
        except CloudUnavailable:
            logger.warning("Dead letters stay hidden for some minutes", extra={"action": "letters_hidden"})

    async def _find(self, job_id: JobId) -> Job | None:
        """Read the job; None when it was deleted. Raises JobNotFound."""
        try:
            return await self._table.get(job_id)
        except JobDeleted:
            return None

    async def _brought_back(self, job: Job) -> Job:
        try:
            return await self._table.apply(job, moves.brought_back(clock.now_milliseconds()))
        except LostClaim:
            return job  # it is alive, or another redrive was faster, or it was deleted: one message more hurts nobody


def _outcome_of(job: Job | None) -> Outcome:
    if job is None or job.status in (Status.COMPLETED, Status.CANCELED):
        return Outcome.OVER
    return Outcome.BROUGHT_BACK if job.status is Status.FAILED else Outcome.SENT_AGAIN


class Progress:
    """Shows how far it is: one line that renews itself on a terminal, else a log record for every hundred letters."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._done = 0

    def step(self) -> None:
        """Count a letter."""
        self._done += 1
        if self._stream.isatty():
            # The cursor goes back to the start of the line, so that a log record writes over it.
            self._write(f"{self._done} of about {max(self._total, self._done)} letters")
        elif self._done % _LETTERS_PER_RECORD == 0:
            extra = {"action": "redrive_progress", "done": self._done, "about": self._total}
            logger.info("Dead letters are being settled", extra=extra)

    def end(self) -> None:
        """Clear the line."""
        if self._stream.isatty():
            self._write("")

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}\r")
        self._stream.flush()


async def run(options: argparse.Namespace) -> bool:
    """Run the command, a composition root of its own; returns False when something was left that should have been moved.

    Raises CannotStart for settings that do not work.
    """
    stop = stop_on_signals()
    settings = read_settings({})
    configure_logging(settings.log_level, settings.log_format)
    if settings.sqs_dlq_url is None:
        raise CannotStart("SQS_DLQ_URL is missing: it names the queue to redrive.")
    async with aws.open_clients(settings.aws_config()) as clients:
        letters = DeadLetters(clients.sqs, settings.sqs_dlq_url)
        redrive = Redrive(letters, _job_table(clients, settings), _queue(clients, settings), dry_run=options.dry_run)
        problem = await _run(redrive, letters, options.limit, stop)
    sys.stdout.write(_summary(redrive.counts, dry_run=options.dry_run))
    if problem:
        sys.stderr.write(f"{problem}\n")
    return redrive.clean and not problem


async def _run(redrive: Redrive, letters: DeadLetters, limit: int | None, stop: asyncio.Event) -> str:
    """Walk with progress shown; returns why the walk ended early, or nothing."""
    try:
        progress = Progress(sys.stderr, await letters.count())
        try:
            await redrive.run(limit, stop, progress.step)
        finally:
            progress.end()
    except CloudUnavailable as error:
        return f"Stopped: {error.message}"
    return "Stopped by a signal." if stop.is_set() else ""


def _job_table(clients: aws.Clients, settings: Settings) -> JobTable:
    # Nobody listens to this process: clients learn of the move from the event log.
    return JobTable(clients.dynamodb, settings.tables(), InProcessBus())


def _queue(clients: aws.Clients, settings: Settings) -> WorkQueue:
    return WorkQueue(
        clients.sqs, clients.receiver, url=settings.sqs_queue_url, visibility_seconds=settings.lease_seconds
    )


def _summary(counts: Counter[Outcome], *, dry_run: bool) -> str:
    rows = [f"{outcome.value:<14}{counts[outcome]:>8}  {meaning}" for outcome, meaning in _MEANINGS.items()]
    head = ["A dry run: nothing was changed. Without --dry-run this would be:"] if dry_run else []
    return "\n".join([*head, *rows, f"{'letters':<14}{counts.total():>8}", ""])
