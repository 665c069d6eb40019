"""A user's account during its erasure and afterwards: what was allowed before brings nothing back, a new sign-in does."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from jobs import clock
from jobs.accounts_export import _Inventory
from jobs.errors import AccountErased, AccountErasing, CloudUnavailable, QuotaExceeded, UserBlocked
from jobs.ids import UserId, new_job_id
from jobs.model import Caller
from jobs.user_table import UserTable
from tests.jobs.estate import Estate
from tests.jobs.ground import request_of
from tests.jobs.story import new_job
from tests.jobs.test_accounts import ENDED, LEFT


def signed_in(user: UserId, seconds: float) -> Caller:
    """Have the user signed in so many seconds from now, or ago."""
    then = clock.now_milliseconds() // 1000 + round(seconds)
    return Caller(user_id=user, expires_at=then + 3600, signed_in_at=then, email=f"{user}@example.com")


async def row_of(estate: Estate, user: UserId) -> dict[str, Any]:
    """Read the user's row."""
    answer = await estate.ground.clients.dynamodb.get_item(
        TableName=estate.ground.tables.users, Key={"userId": user}, ConsistentRead=True
    )
    return dict(answer.get("Item", {}))


async def test_whoever_had_signed_in_before_brings_nothing_back(estate: Estate, user: UserId) -> None:
    """Not on this task, nor on one that remembers the sign-in, nor on one that has never seen it."""
    ground, caller = estate.ground, signed_in(user, -60)
    remembering = ground.table.users
    await remembering.note_sign_in(caller)
    await estate.settle(user)
    await estate.accounts().erase(user, caller.since)

    await remembering.note_sign_in(caller)
    with pytest.raises(AccountErased):
        await UserTable(ground.clients.dynamodb, ground.tables.users).note_sign_in(caller)
    with pytest.raises(AccountErased):
        await remembering.admit(user, caller.since)
    with pytest.raises(AccountErased):
        await ground.submission().submit(replace(request_of(user), since=caller.since))
    with pytest.raises(AccountErased):
        await estate.webhook(user, caller.since)
    with pytest.raises(AccountErased):
        await estate.accounts().erase(user, caller.since)
    assert {"userId", "erasedAt"} == (await row_of(estate, user)).keys()
    assert LEFT == await estate.traces(user)


async def test_the_task_that_has_erased_forgets_who_was_signed_in(estate: Estate, user: UserId) -> None:
    """So it refuses the next request already."""
    users, caller = estate.ground.table.users, signed_in(user, -60)
    await users.note_sign_in(caller)
    await users.begin_erasing(user)
    await users.erase(user)

    with pytest.raises(AccountErased):
        await users.note_sign_in(caller)
    assert ENDED == await estate.traces(user)


async def test_whoever_signs_in_afterwards_begins_anew_but_for_the_days_units(estate: Estate, user: UserId) -> None:
    """The earlier sign-in, on another device, stays what it was."""
    ground, before, after = estate.ground, signed_in(user, -60), signed_in(user, 3600)
    await ground.table.users.note_sign_in(before)
    await estate.delivered(user)
    await estate.accounts().erase(user, before.since)
    await ground.table.users.note_sign_in(after)
    await ground.submission().submit(replace(request_of(user), since=after.since))

    assert f"{user}@example.com" == (await ground.table.users.get(user)).email
    assert 8 == (await ground.table.quota(user, 10)).remaining
    with pytest.raises(AccountErased):
        await ground.submission().submit(replace(request_of(user), since=before.since))


async def test_nothing_is_written_and_nothing_handed_over_while_an_account_is_erased(
    estate: Estate, user: UserId
) -> None:
    """No webhook that would stay for ever, no failed job, no name, and no archive that is half empty."""
    ground, caller = estate.ground, signed_in(user, 0)
    await ground.table.users.begin_erasing(user)
    await ground.table.users.note_sign_in(caller)

    with pytest.raises(AccountErasing):
        await estate.webhook(user)
    with pytest.raises(AccountErasing):
        await ground.table.users.admit(user, caller.since)
    with pytest.raises(AccountErasing):
        await ground.submission().refuse(request_of(user), new_job_id(), QuotaExceeded(0))
    with pytest.raises(AccountErasing):
        await anext(estate.exports().archive(user))
    assert {"userId", "erasingSince"} == (await row_of(estate, user)).keys()
    await estate.accounts().erase(user)
    assert ENDED == await estate.traces(user)


