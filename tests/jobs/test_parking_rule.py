"""What is one place, what is one car's time there, and when two sightings are a report."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from jobs import parking
from jobs.ids import JobId, UserId
from jobs.parking import Evidence, Pair, Report, Sighting

SIGHTING = Sighting(
    user_id=UserId("one"),
    job_id=JobId("job_1"),
    photo="1",
    device_id="phone",
    plate="12가3456",
    latitude=Decimal("37.56651"),
    longitude=Decimal("126.97801"),
    capture_time="2026-11-20 09:00:00",
    image_url="s3://uploads/reports/one/phone/1.jpg",
    cropped_url="s3://results/1.jpg",
)


def at(time: str, photo: str = "1") -> Sighting:
    """Take another photo of the car."""
    return replace(SIGHTING, capture_time=f"2026-11-20 {time}", photo=photo)


@pytest.mark.parametrize(
    ("degrees", "place"),
    [
        ("37.56650", "37.5665"),
        ("37.5665999999999", "37.5665"),
        ("37.5666", "37.5666"),
        ("37", "37.0000"),
        ("1E-7", "0.0000"),
        ("-33.86889", "-33.8688"),
        ("-0.00009", "0.0000"),
        ("-0", "0.0000"),
        ("-180", "-180.0000"),
        ("126.97796389999999999999999999999999999", "126.9779"),
    ],
)
def test_degrees_are_cut_not_rounded(degrees: str, place: str) -> None:
    """Towards zero, on both sides of it."""
    assert place == parking.cut(Decimal(degrees))


def test_a_place_and_a_plate_share_a_partition() -> None:
    """What lies beyond the fourth place does not part them."""
    south = replace(SIGHTING, latitude=Decimal("-0.00001"), longitude=Decimal("-70.66999"))

    assert "12가3456#37.5665#126.9780" == SIGHTING.place_plate
    assert "12가3456#0.0000#-70.6699" == south.place_plate


def test_a_report_is_named_alike_for_all_and_shows_no_plate() -> None:
    """The name is made of the place and the plate, and cannot be read back."""
    report_id = parking.report_id_of(SIGHTING.place_plate)

    assert report_id == parking.report_id_of(SIGHTING.place_plate)
    assert report_id != parking.report_id_of(replace(SIGHTING, plate="12가3457").place_plate)
    assert re.fullmatch(r"report_[0-9a-f]{32}", report_id)


@pytest.mark.parametrize(("later", "is_report"), [("09:00:00", False), ("09:04:59", False), ("09:05:00", True)])
def test_five_minutes_make_a_report_whichever_is_named_first(later: str, is_report: bool) -> None:
    """Five minutes count, a second less does not."""
    first, last = at("09:00:00"), at(later, "2")

    assert (Pair(first, last) if is_report else None) == parking.find_pair([first, last])
    assert (Pair(first, last) if is_report else None) == parking.find_pair([last, first])


def test_midnight_parts_nothing() -> None:
    """Five minutes may lie on two days, or in two years."""
    before = replace(SIGHTING, capture_time="2026-12-31 23:57:30")
    after = replace(SIGHTING, capture_time="2027-01-01 00:02:30", photo="2")

    assert Pair(before, after) == parking.find_pair([after, before])


def test_only_the_earliest_and_the_latest_count() -> None:
    """What lies between them changes nothing."""
    first, between, last = at("09:00:00"), at("09:06:00", "2"), at("09:12:00", "3")

    assert Pair(first, last) == parking.find_pair([between, last, first])


def test_nothing_and_one_sighting_are_no_report() -> None:
    """Nobody has parked yet."""
    assert parking.find_pair([]) is None
    assert parking.find_pair([SIGHTING, SIGHTING]) is None


def report_of(pair: Pair, similarity: float | None = 0.9, *copies: str) -> Report:
    """Make a report of two sightings."""
    evidence = Evidence(similarity=similarity, **dict(zip(("first_copy", "last_copy"), copies, strict=False)))
    return parking.next_report(None, pair, evidence, 0.8, 7)


def test_of_two_accounts_of_one_photo_the_reports_counts() -> None:
    """Whatever somebody else says of the same photo later; only its owner brings a newer crop along."""
    known = Pair(at("09:00:00"), at("09:10:00", "2"))
    newer = [replace(one, cropped_url="s3://results/another.jpg") for one in known]
    foreign = [replace(one, user_id=UserId("two")) for one in newer]

    assert known == parking.find_pair(foreign, report_of(known))
    assert tuple(newer) == parking.find_pair(newer, report_of(known))
    assert Pair(known.first, at("09:20:00", "3")) == parking.find_pair([at("09:20:00", "3")], report_of(known))


def test_a_photo_is_the_same_wherever_it_lies() -> None:
    """Its bytes name it, and another one otherwise."""
    assert parking.photo_of(b"a photo") == parking.photo_of(b"a photo")
    assert parking.photo_of(b"a photo") != parking.photo_of(b"another")


def test_a_report_is_settled_when_its_two_photos_have_been_compared() -> None:
    """Not while they have not, nor when it is to rest on others."""
    pair = Pair(at("09:00:00"), at("09:10:00", "2"))
    retold = Pair(replace(pair.first, cropped_url="s3://results/another.jpg"), pair.last)

    assert parking.is_settled(report_of(pair), retold)
    assert parking.is_settled(report_of(pair, 0.0), pair)
    assert not parking.is_settled(report_of(pair, None), pair)
    assert not parking.is_settled(report_of(pair), Pair(pair.first, at("09:20:00", "3")))


def test_a_report_of_which_nothing_new_is_found_is_the_same() -> None:
    """Version and time too; a copy that is gained or a comparison that works out makes the next one."""
    pair = Pair(at("09:00:00"), at("09:10:00", "2"))
    report = report_of(pair, None, "s3://results/evidence/1.jpg")
    same = Evidence(similarity=None)
    gained = parking.next_report(report, pair, Evidence(similarity=None, last_copy="s3://2"), 0.8, 9)
    compared = parking.next_report(gained, pair, Evidence(similarity=0.9), 0.8, 9)

    assert parking.next_report(report, pair, same, 0.8, 9) is report
    assert (2, "s3://results/evidence/1.jpg", "s3://2") == (gained.version, gained.first_copy, gained.last_copy)
    assert (3, True, gained.copies) == (compared.version, compared.report_bool, compared.copies)


def test_a_copy_goes_along_with_its_photo() -> None:
    """The last one of before is nobody's when another has taken its place, the first one's is kept."""
    pair = Pair(at("09:00:00"), at("09:10:00", "2"))
    wider = Pair(pair.first, at("09:20:00", "3"))
    report = parking.next_report(report_of(pair, 0.9, "s3://1", "s3://2"), wider, Evidence(similarity=None), 0.8, 9)

    assert ("s3://1", None) == (report.first_copy, report.last_copy)
    assert {"1": "s3://1"} == report.copies


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-20T09:00:00",
        "2026-11-20 9:00:00",
        "2026-11-20 09:00",
        "2026-11-20 09:00:00+09:00",
        "0000:00:00 00:00:00",
    ],
)
def test_a_time_that_could_not_be_ordered_is_refused(time: str) -> None:
    """One of them among the sightings would spoil the order of all."""
    with pytest.raises(ValueError, match=r".+"):
        replace(SIGHTING, capture_time=time)


@pytest.mark.parametrize(("similarity", "report_bool"), [(0.8, True), (1.0, True), (0.7999, False), (None, False)])
def test_backgrounds_alike_enough_confirm_a_report(similarity: float | None, report_bool: bool) -> None:
    """The threshold itself is enough; what cannot be compared is not."""
    pair = Pair(at("09:00:00"), at("09:10:00", "2"))
    report = report_of(pair, similarity)

    assert (1, similarity, report_bool, 7, 7) == (
        report.version,
        report.similarity,
        report.report_bool,
        report.created_at,
        report.updated_at,
    )


def test_a_changed_report_keeps_its_name_and_birthday() -> None:
    """It is the same report, one version on."""
    pair = Pair(at("09:00:00"), at("09:10:00", "2"))
    report = report_of(pair)
    later = parking.next_report(report, Pair(pair.first, at("09:20:00", "3")), Evidence(similarity=0.1), 0.8, 9)

    assert (report.report_id, 2, 7, 9) == (later.report_id, later.version, later.created_at, later.updated_at)
    assert ("09:20:00", False) == (later.last.capture_time[11:], later.report_bool)


def test_the_announcement_holds_no_link() -> None:
    """The other sighting may be another user's."""
    other = replace(at("09:10:00", "2"), user_id=UserId("two"), device_id="watch")
    report = report_of(Pair(SIGHTING, other), 0.93, "s3://1", "s3://2")

    assert (UserId("one"), UserId("two")) == report.owners
    assert {
        "reportId": report.report_id,
        "version": 1,
        "plateString": "12가3456",
        "latitude": 37.5665,
        "longitude": 126.978,
        "firstCaptureTime": "2026-11-20 09:00:00",
        "lastCaptureTime": "2026-11-20 09:10:00",
        "similarity": 0.93,
        "reportBool": True,
    } == parking.announcement(report)
    assert "similarity" not in parking.announcement(replace(report, similarity=None))
