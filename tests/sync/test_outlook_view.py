"""What a calendar shows, held against what rows ask for: the table in outlook_view.py, and what lies between."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sync.change import RowChange, datetime_to_ticks
from handlers.sync.link import Claim, Entry, EventLink, InOutlook, Version, merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.outlook_view import (
    Expected,
    Finding,
    expected,
    first_look,
    is_owed,
    item,
    marked,
    message,
    needs_a_message,
    second_look,
    window,
)
from handlers.sync.plan import intend, wanted_event
from handlers.sync.scope import Scope
from local.sample import ROW, TEXT, changed

FIELDS = '"custom.Opportunity.UsrStatus" = "{outlook_status}"\n'
REPORT = f'{TEXT}{FIELDS}[on]\nmoved = "report"\ndeleted = "report"'
MAPPING = load_mapping("m", REPORT)
RESTORING = load_mapping("m", f'{TEXT}[on]\nmoved = "restore"\ndeleted = "restore"')
NOW = datetime(2026, 2, 1, 12, tzinfo=UTC).timestamp()
TICKS = datetime_to_ticks(datetime(2026, 2, 1, tzinfo=UTC))


def link(mapping: Mapping = MAPPING, **columns: Any) -> EventLink:
    """A row that is in order: its event was written as it is now, and its record told."""
    change = RowChange("p", "m", ("OP000123",), TICKS, ROW | columns, "n", NOW)
    known = merge(new_link(change, NOW), change, mapping)
    wanted = wanted_event(known, mapping, Scope())
    assert wanted
    known = intend(known, wanted, mapping, NOW)
    entry = replace(known.entries[0], id="id1", fingerprint=wanted.fingerprint)
    return replace(known, entries=(entry,), written_back="id1", settled=TICKS)


def event(mapping: Mapping = MAPPING, **columns: Any) -> Expected:
    found = expected(link(mapping, **columns), mapping, Scope(), NOW)
    assert found
    return found


def shown(start: str, end: str, stamp: str = "", *, all_day: bool = False, **more: Any) -> dict[str, Any]:
    """An event as Graph shows it in UTC."""
    times = {name: {"dateTime": f"{at}.0000000", "timeZone": "UTC"} for name, at in (("start", start), ("end", end))}
    stamps = [{"id": "String {…} Name AcumaticaRow", "value": stamp or event().stamp.upper()}]
    return {"id": "id1", **times, "isAllDay": all_day, "singleValueExtendedProperties": stamps, **more}


AS_WRITTEN = shown("2026-02-03T14:30:00", "2026-02-03T15:30:00")
MOVED = shown("2026-02-04T20:00:00", "2026-02-04T21:00:00")


def found(told: dict[str, Any] | None, one: Expected | None = None, mapping: Mapping = MAPPING) -> Finding | None:
    """What the first look says; `told` is what the view shows under the event's id."""
    return first_look(one or event(), item(told) if told else None, (), mapping)


# -- the table ---------------------------------------------------------------------------------------------------------


def test_an_event_at_its_times_is_unchanged() -> None:
    finding = found(AS_WRITTEN)
    assert finding == Finding(InOutlook("unchanged", "2026-02-03T09:30:00", "2026-02-03T10:30:00", ""))
    assert marked(event(), finding, MAPPING) == link()


def test_a_difference_within_a_minute_is_none() -> None:
    """Calendars need not keep seconds."""
    finding = found(shown("2026-02-03T14:30:40", "2026-02-03T15:29:20"))
    assert finding
    assert finding.seen.status == "unchanged"


