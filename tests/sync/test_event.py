"""What a row is rendered to."""

from typing import Any

import pytest

from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.scope import Scope
from local.sample import ROW, TEXT
from tests.sync.least import LEAST, SHORT, SITE, body, event, least, reason


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


def test_a_whole_event(mapping: Mapping) -> None:
    """The mailbox in lower case, and Graph's event without any id."""
    assert event(mapping) == CalendarEvent(
        "jane.doe@example.com",
        {
            "subject": "Site visit",
            "isAllDay": False,
            "start": {"dateTime": "2026-02-03T09:30:00", "timeZone": "Eastern Standard Time"},
            "end": {"dateTime": "2026-02-03T10:30:00", "timeZone": "Eastern Standard Time"},
            "location": {"displayName": "Building 4"},
        },
    )


def test_an_attribute_that_was_never_seen_is_empty(mapping: Mapping) -> None:
    """Null is no news, so such a column is not in the row at all."""
    row = {name: value for name, value in ROW.items() if name != "Room"}
    assert calendar_event(mapping, row, Scope()).body["location"] == {"displayName": ""}


@pytest.mark.parametrize(
    ("subject", "shortened"),
    [
        ("", ""),
        ("a" * 255, "a" * 255),
        ("a" * 256, "a" * 254 + "…"),
        ("ä" * 300, "ä" * 254 + "…"),
        ("😀" * 127 + "a", "😀" * 127 + "a"),
        ("😀" * 128, "😀" * 127 + "…"),
        ("a" + "😀" * 127, "a" + "😀" * 127),
        ("a" + "😀" * 128, "a" + "😀" * 126 + "…"),
        (" " * 300 + "a", "a"),
    ],
)
def test_subjects_fit_exchange(mapping: Mapping, subject: str, shortened: str) -> None:
    """Exchange takes 255 UTF-16 units, of which an emoji takes two; none is cut in half."""
    assert len(shortened.encode("utf-16-le")) <= 2 * 255
    assert event(mapping, Subject=subject).body["subject"] == shortened


def test_fingerprints_tell_contents_apart(mapping: Mapping) -> None:
    """Content counts; the write-back column and the order of members do not."""
    fingerprint = event(mapping).fingerprint
    assert event(mapping, NoteID="other", OpportunityID="other").fingerprint == fingerprint
    assert CalendarEvent("x", dict(reversed(event(mapping).body.items()))).fingerprint == fingerprint
    others = [
        event(mapping, **{column: value}).fingerprint
        for column, value in {"Subject": "x", "MeetingStart": "2026-02-03", "MeetingEnd": "2026-02-04", "Room": ""}.items()
    ]
    assert len({fingerprint, *others}) == 5


def test_fingerprints_do_not_change_between_versions(mapping: Mapping) -> None:
    """A pinned value: a new scheme would rewrite every event."""
    assert event(mapping).fingerprint == "f542e6afbd8ea4fbedeea11016428d83"


def test_text_bodies_and_html_bodies() -> None:
    """In HTML, columns are escaped and keep their lines; what the mapping says itself is HTML."""
    assert body(least('body = "Customer: {Name}"'), Name="A & <B>")["body"] == {
        "contentType": "text",
        "content": "Customer: A & <B>",
    }
    html = least("[event.body]\ncontentType = 'html'\ncontent = '<b>{Name}</b>'")
    assert body(html, Name='<script>"x"\r\ny</script>')["body"] == {
        "contentType": "html",
        "content": "<b>&lt;script&gt;&quot;x&quot;<br>y&lt;/script&gt;</b>",
    }


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("Main?ScreenId=CR306000&CaseID={Key}", "https://erp.example.com/site/Main?ScreenId=CR306000&CaseID=A%20%2F%26"),
        ("https://other.example.com/{Key}", "https://other.example.com/A%20%2F%26"),
    ],
)
def test_the_footer_leads_to_the_record(link: str, address: str) -> None:
    """With and without a body of its own; what columns hold is encoded."""
    top = f'link = "{link}"\nfooter = "Edit <there>: {{link}}"'
    assert body(least(top=top), Key="A /&")["body"] == {"contentType": "text", "content": f"Edit <there>: {address}"}
    text = least('body = "{Name}"', top)
    assert body(text, Key="A /&", Name="N")["body"]["content"] == f"N\n\nEdit <there>: {address}"
    html = least('body = { contentType = "html", content = "{Name}" }', top)
    escaped = address.replace("&", "&amp;")
    assert body(html, Key="A /&", Name="N")["body"]["content"] == (
        f'N<hr><p>Edit &lt;there&gt;: <a href="{escaped}">{escaped}</a></p>'
    )


