"""What results mean: one test per row of the table in after.py, and what lies between."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.sync.after import After, after
from handlers.sync.effects import (
    Adoptable,
    AdoptEvent,
    AlreadyCreated,
    ClearRecord,
    CreateEvent,
    DeleteEvent,
    Deliver,
    Done,
    Effect,
    FindEvent,
    Found,
    Gone,
    NoMailbox,
    NoRecord,
    RecordEffect,
    Refused,
    ReportFailure,
    ReportOutlook,
    Result,
    Retry,
    Unknown,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.errors import Code, Later, OutcomeUnknown, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.late import in_doubt
from handlers.sync.link import Entry, EventLink, InOutlook, Record

NOW = 1000.0
EVENT = CalendarEvent("a@x.com", {"subject": "s"})
MEETING = CalendarEvent("a@x.com", {"subject": "s", "attendees": [{}]})
PRINT = EVENT.fingerprint
NEW = Entry("a@x.com", 1)
MADE = replace(NEW, id="id1", fingerprint=PRINT)
REFUSAL = Permanent(Code.GRAPH_REFUSED, "No.", "Correct it.")
NO_MAILBOX = Permanent(Code.MAILBOX_MISSING, "No mailbox.", "Correct it.")
NO_RECORD = Permanent(Code.RECORD_GONE, "No record.", "Correct it.")
AWAY = Later(Code.GRAPH_UNAVAILABLE, "away", 5.0)
DENIED = Later(Code.MAILBOX_DENIED, "denied", 300.0)
SILENCE = OutcomeUnknown(Code.NOT_ANSWERED, "no answer")


def link(*entries: Entry, **state: Any) -> EventLink:
    return EventLink("P", "m", ("A",), entries=entries, generation=max((e.generation for e in entries), default=0), **state)


def create(entry: Entry = NEW, event: CalendarEvent = EVENT) -> CreateEvent:
    return CreateEvent(entry, "stamp", event)


def update(entry: Entry = MADE, event: CalendarEvent = EVENT) -> UpdateEvent:
    return UpdateEvent(entry, "stamp", event)


def entry_after(effect: Effect, result: Result, *, now: float = NOW) -> tuple[Entry | None, Any]:
    """The effect's entry as the link has it afterwards, and the failure."""
    assert not isinstance(effect, RecordEffect | Deliver)
    there, failure = after(link(effect.entry), effect, result, now)
    return next((e for e in there.entries if e.generation == effect.entry.generation), None), failure


# -- CreateEvent ---------------------------------------------------------------------------------------------------------


def test_a_created_event_has_its_id() -> None:
    assert entry_after(create(), Done("id1")) == (MADE, None)


def test_after_an_unsure_post_the_content_is_not_known() -> None:
    """The POST is answered with the event that an earlier one has made, and a change may have come after that."""
    unsure = replace(NEW, unsure=True)
    assert entry_after(create(unsure), Done("id1")) == (replace(NEW, id="id1"), None)


def test_a_used_transaction_names_its_event_or_it_is_looked_for() -> None:
    assert entry_after(create(), AlreadyCreated("id7")) == (replace(NEW, id="id7"), None)
    assert entry_after(create(), AlreadyCreated(None)) == (replace(NEW, sought=True), None)


@pytest.mark.parametrize("result", [Refused(REFUSAL), NoMailbox(NO_MAILBOX), Retry(DENIED)])
def test_what_was_refused_was_never_made(result: Result) -> None:
    entry, failure = entry_after(create(), result)
    assert entry == replace(NEW, refused=True)
    assert failure in {REFUSAL, NO_MAILBOX, DENIED}


@pytest.mark.parametrize(
    ("entry", "event", "result"),
    [
        (NEW, EVENT, Retry(AWAY)),  # a 503 may have been carried out all the same
        (NEW, MEETING, Refused(REFUSAL)),  # so may a refusal because of recipients
        (replace(NEW, unsure=True), EVENT, Refused(REFUSAL)),
        (replace(NEW, tried=True), EVENT, Refused(REFUSAL)),
        (replace(NEW, late_until=NOW + 5), EVENT, Refused(REFUSAL)),
    ],
)
def test_what_may_have_been_made_is_not_forgotten(entry: Entry, event: CalendarEvent, result: Result) -> None:
    there, _ = entry_after(create(entry, event), result)
    assert there
    assert not there.refused