@pytest.mark.parametrize(
    "told",
    [
        MOVED,
        shown("2026-02-03T14:30:00", "2026-02-03T16:00:00"),
        shown("2026-02-03T14:00:00", "2026-02-03T15:30:00"),
        shown("2026-02-03T00:00:00", "2026-02-04T00:00:00", all_day=True),
    ],
)
def test_an_event_at_other_times_is_moved_once_that_is_confirmed(told: dict[str, Any]) -> None:
    assert found(told) is None
    finding = second_look(event(), item(told), elsewhere=False)
    assert finding
    assert finding.seen.status == "moved"
    there = marked(event(), finding, MAPPING)
    assert there == replace(link(), in_outlook=finding.seen)
    assert needs_a_message(there, MAPPING, Scope(), NOW)
    restored = marked(event(RESTORING), finding, RESTORING)
    assert restored.live == replace(link().entries[0], fingerprint=None)
    assert needs_a_message(restored, RESTORING, Scope(), NOW)


def test_an_event_that_is_nowhere_is_deleted_once_that_is_confirmed() -> None:
    assert found(None) is None
    finding = second_look(event(), None, elsewhere=False)
    assert finding == Finding(InOutlook("deleted", "", "", ""))
    assert marked(event(), finding, MAPPING) == replace(link(), in_outlook=finding.seen)
    restored = marked(event(RESTORING), finding, RESTORING)
    assert restored.live == replace(link().entries[0], fingerprint=None, sought=True)


def test_an_event_under_another_id_is_judged_by_its_times_and_sought() -> None:
    """Moved to another calendar of the mailbox: as such it is left alone."""
    still = second_look(event(RESTORING), item(AS_WRITTEN), elsewhere=True)
    moved = second_look(event(RESTORING), item(MOVED), elsewhere=True)
    assert still
    assert moved
    assert (still.seen.status, moved.seen.status) == ("unchanged", "moved")
    assert marked(event(RESTORING), still, RESTORING) == link(RESTORING)
    assert marked(event(RESTORING), moved, RESTORING).live == replace(link().entries[0], fingerprint=None, sought=True)


# -- what is no news ---------------------------------------------------------------------------------------------------


def test_what_was_told_is_not_confirmed_again() -> None:
    moved = second_look(event(), item(MOVED), elsewhere=False)
    assert moved
    told = replace(event(), link=replace(link(), in_outlook=moved.seen, outlook_told=moved.seen))
    assert found(MOVED, told) == moved
    assert marked(told, moved, MAPPING) == told.link
    assert found(shown("2026-02-05T20:00:00", "2026-02-05T21:00:00"), told) is None
    back = found(AS_WRITTEN, told)
    assert back
    seen = marked(told, back, MAPPING).in_outlook
    assert seen
    assert seen.status == "unchanged"


def test_a_deleted_event_is_deleted_until_its_stamp_is_seen_again() -> None:
    gone = InOutlook("deleted", "", "", "")
    told = replace(event(), link=replace(link(), in_outlook=gone, outlook_told=gone))
    assert first_look(told, None, (), MAPPING) == Finding(gone)
    assert first_look(told, None, {told.stamp}, MAPPING) is None


def test_what_nobody_wants_to_know_is_not_confirmed() -> None:
    mapping = load_mapping("m", f'{TEXT}[on]\ndeleted = "restore"')
    finding = found(MOVED, event(mapping), mapping)
    assert finding
    assert marked(event(mapping), finding, mapping) == link(mapping)


def test_an_event_with_another_stamp_is_not_ours() -> None:
    other = shown("2026-02-04T20:00:00", "2026-02-04T21:00:00", "f" * 64 + "-1")
    assert found(other) is None
    assert second_look(event(), item(other), elsewhere=False) is None
    assert second_look(event(), item(MOVED | {"singleValueExtendedProperties": []}), elsewhere=False) is None


