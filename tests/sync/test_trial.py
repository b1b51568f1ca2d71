"""Mappings for a trial, and for the end."""

from typing import Any

import pytest

from handlers.sync.errors import Permanent
from handlers.sync.link import EventLink, merge, new_link
from handlers.sync.mapping import CalendarEvent, Mapping, load_mapping
from handlers.sync.notification import RowChange
from handlers.sync.plan import DeleteEvent, intend, plan, settled, wanted_event
from handlers.sync.trial import emptied, redirected

MAPPING = load_mapping(
    "m",
    """
query = "Q"
key = ["Key"]
mailbox = "{Owner}"
time_zone = "UTC"
[event]
subject = "{Topic}"
start = "2026-12-01T09:00:00"
end = "2026-12-01T10:00:00"
""",
)
ROW = {"Key": "A", "Owner": "ann@example.com", "Topic": "t"}
CHANGE = RowChange("t", "m", ("A",), 1, ROW, "n", 0.0)


def test_all_events_go_to_the_test_mailbox() -> None:
    trial = redirected(MAPPING, "test@example.com")
    assert trial.calendar_event(ROW) == CalendarEvent("test@example.com", MAPPING.calendar_event(ROW).body)
    assert MAPPING.calendar_event(ROW).mailbox == "ann@example.com"


def test_nobody_is_invited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a mapping can make of attendees."""

    def inviting(_: Mapping, row: dict[str, Any]) -> CalendarEvent:
        return CalendarEvent(row["Owner"], {"subject": "s", "attendees": [{"emailAddress": {"address": "a@b.c"}}]})

    monkeypatch.setattr(Mapping, "calendar_event", inviting)
    assert redirected(MAPPING, "test@example.com").calendar_event(ROW).body == {"subject": "s"}


def test_rows_are_read_and_checked_as_they_will_be() -> None:
    """So that the trial shows what is wrong, and that switching over finds the owner in what is remembered."""
    trial = redirected(MAPPING, "test@example.com")
    assert (trial.columns, trial.pick(ROW)) == (MAPPING.columns, ROW)
    with pytest.raises(Permanent, match="Owner"):
        trial.calendar_event(ROW | {"Owner": ""})


def test_switching_over_moves_the_event_at_the_next_change() -> None:
    link = merge(new_link(CHANGE), CHANGE, MAPPING)
    link = intend(link, wanted_event(link, redirected(MAPPING, "test@example.com")))
    moved = intend(link, wanted_event(link, MAPPING))
    assert [(entry.mailbox, entry.leaving) for entry in moved.entries] == [
        ("test@example.com", True),
        ("ann@example.com", False),
    ]


def test_in_the_end_no_event_is_wanted() -> None:
    """And the row itself is not forgotten: a removal that is no news."""
    link = merge(new_link(CHANGE), CHANGE, MAPPING)
    link = intend(link, wanted_event(link, MAPPING))
    gone = RowChange("t", "m", ("A",), 1, None, "uninstall", 0.0)
    end = emptied("m")
    assert merge(link, gone, end) == link
    leaving = intend(link, wanted_event(link, end))
    assert [type(effect) for effect in plan(leaving, None, end)] == [DeleteEvent]
    assert settled(EventLink("t", "m", ("A",)), None, end)
