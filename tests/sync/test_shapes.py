"""One event for a row, in another shape for some rows."""

from typing import Any

import pytest

from handlers.sync import mapping_event
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_event import EventChanges
from handlers.sync.mapping_file import MappingProblems, load_mapping
from tests.sync.least import LEAST, body, least

SHAPES = """
[[shape]]
when.Status = "Planned"
event.subject = "Planned: {Topic}"
event.showAs = "tentative"
event.location = "to be told"

[[shape]]
when = { Status = "Off", Kind = ["A", "B"] }
event = { isAllDay = true, importance = "high" }
"""


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return least('categories = ["Visit"]\nend = { minutes = 30 }', tables=SHAPES)


def seen(mapping: Mapping, **columns: Any) -> dict[str, Any]:
    found = body(mapping, **({"Topic": "T", "Kind": "", "Status": ""} | columns))
    shown = ("subject", "showAs", "location", "importance", "isAllDay", "categories")
    return {name: found[name] for name in shown} | {"location": found["location"]["displayName"]}


PLAIN = {
    "subject": "s",
    "showAs": "busy",
    "location": "",
    "importance": "normal",
    "isAllDay": False,
    "categories": ["Visit"],
}


@pytest.mark.parametrize(
    ("columns", "other"),
    [
        ({"Status": "Open"}, {}),
        ({"Status": "planned"}, {"subject": "Planned: T", "showAs": "tentative", "location": "to be told"}),
        ({"Status": "Off", "Kind": "b"}, {"isAllDay": True, "importance": "high"}),
        ({"Status": "Off", "Kind": "C"}, {}),
    ],
)
def test_the_first_shape_that_fits_counts(mapping: Mapping, columns: dict[str, Any], other: dict[str, Any]) -> None:
    """What it does not name is as [event] says; what only another shape names is as Outlook has it by itself.

    Else a row that changes its shape would keep what the older one has written.
    """
    assert seen(mapping, **columns) == PLAIN | other


def test_every_property_of_a_shape_has_its_way_back() -> None:
    """To what Graph takes where nothing is said."""
    everything = """
[[shape]]
when.Status = "x"
[shape.event]
body = "b"
location = "l"
attendees = ["a@x.com"]
showAs = "oof"
sensitivity = "private"
importance = "low"
categories = ["c"]
isReminderOn = false
reminderMinutesBeforeStart = 5
hideAttendees = true
isOnlineMeeting = true
end = { minutes = 5 }
"""
    mapping = least(tables=everything)
    there, back = body(mapping, Status="x"), body(mapping, Status="y")
    assert there.keys() == back.keys() | {"onlineMeetingProvider"}
    del back["start"], back["end"]
    assert back == {
        "subject": "s",
        "isAllDay": False,
        "body": {"contentType": "text", "content": ""},
        "location": {"displayName": ""},
        "attendees": [],
        "showAs": "busy",
        "sensitivity": "normal",
        "importance": "normal",
        "categories": [],
        "isReminderOn": True,
        "reminderMinutesBeforeStart": 15,
        "hideAttendees": False,
        "isOnlineMeeting": False,
    }


def test_no_property_is_without_a_way_back() -> None:
    """Those that every event has are written each time anyway."""
    assert EventChanges.model_fields.keys() - {"subject", "start", "end", "isAllDay"} == mapping_event._UNSAID.keys()


def test_conditions_see_labels_before_they_are_translated() -> None:
    mapping = least('showAs = "{Status}"', tables=f'[values.Status]\n"*" = "free"\n{SHAPES}')
    assert seen_subject(mapping, "Planned") == ("Planned: T", "tentative")
    assert seen_subject(mapping, "Else") == ("s", "free")


def seen_subject(mapping: Mapping, status: str) -> tuple[str, str]:
    found = body(mapping, Topic="T", Kind="", Status=status)
    return found["subject"], found["showAs"]


def test_columns_of_shapes_are_read(mapping: Mapping) -> None:
    assert mapping.columns == ("Key", "Owner", "Start", "Topic", "Status", "Kind")


def test_a_mapping_without_shapes_is_its_own_shape() -> None:
    assert (plain := least()).shaped({}) is plain


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[[shape]]\nevent.subject = 'x'", "m.toml:10: shape.0.when: missing"),
        ("[[shape]]\nwhen = {}\nevent = {}", "m.toml:11: shape.0.when: has to hold at least one"),
        (
            "[[shape]]\nwhen.A = 1\nevent = {}\n[[shape]]\nwhen.A = 2\nevent.showAs = 'gone'",
            "m.toml:15: shape.1.event.showAs: 'gone' is none of",
        ),
        ("[[shape]]\nwhen.A = 1\nevent.sho = 'x'", "m.toml:12: shape.0.event.sho: unknown key"),
        ("[[shape]]\nwhen.A = 1\nevent.subject = '{event_id}'", "{event_id} stands only in write_back.fields"),
        ("[[shape]]\nwhen.A = { nto = 1 }\nevent = {}", "m.toml:11: shape.0.when.A.nto: unknown key; did you mean not?"),
        (
            "[shape]\nwhen.A = 1\nevent = {}",
            "m.toml:10: shape: has to be a list; a table of it stands in double brackets: [[shape]]",
        ),
        ("attributes = ['Status']\n[[shape]]\nwhen.Status = 1\nevent = {}", "event.attributes: it belongs above"),
    ],
)
def test_problems_of_shapes(more: str, problem: str) -> None:
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", f"{LEAST}\n{more}\n")
    assert [found for found in caught.value.problems if problem in found], caught.value.problems
