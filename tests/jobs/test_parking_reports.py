"""Sightings and the reports they make, on the real tables: in any order, at once, and with answers lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from jobs import clock
from jobs.actions import Tables
from jobs.aws import AWSConfig, Clients, open_clients
from jobs.errors import CloudUnavailable, InvalidRequest
from jobs.events import UserEvent
from jobs.ids import UserId
from jobs.parking import PARKED_SECONDS, Evidence, Pair, Report, announcement, find_pair
from jobs.parking_reports import ReportNotFound
from tests.aws_faults import AnswersLost, Refuses, RefusesCalls
from tests.jobs.parking_lot import THRESHOLD, Lot, open_lot, span


@pytest.fixture
def lot(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]) -> Lot:
    """Open a lot."""
    return open_lot(clients, tables, cloud_environment)


@pytest.fixture
def other() -> UserId:
    """Name another user nobody has seen."""
    return UserId(str(uuid4()))


@pytest.mark.parametrize("order", [(0, PARKED_SECONDS), (PARKED_SECONDS, 0)])
async def test_two_sightings_five_minutes_apart_make_a_report(lot: Lot, user: UserId, order: tuple[int, int]) -> None:
    """In either order of arrival; it holds all that is known of both."""
    earlier, later = (lot.sighting(user, seconds) for seconds in order)
    nothing, report = await lot.record(earlier), await lot.record(later)

    assert nothing is None
    assert report is not None
    assert {earlier, later} == set(report.pair)
    assert ((0, 300), 1, 0.93, True) == (span(report), report.version, report.similarity, report.report_bool)
    assert [(0, 300)] == lot.eye.seen
    assert report == await lot.reports().get(report.report_id, user)


@pytest.mark.parametrize("order", [(0, 299), (299, 0), (0, 0)])
async def test_sightings_closer_together_make_none(lot: Lot, user: UserId, order: tuple[int, int]) -> None:
    """A second less than five minutes, or no time at all."""
    assert await lot.see(user, *order) is None
    assert [] == await lot.log(user)
    assert [] == lot.eye.seen


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"plate": str(uuid4())},
        {"latitude": Decimal("37.5666")},
        {"latitude": Decimal("37.56649999")},
        {"longitude": Decimal("-126.9781")},
        {"longitude": Decimal("-126.97799999")},
        {"latitude": Decimal("-37.5665")},
    ],
)
async def test_another_car_or_place_is_not_the_same(lot: Lot, user: UserId, elsewhere: Mapping[str, Any]) -> None:
    """However near the edge of the cell."""
    assert await lot.record(lot.sighting(user, 0)) is None
    assert await lot.record(lot.sighting(user, 600, **elsewhere)) is None


async def test_one_cell_is_one_place(lot: Lot, user: UserId) -> None:
    """From edge to edge."""
    await lot.record(lot.sighting(user, 0, latitude=Decimal("37.5665"), longitude=Decimal("-126.97809999")))
    report = await lot.record(lot.sighting(user, 600, latitude=Decimal("37.56659999"), longitude=Decimal("-126.978")))

    assert (0, 600) == span(report)


async def test_both_sides_of_a_zero_are_one_place(lot: Lot, user: UserId) -> None:
    """What is cut to minus nothing is nothing."""
    await lot.record(lot.sighting(user, 0, latitude=Decimal("-0.00001")))
    report = await lot.record(lot.sighting(user, 600, latitude=Decimal("0.00001")))

    assert (0, 600) == span(report)


async def test_a_sighting_delivered_again_is_the_same_sighting(lot: Lot, user: UserId) -> None:
    """Before the report and after it; the report is found again, and nothing is told twice."""
    first, last = lot.sighting(user, 0), lot.sighting(user, 300)
    before = [await lot.record(first) for _ in range(2)]
    reports = [await lot.record(one) for one in (last, last, first)]

    assert [None, None] == before
    assert reports == [reports[0]] * 3
    assert [1] == await lot.told(user)
    assert [(0, 300)] == lot.eye.seen
    assert 2 == sum("captureTime" in row for row in await lot.rows(first.place_plate))


async def test_sightings_expire_after_thirty_days(lot: Lot, user: UserId) -> None:
    """All that is kept of them, counted from when they came."""
    sighting = lot.sighting(user, -10_000_000)
    earliest = clock.now_milliseconds() // 1000 + 30 * clock.DAY_SECONDS
    await lot.record(sighting)

    rows = [*await lot.rows(sighting.place_plate), *await lot.rows(f"photo#{sighting.photo}")]

    assert [True, True] == [earliest <= row["ttl"] < earliest + 60 for row in rows]


@pytest.mark.parametrize(
    ("third", "version", "result"),
    [(900, 2, (0, 900)), (-1, 2, (-1, 600)), (300, 1, (0, 600)), (1, 1, (0, 600)), (599, 1, (0, 600))],
)
async def test_a_third_sighting_widens_the_report_or_changes_nothing(
    lot: Lot, user: UserId, third: int, version: int, result: tuple[int, int]
) -> None:
    """Later and earlier ones are told, those in between are found to belong to it."""
    made = await lot.reported(user, 0, 600)
    lot.eye.similarity = 0.5
    report = await lot.reported(user, third)

    assert (made.report_id, version, result) == (report.report_id, report.version, span(report))
    assert (version == 1) == report.report_bool
    assert made.created_at == report.created_at
    assert list(range(1, version + 1)) == await lot.told(user)
    assert [(0, 600), result][:version] == lot.eye.seen
    assert report == await lot.reports().get(report.report_id, user)


async def test_what_has_expired_still_counts_for_its_report(lot: Lot, user: UserId) -> None:
    """The report's own first and last outlive their sightings."""
    made = await lot.reported(user, 0, 600)
    for row in await lot.rows(made.first.place_plate):
        await lot.clients.dynamodb.delete_item(
            TableName=lot.environment["PARKING_SIGHTINGS_TABLE"],
            Key={name: row[name] for name in ("placePlate", "capturedAt")},
        )
    between, later = await lot.reported(user, 300), await lot.reported(user, 601)

    assert made == between
    assert ((0, 601), 2) == (span(later), later.version)
    assert made.first == later.first