class WithoutIndex:
    """Refuses to read an index, as DynamoDB does while it is filled."""

    def __init__(self, client: object, index: str) -> None:
        self._client = client
        self._index = index

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        async def query(**arguments: Any) -> Any:
            if arguments.get("IndexName") == self._index:
                reason = f"Cannot read from backfilling global secondary index: {self._index}"
                raise ClientError({"Error": {"Code": "ValidationException", "Message": reason}}, "Query")
            return await call(**arguments)

        return query if name == "query" else call


async def test_nothing_is_begun_before_everything_can_be_found(estate: Estate, user: UserId) -> None:
    """The new index of the sightings may still be filled: then all is as it was, and the next attempt does it."""
    await estate.settle(user)
    before = await estate.traces(user)
    dynamodb = WithoutIndex(estate.ground.clients.dynamodb, "UserIdIndex")
    with pytest.raises(CloudUnavailable):
        await estate.accounts(dynamodb).erase(user)
    with pytest.raises(CloudUnavailable):
        await anext(estate.exports(dynamodb).archive(user))

    assert before == await estate.traces(user)
    assert "erasingSince" not in await row_of(estate, user)
    assert (await estate.accounts().erase(user)).is_complete


async def test_an_index_that_does_not_exist_is_waited_for_too(estate: Estate, user: UserId) -> None:
    """As the emulator says it."""
    rows = estate.accounts()._parking._rows
    with pytest.raises(CloudUnavailable):
        await anext(rows.pages(estate.ground.tables.users, {"email": "a"}, index="NoIndex"))


@pytest.mark.parametrize("end", ["blocked", "erasing", "erased"])
async def test_an_export_ends_with_the_account(estate: Estate, user: UserId, end: str) -> None:
    """At the next file, however long it would have gone on."""
    for number in range(3):
        await estate.ground.clients.s3.put_object(
            Bucket=_bucket(estate), Key=f"uploads/{user}/{number}.png", Body=bytes(100_000)
        )
    users, caller = estate.ground.table.users, signed_in(user, -1)
    archive = estate.exports().archive(user, caller.since)
    await anext(archive)  # of the first file
    match end:
        case "blocked":
            await users.set_blocked(user, True)
        case "erasing":
            await users.begin_erasing(user)
        case _:
            await estate.accounts().erase(user)

    errors = {"blocked": UserBlocked, "erasing": AccountErasing, "erased": AccountErased}
    rest: list[bytes] = []
    with pytest.raises(errors[end]):
        await _read(archive, rest)
    assert sum(map(len, rest)) < 100_000


async def test_an_operator_has_the_archive_of_whoever_is_blocked(estate: Estate, user: UserId) -> None:
    """Whom they may have blocked for what is in it."""
    await estate.ground.upload(user)
    await estate.ground.table.users.set_blocked(user, True)

    chunks: list[bytes] = []
    await _read(estate.exports().archive(user), chunks)
    assert b"uploads/" in b"".join(chunks)


def test_what_an_export_remembers_of_a_file_is_its_name(estate: Estate, user: UserId) -> None:
    """Some hundred bytes, for who has ten thousands of them."""
    exports, inventory, count = estate.exports(), _Inventory(), 2000
    jobs = [replace(new_job(user), input_url=f"s3://{_bucket(estate)}/uploads/{user}/{n}.png") for n in range(count)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for job in jobs:
            exports._files_of(job, inventory)
        spent = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert count == len(inventory.expected)
    assert spent < 250 * count


def _bucket(estate: Estate) -> str:
    return estate.environment["UPLOAD_BUCKET"]


async def _read(archive: AsyncGenerator[bytes, None], chunks: list[bytes]) -> None:
    async for chunk in archive:
        chunks.append(chunk)