def test_responses_are_told_where_the_record_has_a_field_for_them() -> None:
    people = [
        ("liz", "declined"),
        ("gus", "tentativelyAccepted"),
        ("ann", "none"),
        ("bob", "organizer"),
        ("zoe", "accepted"),
    ]
    attendees = [{"emailAddress": {"address": f"{n}@x.com"}, "status": {"response": r}} for n, r in people]
    told = AS_WRITTEN | {"attendees": [*attendees, {}, {"status": None, "emailAddress": None}]}
    mapping = load_mapping("m", REPORT.replace("{outlook_status}", "{responses}"))
    finding, silent = found(told, event(mapping), mapping), found(told)
    assert finding
    assert silent
    assert finding.seen.responses == "gus@x.com tentative; liz@x.com declined; zoe@x.com accepted"
    assert marked(event(mapping), finding, mapping).in_outlook == finding.seen
    assert (silent.seen.responses, marked(event(), silent, MAPPING)) == ("", link())
    many = [{"emailAddress": {"address": f"{n}@x.com"}, "status": {"response": "accepted"}} for n in range(100)]
    cut = found(AS_WRITTEN | {"attendees": many}, event(mapping), mapping)
    assert cut
    assert len(cut.seen.responses) == 250


# -- what is looked at -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        {"claim": Claim("theirs", NOW + 60)},
        {"written_back": None},  # its record is still to be told
        {"entries": ()},
        {"version": Version(TICKS, False, "")},
        {"entries": (replace(link().entries[0], sought=True),)},
        {"entries": (replace(link().entries[0], fingerprint=None),)},
        {"entries": (replace(link().entries[0], fingerprint="other"),)},
    ],
)
def test_a_row_that_is_not_in_order_is_not_judged(state: dict[str, Any]) -> None:
    assert expected(replace(link(), **state), MAPPING, Scope(), NOW) is None


def test_a_row_that_lacks_what_the_mapping_reads_by_now_is_not_judged() -> None:
    mapping = load_mapping("m", REPORT.replace('location = "{Room}"', 'location = "{Hall}"').replace('["Room"]', "[]"))
    assert expected(link(), mapping, Scope(), NOW) is None
    assert not is_owed(link(), mapping, Scope(), NOW)


def test_a_mapping_that_ignores_both_is_not_looked_at() -> None:
    mapping = load_mapping("m", TEXT)
    assert expected(link(mapping), mapping, Scope(), NOW) is None
    assert not is_owed(replace(link(mapping), in_outlook=InOutlook("moved", "", "", "")), mapping, Scope(), NOW)


@pytest.mark.parametrize(
    ("now", "looked"),
    [
        (datetime(2026, 2, 3, 15, 29, tzinfo=UTC), True),
        (datetime(2026, 2, 3, 15, 31, tzinfo=UTC), False),
        (datetime(2026, 2, 3, 14, 31, tzinfo=UTC) - timedelta(days=400), True),
        (datetime(2026, 2, 3, 14, 29, tzinfo=UTC) - timedelta(days=400), False),
    ],
)
def test_only_what_is_not_over_and_not_far_off_is_looked_at(now: datetime, looked: bool) -> None:
    assert (expected(link(), MAPPING, Scope(), now.timestamp()) is not None) == looked


def test_the_window_is_that_of_the_events_and_some_days_more() -> None:
    here, there = event(), event(MeetingStart="2026-06-03T09:30:00", MeetingEnd="2026-06-03T10:30:00")
    start, end = window([here, there], NOW)
    assert start == datetime(2026, 1, 31, tzinfo=UTC), "yesterday"
    assert end == datetime(2026, 6, 10, 14, 30, tzinfo=UTC)
    assert window([there], NOW)[0] == datetime(2026, 5, 27, 13, 30, tzinfo=UTC)
    late = event(MeetingStart="2027-03-05T09:30:00", MeetingEnd="2027-03-05T10:30:00")
    assert window([late], NOW)[1] == datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=400)