@pytest.mark.parametrize(
    ("similarity", "report_bool"), [(0.8, True), (0.79, False), (1.0, True), (0.0, False), (None, False)]
)
async def test_backgrounds_decide_whether_it_is_confirmed(
    lot: Lot, user: UserId, similarity: float | None, report_bool: bool
) -> None:
    """The report is made either way, and read as it was written."""
    lot.eye.similarity = similarity
    report = await lot.reported(user, 0, 300)

    assert (similarity, report_bool) == (report.similarity, report.report_bool)
    assert report == await lot.reports().get(report.report_id, user)


async def test_a_comparison_that_fails_costs_no_sighting(lot: Lot, user: UserId) -> None:
    """The next try makes the report."""

    async def fail(pair: Pair, copies: Mapping[str, str]) -> Evidence:
        raise CloudUnavailable

    await lot.see(user, 0)
    last = lot.sighting(user, 300)
    with pytest.raises(CloudUnavailable):
        await lot.reports().record(last, fail, THRESHOLD)

    assert [] == await lot.log(user)
    assert (0, 300) == span(await lot.record(last))


async def test_both_owners_are_told_once_and_without_links(lot: Lot, user: UserId, other: UserId) -> None:
    """In the log and at once."""
    seen, seen_by_other = lot.watch(user), lot.watch(other)
    await lot.see(user, 0)
    report = await lot.reported(other, 300)

    for owner, told in ((user, seen), (other, seen_by_other)):
        assert told == await lot.log(owner)
        assert [("report.confirmed", owner, report.report_id, announcement(report))] == [
            (event.type, event.user_id, event.about, event.data) for event in told if isinstance(event, UserEvent)
        ]
        assert "s3://" not in str(told)
        assert report == await lot.reports().get(report.report_id, owner)


async def test_one_owner_of_both_is_told_once(lot: Lot, user: UserId) -> None:
    """Not once for each sighting."""
    seen = lot.watch(user)
    await lot.reported(user, 0, 300)

    assert [1] == await lot.told(user)
    assert 1 == len(seen)


