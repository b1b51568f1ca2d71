"""What apply relies on in Outlook."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.clients.graph import Graph
from handlers.sync.errors import DuplicateTransaction, EventGone, MailboxGone, NoCalendar
from handlers.sync.event import CalendarEvent
from tests.contracts.conftest import Outlook


def event(mailbox: str, subject: str = "Visit") -> CalendarEvent:
    times: dict[str, Any] = {
        name: {"dateTime": f"2031-02-03T{hour}:00:00", "timeZone": "W. Europe Standard Time"}
        for name, hour in (("start", "09"), ("end", "10"))
    }
    return CalendarEvent(mailbox, {"subject": subject, **times, "location": {"displayName": "Room"}})


@pytest.fixture
def stamp() -> str:
    return f"{uuid.uuid4().hex}{uuid.uuid4().hex}-1"


def test_an_event_is_found_by_its_stamp_until_it_is_deleted(outlook: Outlook, stamp: str) -> None:
    graph, mailbox = outlook.graph, outlook.mailbox
    assert graph.find(mailbox, stamp) == []
    event_id = graph.create(event(mailbox), stamp)
    assert graph.find(mailbox, stamp) == [event_id]
    graph.update(mailbox, event_id, event(mailbox, "Later"))
    assert graph.find(mailbox, stamp) == [event_id]
    graph.delete(mailbox, event_id)
    assert graph.find(mailbox, stamp) == []


def test_a_creation_can_be_repeated(outlook: Outlook, stamp: str) -> None:
    graph, mailbox = outlook.graph, outlook.mailbox
    event_id = graph.create(event(mailbox), stamp)
    assert graph.create(event(mailbox), stamp) == event_id
    assert graph.find(mailbox, stamp) == [event_id]
    graph.delete(mailbox, event_id)


def test_a_creation_with_other_content_makes_no_second_event(outlook: Outlook, stamp: str) -> None:
    graph, mailbox = outlook.graph, outlook.mailbox
    event_id = graph.create(event(mailbox), stamp)
    with pytest.raises(DuplicateTransaction) as caught:
        graph.create(event(mailbox, "Other"), stamp)
    assert caught.value.event_id in {None, event_id}
    assert graph.find(mailbox, stamp) == [event_id]
    graph.delete(mailbox, event_id)


def test_what_is_gone_cannot_be_changed_or_deleted(outlook: Outlook, stamp: str) -> None:
    graph, mailbox = outlook.graph, outlook.mailbox
    event_id = graph.create(event(mailbox), stamp)
    graph.delete(mailbox, event_id)
    with pytest.raises(EventGone):
        graph.update(mailbox, event_id, event(mailbox))
    with pytest.raises(EventGone):
        graph.delete(mailbox, event_id)


def test_a_mailbox_that_does_not_exist_is_told_from_an_event_that_does_not(outlook: Outlook, stamp: str) -> None:
    with pytest.raises(MailboxGone):
        outlook.graph.create(event(outlook.nobody), stamp)
    with pytest.raises(MailboxGone):
        outlook.graph.delete(outlook.nobody, "AAMk")
    with pytest.raises(MailboxGone):
        outlook.graph.find(outlook.nobody, stamp)


def test_an_event_without_a_stamp_can_be_adopted_and_one_of_another_row_cannot(rich: tuple[Graph, str], stamp: str) -> None:
    graph, mailbox = rich
    event_id = graph.create(event(mailbox), stamp)
    assert graph.adoptable(mailbox, event_id, stamp.partition("-")[0])
    assert not graph.adoptable(mailbox, event_id, "f" * 64)
    other = f"{uuid.uuid4().hex}{uuid.uuid4().hex}-1"
    graph.update(mailbox, event_id, event(mailbox), other)
    assert (graph.find(mailbox, stamp), graph.find(mailbox, other)) == ([], [event_id])
    graph.delete(mailbox, event_id)
    with pytest.raises(EventGone):  # which may pass
        graph.adoptable(mailbox, event_id, "f" * 64)
    with pytest.raises(EventGone):
        graph.adoptable(mailbox, "AAMk", "f" * 64)


def test_details_are_told_of_an_event_that_is_there(rich: tuple[Graph, str], stamp: str) -> None:
    graph, mailbox = rich
    event_id = graph.create(event(mailbox), stamp)
    found = graph.details(mailbox, event_id)
    assert (bool(found["webLink"]), bool(found["iCalUId"]), found["joinUrl"]) == (True, True, "")
    graph.delete(mailbox, event_id)
    with pytest.raises(EventGone):
        graph.details(mailbox, event_id)


def test_an_appointment_cannot_be_cancelled(rich: tuple[Graph, str], stamp: str) -> None:
    graph, mailbox = rich
    event_id = graph.create(event(mailbox), stamp)
    assert not graph.cancel(mailbox, event_id, "Off.")
    assert graph.find(mailbox, stamp) == [event_id]
    graph.delete(mailbox, event_id)
    with pytest.raises(EventGone):
        graph.cancel(mailbox, event_id, "Off.")


def test_a_calendar_is_found_by_its_name(rich: tuple[Graph, str], stamp: str) -> None:
    graph, mailbox = rich
    there = replace(event(mailbox), calendar="Calendar")
    event_id = graph.create(there, stamp)
    assert graph.find(mailbox, stamp, "Calendar") == [event_id]
    graph.delete(mailbox, event_id)
    with pytest.raises(NoCalendar):
        graph.create(replace(there, calendar="There is no such calendar"), stamp)
    assert graph.find(mailbox, stamp, "There is no such calendar") == []


def test_a_view_shows_what_overlaps_its_window_with_times_in_utc_and_stamps(rich: tuple[Graph, str], stamp: str) -> None:
    """The event's own times are 08:00 to 09:00 UTC."""
    graph, mailbox = rich
    event_id = graph.create(event(mailbox), stamp)
    noon = datetime(2031, 2, 3, 12, tzinfo=UTC)
    for calendar in ("", "Calendar"):
        shown = {
            item["id"]: item for item in graph.view(mailbox, calendar, (noon - timedelta(days=1), noon), responses=True)
        }
        assert shown[event_id]["start"]["dateTime"][:16] == "2031-02-03T08:00"
        assert shown[event_id]["start"]["timeZone"] == "UTC"
        assert shown[event_id]["isAllDay"] is False
        assert shown[event_id]["attendees"] == []
        assert shown[event_id]["singleValueExtendedProperties"][0]["value"] == stamp
    assert event_id not in {item["id"] for item in graph.view(mailbox, "", (noon, noon + timedelta(days=1)))}
    assert list(graph.view(mailbox, "There is no such calendar", (noon - timedelta(days=1), noon))) == []
    graph.delete(mailbox, event_id)
    assert event_id not in {item["id"] for item in graph.view(mailbox, "", (noon - timedelta(days=1), noon))}


def test_a_look_at_an_event_shows_the_same(rich: tuple[Graph, str], stamp: str) -> None:
    graph, mailbox = rich
    event_id = graph.create(event(mailbox), stamp)
    shown = graph.look(mailbox, event_id)
    assert (shown["id"], shown["start"]["dateTime"][:16], shown["start"]["timeZone"]) == (
        event_id,
        "2031-02-03T08:00",
        "UTC",
    )
    assert shown["singleValueExtendedProperties"][0]["value"] == stamp
    graph.delete(mailbox, event_id)
    with pytest.raises(EventGone):
        graph.look(mailbox, event_id)