def test_whole_days_are_told_as_days_and_compared_without_a_zone() -> None:
    mapping = load_mapping("m", changed(("location =", "isAllDay = true\nlocation =")) + REPORT.removeprefix(TEXT))
    one = event(mapping, MeetingStart="2026-02-03", MeetingEnd="2026-02-04")
    same = shown("2026-02-03T00:00:00", "2026-02-05T00:00:00", all_day=True)
    finding = found(same, one, mapping)
    assert finding == Finding(InOutlook("unchanged", "2026-02-03", "2026-02-04", ""))
    moved = second_look(one, item(shown("2026-02-04T00:00:00", "2026-02-05T00:00:00", all_day=True)), elsewhere=False)
    assert moved == Finding(InOutlook("moved", "2026-02-04", "2026-02-04", ""))


def test_an_event_that_later_changes_leave_alone_is_only_missed_once_its_row_has_changed() -> None:
    """Nobody knows what times it was written with."""
    mapping = load_mapping("m", f'{REPORT}\nupdate = "ignore"')
    newer = RowChange("p", "m", ("OP000123",), TICKS + 1, ROW | {"MeetingStart": "2026-02-03T09:00:00"}, "n", NOW)
    one = expected(merge(link(mapping), newer, mapping), mapping, Scope(), NOW)
    assert one
    assert not one.as_written
    finding = found(MOVED, one, mapping)
    assert finding
    assert finding.seen.status == "unchanged"
    gone = second_look(one, None, elsewhere=False)
    assert gone
    assert gone.seen.status == "deleted"


@pytest.mark.parametrize(
    "broken",
    [
        {"start": None},
        {"start": {"dateTime": "soon", "timeZone": "UTC"}},
        {"end": {"dateTime": "2026-02-03T14:30:00", "timeZone": "Middle Earth"}},
        {"singleValueExtendedProperties": [{}]},
    ],
)
def test_what_is_not_in_graphs_form_is_nothing_to_go_by(broken: dict[str, Any]) -> None:
    assert item(AS_WRITTEN | broken) is None


# -- messages ----------------------------------------------------------------------------------------------------------


def test_a_mark_whose_message_got_lost_is_owed() -> None:
    doubted = replace(link(RESTORING), entries=(replace(link().entries[0], fingerprint=None),))
    assert is_owed(doubted, RESTORING, Scope(), NOW)
    untold = replace(link(), in_outlook=InOutlook("moved", "", "", ""))
    assert is_owed(untold, MAPPING, Scope(), NOW)
    assert not is_owed(replace(untold, outlook_told=untold.in_outlook), MAPPING, Scope(), NOW)
    assert not is_owed(link(), MAPPING, Scope(), NOW)
    for somebody in ({"last_error": "away"}, {"buried": TICKS}, {"claim": Claim("theirs", NOW + 60)}):
        assert not is_owed(replace(untold, **somebody), MAPPING, Scope(), NOW)
    ignored = load_mapping("m", f'{TEXT}[on]\nmoved = "report"')
    assert not is_owed(replace(untold), ignored, Scope(), NOW), "there is no field to tell it"


columns = st.fixed_dictionaries({"Subject": st.text(max_size=3), "Room": st.none() | st.text(max_size=3)})


@given(first=columns, second=columns, later=st.integers(0, 5))
def test_a_message_of_a_look_is_no_news_for_a_row(first: dict[str, Any], second: dict[str, Any], later: int) -> None:
    """Whether it comes before or after a push that was under way."""
    push = RowChange("p", "m", ("OP000123",), TICKS + later, ROW | second, "n", NOW)
    known = link(**first)
    ours = message(known, NOW)
    assert merge(known, ours, MAPPING) == known
    assert merge(merge(known, push, MAPPING), ours, MAPPING) == merge(merge(known, ours, MAPPING), push, MAPPING)
    assert merge(merge(known, push, MAPPING), ours, MAPPING) == merge(known, push, MAPPING)


def test_entries_of_other_generations_have_other_stamps() -> None:
    other = replace(event(), entry=Entry("jane.doe@example.com", 7, "id1"))
    assert second_look(other, item(AS_WRITTEN), elsewhere=False) is None