async def test_who_is_no_longer_first_or_last_still_sees_the_report(lot: Lot, user: UserId, other: UserId) -> None:
    """It is told to those whose sightings it rests on, and kept for all who ever had one."""
    third = UserId(str(uuid4()))
    await lot.see(user, 0)
    await lot.see(other, 300)
    report = await lot.reported(third, 600)

    assert ([1, 2], [1], [2]) == (await lot.told(user), await lot.told(other), await lot.told(third))
    for owner in (user, other, third):
        assert report == await lot.reports().get(report.report_id, owner)
        assert (report,) == (await lot.reports().page(owner, limit=20, cursor=None)).reports


async def test_two_at_once_make_one_report(
    clients: Clients, tables: Tables, cloud_environment: Mapping[str, str]
) -> None:
    """Each puts its own first and then looks, so at least one sees both; in twenty rounds, each with two strangers."""

    async def meet() -> None:
        lot = open_lot(clients, tables, cloud_environment)
        owners = [UserId(str(uuid4())) for _ in range(2)]
        sightings = [lot.sighting(owner, 300 * number) for number, owner in enumerate(owners)]
        reports = [report for report in await asyncio.gather(*map(lot.record, sightings)) if report is not None]
        assert reports
        assert reports == [reports[0]] * len(reports)
        assert ((0, 300), 1) == (span(reports[0]), reports[0].version)
        assert [[1], [1]] == [await lot.told(owner) for owner in owners]
        assert reports[0] == await lot.record(sightings[0])

    await asyncio.gather(*(meet() for _ in range(20)))


async def test_a_crowd_at_once_makes_one_report_of_the_widest(lot: Lot, user: UserId, other: UserId) -> None:
    """Whoever kept last sees all; versions are told once each, in order."""
    moments = [0, *random.Random(5).sample(range(1, 3000), 30), 3000]
    owners = {0: user, 3000: other}
    someone = UserId(str(uuid4()))
    sightings = [lot.sighting(owners.get(moment, someone), moment) for moment in moments]
    random.Random(6).shuffle(sightings)
    reports = await asyncio.gather(*map(lot.record, sightings))
    report = await lot.record(sightings[0])

    assert report is not None
    assert ((0, 3000), user, other) == (span(report), report.first.user_id, report.last.user_id)
    assert report.version == max(one.version for one in reports if one is not None)
    for owner in (user, other, someone):
        versions = await lot.told(owner)
        assert sorted(set(versions)) == sorted(versions)
    assert report.version in await lot.told(user)
    assert report.version in await lot.told(other)


async def test_one_sighting_at_once_twice_is_one(lot: Lot, user: UserId) -> None:
    """A message delivered twice at once makes neither two sightings nor two reports."""
    first, last = lot.sighting(user, 0), lot.sighting(user, 300)
    await asyncio.gather(*(lot.record(first) for _ in range(5)))
    reports = await asyncio.gather(*(lot.record(last) for _ in range(5)))

    assert reports == [reports[0]] * 5
    assert ((0, 300), [1]) == (span(reports[0]), await lot.told(user))


async def test_a_lost_answer_to_a_sighting_keeps_one(lot: Lot, user: UserId) -> None:
    """The retry finds the photo known."""
    await lot.record(lot.sighting(user, 0), AnswersLost(lot.clients.dynamodb, 1))
    report = await lot.record(lot.sighting(user, 300), AnswersLost(lot.clients.dynamodb, 1))

    assert ((0, 300), [1]) == (span(report), await lot.told(user))


async def test_a_lost_answer_to_a_report_is_told_once_more(lot: Lot, user: UserId, other: UserId) -> None:
    """The retry finds its own write; the log has it again under a fresh id, and those who watch are told once."""
    await lot.see(user, 0)
    seen, seen_by_other = lot.watch(user), lot.watch(other)
    report = await lot.record(lot.sighting(other, 300), AnswersLost(lot.clients.dynamodb, 2))

    assert report is not None
    assert ((0, 300), 1) == (span(report), report.version)
    assert [[1, 1], [1, 1]] == [await lot.told(owner) for owner in (user, other)]
    assert (1, 1) == (len(seen), len(seen_by_other))
    assert report == await lot.reports().get(report.report_id, other)


