"""What a message leads to before anything is done: one test per row of the table in turn.py."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.sync.change import PUSH, SNAPSHOT, RowChange, datetime_to_ticks, ticks_to_datetime
from handlers.sync.effects import ClearRecord, DeleteEvent
from handlers.sync.errors import Code, Later, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Claim, Entry, EventLink, merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.plan import plan
from handlers.sync.scope import Scope
from handlers.sync.turn import Save, Stop, Turn, Work, take_turn
from local.sample import NOTE_ID, ROW, TEXT, changed

MAPPING = load_mapping("m", TEXT)
TICKS = 639_055_764_123_456_780
NOW = ticks_to_datetime(TICKS).timestamp() + 10
CLAIM = Claim("mine", NOW + 60)
DAY = 86_400


def change(number: int = 0, **columns: Any) -> RowChange:
    return RowChange("p", "m", ("OP000123",), TICKS + number, {**ROW, **columns}, "n", NOW)


def turn(
    stored: EventLink | None, message: RowChange, mapping: Mapping = MAPPING, forgotten: float = 0.0, **more: Any
) -> Turn:
    return take_turn(stored, message, mapping, Scope(), CLAIM, NOW, forgotten, **more)


def settled_link() -> EventLink:
    """As it is once the row of `change()` is in order."""
    work = turn(None, change())
    assert isinstance(work, Work)
    assert isinstance(work.wanted, CalendarEvent)
    entry = replace(work.link.entries[0], id="id1", fingerprint=work.wanted.fingerprint)
    return replace(work.link, entries=(entry,), claim=None, written_back="id1", settled=TICKS)


def test_work_begins_with_claim_and_intent() -> None:
    """Saved together; the first generation is one that no forgotten link can have had."""
    work = turn(None, change())
    assert isinstance(work, Work)
    assert work.link.claim == CLAIM
    assert work.link.entries == (Entry("jane.doe@example.com", int(NOW) + 1),)
    assert (work.link.written_to, work.link.written) == (NOTE_ID, True)


def test_an_echo_is_saved_and_no_work() -> None:
    link = settled_link()
    echo = turn(link, change(1, Unmapped=1))
    assert isinstance(echo, Save)
    assert (echo.settled, echo.failure, echo.link.version and echo.link.version.timestamp) == (True, None, TICKS + 1)
    assert turn(link, change()) == Save(link, settled=True)


def test_a_change_that_is_older_than_the_memory_is_not_applied() -> None:
    """What came after it may be forgotten; where its row is remembered, nothing is."""
    old, before = change(-31 * DAY * 10_000_000), NOW - 30 * DAY
    stop = turn(None, old, forgotten=before)
    assert isinstance(stop, Stop)
    assert stop.failure.code == Code.TOO_OLD
    assert isinstance(turn(None, old, forgotten=before - 2 * DAY), Work)
    assert isinstance(turn(settled_link(), old, forgotten=before), Save)


def test_an_old_removal_of_a_row_that_is_not_known_removes_nothing_and_teaches_nothing() -> None:
    """As of a hold that is released late; were it remembered, an old change of the row would be newer than what is known."""
    day = DAY * 10_000_000
    removal, before = replace(change(-31 * day), row=None), NOW - 30 * DAY
    save = turn(None, removal, forgotten=before)
    assert isinstance(save, Save)
    assert (save.failure, save.settled, save.link.version, save.link.entries) == (None, True, None, ())
    assert turn(save.link, removal, forgotten=before) == save
    stop = turn(save.link, change(-31 * day + 1), forgotten=before)
    assert isinstance(stop, Stop)
    assert stop.failure.code == Code.TOO_OLD
    assert isinstance(turn(settled_link(), replace(removal, timestamp=TICKS + 1), forgotten=NOW + DAY), Work)


def test_under_anothers_claim_news_is_left_to_the_holder() -> None:
    held = replace(settled_link(), claim=Claim("theirs", NOW + 5))
    again = turn(held, change())
    assert isinstance(again, Stop)
    assert isinstance(again.failure, Later)
    news = turn(held, change(1, Subject="new"))
    assert isinstance(news, Save)
    assert (news.left, news.link.row["Subject"], news.link.claim) == (True, "new", held.claim)


def test_what_another_version_of_the_mapping_reads_is_no_news() -> None:
    """It may be the very message that stands behind the claim of a worker that died: nobody else would do its work."""
    held = replace(settled_link(), claim=Claim("theirs", NOW + 5))
    edited = load_mapping("m", TEXT + '[when]\nUnmapped = "1"\n')
    stop = turn(held, change(Unmapped=1), edited)
    assert isinstance(stop, Stop)
    assert stop.failure.code == Code.ROW_CLAIMED


def test_nothing_is_left_to_a_claim_without_a_message_behind_it() -> None:
    """Whoever removes all events has none: what came in meanwhile would be lost."""
    held = replace(settled_link(), claim=Claim("theirs", NOW + 5, backed=False))
    stop = turn(held, change(1, Subject="new"))
    assert isinstance(stop, Stop)
    assert isinstance(stop.failure, Later)


def test_after_an_expired_claim_nothing_is_believed() -> None:
    link = replace(settled_link(), claim=Claim("theirs", NOW))
    work = turn(link, change())
    assert isinstance(work, Work)
    assert (work.link.entries[0].fingerprint, work.link.written_back) == (None, None)


def test_a_row_that_cannot_be_rendered_is_saved_and_fails() -> None:
    save = turn(settled_link(), change(1, OwnerEmail=None))
    assert isinstance(save, Save)
    assert isinstance(save.failure, Permanent)
    assert save.link.last_code == save.failure.code == Code.ROW_UNUSABLE
    assert save.link.entries, "its event stays as it is"


REPORTING = load_mapping("m", changed(('AttributeCALEVT" = "{event_id}"', 'AttributeCALEVT" = "{event_id} {reason}"')))


def test_where_the_mapping_has_a_field_for_it_the_record_is_told() -> None:
    """Also of a row that was never merged, as far as it names its record."""
    without_owner = {name: value for name, value in ROW.items() if name != "OwnerEmail"}
    for message in (change(1, OwnerEmail=None), replace(change(1), row=without_owner)):
        work = turn(None, message, REPORTING)
        assert isinstance(work, Work)
        assert work.failure
        assert (work.link.written_to, work.link.claim) == (NOTE_ID, CLAIM)


def test_missing_columns_and_repeated_keys_fail_unless_they_are_superseded() -> None:
    missing = replace(change(1), row={"OpportunityID": "OP000123"})
    repeated = replace(change(1), problem="The key columns are the same in several rows.")
    for message, code in ((missing, Code.COLUMN_MISSING), (repeated, Code.KEY_REPEATED)):
        save = turn(settled_link(), message)
        assert isinstance(save, Save)
        assert save.failure
        assert save.failure.code == code
        version = settled_link().version
        assert version
        newer = replace(settled_link(), version=version._replace(timestamp=TICKS + 5), settled=TICKS + 5)
        assert turn(newer, message) == Save(newer, settled=True)


def test_a_change_that_is_given_up_is_only_reported() -> None:
    gave_up = Permanent(Code.GAVE_UP, "Tried for 48 hours.", "Correct the cause.")
    save = turn(settled_link(), change(1, Subject="new"), gave_up=gave_up)
    assert isinstance(save, Save)
    assert (save.failure, save.link.last_code) == (gave_up, Code.GAVE_UP)
    work = turn(settled_link(), change(1, Subject="new"), REPORTING, gave_up=gave_up)
    assert isinstance(work, Work)
    assert work.failure == gave_up


def test_a_report_under_way_is_known_before_it_is_made() -> None:
    """Should its worker die, the reason is taken back once the row is sound or gone."""
    gave_up = Permanent(Code.GAVE_UP, "Tried for 48 hours.", "Correct the cause.")
    work = turn(settled_link(), change(1, Subject="new"), REPORTING, gave_up=gave_up)
    assert isinstance(work, Work)
    assert work.link.reported
    died = replace(work.link, claim=replace(CLAIM, expires=NOW - 1))
    gone = turn(died, replace(change(2), row=None), REPORTING)
    assert isinstance(gone, Work)
    effects = plan(gone.link, gone.wanted, REPORTING, NOW)
    assert [type(effect) for effect in effects] == [DeleteEvent, ClearRecord]


@pytest.mark.parametrize(("written_to", "late"), [(NOTE_ID, NOW + 900), (None, 0.0)])
def test_what_a_dead_worker_asked_of_acumatica_may_come_late(written_to: str | None, late: float) -> None:
    """Where the row has a record: it is written again once that is over, and the row is not in order before."""
    dead = replace(settled_link(), written_to=written_to, claim=Claim("theirs", NOW - 1, record_late=NOW + 900))
    work = turn(dead, change())
    assert isinstance(work, Work)
    assert (work.link.record_late_until, work.link.record_late) == (late, None)


# -- mappings that are edited -------------------------------------------------------------------------------------------

WITH_ROOM = load_mapping("m", changed(('subject = "{Subject}"', 'subject = "{Subject} {Stage}"')))
WHEN_OPEN = load_mapping("m", TEXT + '[when]\nStatus = "Open"\n')


@pytest.mark.parametrize("edited", [WITH_ROOM, WHEN_OPEN])
def test_a_state_that_was_left_to_a_dead_worker_is_not_forgotten_by_an_edited_mapping(edited: Mapping) -> None:
    """Its own message was acknowledged; the one that comes back is older and does not hold it."""
    left = replace(settled_link(), settled=TICKS - 5, claim=Claim("theirs", NOW))
    save = turn(left, change(-1, Stage="x", Status="Open"), edited)
    assert isinstance(save, Save)
    assert save.failure
    assert save.failure.code == Code.COLUMN_MISSING


@pytest.mark.parametrize("edited", [WITH_ROOM, WHEN_OPEN])
def test_a_column_that_was_never_received_is_unknown_and_not_empty(edited: Mapping) -> None:
    """Nothing is planned from it, and no event is deleted, until the row is seen again."""
    link = settled_link()
    older = change(-1, Stage="x", Status="Open")
    save = turn(link, older, edited)
    assert isinstance(save, Save)
    assert (save.settled, save.failure, save.link.entries) == (False, None, link.entries)
    assert "save it again" in save.link.notes[0]


def test_the_same_row_seen_again_is_picked_with_todays_mapping() -> None:
    """A corrected mapping whose dead letter is resubmitted, for one; no toss of a coin by hashes."""
    whole = change(0, Stage="x", Status="Open")
    work = turn(None, whole)
    assert isinstance(work, Work)
    link = replace(settled_link(), version=work.link.version)
    for edited in (WITH_ROOM, WHEN_OPEN):
        again = turn(link, whole, edited)
        assert isinstance(again, Work | Save)
        assert again.link.unknown(edited) == []
        assert not (isinstance(again, Save) and again.failure)
    closed = turn(link, change(1, Status="Closed"), WHEN_OPEN)
    assert isinstance(closed, Work)
    assert closed.wanted is None


def test_the_newer_of_two_states_does_not_hang_on_the_mapping() -> None:
    """At an equal TimeStamp the hash of the whole row decides, whatever is picked of it."""
    one, two = change(0, Stage="a"), change(0, Stage="b")
    versions = {
        merge(merge(new_link(one, 0.0), first, mapping), second, mapping).version
        for mapping in (MAPPING, WITH_ROOM)
        for first, second in ((one, two), (two, one))
    }
    assert len(versions) == 1


def test_ticks_are_exact() -> None:
    assert datetime_to_ticks(ticks_to_datetime(TICKS)) == TICKS


@pytest.mark.parametrize(
    ("origin", "start", "silent"),
    [
        (SNAPSHOT, "2020-01-01T09:00:00", True),
        (SNAPSHOT, "2099-01-01T09:00:00", False),
        (PUSH, "2020-01-01T09:00:00", False),
    ],
)
def test_what_a_sweep_makes_after_its_begin_has_no_reminder(origin: str, start: str, silent: bool) -> None:
    message = replace(change(MeetingStart=start, MeetingEnd=None), origin=origin)
    work = turn(None, message)
    assert isinstance(work, Work)
    assert work.link.live
    assert work.link.live.silent == silent
    later = turn(settled_link(), replace(message, timestamp=TICKS + 1))
    assert isinstance(later, Work)
    assert later.link.live
    assert not later.link.live.silent  # its event is there
