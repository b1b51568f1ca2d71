"""Plans: one test per row of the table in plan.py, and what lies between."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.clients.requests_to_graph import create_event
from handlers.sync import plan as planning
from handlers.sync.change import RowChange
from handlers.sync.effects import (
    AdoptEvent,
    ClearRecord,
    CreateEvent,
    DeleteEvent,
    Effect,
    FindEvent,
    ReportFailure,
    ReportOutlook,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Claim, Column, Entry, EventLink, InOutlook, Record, Version, merge
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.plan import plan_report, waits_until, with_end
from handlers.sync.scope import Scope

TEXT = """
query = "Q"
key = ["Key"]
mailbox = "{Owner}"
time_zone = "UTC"
[event]
subject = "{Subject}"
start = "2026-01-01T09:00:00"
end = "2026-01-02T09:00:00"
"""
WRITE_BACK = """
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{NoteID}"
fields.ExternalRef = "{event_id}"
"""
WRITING = load_mapping("m", TEXT + WRITE_BACK)
SILENT = load_mapping("m", TEXT)
WANTED = CalendarEvent("a@x.com", {"subject": "s"})
EQUAL = WANTED.fingerprint
LINK = EventLink("P", "m", ("A",), columns={"NoteID": Column(1, "note1")}, written_to="note1", written=True)
NOW = 1000.0


def with_entries(*entries: Entry, **state: Any) -> EventLink:
    return replace(LINK, entries=entries, generation=max(entry.generation for entry in entries), **state)


def intend(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping, now: float = NOW) -> EventLink:
    return planning.intend(link, wanted, mapping, now)


def plan(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping, now: float = NOW) -> list[Effect]:
    return planning.plan(link, wanted, mapping, now)


def settled(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping, now: float = NOW) -> bool:
    return planning.settled(link, wanted, mapping, now)


def wanted_event(link: EventLink, mapping: Mapping) -> CalendarEvent | None:
    return planning.wanted_event(link, mapping, Scope())


def write_back(entry: Entry, record: str = "note1") -> WriteBack:
    return WriteBack(record, Record(entry.id, ""), entry)


def planned(link: EventLink, wanted: CalendarEvent | None) -> tuple[EventLink, list[Effect]]:
    intended = intend(link, wanted, WRITING)
    assert intend(intended, wanted, WRITING) == intended, "intentions do not grow"
    return intended, plan(intended, wanted, WRITING)


# -- the table ----------------------------------------------------------------------------------------------------------


def test_wanted_and_nothing_there() -> None:
    """CreateEvent, in a new generation that is part of the intent."""
    link, effects = planned(LINK, WANTED)
    assert (link.generation, link.entries) == (1, (Entry("a@x.com", 1),))
    assert effects == [CreateEvent(Entry("a@x.com", 1), LINK.stamp(1), WANTED)]


def test_wanted_in_another_mailbox() -> None:
    """Make before break: CreateEvent there, then DeleteEvent here."""
    there = Entry("b@x.com", 1, "id1", EQUAL)
    link, effects = planned(with_entries(there, written_back="id1"), WANTED)
    leaving = replace(there, leaving=True)
    assert link.entries == (leaving, Entry("a@x.com", 2))
    assert effects == [
        CreateEvent(Entry("a@x.com", 2), LINK.stamp(2), WANTED),
        DeleteEvent(leaving, LINK.stamp(1)),
    ]


def test_wanted_and_equal() -> None:
    """None."""
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1")
    assert planned(link, WANTED) == (link, [])
    assert settled(link, WANTED, WRITING)


@pytest.mark.parametrize("fingerprint", ["other", None])
def test_wanted_and_other_or_not_known(fingerprint: str | None) -> None:
    """UpdateEvent by the id."""
    entry = Entry("a@x.com", 1, "id1", fingerprint)
    link, effects = planned(with_entries(entry, written_back="id1"), WANTED)
    assert link == with_entries(entry, written_back="id1")
    assert effects == [UpdateEvent(entry, LINK.stamp(1), WANTED)]


def test_none_wanted() -> None:
    """DeleteEvent for each, FindEvent for those without a known id; nothing is written back."""
    entries = (Entry("a@x.com", 1, "id1", EQUAL), Entry("b@x.com", 2, leaving=True), Entry("c@x.com", 3))
    link, effects = planned(with_entries(*entries), None)
    one, two, three = (replace(entry, leaving=True) for entry in entries)
    assert effects == [DeleteEvent(one, LINK.stamp(1)), FindEvent(two, LINK.stamp(2)), FindEvent(three, LINK.stamp(3))]
    assert link.generation == 3


def test_none_wanted_and_nothing_there() -> None:
    """None: a removal of what was never there costs no call."""
    assert planned(LINK, None) == (LINK, [])
    assert settled(LINK, None, WRITING)


@pytest.mark.parametrize("written_back", [None, "id0"])
def test_the_id_is_not_in_acumatica(written_back: str | None) -> None:
    """WriteBack, and alone where the event is in order."""
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back=written_back)
    assert planned(link, WANTED) == (link, [write_back(link.entries[0])])
    assert not settled(link, WANTED, WRITING)


def test_a_record_that_was_made_again() -> None:
    """It has the same key and another id: WriteBack to the new one, though the event is the same."""
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1")
    assert settled(link, WANTED, WRITING)
    again = replace(link, columns={"NoteID": Column(2, "note2")})
    assert planned(again, WANTED) == (
        replace(again, written_to="note2", written_back=None),
        [write_back(again.entries[0], "note2")],
    )


def test_write_back_is_last() -> None:
    """So that a failure of Acumatica holds no event back."""
    entries = (Entry("b@x.com", 1, "id1", leaving=True), Entry("a@x.com", 2, "id2", "other"))
    effects = planned(with_entries(*entries, written_back="id1"), WANTED)[1]
    assert [type(effect) for effect in effects] == [UpdateEvent, DeleteEvent, WriteBack]


def test_no_write_back_before_the_id_is_known() -> None:
    """It follows when the event is made."""
    assert [type(effect) for effect in planned(LINK, WANTED)[1]] == [CreateEvent]


def test_no_write_back_without_one_in_the_mapping() -> None:
    """An event alone is a settled state then."""
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL))
    assert plan(link, WANTED, SILENT) == []
    assert settled(link, WANTED, SILENT)


# -- between ------------------------------------------------------------------------------------------------------------


def test_what_leaves_never_comes_back() -> None:
    """Moved there and back: a new event, and both older ones are deleted."""
    first = Entry("a@x.com", 1, "id1", EQUAL, leaving=True)
    second = Entry("b@x.com", 2, "id2", EQUAL)
    link, effects = planned(with_entries(first, second), WANTED)
    assert link.entries == (first, replace(second, leaving=True), Entry("a@x.com", 3))
    assert effects == [
        CreateEvent(Entry("a@x.com", 3), LINK.stamp(3), WANTED),
        DeleteEvent(first, LINK.stamp(1)),
        DeleteEvent(replace(second, leaving=True), LINK.stamp(2)),
    ]


def test_an_entry_without_an_id_is_posted_again() -> None:
    """With the same stamp, so that Graph makes no second event, and in no new generation."""
    link = with_entries(Entry("a@x.com", 1, unsure=True))
    assert planned(link, WANTED) == (link, [CreateEvent(Entry("a@x.com", 1, unsure=True), LINK.stamp(1), WANTED)])


def test_an_unknown_post_to_another_mailbox_leaves() -> None:
    """Found by its stamp and deleted, after the new one is made."""
    link, effects = planned(with_entries(Entry("b@x.com", 1, unsure=True)), WANTED)
    leaving = Entry("b@x.com", 1, leaving=True, unsure=True)
    assert link.entries == (leaving, Entry("a@x.com", 2))
    assert effects == [CreateEvent(Entry("a@x.com", 2), LINK.stamp(2), WANTED), FindEvent(leaving, LINK.stamp(1))]


def test_an_unconfirmed_link_is_done_again() -> None:
    """Update and write-back, although both may be in order."""
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1", claim=Claim("t", 0.0)).unconfirmed()
    entry = Entry("a@x.com", 1, "id1")
    assert planned(link, WANTED)[1] == [UpdateEvent(entry, LINK.stamp(1), WANTED), write_back(entry)]


def test_something_leaving_is_not_settled() -> None:
    """Also when the event that stays is in order."""
    link = with_entries(Entry("b@x.com", 1, "id0", leaving=True), Entry("a@x.com", 2, "id1", EQUAL), written_back="id1")
    assert not settled(link, WANTED, WRITING)
    assert planned(link, WANTED) == (link, [DeleteEvent(link.entries[0], LINK.stamp(1))])


@pytest.mark.parametrize("wanted", [WANTED, None])
def test_an_intent_alone_is_not_settled(wanted: CalendarEvent | None) -> None:
    """What has to be marked or made is work."""
    assert not settled(with_entries(Entry("b@x.com", 1, "id1", EQUAL)), wanted, WRITING)


def test_generations_of_forgotten_events_are_not_used_again() -> None:
    """The stamp of an event that a person has deleted stays used up."""
    link, effects = planned(replace(LINK, generation=4), WANTED)
    assert link.generation == 5
    assert effects == [CreateEvent(Entry("a@x.com", 5), LINK.stamp(5), WANTED)]


# -- what is wanted -----------------------------------------------------------------------------------------------------

ROW = {"Key": "A", "Owner": "A@x.com", "Subject": "s", "NoteID": "n"}


def test_a_present_row_wants_its_event() -> None:
    """Rendered from the newest row."""
    link = merge(LINK, RowChange("P", "m", ("A",), 1, ROW, "n", 0.0), WRITING)
    wanted = wanted_event(link, WRITING)
    assert wanted is not None
    assert (wanted.mailbox, wanted.body["subject"]) == ("a@x.com", "s")


@pytest.mark.parametrize("version", [None, Version(1, present=False, row_hash="h")])
def test_a_row_that_is_gone_or_never_seen_wants_none(version: Version | None) -> None:
    """Nothing is rendered, so nothing can fail."""
    assert wanted_event(replace(LINK, version=version), WRITING) is None


def test_a_row_that_cannot_be_rendered_is_a_persons_business() -> None:
    """Rather than a removal of the event."""
    link = merge(LINK, RowChange("P", "m", ("A",), 1, ROW | {"Owner": None}, "n", 0.0), WRITING)
    with pytest.raises(Permanent, match="mailbox"):
        wanted_event(link, WRITING)


# -- what a mapping can say about it ------------------------------------------------------------------------------------


def writing(more: str = "", top: str = "") -> Mapping:
    return load_mapping("m", top + TEXT + WRITE_BACK + more)


def present(mapping: Mapping, link: EventLink = LINK, **columns: Any) -> EventLink:
    return merge(link, RowChange("P", "m", ("A",), 1, ROW | columns, "n", 0.0), mapping)


NOTE = "6b0f6a52-5d0e-4f1e-9c2a-0a1b2c3d4e5f"
WHEN = writing('[when]\nStatus = "Open"')


def test_a_row_that_does_not_match_wants_none() -> None:
    """Nothing of it is rendered, so nothing of it can fail."""
    assert wanted_event(present(WHEN, Status="Open"), WHEN) is not None
    assert wanted_event(present(WHEN, Status="Closed", Owner=None), WHEN) is None


def test_changes_may_be_ignored() -> None:
    """Once there is an event: neither its content nor a new owner counts; the id is still written back."""
    mapping = writing('[on]\nupdate = "ignore"')
    first = wanted_event(present(mapping), mapping)
    assert first
    assert plan(intend(present(mapping), first, mapping), first, mapping) == [
        CreateEvent(Entry("a@x.com", 1), LINK.stamp(1), first)
    ]
    made = present(
        mapping,
        with_entries(Entry("a@x.com", 1, "id1", "other"), written_to="n", written=True),
        Owner="b@x.com",
        Subject="new",
    )
    wanted = wanted_event(made, mapping)
    assert wanted
    assert wanted.mailbox == "a@x.com"
    assert plan(intend(made, wanted, mapping), wanted, mapping) == [write_back(made.entries[0], "n")]
    assert settled(replace(made, written_back="id1"), wanted, mapping)


def test_events_may_be_kept() -> None:
    """A removal leaves them; what is leaving already goes; a row that comes back finds its event."""
    mapping = writing('[on]\ndelete = "keep"')
    kept, leaving = Entry("a@x.com", 2, "id2", EQUAL), Entry("b@x.com", 1, "id1", leaving=True)
    link = with_entries(leaving, kept)
    assert intend(link, None, mapping) == link
    assert plan(link, None, mapping) == [DeleteEvent(leaving, LINK.stamp(1))]
    assert settled(with_entries(kept), None, mapping)
    assert intend(with_entries(kept), WANTED, mapping) == with_entries(kept)


@pytest.mark.parametrize("delete", ["delete", "cancel"])
def test_what_is_over_may_stay(delete: str) -> None:
    """When its row leaves; what is under way or ahead goes, and so does what was leaving already, or has no end."""
    mapping = writing(f'[on]\ndelete = "{delete}"\npast = "keep"')
    past, leaving = Entry("a@x.com", 2, "id2", EQUAL, over=NOW), Entry("b@x.com", 1, "id1", leaving=True, over=NOW - 9)
    assert intend(with_entries(past), None, mapping) == with_entries(past)
    assert settled(with_entries(past), None, mapping)
    both = with_entries(leaving, past)
    assert [
        effect.entry for effect in plan(intend(both, None, mapping), None, mapping) if isinstance(effect, DeleteEvent)
    ] == [leaving]
    for goes in (replace(past, over=NOW + 1), replace(past, over=0.0), replace(past, id=None)):
        assert all(entry.leaving for entry in intend(with_entries(goes), None, mapping).entries)
    assert all(entry.leaving for entry in intend(with_entries(past), None, WRITING).entries)
    assert intend(intend(with_entries(past), None, mapping), WANTED, mapping).live == past, "a row that comes back"


@pytest.mark.parametrize(("hour", "goes"), [(0, False), (1, False), (2, True)])
def test_an_event_stays_only_if_it_is_over_whatever_was_carried_out(hour: int, *, goes: bool) -> None:
    """Its newest state is saved before the request for it: whether that was carried out may never be known."""
    mapping = writing('[on]\npast = "keep"')
    entry = Entry("a@x.com", 1, "id1", EQUAL, over=3600.0)
    wanted = CalendarEvent("a@x.com", {"end": {"dateTime": f"1970-01-01T0{hour}:00:00", "timeZone": "UTC"}})
    link = intend(with_entries(entry), wanted, mapping)
    assert [e.leaving for e in intend(link, None, mapping, 3600.0).entries] == [goes]


def test_the_end_of_an_event_that_an_older_version_has_written() -> None:
    """Is that of the row's last state; what is known is not changed."""
    wanted = CalendarEvent("a@x.com", {"end": {"dateTime": "1970-01-01T01:00:00", "timeZone": "UTC"}})
    entry = Entry("a@x.com", 1, "id1", EQUAL)
    assert with_end(with_entries(entry), wanted).live == replace(entry, over=3600.0)
    assert with_end(with_entries(replace(entry, over=5.0)), wanted).live == replace(entry, over=5.0)
    assert with_end(with_entries(entry), None).live == entry
    assert with_end(LINK, wanted) == LINK