async def test_a_lost_answer_and_a_change_meanwhile_leave_nobody_untold(lot: Lot, user: UserId, other: UserId) -> None:
    """The report lands, is changed by a third, then its writer tries again: the second hears of it, in its newest version."""
    third = UserId(str(uuid4()))
    await lot.see(user, 0)
    seen = lot.watch(other)
    last = lot.sighting(other, 300)
    with pytest.raises(ValueError, match="not now"):
        await lot.reports().record(last, _refuse, THRESHOLD)

    async def change() -> None:
        await lot.see(third, 600)

    report = await lot.record(last, AnswersLost(lot.clients.dynamodb, 1, change))

    assert report is not None
    assert ((0, 600), 2) == (span(report), report.version)
    assert [2] == [event.data["version"] for event in seen if isinstance(event, UserEvent)]
    assert ([1, 2, 2], [1, 2], [2]) == (await lot.told(user), await lot.told(other), await lot.told(third))


async def _refuse(pair: Pair, copies: Mapping[str, str]) -> Evidence:
    raise ValueError("not now")


async def test_a_transaction_that_is_refused_for_now_is_tried_again(lot: Lot, user: UserId) -> None:
    """As two that meet on one item are."""
    report = await lot.record(lot.sighting(user, 0), Refuses(lot.clients.dynamodb, 3))
    later = await lot.record(lot.sighting(user, 300), Refuses(lot.clients.dynamodb, 3))

    assert (None, (0, 300)) == (report, span(later))
    assert [1] == await lot.told(user)


@pytest.mark.parametrize("call", ["query", "batch_get_item"])
async def test_a_refusal_that_is_not_ours_to_mend_is_raised(lot: Lot, user: UserId, call: str) -> None:
    """It is a mistake of the deployment, for instance a missing right."""
    with pytest.raises(ClientError):
        await lot.record(lot.sighting(user, 0), RefusesCalls(lot.clients.dynamodb, call, 1))


class Unprocessed:
    """Reads nothing of the first batches, as DynamoDB does when there are too many."""

    def __init__(self, client: Any, count: int) -> None:
        self._client = client
        self.left = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def batch_get_item(self, **arguments: Any) -> Any:
        """Leave all unread, or read."""
        if self.left <= 0:
            return await self._client.batch_get_item(**arguments)
        self.left -= 1
        return {"Responses": {}, "UnprocessedKeys": arguments["RequestItems"]}


async def test_rows_left_unread_are_read_again(lot: Lot, user: UserId) -> None:
    """What DynamoDB leaves out of a batch is not taken for missing; when it goes on so, that is said."""
    report = await lot.reported(user, 0, 300)

    assert report == await lot.reports(Unprocessed(lot.clients.dynamodb, 3)).get(report.report_id, user)
    with pytest.raises(CloudUnavailable):
        await lot.reports(Unprocessed(lot.clients.dynamodb, 4)).get(report.report_id, user)


class Notes:
    """Notes what is read, and how much of it at a time."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.reads: list[tuple[object, object]] = []

    def __getattr__(self, name: str) -> Any:
        assert name != "scan"
        return getattr(self._client, name)

    async def query(self, **arguments: Any) -> Any:
        """Note, then read."""
        self.reads.append((arguments.get("Limit"), arguments.get("ConsistentRead")))
        return await self._client.query(**arguments)


async def test_a_busy_place_costs_no_more_than_a_quiet_one(lot: Lot, user: UserId) -> None:
    """Of all its sightings two are read."""
    await lot.see(user, 0, 1, 2, 3, 300)
    notes = Notes(lot.clients.dynamodb)
    await lot.record(lot.sighting(user, 4), notes)

    assert [(1, True), (1, True)] == notes.reads


@pytest.mark.parametrize("report_id", ["report_" + "0" * 32, "report", "", "x" * 3000, "report_" + "0" * 32 + "\n"])
async def test_an_unknown_report_is_not_found(lot: Lot, user: UserId, report_id: str) -> None:
    """Whatever stands in its place."""
    with pytest.raises(ReportNotFound, match="Report not found"):
        await lot.reports().get(report_id, user)


async def test_anothers_report_is_not_found_either(lot: Lot, user: UserId, other: UserId) -> None:
    """Even when the stranger has seen the car too, and calls himself what we call the row."""
    await lot.see(other, 150)
    report = await lot.reported(user, 0, 300)

    for stranger in (other, UserId("report"), UserId("user#" + user)):
        with pytest.raises(ReportNotFound):
            await lot.reports().get(report.report_id, stranger)
        assert ((), None) == await lot.reports().page(stranger, limit=20, cursor=None)


async def test_reports_are_paged_newest_first(lot: Lot, user: UserId, other: UserId) -> None:
    """Each once, the last page without a cursor; other users' are left out."""
    made: list[Report] = []
    for number in range(5):
        made.append(await replace(lot, plate=f"{number}{lot.plate}").reported(user, 0, 300))
        await replace(lot, plate=f"{number}{lot.plate}9").reported(other, 0, 300)
        await asyncio.sleep(0.002)  # another millisecond, which is what they are ordered by
    reports, found, cursor = lot.reports(), list[Report](), None
    sizes = []
    while True:
        page = await reports.page(user, limit=2, cursor=cursor)
        found += page.reports
        sizes.append(len(page.reports))
        if (cursor := page.cursor) is None:
            break
    whole = await reports.page(user, limit=5, cursor=None)

    assert made[::-1] == found
    assert [2, 2, 1] == sizes
    assert (tuple(made[::-1]), None) == whole


