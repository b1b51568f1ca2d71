"""What becomes of one row of a snapshot: how a row differs from its link, and what may be younger."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.sync.change import PUSH, SNAPSHOT, RowChange
from handlers.sync.errors import Code, Permanent
from handlers.sync.link import Claim, Entry, EventLink, merge
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.scope import Scope
from handlers.sync.template import MissingColumns
from handlers.sync.turn import in_order, take_turn
from handlers.sync.verdict import Equal, Skipped, TooYoung, Upsert, Verdict, Withdrawn, judge
from local.sample import ROW, TEXT
from tests.sync.snapshot import MAPPING, NOW, SHOWN, SIGMA, known, push


def verdict(link: EventLink | None, row: dict[str, Any] = SHOWN, mapping: Mapping = MAPPING, now: float = NOW) -> Verdict:
    return judge(link, row, mapping, Scope(), sigma=SIGMA, now=now, times={})


def test_an_equal_row_needs_nothing_whatever_its_form() -> None:
    assert verdict(known()) == Equal()
    assert verdict(known(push(before=0))) == Equal()  # however young


def test_a_row_that_differs_is_upserted_with_the_known_form_of_what_is_the_same() -> None:
    """Else the fingerprint would change with the padding, and attendees get mail for nothing."""
    found = verdict(known(), SHOWN | {"Room": "Building 5"})
    assert isinstance(found, Upsert)
    assert (found.row["Room"], found.row["Subject"], found.row["OpportunityID"]) == ("Building 5", "Site visit", "OP000123 ")
    assert found.row["MeetingStart"] == ROW["MeetingStart"]


def test_what_may_be_newer_than_the_snapshot_is_left_to_the_next_one() -> None:
    other = SHOWN | {"Subject": "another"}
    assert verdict(known(push(before=60)), other) == TooYoung()
    assert verdict(replace(known(), claim=Claim("t", NOW + 60)), other) == TooYoung()
    assert isinstance(verdict(replace(known(), claim=Claim("t", NOW - 60)), other), Upsert)


def test_an_attribute_that_is_empty_by_now_is_news() -> None:
    found = verdict(known(), SHOWN | {"Room": None})
    assert isinstance(found, Upsert)
    assert found.row["Room"] is None
    link = known()
    change = RowChange("t", "m", ("OP000123",), SIGMA, found.row, "sweep", NOW, origin=SNAPSHOT)
    assert merge(link, change, MAPPING).row["Room"] is None
    assert merge(link, replace(change, origin=PUSH), MAPPING).row["Room"] == "Building 4"


def test_midnight_in_utc_is_taken_for_neither_a_date_nor_a_time_as_long_as_nothing_tells() -> None:
    row = SHOWN | {"MeetingEnd": "2026-02-04T00:00:00Z"}
    assert verdict(None, row) == verdict(known(), row) == Skipped("time-unknown")
    assert verdict(known(push(ROW | {"MeetingEnd": "2026-02-03T19:00:00"})), row) == Equal()
    for kind, end in (("moment", "2026-02-03T19:00:00"), ("date", "2026-02-04T00:00:00")):
        found = judge(None, row, MAPPING, Scope(), sigma=SIGMA, now=NOW, times={"meetingend": kind})
        assert isinstance(found, Upsert)
        assert found.row["MeetingEnd"] == end


def test_an_edited_mapping_is_applied() -> None:
    edited = load_mapping("m", TEXT.replace('subject = "{Subject}"', 'subject = "Meeting: {Subject}"'))
    assert isinstance(verdict(known(), mapping=edited), Upsert)
    reads_more = load_mapping("m", TEXT.replace('subject = "{Subject}"', 'subject = "{Subject} {City}"'))
    assert isinstance(verdict(known(), SHOWN | {"City": "Ghent"}, reads_more), Upsert)
    with pytest.raises(MissingColumns):
        verdict(known(), mapping=reads_more)


def test_a_removed_row_that_is_there_comes_back() -> None:
    link = in_order(merge(known(push(before=7200)), push(None), MAPPING))
    assert isinstance(verdict(link), Upsert)
    assert verdict(in_order(merge(known(push(before=7200)), push(None, before=60), MAPPING))) == TooYoung()


def test_a_row_with_a_dead_letter_waits_for_a_person() -> None:
    assert verdict(replace(known(), buried=push().timestamp, last_error="why")) == Equal()


@pytest.mark.parametrize(
    ("rows", "start", "found"),
    [
        ('"future"', "2026-01-05T11:30:00Z", Upsert),  # under way
        ('"future"', "2026-01-05T10:30:00Z", "past"),
        ('"all"', "2020-01-05T10:30:00Z", Upsert),
        ("{ days = 7 }", "2025-12-30T10:30:00Z", Upsert),
        ("{ days = 7 }", "2025-12-28T10:30:00Z", "past"),
    ],
)
def test_which_rows_without_an_event_get_one(rows: str, start: str, found: Any) -> None:
    mapping = load_mapping("m", f"{TEXT}\n[backfill]\nrows = {rows}\n")
    told = verdict(None, SHOWN | {"MeetingStart": start, "MeetingEnd": None}, mapping)
    assert told == Skipped(found) if isinstance(found, str) else isinstance(told, found)


def test_a_backfill_never_mails_unless_it_is_told_to() -> None:
    text = TEXT.replace('location = "{Room}"', 'location = "{Room}"\nattendees = ["bob@x.com"]')
    assert verdict(None, mapping=load_mapping("m", text)) == Skipped("would-invite")
    assert isinstance(verdict(None, mapping=load_mapping("m", f"{text}\n[backfill]\ninvite = true\n")), Upsert)
    assert isinstance(verdict(known(mapping=MAPPING), mapping=load_mapping("m", text)), Upsert)  # an event that is there


def test_an_event_follows_its_row_into_another_mailbox_and_an_edited_mapping_only_as_a_backfill() -> None:
    text = TEXT.replace('location = "{Room}"', 'location = "{Room}"\nattendees = ["bob@x.com"]')
    mapping = load_mapping("m", text)
    moved = load_mapping("m", text.replace('mailbox = "{OwnerEmail}"', 'mailbox = "carol@x.com"'))
    assert isinstance(verdict(known(), SHOWN | {"OwnerEmail": "dave@x.com"}, mapping), Upsert)
    assert verdict(known(), SHOWN, moved) == Skipped("would-invite")
    refused = replace(known(), entries=(Entry("ann@x.com", 1, refused=True),), settled=0)
    assert verdict(refused, SHOWN | {"Room": "2"}, mapping) == Skipped("would-invite")


def test_a_row_that_once_had_an_event_returns_with_its_attendees_unless_it_is_over() -> None:
    mapping = load_mapping("m", TEXT.replace('location = "{Room}"', 'location = "{Room}"\nattendees = ["bob@x.com"]'))
    gone = in_order(merge(known(push(before=7200)), push(None), mapping))
    had = replace(gone, entries=(), generation=gone.first_generation + 1)
    assert verdict(replace(gone, entries=()), mapping=mapping) == Skipped("would-invite")
    assert isinstance(verdict(had, mapping=mapping), Upsert)
    over = SHOWN | {"MeetingStart": "2026-01-04T10:00:00Z", "MeetingEnd": "2026-01-04T11:00:00Z"}
    assert verdict(had, over, mapping) == Skipped("past")


def test_a_row_that_makes_no_event_is_not_sent() -> None:
    """It would be one dead letter for each row of a wrong mapping."""
    assert verdict(None, SHOWN | {"OwnerEmail": None}) == Skipped("unusable")
    conditional = load_mapping("m", f'{TEXT}\n[when]\nSubject = "other"\n')
    assert verdict(None, mapping=conditional) == Equal()


def test_a_known_row_whose_event_leaves_is_no_ordinary_change() -> None:
    text = f'{TEXT}\n[when]\nSubject = "other"\n'
    assert isinstance(verdict(known(), mapping=load_mapping("m", text)), Withdrawn)
    kept = verdict(known(), SHOWN | {"Room": "2"}, load_mapping("m", f'{text}[on]\ndelete = "keep"\n'))
    assert isinstance(kept, Upsert)
    trial = Scope(test_mailbox="test@x.com")
    assert isinstance(judge(known(), SHOWN, MAPPING, trial, sigma=SIGMA, now=NOW, times={}), Withdrawn)


def test_an_unusable_row_of_a_known_link_is_sent_and_becomes_a_dead_letter() -> None:
    """Its event is there, and wrong by now: somebody has to know."""
    found = verdict(known(), SHOWN | {"MeetingEnd": "2026-02-03T13:30:00Z"})
    assert isinstance(found, Upsert)
    change = RowChange("t", "m", ("OP000123",), SIGMA, found.row, "sweep", NOW, origin=SNAPSHOT)
    turn = take_turn(known(), change, MAPPING, Scope(), Claim("t", NOW + 60), NOW, 30)
    assert isinstance(getattr(turn, "failure", None), Permanent)
    assert turn.failure.code == Code.ROW_UNUSABLE  # type: ignore[union-attr]


def test_an_upsert_holds_the_whole_row() -> None:
    """The mapping may be edited before it is applied, and read more columns then."""
    found = verdict(None, SHOWN | {"City": "Ghent  "})
    assert isinstance(found, Upsert)
    assert found.row["City"] == "Ghent"


def test_an_event_that_is_still_leaving_is_seen_to() -> None:
    """Whoever removed it died, and the mapping reads a column by now that never came with this row."""
    mapping = load_mapping("m", f'{TEXT}[when]\nStage = "open"\n')
    link = known()
    left = replace(link, entries=tuple(replace(entry, leaving=True) for entry in link.entries))
    closed = SHOWN | {"Stage": "closed"}
    assert isinstance(verdict(left, closed, mapping), Upsert)
    assert verdict(replace(left, entries=()), closed, mapping) == Equal()