def test_a_calendar_that_is_not_found_is_tried_again() -> None:
    entry, failure = entry_after(create(), Gone())
    assert (entry, failure.code) == (NEW, Code.CALENDAR_MISSING)


# -- AdoptEvent ----------------------------------------------------------------------------------------------------------

ADOPT = AdoptEvent(replace(NEW, adopt="old"), "stamp", EVENT)


def test_an_event_that_may_be_ours_is_updated_with_our_stamp() -> None:
    seen, failure = entry_after(ADOPT, Adoptable(ours=True))
    assert (seen, failure) == (replace(NEW, id="old", adopt="old"), None)
    assert seen
    assert entry_after(update(seen), Done()) == (replace(NEW, id="old", fingerprint=PRINT), None)


def test_an_event_that_is_anothers_is_let_alone() -> None:
    assert entry_after(ADOPT, Adoptable(ours=False)) == (NEW, None)


def test_a_passing_404_makes_no_second_event() -> None:
    """Of the GET, or of the PATCH that follows it; the third one counts."""
    effect: Effect = ADOPT
    for _ in range(2):
        entry, failure = entry_after(effect, Gone())
        assert entry
        assert (entry.adopt, entry.id, failure.code) == ("old", None, Code.EVENT_NOT_FOUND_YET)
        effect = UpdateEvent(replace(entry, id="old"), "stamp", EVENT)
    assert entry_after(effect, Gone()) == (NEW, None)


# -- UpdateEvent ---------------------------------------------------------------------------------------------------------


def test_an_updated_event_has_its_content() -> None:
    assert entry_after(update(replace(MADE, fingerprint="older")), Done()) == (MADE, None)


def test_an_event_that_is_gone_is_looked_for() -> None:
    assert entry_after(update(), Gone()) == (replace(MADE, sought=True), None)


def test_an_event_that_was_just_seen_is_not_gone() -> None:
    entry, failure = entry_after(update(replace(MADE, seen=True)), Gone())
    assert (entry, failure.code) == (replace(MADE, fingerprint=None), Code.EVENT_NOT_FOUND_YET)


@pytest.mark.parametrize(
    ("result", "code"),
    [(Retry(AWAY), AWAY.code), (Refused(REFUSAL), REFUSAL.code), (Unknown(SILENCE), SILENCE.code)],
)
def test_after_an_error_the_content_is_not_known(result: Result, code: Code) -> None:
    """The service may have done it all the same."""
    there, failure = entry_after(update(), result)
    assert (there, failure.code) == (replace(MADE, fingerprint=None), code)


# -- FindEvent -----------------------------------------------------------------------------------------------------------


def test_a_found_event_is_updated() -> None:
    moved = replace(MADE, sought=True)
    assert entry_after(FindEvent(moved, "stamp"), Found(("id2", "id3"))) == (
        replace(NEW, id="id2", others=("id3",), seen=True),
        None,
    )


def test_an_event_that_nobody_finds_is_made_again() -> None:
    """In a new generation: its transactionId is used up."""
    moved = replace(MADE, sought=True, calendar="Service")
    once, failure = entry_after(FindEvent(moved, "stamp"), Found(()))
    assert (once, failure.code) == (replace(moved, misses=1), Code.EVENT_NOT_FOUND_YET)
    moved = replace(moved, misses=1)
    assert after(link(moved), FindEvent(moved, "stamp"), Found(()), NOW) == After(
        replace(link(), entries=(Entry("a@x.com", 2, calendar="Service"),), generation=2)
    )


def test_an_event_that_was_made_a_moment_ago_is_waited_for() -> None:
    """Graph said that it exists; the third time it counts as gone."""
    made = replace(NEW, sought=True)
    for misses in range(1, 4):
        entry, failure = entry_after(FindEvent(made, "stamp"), Found(()))
        assert entry
        assert (entry.misses, failure.code) == (misses, Code.EVENT_NOT_FOUND_YET)
        made = entry
    there = after(link(made), FindEvent(made, "stamp"), Found(()), NOW)
    assert (there.link.entries, there.failure) == ((Entry("a@x.com", 2),), None)