def test_meetings_may_be_cancelled_with_a_comment() -> None:
    entry = Entry("a@x.com", 1, "id1", EQUAL)
    link, leaving = with_entries(entry), replace(entry, leaving=True)
    for more, comment in (("", "Cancelled in Acumatica."), ('\ncomment = "Off."', "Off.")):
        mapping = writing(f'[on]\ndelete = "cancel"{more}')
        assert plan(intend(link, None, mapping), None, mapping) == [DeleteEvent(leaving, LINK.stamp(1), comment)]


def test_fields_may_be_emptied() -> None:
    """Last, in the record that got the id or may have got it; once, and never while the event is wanted."""
    mapping = writing("[on]\nclear = true")
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL, leaving=True), written_to=NOTE)
    assert plan(link, None, mapping) == [DeleteEvent(link.entries[0], LINK.stamp(1)), ClearRecord(NOTE, everything=True)]
    assert settled(replace(LINK, written_to=None), None, mapping)
    assert plan(link, None, WRITING) == [DeleteEvent(link.entries[0], LINK.stamp(1))]
    assert settled(with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1"), WANTED, mapping)


@pytest.mark.parametrize("record", ["", "n", "OP000123"])
def test_what_is_no_record_is_not_emptied(record: str) -> None:
    """Nothing was ever written to it; else each removal of such a row would be a dead letter."""
    assert settled(replace(LINK, written_to=record), None, writing("[on]\nclear = true"))


def test_a_record_is_named_before_it_is_written_to() -> None:
    """So that whoever follows a dead worker knows which one to empty."""
    link = intend(replace(LINK, written_to=None), WANTED, WRITING)
    assert (link.written_to, link.written_back) == ("note1", None)
    assert intend(replace(LINK, written_to=None), WANTED, SILENT).written_to is None


def test_another_calendar_is_another_place() -> None:
    """Graph moves no event: made there first, then removed here."""
    there = replace(WANTED, calendar="Service")
    entry = Entry("a@x.com", 1, "id1", EQUAL)
    link, effects = planned(with_entries(entry, written_back="id1"), there)
    assert link.entries == (replace(entry, leaving=True), Entry("a@x.com", 2, calendar="Service"))
    assert [type(effect) for effect in effects] == [CreateEvent, DeleteEvent]


ADOPTING = writing(top='adopt = "{Old}"')
OLD_ID = "AAMkAGI1" + "x" * 40


def test_an_event_of_an_earlier_integration_is_adopted() -> None:
    """In the first generation only: later the column holds the id of an event of our own."""
    link = present(ADOPTING, Old=OLD_ID)
    wanted = wanted_event(link, ADOPTING)
    intended = intend(link, wanted, ADOPTING)
    assert wanted
    assert intended.entries == (Entry("a@x.com", 1, adopt=OLD_ID),)
    assert plan(intended, wanted, ADOPTING) == [AdoptEvent(intended.entries[0], LINK.stamp(1), wanted)]
    later = intend(replace(link, generation=1), wanted, ADOPTING)
    assert later.entries == (Entry("a@x.com", 2),)
    assert intend(present(ADOPTING, Old="none"), wanted, ADOPTING).entries == (Entry("a@x.com", 1),)


def test_an_adoption_that_was_not_carried_out_is_carried_over_to_the_next_entry() -> None:
    """The row moves before anybody could look: the column still holds the other integration's id. Once made, it does not."""
    mapping = writing(top='adopt = "{EventId}"\n')
    row = present(mapping, EventId="AAMk" * 10)
    pending = with_entries(Entry("b@x.com", 1, adopt="AAMk" * 10), columns=row.columns, version=row.version)
    moved = intend(pending, WANTED, mapping)
    assert [(e.mailbox, e.leaving, e.adopt) for e in moved.entries] == [
        ("b@x.com", True, None),
        ("a@x.com", False, "AAMk" * 10),
    ]
    made = with_entries(Entry("b@x.com", 1, "id1", EQUAL), columns=row.columns, version=row.version)
    assert [entry.adopt for entry in intend(made, WANTED, mapping).entries] == [None, None]


def test_what_was_to_be_adopted_is_removed_by_its_stamp_only() -> None:
    """Where the row goes before that is known to be done, the event may be anyone's."""
    link = intend(with_entries(Entry("a@x.com", 1, adopt=OLD_ID)), None, ADOPTING)
    assert plan(link, None, ADOPTING) == [FindEvent(Entry("a@x.com", 1, leaving=True), LINK.stamp(1))]
    seen = intend(with_entries(Entry("a@x.com", 1, OLD_ID, adopt=OLD_ID)), None, ADOPTING)
    assert seen.entries == (Entry("a@x.com", 1, leaving=True),)


def test_a_reported_failure_is_taken_back() -> None:
    """WriteBack once more after a success, though the id is there already."""
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1", reported="No mailbox.")
    assert planned(link, WANTED) == (link, [write_back(link.entries[0])])


def test_notes_are_part_of_the_link() -> None:
    noted = replace(WANTED, notes=("cut",))
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1")
    assert planned(link, noted) == (replace(link, notes=("cut",)), [])
    assert intend(replace(link, notes=("cut",)), None, WRITING).notes == ()


# -- late requests, events that are looked for, records that are told why -----------------------------------------------


def test_an_event_that_graph_does_not_know_by_its_id_is_looked_for() -> None:
    """Whether it stays or leaves."""
    entry = Entry("a@x.com", 1, "id1", EQUAL, sought=True)
    assert planned(with_entries(entry, written_back="id1"), WANTED)[1] == [FindEvent(entry, LINK.stamp(1))]
    leaving = replace(entry, leaving=True)
    assert planned(with_entries(leaving, written_back="id1"), None)[1] == [FindEvent(leaving, LINK.stamp(1))]


def test_what_a_late_request_may_change_is_written_again_once_it_is_over() -> None:
    """Until then there is nothing to do, and the row is not in order; equal content needs no second writing."""
    entry = Entry("a@x.com", 1, "id1", EQUAL, late_until=NOW, late_print="older")
    link = with_entries(entry, written_back="id1")
    assert plan(link, WANTED, WRITING, NOW - 1) == []
    assert not settled(link, WANTED, WRITING, NOW - 1)
    assert waits_until(link, WANTED, WRITING, NOW - 1) == NOW
    assert plan(link, WANTED, WRITING, NOW) == [UpdateEvent(entry, LINK.stamp(1), WANTED)]
    assert settled(with_entries(replace(entry, late_print=EQUAL), written_back="id1"), WANTED, WRITING, NOW - 1)


def test_an_event_that_a_late_request_may_make_is_looked_for_once_that_is_over() -> None:
    link = with_entries(Entry("a@x.com", 1, leaving=True, late_until=NOW, late_print=EQUAL))
    assert plan(link, None, WRITING, NOW - 1) == []
    assert not settled(link, None, WRITING, NOW - 1)
    assert plan(link, None, WRITING, NOW) == [FindEvent(link.entries[0], LINK.stamp(1))]


def test_what_leaves_and_is_looked_for_waits_for_late_requests_too() -> None:
    """A person has moved it just when it was to be removed: without its look-up it would stay for good."""
    link = with_entries(Entry("a@x.com", 1, "id1", leaving=True, sought=True, late_until=NOW))
    assert plan(link, None, WRITING, NOW - 1) == []
    assert not settled(link, None, WRITING, NOW - 1)
    assert plan(link, None, WRITING, NOW) == [FindEvent(link.entries[0], LINK.stamp(1))]


def test_only_what_there_is_to_do_is_waited_for() -> None:
    """Soonest first; neither a record that nobody writes to again, nor an event whose changes are ignored."""
    late = Entry("a@x.com", 1, "id1", EQUAL, late_until=NOW, late_print="older")
    link = with_entries(late, written_back="id1", record_late_until=NOW + 9, record_late=Record("id0", ""))
    assert waits_until(link, WANTED, WRITING, NOW - 1) == NOW
    assert waits_until(link, WANTED, WRITING, NOW - 1, frozenset({1})) == NOW + 9
    assert waits_until(link, WANTED, writing('[on]\nupdate = "ignore"'), NOW - 1) == NOW + 9
    assert settled(replace(link, entries=()), None, WRITING, NOW - 1)
    clearing = writing("[on]\nclear = true")
    assert settled(replace(link, entries=(), written_to="no record"), None, clearing, NOW - 1)


def test_a_late_write_back_is_followed_by_another() -> None:
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1", record_late_until=NOW)
    older = replace(link, record_late=Record("id0", ""))
    assert plan(older, WANTED, WRITING, NOW - 1) == []
    assert not settled(older, WANTED, WRITING, NOW - 1)
    assert plan(older, WANTED, WRITING, NOW) == [write_back(link.entries[0])]
    assert plan(link, WANTED, WRITING, NOW) == [write_back(link.entries[0])]
    assert settled(replace(link, record_late=Record("id1", "")), WANTED, WRITING, NOW - 1)


def test_what_was_never_made_needs_no_removal() -> None:
    """Graph has refused to make it; in the mailbox where it is wanted it is tried again."""
    link = with_entries(Entry("b@x.com", 1, refused=True))
    assert intend(link, None, WRITING).entries == ()
    assert intend(link, WANTED, WRITING).entries == (Entry("a@x.com", 2),)
    assert intend(with_entries(Entry("a@x.com", 1, refused=True)), WANTED, WRITING).entries == (Entry("a@x.com", 1),)


def test_what_could_not_be_removed_just_now_holds_back_nothing() -> None:
    entries = (Entry("b@x.com", 1, "id1", leaving=True), Entry("a@x.com", 2, "id2", EQUAL))
    link = with_entries(*entries)
    assert planning.plan(link, WANTED, WRITING, NOW, frozenset({1})) == [write_back(entries[1])]


def test_what_cannot_be_written_just_now_holds_back_what_hangs_on_it_alone() -> None:
    """An event that is there is there: what leaves may go. One that is not is made first."""
    leaving, there = Entry("b@x.com", 1, "id1", leaving=True), Entry("a@x.com", 2, "id2", "other")

    def without(live: Entry) -> list[Effect]:
        return planning.plan(with_entries(leaving, live), WANTED, WRITING, NOW, frozenset({2}))

    assert without(there) == [DeleteEvent(leaving, LINK.stamp(1)), write_back(there)]
    for missing in (replace(there, id=None), replace(there, sought=True), replace(there, adopt="id2")):
        assert without(missing) == []


def test_calendars_are_named_without_regard_to_case() -> None:
    entry = Entry("a@x.com", 1, "id1", EQUAL, calendar="Service")
    link = with_entries(entry, written_back="id1")
    assert planned(link, replace(WANTED, calendar=" service "))[1] == []


def test_only_what_was_made_is_frozen() -> None:
    """A first owner whose mailbox does not exist is replaced by the right one."""
    mapping = writing('[on]\nupdate = "ignore"')
    link = present(mapping, with_entries(Entry("wrong@x.com", 1), written_to="n"))
    wanted = wanted_event(link, mapping)
    assert wanted
    assert wanted.mailbox == "a@x.com"


def test_a_field_that_was_never_written_is_not_emptied() -> None:
    mapping = writing("[on]\nclear = true")
    assert settled(replace(LINK, written_to=NOTE, written=False), None, mapping)


REPORTING = load_mapping("m", TEXT + WRITE_BACK + 'fields.Description = "{reason}"\n')


def test_a_failure_is_reported_once() -> None:
    link = replace(LINK, written_to=NOTE)
    assert plan_report(link, "No mailbox.", REPORTING) == [ReportFailure(NOTE, Record(None, "No mailbox."))]
    assert plan_report(replace(link, reported="No mailbox."), "No mailbox.", REPORTING) == []
    assert plan_report(link, "No mailbox.", WRITING) == []
    assert plan_report(replace(link, written_to="OP1"), "No mailbox.", REPORTING) == []


def test_a_reported_failure_is_taken_back_when_the_row_leaves() -> None:
    """The reason alone: the id stays where the mapping does not say otherwise."""
    link = replace(LINK, written_to=NOTE, reported="No mailbox.")
    assert plan(link, None, REPORTING) == [ClearRecord(NOTE, everything=False)]
    assert settled(replace(link, reported=""), None, REPORTING)


def test_a_silent_event_is_made_without_a_reminder_and_not_written_again() -> None:
    (effect,) = plan(with_entries(Entry("a@x.com", 1, silent=True)), WANTED, SILENT)
    assert isinstance(effect, CreateEvent)
    assert (create_event(effect.event, "x").body or {})["isReminderOn"] is False
    assert plan(with_entries(Entry("a@x.com", 1, "id1", effect.event.fingerprint, silent=True)), WANTED, SILENT) == []


SEEN = InOutlook("moved", "2026-01-02T09:00:00", "2026-01-02T10:00:00", "")
TELLING = load_mapping("m", f'{TEXT}{WRITE_BACK}fields.Status = "{{outlook_status}}"\n[on]\nmoved = "report"')


def test_wanted_and_the_record_does_not_hold_what_was_seen() -> None:
    """ReportOutlook, last, where the mapping has a field for it."""
    entry = Entry("a@x.com", 1, "id1", EQUAL)
    link = with_entries(entry, written_back="id1", in_outlook=SEEN)
    assert plan(link, WANTED, TELLING) == [ReportOutlook("note1", SEEN)]
    assert plan(replace(link, written_back=None), WANTED, TELLING) == [write_back(entry), ReportOutlook("note1", SEEN)]
    assert plan(link, WANTED, WRITING) == []
    assert plan(replace(link, outlook_told=SEEN), WANTED, TELLING) == []
    assert plan(replace(link, outlook_told=SEEN).unconfirmed(), WANTED, TELLING)[-1] == ReportOutlook("note1", SEEN)
    assert plan(link, None, TELLING) == [], "it leaves with its event"


def test_a_record_that_was_made_again_is_told_of_outlook_again() -> None:
    link = with_entries(Entry("a@x.com", 1, "id1", EQUAL), written_back="id1", in_outlook=SEEN, outlook_told=SEEN)
    there = intend(replace(link, columns={"NoteID": Column(2, "note2")}), WANTED, TELLING)
    assert plan(there, WANTED, TELLING)[-1] == ReportOutlook("note2", SEEN)


@pytest.mark.parametrize(
    ("made", "stays"),
    [({"id": "id1"}, True), ({"unsure": True}, True), ({"tried": True}, True), ({}, False)],
)
def test_once_a_teams_meeting_an_event_stays_one(made: dict[str, Any], *, stays: bool) -> None:
    """Unless no request to make it was ever sent: a later one makes it without."""
    online = replace(WANTED, body={"subject": "s", "isOnlineMeeting": True})
    new = intend(LINK, online, WRITING)
    assert [entry.online for entry in new.entries] == [True]
    link = intend(new.with_entry(replace(new.entries[0], **made)), WANTED, WRITING)
    assert [entry.online for entry in link.entries] == [stays]


def test_an_update_of_a_teams_meeting_knows_that_it_is_one() -> None:
    link = with_entries(Entry("a@x.com", 1, "id1", online=True))
    (update, *_) = plan(link, WANTED, WRITING)
    assert isinstance(update, UpdateEvent)
    assert (update.event.online, update.event.fingerprint) == (True, EQUAL)
