"""Late requests: what is remembered of them, and what is waited for."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.sync.effects import ClearRecord, DeleteEvent
from handlers.sync.event import CalendarEvent
from handlers.sync.late import late_until, waits_until
from handlers.sync.link import Entry, EventLink, Record
from handlers.sync.mapping_file import load_mapping
from local.sample import TEXT

NOW = 1000.0
WANTED = CalendarEvent("a@x.com", {"subject": "s"})
MAPPING = load_mapping("m", TEXT)
SILENT = load_mapping("m", TEXT.partition("[write_back]")[0])
LINK = EventLink("t", "m", ("A",), written_to="note1", written=True)
# An update that was not answered, and other content written since.
ENDANGERED = Entry("a@x.com", 1, "id1", WANTED.fingerprint, late_until=NOW + 60, late_print="other")
LATE_RECORD: dict[str, Any] = {"record_late_until": NOW + 90, "record_late": Record("id0", ""), "written_back": "id1"}


def waits(link: EventLink, wanted: CalendarEvent | None = WANTED, text: str = "", mapping: Any = MAPPING) -> float:
    return waits_until(link, wanted, load_mapping("m", TEXT + text) if text else mapping, NOW)


def test_what_a_late_request_may_change_is_waited_for() -> None:
    assert waits(replace(LINK, entries=(ENDANGERED,))) == NOW + 60
    assert waits(replace(LINK, **LATE_RECORD)) == NOW + 90
    assert waits(replace(LINK, entries=(ENDANGERED,), **LATE_RECORD)) == NOW + 90


def test_what_is_over_is_not_waited_for() -> None:
    assert waits(replace(LINK, entries=(replace(ENDANGERED, late_until=NOW),))) == 0
    assert waits(replace(LINK, entries=(replace(ENDANGERED, late_print=WANTED.fingerprint or ""),))) == 0


@pytest.mark.parametrize("wanted", [WANTED, None])
def test_nothing_is_waited_for_that_nobody_would_write_again(wanted: CalendarEvent | None) -> None:
    """Changes are ignored; nothing is written back; the record of a removed row is left as it is."""
    assert waits(replace(LINK, entries=(ENDANGERED,)), wanted, '\n[on]\nupdate = "ignore"\n') == 0
    assert waits(replace(LINK, **LATE_RECORD), wanted, mapping=SILENT) == 0
    if wanted is None:
        assert waits(replace(LINK, **LATE_RECORD), None) == 0
        assert waits(replace(LINK, **LATE_RECORD), None, "\n[on]\nclear = true\n") == NOW + 90


def test_an_event_that_leaves_and_may_yet_be_made_is_waited_for() -> None:
    leaving = Entry("a@x.com", 1, None, leaving=True, late_until=NOW + 60)
    assert waits(replace(LINK, entries=(leaving,)), None) == NOW + 60
    assert waits(replace(LINK, entries=(replace(leaving, id="id1"),)), None) == 0  # its removal does not depend on it


def test_acumatica_may_carry_a_request_out_after_the_claim_has_ended() -> None:
    assert late_until(ClearRecord("note1", everything=True), NOW + 60, NOW + 900) == NOW + 900
    assert late_until(DeleteEvent(ENDANGERED, "stamp"), NOW + 60, NOW + 900) == NOW + 60