def test_limits_of_outlook_are_kept_with_a_note() -> None:
    """Never a failed row for a long subject, or for an address that is none."""
    mapping = load_mapping("m", LEAST.replace('subject = "s"', 'subject = "{S}"\nattendees = ["{To}"]'))
    many = ";".join(f"p{number}@x.com" for number in range(600)) + ";nobody;Jane <j@x.com>"
    found = calendar_event(mapping, SHORT | {"S": "a" * 300, "To": many}, SITE)
    assert (len(found.body["subject"]), len(found.body["attendees"])) == (255, 500)
    assert found.notes == (
        "The subject is longer than 255 characters and was cut.",
        "3 of the attendees have no usable e-mail address and are left out.",
        "Of 600 attendees only the first 500 are invited; Outlook takes no more.",
    )


@pytest.mark.parametrize(
    ("line", "value", "shown"),
    [
        ('showAs = "oof"', None, {"showAs": "oof"}),
        ('showAs = "{V}"', "WorkingElsewhere", {"showAs": "workingElsewhere"}),
        ('showAs = "{V}"', None, {"showAs": "busy"}),
        ('sensitivity = "{V}"', "Private", {"sensitivity": "private"}),
        ('sensitivity = "{V}"', "", {"sensitivity": "normal"}),
        ('importance = "{V}"', "HIGH", {"importance": "high"}),
        ('importance = "{V}"', " ", {"importance": "normal"}),
        ('categories = ["Acumatica", "{V}", "{V}"]', "Red", {"categories": ["Acumatica", "Red"]}),
        ('categories = ["{V}"]', None, {"categories": []}),
        ("isReminderOn = false", None, {"isReminderOn": False}),
        ('isReminderOn = "{V}"', True, {"isReminderOn": True}),
        ('isReminderOn = "{V}"', None, {"isReminderOn": False}),
        ("reminderMinutesBeforeStart = 30", None, {"reminderMinutesBeforeStart": 30}),
        ('reminderMinutesBeforeStart = "{V}"', 5, {"reminderMinutesBeforeStart": 5}),
        ('reminderMinutesBeforeStart = "{V}"', None, {"reminderMinutesBeforeStart": 15}),
        ("hideAttendees = true", None, {"hideAttendees": True}),
        ('location = "{V}"', None, {"location": {"displayName": ""}}),
    ],
)
def test_further_properties(line: str, value: Any, shown: dict[str, Any]) -> None:
    """By Graph's names; what is empty is said as Graph's default, or an older value would stay."""
    found = body(least(line), V=value)
    assert {name: found[name] for name in set(found) - {"subject", "start", "end", "isAllDay"}} == shown


@pytest.mark.parametrize("line", ['showAs = "{V}"', 'sensitivity = "{V}"', 'importance = "{V}"', 'isReminderOn = "{V}"'])
def test_labels_that_graph_does_not_know(line: str) -> None:
    name = line.split(maxsplit=1)[0]
    assert reason(least(line), V="Out of Office").startswith(f"The mapping's event.{name}, made of V (text), is n")


def test_labels_become_values() -> None:
    """Wherever the column stands, without regard to case; unknown ones are named, or there is a value for them."""
    tables = '[values.V]\n"Out of Office" = "oof"\n"Yes" = true\n"" = "free"'
    mapping = least('showAs = "{V}"\nlocation = "{V}"', tables=tables)
    assert body(mapping, V="out of office")["showAs"] == "oof"
    assert body(mapping, V="Out of Office ")["location"] == {"displayName": "oof"}
    assert body(mapping, V=None)["showAs"] == "free"
    assert reason(mapping, V="Vacation") == "[values.V] does not know what the column holds: 'Vacation'."
    others = least('showAs = "{V}"', tables=tables + '\n"*" = "tentative"')
    assert body(others, V="Vacation")["showAs"] == "tentative"
    region = load_mapping("m", LEAST.replace("{Owner}", "{Region}") + '[values.Region]\n"East" = "east@example.com"')
    assert calendar_event(region, SHORT | {"Region": "East"}, SITE).mailbox == "east@example.com"


def test_the_calendar_is_part_of_the_place_not_of_the_content() -> None:
    mapping = least(top='calendar = "{Team}"')
    service, sales = (calendar_event(mapping, SHORT | {"Team": team}, SITE) for team in ("Service", "Sales"))
    assert (service.calendar, sales.calendar) == ("Service", "Sales")
    assert service.fingerprint == sales.fingerprint