def test_an_event_that_is_found_where_graph_did_not_know_it_is_waited_for() -> None:
    moved = replace(MADE, sought=True)
    entry, failure = entry_after(FindEvent(moved, "stamp"), Found(("id1",)))
    assert (entry, failure.code) == (replace(MADE, fingerprint=None), Code.EVENT_NOT_FOUND_YET)


# -- what leaves ---------------------------------------------------------------------------------------------------------

LEAVING = replace(MADE, leaving=True)
REMOVAL = DeleteEvent(LEAVING, "stamp")


def test_a_removed_event_is_forgotten() -> None:
    assert entry_after(REMOVAL, Done()) == (None, None)


def test_all_events_with_the_stamp_are_removed() -> None:
    """People copy events; what carries our stamp is ours."""
    entry, _ = entry_after(FindEvent(replace(LEAVING, id=None), "stamp"), Found(("id1", "id2")))
    assert entry == replace(LEAVING, others=("id2",), seen=True)
    entry, _ = entry_after(DeleteEvent(entry, "stamp"), Done())
    assert entry == replace(LEAVING, id="id2", seen=True)
    assert entry_after(DeleteEvent(entry, "stamp"), Done()) == (None, None)


@pytest.mark.parametrize("sought", [replace(LEAVING, sought=True), replace(LEAVING, id=None)])
def test_an_event_that_leaves_is_looked_for_twice_before_it_is_forgotten(sought: Entry) -> None:
    """A mailbox may lag behind itself for a moment, and so may what it says of an event that was made a moment ago."""
    entry, failure = entry_after(FindEvent(sought, "stamp"), Found(()))
    assert (entry, failure.code) == (replace(sought, misses=1), Code.EVENT_NOT_FOUND_YET)
    assert entry_after(FindEvent(replace(sought, misses=1), "stamp"), Found(())) == (None, None)


def test_an_event_with_another_id_by_now_is_looked_for() -> None:
    assert entry_after(REMOVAL, Gone()) == (replace(LEAVING, sought=True), None)


def test_a_404_for_an_event_that_was_just_seen_is_not_believed() -> None:
    entry, failure = entry_after(DeleteEvent(replace(LEAVING, seen=True), "stamp"), Gone())
    assert entry
    assert (entry.id, entry.sought, failure.code) == ("id1", False, Code.EVENT_NOT_FOUND_YET)


def test_an_event_that_a_late_request_may_make_again_is_kept_in_mind() -> None:
    late = replace(LEAVING, late_until=NOW + 1)
    assert entry_after(DeleteEvent(late, "stamp"), Done()) == (replace(late, id=None), None)
    assert entry_after(DeleteEvent(late, "stamp"), Done(), now=NOW + 1) == (None, None)


def test_with_its_mailbox_an_event_is_gone() -> None:
    assert entry_after(REMOVAL, NoMailbox(NO_MAILBOX)) == (None, None)


def test_a_renamed_users_event_is_looked_for_in_the_new_mailbox() -> None:
    """And only there: once."""
    live = Entry("b@x.com", 2, "id2")
    there, failure = after(link(LEAVING, live), REMOVAL, NoMailbox(NO_MAILBOX), NOW)
    followed = replace(LEAVING, mailbox="b@x.com", id=None, sought=True)
    assert (there.entries, failure) == ((followed, live), None)
    gone = after(there, FindEvent(followed, "stamp"), NoMailbox(NO_MAILBOX), NOW)
    assert gone.link.entries == (live,)


def test_what_cannot_be_removed_gets_a_remedy_of_its_own() -> None:
    """The row is gone: there is nothing to correct in it."""
    entry, failure = entry_after(REMOVAL, Refused(REFUSAL))
    assert entry == LEAVING
    assert (failure.code, failure.reason) == (REFUSAL.code, REFUSAL.reason)
    assert "remove it in a@x.com by hand" in failure.remedy


def test_a_removal_without_an_answer_holds_nothing_back() -> None:
    """Whenever it is carried out, it is wanted."""
    entry, failure = entry_after(REMOVAL, Unknown(SILENCE))
    assert (entry, type(failure)) == (LEAVING, Later)