async def test_a_cursor_opens_nobody_elses_reports(lot: Lot, user: UserId, other: UserId) -> None:
    """It is a place in one's own list."""
    for number in range(2):
        await replace(lot, plate=f"{number}{lot.plate}").reported(user, 0, 300)
    page = await lot.reports().page(user, limit=1, cursor=None)

    assert page.cursor is not None
    assert ((), None) == await lot.reports().page(other, limit=1, cursor=page.cursor)


@pytest.mark.parametrize(
    "cursor", ["", "x", "0193f0c2a4b.report_", f"{'f' * 11}.report_{'g' * 32}", f"{'٣' * 11}.report_{'0' * 32}"]
)
async def test_a_cursor_that_is_not_ours_is_refused(lot: Lot, user: UserId, cursor: str) -> None:
    """As everywhere."""
    with pytest.raises(InvalidRequest, match="The cursor is not one of ours"):
        await lot.reports().page(user, limit=1, cursor=cursor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The cloud, for tests that bring their own loop."""

    runner: asyncio.Runner
    lot: Callable[[], Lot]

    def run(self, coming: Awaitable[Any]) -> Any:
        """Await it."""
        return self.runner.run(cast(Any, coming))


@pytest.fixture(scope="module")
def opened(cloud_environment: Mapping[str, str]) -> Iterator[Opened]:
    """Open the cloud for as many examples as there are."""
    environment = cloud_environment
    names = {"jobs": "IMAGE_JOBS", "events": "JOB_EVENTS", "usage": "USAGE_LOG", "users": "USERS"}
    tables = Tables(**{name: environment[f"{variable}_TABLE"] for name, variable in names.items()})
    config = AWSConfig(
        region=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    with asyncio.Runner() as runner:
        opening = open_clients(config)
        clients = runner.run(opening.__aenter__())
        yield Opened(runner=runner, lot=lambda: open_lot(clients, tables, environment))
        runner.run(opening.__aexit__(None, None, None))


_MOMENTS = some.lists(some.sampled_from([0, 1, 2, 299, 300, 301, 302, 599, 600, 601]), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=some.data(), moments=_MOMENTS, at_once=some.integers(1, 6))
def test_any_order_of_arrival_makes_the_same_report(
    opened: Opened, data: some.DataObject, moments: list[int], at_once: int
) -> None:
    """That of the earliest and the latest of all, by their times; some come together, and some once more."""
    lot = opened.lot()
    users = [UserId(f"{lot.plate}-{number}") for number in range(2)]
    sightings = [lot.sighting(users[number % 2], moment) for number, moment in enumerate(moments)]
    arrivals = data.draw(some.permutations(sightings)) + data.draw(some.lists(some.sampled_from(sightings), max_size=2))

    async def arrive() -> Report | None:
        for start in range(0, len(arrivals), at_once):
            await asyncio.gather(*map(lot.record, arrivals[start : start + at_once]))
        return await lot.record(arrivals[0])

    report = opened.run(arrive())
    pair = find_pair(sightings)

    assert pair == (None if report is None else report.pair)
    for user in users:
        told = opened.run(lot.told(user))
        assert sorted(set(told)) == told
        assert (report is not None and user in report.owners) == (report is not None and report.version in told)
