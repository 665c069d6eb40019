"""Writes whose answer is late, lost or refused for a moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs import clock, moves, told_writes
from jobs.aws import Clients
from jobs.errors import CloudUnavailable, JobDeleted
from jobs.events import Event, EventType, InProcessBus, JobEvent, Notice
from jobs.ids import UserId
from jobs.job_table import JobTable, Tables
from jobs.model import Job, Status
from jobs.submission import Submission
from jobs.sweeper import SweepTimes
from jobs.work_queue import WorkQueue
from tests.aws_faults import AnswersLost, Refuses
from tests.jobs.ground import Ground, request_of
from tests.jobs.mishaps import NotesEventIds, table_on
from tests.jobs.story import LIMITS, claim, complete, events, log_of, new_job, output_of, stored, usage


async def test_a_submission_whose_answer_was_lost_takes_one_unit(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """The retry finds its own job."""
    await table_on(AnswersLost(clients.dynamodb, 1), tables).create(new_job(user), LIMITS)

    assert (1, 0) == await usage(clients, tables, user)


async def test_a_completion_whose_answer_was_lost_counts_once_and_is_told_once_more(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """The retry finds its own write; the event is put again under a fresh id, because a reader may have passed the first."""
    bus = InProcessBus()
    job = await claim(table_on(clients.dynamodb, tables), await stored(table_on(clients.dynamodb, tables), user))
    seen: list[Notice] = []
    bus.subscribe(user, seen.append)
    done = await table_on(AnswersLost(clients.dynamodb, 1), tables, bus).apply(
        job, moves.completed("me", output_of(job), clock.now_milliseconds())
    )
    row = await clients.dynamodb.get_item(TableName=tables.users, Key={"userId": user})

    assert Status.COMPLETED == done.status
    assert "1" == str(row["Item"]["totalImagesGenerated"])
    assert [("job.completed", 4)] * 2 == (await events(clients, tables, user))[2:]
    assert [done] == [notice.job for notice in seen if isinstance(notice, JobEvent)]


async def test_a_claim_whose_answer_was_lost_is_ours_although_the_charge_came_between(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """The claim lands, the submitter charges, then the claim is tried again: the worker must not drop its own job."""
    table = table_on(clients.dynamodb, tables)
    job = new_job(user)
    await table.create(job, LIMITS)

    async def charge() -> Job:
        return await table.apply(job, moves.queued(clock.now_milliseconds()))

    held = await claim(table_on(AnswersLost(clients.dynamodb, 1, charge), tables), job)

    assert ("me", 1) == (held.owner, held.attempt)
    assert (1, 1) == await usage(clients, tables, user)


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
async def test_a_transaction_that_is_refused_for_now_is_tried_again(
    clients: Clients, tables: Tables, user: UserId, code: str
) -> None:
    """DynamoDB refuses three times: another transaction holds the user's row, or there are too many; only the reasons tell."""
    job = await stored(table_on(clients.dynamodb, tables), user)
    held = await claim(table_on(Refuses(clients.dynamodb, 3, code), tables), job)

    assert Status.PROCESSING == held.status


async def test_patience_outlasts_many_refusals(clients: Clients, tables: Tables, user: UserId) -> None:
    """Four tries are the rule; a result that is paid for gets more."""
    job = await stored(table_on(clients.dynamodb, tables), user)
    now = clock.now_milliseconds()
    move = moves.claimed("me", now + 60_000, now)
    with pytest.raises(CloudUnavailable):
        await table_on(Refuses(clients.dynamodb, 4), tables).apply(job, move)
    held = await table_on(Refuses(clients.dynamodb, 5), tables).apply(job, move, patience_seconds=30)

    assert Status.PROCESSING == held.status