# -- records -------------------------------------------------------------------------------------------------------------

WRITE = WriteBack("note1", Record("id1", ""), MADE)
REPORT = ReportFailure("note1", Record(None, "No mailbox."))


def test_a_written_record_holds_the_id_and_no_reason() -> None:
    there, failure = after(link(MADE, reported="No."), WRITE, Done(), NOW)
    assert (there.written_back, there.reported, failure) == ("id1", "", None)


def test_an_event_that_was_deleted_before_its_record_was_told_is_looked_for() -> None:
    there, failure = after(link(MADE), WRITE, Gone(), NOW)
    assert (there.entries, failure) == ((replace(MADE, sought=True),), None)


@pytest.mark.parametrize("result", [NoRecord(NO_RECORD), Refused(NO_RECORD)])
def test_a_record_that_cannot_be_written_needs_a_person(result: Result) -> None:
    there, failure = after(link(MADE, written_back="id0"), WRITE, result, NOW)
    assert (there.written_back, failure) == (None, NO_RECORD)


def test_a_write_back_without_an_answer_is_tried_again_soon() -> None:
    """The claim is given back: the calendar does not wait."""
    there, failure = after(link(MADE, written_back="id0"), WRITE, Unknown(SILENCE), NOW)
    assert (there.written_back, type(failure)) == (None, Later)


@pytest.mark.parametrize("result", [Retry(AWAY), Unknown(SILENCE)])
def test_a_record_that_may_have_been_written_all_the_same_is_not_known(result: Result) -> None:
    """A 503 may have been carried out: a kept event whose row returns is written back again, a failure reported again."""
    known = link(MADE, written_back="id1", written_to="note1", written=True, reported="No.")
    for effect in (ClearRecord("note1", everything=True), ClearRecord("note1", everything=False), WRITE):
        there, failure = after(known, effect, result, NOW)
        assert (there.written_back, type(failure)) == (None, Later)
        assert there.reported not in {"", "No."}


def test_a_report_never_fails_anything() -> None:
    assert after(link(), REPORT, Done(), NOW) == After(link(reported="No mailbox."))
    for result in (Retry(AWAY), Unknown(SILENCE), Refused(REFUSAL), NoRecord(NO_RECORD)):
        there, failure = after(link(), REPORT, result, NOW)
        assert failure is None
        assert there.reported not in {"", "No mailbox."}, "it may stand there: it is taken back, and reported again"


@pytest.mark.parametrize("result", [Done(), NoRecord(NO_RECORD)])
def test_an_emptied_record_is_forgotten(result: Result) -> None:
    written = link(written_back="id1", written_to="note1", written=True, reported="No.")
    assert after(written, ClearRecord("note1", everything=True), result, NOW) == After(link())
    reason_only = after(written, ClearRecord("note1", everything=False), result, NOW)
    assert reason_only == After(replace(written, reported=""))


def test_a_record_that_a_late_request_may_write_is_not_forgotten() -> None:
    late = link(
        written_back="id1", written_to="note1", written=True, record_late_until=NOW + 1, record_late=Record("id1", "")
    )
    there = after(late, ClearRecord("note1", everything=True), Done(), NOW).link
    assert (there.written_to, there.written_back, there.written) == ("note1", "", True)
    assert after(there, ClearRecord("note1", everything=True), Done(), NOW + 1) == After(link())


# -- requests without an answer ------------------------------------------------------------------------------------------


def test_a_late_copy_of_the_same_content_is_harmless() -> None:
    late = in_doubt(link(MADE), update(), NOW + 60)
    (entry,) = late.entries
    assert (entry.late_until, entry.late_print, entry.endangered) == (NOW + 60, PRINT, False)
    other = after(late, update(entry, replace(EVENT, body={"subject": "t"})), Done(), NOW).link.entries[0]
    assert other.endangered
    again = after(late, update(entry, replace(EVENT, body={"subject": "t"})), Done(), NOW + 60).link.entries[0]
    assert (again.late_until, again.endangered) == (0.0, False)


