"""What a row's meeting is, in the words of whoever looks for it."""

from pathlib import Path
from typing import Any

import pytest

from handlers.sync.link import Column, Entry, EventLink, Version
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.meeting import meeting_of, particulars, when

READY_MADE = Path(__file__).resolve().parents[2] / "ready-made"
ROW = {
    "OpportunityID": "OP000107",
    "Subject": "Contract review",
    "OwnerEmail": "Nora@example.com",
    "MeetingStart": "2026-12-09T11:00:00",
    "MeetingEnd": "2026-12-09T12:00:00",
    "Room": "Room 1",
    "NoteID": "6a161657-9337-4005-b62e-5ca329ce3460",
}


@pytest.fixture
def mapping() -> Mapping:
    return load_mapping("opportunity-meetings", (READY_MADE / "opportunity-meetings.toml").read_text("utf-8"))


def link(*entries: Entry, **columns: Any) -> EventLink:
    return EventLink(
        "production",
        "opportunity-meetings",
        ("OP000107",),
        version=Version(1, present=True, row_hash="h"),
        columns={name: Column(1, value) for name, value in (ROW | columns).items()},
        entries=entries,
    )


def body(start: str, end: str, zones: tuple[str, str] = ("UTC", "UTC"), **more: Any) -> dict[str, Any]:
    times = {name: {"dateTime": at, "timeZone": zone} for name, at, zone in zip(("start", "end"), (start, end), zones)}  # noqa: B905
    return {"isAllDay": False, **times, **more}


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (body("2026-12-09T11:00:00", "2026-12-09T12:30:00"), "9 Dec 2026, 11:00–12:30 (UTC)"),
        (body("2026-12-09T23:00:00", "2026-12-10T01:00:00"), "9 Dec 2026, 23:00 – 10 Dec 2026, 01:00 (UTC)"),
        (
            body("2026-12-09T11:00:00", "2026-12-09T17:00:00", ("Eastern Standard Time", "UTC")),
            "9 Dec 2026, 11:00 (Eastern Standard Time) – 9 Dec 2026, 17:00 (UTC)",
        ),
        (body("2026-12-01T00:00:00", "2026-12-05T00:00:00", isAllDay=True), "1–4 Dec 2026, all day"),
        (body("2026-12-01T00:00:00", "2026-12-02T00:00:00", isAllDay=True), "1 Dec 2026, all day"),
        (body("2026-11-30T00:00:00", "2026-12-02T00:00:00", isAllDay=True), "30 Nov – 1 Dec 2026, all day"),
        (body("2026-12-31T00:00:00", "2027-01-02T00:00:00", isAllDay=True), "31 Dec 2026 – 1 Jan 2027, all day"),
    ],
)
def test_times_are_said_as_a_calendar_shows_them(shown: dict[str, Any], said: str) -> None:
    assert when(shown) == said


def test_whoever_gets_mail_is_named_with_how_the_event_shows_itself() -> None:
    ann, room = {"address": "ann@example.com", "name": "Ann"}, {"address": "room@example.com"}
    told = particulars(
        {
            "location": {"displayName": "Room 1"},
            "showAs": "oof",
            "sensitivity": "private",
            "importance": "high",
            "categories": ["Red", "Blue"],
            "isReminderOn": True,
            "reminderMinutesBeforeStart": 30,
            "attendees": [{"emailAddress": ann, "type": "required"}, {"emailAddress": room, "type": "resource"}],
        }
    )
    assert told == {
        "Where": "Room 1",
        "Shown as": "out of office",
        "Categories": "Red, Blue",
        "Reminder": "30 minutes before",
        "Private": "private",
        "Importance": "high",
        "Gets mail": "Ann <ann@example.com>; room@example.com (resource). Outlook sends it, and nothing can suppress that",
    }
    assert particulars({"isReminderOn": False, "sensitivity": "normal", "importance": "normal"}) == {"Reminder": "none"}
    assert particulars({}) == {}


def test_a_meeting_is_told_with_its_record(mapping: Mapping) -> None:
    found = meeting_of(link(), mapping, "https://acumatica.example.com/")
    assert (found.subject, found.mailbox, found.start) == ("Contract review", "nora@example.com", "2026-12-09T11:00:00")
    assert found.when == "9 Dec 2026, 11:00–12:00 (Eastern Standard Time)"
    assert found.record == "https://acumatica.example.com/Main?ScreenId=CR304000&OpportunityID=OP000107"


@pytest.mark.parametrize(
    ("columns", "mailbox"),
    [({"MeetingEnd": "2026-12-09T10:00:00"}, "nora@example.com"), ({"OwnerEmail": "?"}, "there@x.com")],
)
def test_of_a_row_that_cannot_be_shown_what_is_known_is_told(
    mapping: Mapping, columns: dict[str, Any], mailbox: str
) -> None:
    found = meeting_of(link(Entry("there@x.com", 1), **columns), mapping)
    assert (found.subject, found.when, found.mailbox) == ("Contract review", "", mailbox)


def test_of_a_row_that_has_left_its_mailbox_is_told(mapping: Mapping) -> None:
    left = EventLink("production", "opportunity-meetings", ("OP000107",), entries=(Entry("a@x.com", 1, leaving=True),))
    assert meeting_of(left, mapping).mailbox == "a@x.com"
    assert meeting_of(link(Entry("a@x.com", 1)), None).mailbox == "a@x.com"