async def test_a_late_commit_is_logged_once_more(
    clients: Clients, tables: Tables, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit slower than the limit may land behind a reader; the same event follows under a fresh id."""
    table = table_on(clients.dynamodb, tables)
    job = await stored(table, user)
    monkeypatch.setattr(told_writes, "LATE_COMMIT_SECONDS", 0.0)
    await claim(table, job)

    assert [("job.processing", 3)] * 2 == (await events(clients, tables, user))[1:]


async def test_a_late_deletion_is_logged_once_more(
    clients: Clients, tables: Tables, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that has passed the first event finds the second; those who watch are told of it once."""
    bus = InProcessBus()
    table = table_on(clients.dynamodb, tables, bus)
    done = await complete(table, await claim(table, await stored(table, user)))
    seen: list[Notice] = []
    bus.subscribe(user, seen.append)
    monkeypatch.setattr(told_writes, "LATE_COMMIT_SECONDS", 0.0)
    await table.delete(done)

    assert [("job.deleted", done.version + 1)] * 2 == (await events(clients, tables, user))[3:]
    assert ["job.deleted"] == [notice.type.value for notice in seen if isinstance(notice, JobEvent)]


async def test_each_attempt_to_delete_has_an_event_id_of_its_own(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """An id from before the tries would be as old as all of them, and may lie behind a reader."""
    table = table_on(clients.dynamodb, tables)
    done = await complete(table, await claim(table, await stored(table, user)))
    noting = NotesEventIds(clients.dynamodb, 2)
    await table_on(noting, tables).delete(done)

    assert 3 == len(set(noting.event_ids))
    assert sorted(noting.event_ids) == noting.event_ids
    assert 1 == [kind for _, kind, _ in await log_of(clients, tables, user)].count("job.deleted")


async def test_a_deletion_whose_answer_was_lost_is_told_of(clients: Clients, tables: Tables, user: UserId) -> None:
    """The second attempt finds the tombstone of the first, which is as good as the job."""
    table = table_on(clients.dynamodb, tables)
    done = await complete(table, await claim(table, await stored(table, user)))
    await table_on(AnswersLost(clients.dynamodb, 1), tables).delete(done)

    assert {("job.deleted", done.version + 1)} == set((await events(clients, tables, user))[3:])
    with pytest.raises(JobDeleted):
        await table.get(done.job_id)


async def waits(client: object, tables: Tables, user: UserId) -> tuple[Job, list[JobEvent]]:
    """Store a job that must wait; return it with what those who watch were told."""
    bus, seen = InProcessBus(), list[JobEvent]()
    bus.subscribe(user, lambda notice: seen.append(notice) if isinstance(notice, JobEvent) else None)
    job = await table_on(client, tables, bus).create(replace(new_job(user), waiting=True), LIMITS)
    return job, seen


async def test_a_waiting_job_whose_answer_was_lost_is_told_once_more(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """The retry finds its own job, whose event a reader may have passed."""
    job, seen = await waits(AnswersLost(clients.dynamodb, 1), tables, user)

    assert [("job.pending", 1)] * 2 == await events(clients, tables, user)
    assert [job] == [event.job for event in seen]
    assert (1, 0) == await usage(clients, tables, user)


async def test_a_waiting_job_that_is_stored_late_is_logged_once_more(
    clients: Clients, tables: Tables, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who watch are told of it once, under the fresh id."""
    monkeypatch.setattr(told_writes, "LATE_COMMIT_SECONDS", 0.0)
    _, seen = await waits(clients.dynamodb, tables, user)

    assert [("job.pending", 1)] * 2 == await events(clients, tables, user)
    assert 1 == len(seen)


async def test_each_attempt_to_store_a_waiting_job_has_an_event_id_of_its_own(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """As with any other change."""
    noting = NotesEventIds(clients.dynamodb, 2)
    _, seen = await waits(noting, tables, user)

    assert 3 == len(set(noting.event_ids))
    assert noting.event_ids[-1] == seen[0].event_id
    assert [("job.pending", 1)] == await events(clients, tables, user)


async def test_a_waiting_job_is_stored_though_the_webhooks_cannot_be_told(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """The event is noted like any other that could not be offered."""

    async def offer(_: Event) -> None:
        raise CloudUnavailable

    untold: list[Event] = []
    table = JobTable(clients.dynamodb, tables, InProcessBus(), offer)
    table.writes.on_untold(untold.append)
    job = await table.create(replace(new_job(user), waiting=True), LIMITS)

    assert [(EventType.PENDING, job)] == [(event.type, event.job) for event in untold if isinstance(event, JobEvent)]


async def test_a_unit_that_was_never_charged_is_charged_by_the_completion(
    clients: Clients, tables: Tables, user: UserId
) -> None:
    """The process that submitted died between sending and charging."""
    table = table_on(clients.dynamodb, tables)
    job = new_job(user)
    await table.create(job, LIMITS)
    held = await claim(table, job)
    await table.apply(held, moves.completed("me", output_of(job), clock.now_milliseconds()))

    assert (1, 1) == await usage(clients, tables, user)


async def test_a_refused_job_that_cannot_be_failed_is_accepted_and_sent_later(
    ground: Ground, user: UserId, unreachable_queue: WorkQueue
) -> None:
    """AWS is cut right after the job was stored: it must not be called refused and then run all the same."""

    class CutAfterStoring(JobTable):
        async def apply(self, job: Job, move: moves.Move, *, patience_seconds: float = 0) -> Job:
            raise CloudUnavailable

    cut = CutAfterStoring(ground.clients.dynamodb, ground.tables, ground.bus)
    submitted = await Submission(cut, unreachable_queue, LIMITS).submit(request_of(user))
    before = await ground.usage(user)
    await ground.sweeper(SweepTimes(unsent=0)).sweep()
    after = await ground.table.get(submitted.job.job_id)

    assert (Status.PENDING, (1, 0)) == (submitted.job.status, before)
    assert (Status.QUEUED, (1, 1)) == (after.status, await ground.usage(user))