def test_of_two_late_copies_either_may_land_last() -> None:
    late = in_doubt(link(MADE), update(), NOW + 60)
    twice = in_doubt(late, update(event=replace(EVENT, body={"subject": "t"})), NOW + 30)
    (entry,) = twice.entries
    assert (entry.late_until, entry.late_print, entry.endangered) == (NOW + 60, "", True)
    records = in_doubt(in_doubt(link(MADE), WRITE, NOW + 9), replace(WRITE, content=Record("id2", "")), NOW + 5)
    assert (records.record_late_until, records.record_late) == (NOW + 9, None)


def test_a_look_is_never_in_doubt() -> None:
    assert in_doubt(link(MADE), FindEvent(MADE, "stamp"), NOW + 60) == link(MADE)


SEEN = InOutlook("moved", "2026-01-02T09:00:00", "2026-01-02T10:00:00", "")
TELL = ReportOutlook("note1", SEEN)


def test_a_record_that_was_told_of_outlook_holds_that() -> None:
    there, failure = after(link(MADE, in_outlook=SEEN), TELL, Done(), NOW)
    assert (there.outlook_told, failure) == (SEEN, None)


@pytest.mark.parametrize("result", [NoRecord(NO_RECORD), Refused(NO_RECORD)])
def test_a_record_that_cannot_be_told_of_outlook_needs_a_person(result: Result) -> None:
    there, failure = after(link(MADE, in_outlook=SEEN), TELL, result, NOW)
    assert (there.outlook_told, failure) == (None, NO_RECORD)


@pytest.mark.parametrize("result", [Retry(AWAY), Unknown(SILENCE)])
def test_what_was_seen_in_outlook_is_told_again_later(result: Result) -> None:
    there, failure = after(link(MADE, in_outlook=SEEN), TELL, result, NOW)
    assert (there.outlook_told, type(failure)) == (None, Later)


def test_an_event_that_is_written_is_not_what_people_made_of_it_any_more() -> None:
    """Else its record would be told of times that were just overwritten, and Acumatica might follow them."""
    moved = link(MADE, in_outlook=SEEN._replace(responses="bob accepted"))
    unmade = replace(MADE, id=None, fingerprint=None)
    for known, effect in (
        (moved, update()),
        (replace(moved, entries=(unmade,)), create(unmade)),
    ):
        there, _ = after(known, effect, Done("id1"), NOW)
        assert there.in_outlook == InOutlook("unchanged", "", "", "bob accepted")
    seen = SEEN._replace(status="unchanged")
    assert after(link(MADE, in_outlook=seen), update(), Done(), NOW)[0].in_outlook == seen


def test_after_a_late_report_of_outlook_all_is_written_again() -> None:
    """A late copy may land after newer content: it is waited for, and then id and report are written once more."""
    there = in_doubt(link(MADE, in_outlook=SEEN, written_back="id1"), TELL, NOW + 60)
    assert there.record_endangered
    told, _ = after(there, TELL, Done(), NOW + 1)
    early, _ = after(told, WRITE, Done(), NOW + 2)
    assert (early.outlook_told, early.record_endangered) == (SEEN, True)
    late, _ = after(told, WRITE, Done(), NOW + 60)
    assert (late.outlook_told, late.record_endangered) == (None, False)


def test_an_emptied_record_holds_nothing_of_outlook() -> None:
    there, _ = after(
        link(in_outlook=SEEN, outlook_told=SEEN, written=True), ClearRecord("note1", everything=True), Done(), NOW
    )
    assert (there.in_outlook, there.outlook_told) == (None, None)


@pytest.mark.parametrize(("late", "over"), [(0.0, 3600.0), (NOW + 60, 7200.0), (NOW - 1, 3600.0)])
def test_while_a_late_request_may_move_it_an_event_is_over_at_the_latest_end(late: float, over: float) -> None:
    sooner = CalendarEvent("a@x.com", {"end": {"dateTime": "1970-01-01T01:00:00", "timeZone": "UTC"}})
    entry = replace(MADE, over=7200.0, late_until=late, late_print="other" if late else "")
    result = after(link(entry), update(entry, sooner), Done(), NOW)
    assert [entry.over for entry in result.link.entries] == [over]
