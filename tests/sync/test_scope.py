"""Where mappings are active: in a trial, and in the end."""

import pytest

from handlers.sync.change import RowChange
from handlers.sync.effects import FindEvent
from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import EventLink, merge, new_link
from handlers.sync.mapping_file import load_mapping
from handlers.sync.plan import intend, plan, settled, wanted_event
from handlers.sync.scope import Scope, emptied

TEXT = """
query = "Q"
key = ["Key"]
mailbox = "{Owner}"
time_zone = "UTC"
[event]
subject = "{Topic}"
start = "2026-12-01T09:00:00"
end = "2026-12-01T10:00:00"
"""
MAPPING = load_mapping("m", TEXT)
TRIAL, REAL = Scope(test_mailbox="test@example.com"), Scope()
ROW = {"Key": "A", "Owner": "ann@example.com", "Topic": "t"}
NOW = 1000.0
CHANGE = RowChange("t", "m", ("A",), 1, ROW, "n", 0.0)


def test_all_events_go_to_the_test_mailbox() -> None:
    body = calendar_event(MAPPING, ROW, REAL).body
    assert calendar_event(MAPPING, ROW, TRIAL) == CalendarEvent("test@example.com", body)
    assert calendar_event(MAPPING, ROW, REAL).mailbox == "ann@example.com"


def test_nobody_is_invited_and_the_default_calendar_takes_it() -> None:
    """The test mailbox has no calendars of the mapping's names."""
    text = TEXT.replace("[event]", 'calendar = "Service"\n[event]\nattendees = ["gus@example.com"]')
    event = calendar_event(load_mapping("m", text), ROW, TRIAL)
    assert (event.calendar, "attendees" in event.body) == ("", False)
    assert calendar_event(load_mapping("m", text), ROW, REAL).calendar == "Service"


def test_rows_are_read_and_checked_as_they_will_be() -> None:
    """So that the trial shows what is wrong, and that switching over finds the owner in what is remembered."""
    with pytest.raises(Permanent, match="Owner"):
        calendar_event(MAPPING, ROW | {"Owner": ""}, TRIAL)


def test_switching_over_moves_the_event_at_the_next_change() -> None:
    link = merge(new_link(CHANGE, 0.0), CHANGE, MAPPING)
    link = intend(link, wanted_event(link, MAPPING, TRIAL), MAPPING, NOW)
    moved = intend(link, wanted_event(link, MAPPING, REAL), MAPPING, NOW)
    assert [(entry.mailbox, entry.leaving) for entry in moved.entries] == [
        ("test@example.com", True),
        ("ann@example.com", False),
    ]


def test_in_the_end_no_event_is_wanted() -> None:
    """And the row itself is not forgotten: a removal that is no news."""
    link = merge(new_link(CHANGE, 0.0), CHANGE, MAPPING)
    link = intend(link, wanted_event(link, MAPPING, REAL), MAPPING, NOW)
    gone = RowChange("t", "m", ("A",), 1, None, "uninstall", 0.0)
    end = emptied("m")
    assert merge(link, gone, end) == link
    leaving = intend(link, wanted_event(link, end, REAL), MAPPING, NOW)
    assert [type(effect) for effect in plan(leaving, None, end, 0.0)] == [FindEvent]
    assert settled(EventLink("t", "m", ("A",)), None, end, 0.0)
