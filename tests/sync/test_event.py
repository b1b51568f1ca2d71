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


URLS = {
    "Url": "https://other.example.com/Main?ScreenId=CR306000&CaseID=A%2F1#x y",
    "Script": "javascript:alert(1)",
}


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("Main?ScreenId=CR306000&CaseID={Key}", "https://erp.example.com/site/Main?ScreenId=CR306000&CaseID=A%20%2F%26"),
        ("https://other.example.com/{Key}", "https://other.example.com/A%20%2F%26"),
        ("{Url}", "https://other.example.com/Main?ScreenId=CR306000&CaseID=A%2F1#x%20y"),
        (" {Url} ", "https://other.example.com/Main?ScreenId=CR306000&CaseID=A%2F1#x%20y"),
        (
            "x{Url}",
            "https://erp.example.com/site/xhttps%3A%2F%2Fother.example.com%2FMain%3FScreenId%3DCR306000%26CaseID%3DA%252F1%23x%20y",
        ),
        ("{Script}", "https://erp.example.com/site/javascript%3Aalert%281%29"),
    ],
)
def test_the_footer_leads_to_the_record(link: str, address: str) -> None:
    """With and without a body of its own; what columns hold is encoded."""
    top = f'link = "{link}"\nfooter = "Edit <there>: {{link}}"'
    assert body(least(top=top), Key="A /&", **URLS)["body"] == {"contentType": "text", "content": f"Edit <there>: {address}"}
    text = least('body = "{Name}"', top)
    assert body(text, Key="A /&", Name="N", **URLS)["body"]["content"] == f"N\n\nEdit <there>: {address}"
    html = least('body = { contentType = "html", content = "{Name}" }', top)
    escaped = address.replace("&", "&amp;")
    assert body(html, Key="A /&", Name="N", **URLS)["body"]["content"] == (
        f'N<hr><p>Edit &lt;there&gt;: <a href="{escaped}">{escaped}</a></p>'
    )


def test_limits_of_outlook_are_kept_with_a_note() -> None:
    """Never a failed row for a long subject, or for an address that is none."""
    mapping = load_mapping("m", LEAST.replace('subject = "s"', 'subject = "{S}"\nattendees = ["{To}"]'))
    many = ";".join(f"p{number}@x.com" for number in range(600)) + ";nobody;Jane <j@x>; Jane Doe"
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Room\t1\r\nFloor\x0b2", "Room 1 Floor 2"),
        ("a\x00b\x1fc\x7fd\x9be", "abcde"),
        ("a\u2028b\u0085c", "a b c"),
        ("a\ufffeb\uffffc", "abc"),
        ("\x07", ""),
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 254 + "…"),
        ("ünïcödé 😀 \u200fעברית", "ünïcödé 😀 \u200fעברית"),
    ],
)
def test_what_stands_on_one_line_is_one_line(text: str, shown: str) -> None:
    """Subject, location and categories: no control characters, and no more than Exchange takes."""
    mapping = least('location = "{T}"\ncategories = ["{T}"]')
    event = calendar_event(mapping, SHORT | {"T": text}, SITE)
    assert event.body["location"] == {"displayName": shown}
    assert body(load_mapping("m", LEAST.replace('"s"', '"{T}"')), T=text)["subject"] == shown
    if len(text) < 200:
        assert event.body["categories"] == ([shown] if shown else [])
    cut = shown != text and "…" in shown
    assert event.notes == (("The location is longer than 255 characters and was cut.",) if cut else ())


def test_bodies_keep_their_lines_and_nothing_else_that_has_no_sign() -> None:
    assert body(least('body = "{T}"'), T="a\r\nb\tc\x00\x1b[0md")["body"]["content"] == "a\r\nb\tc[0md"
    html = least('body = { contentType = "html", content = "{T}" }')
    assert body(html, T="a\rb\r\nc\x07")["body"]["content"] == "a<br>b<br>c"


@pytest.mark.parametrize(("value", "shown"), [(5.0, "5"), (-0.0, "0"), (5, "5"), (5.5, "5.5"), (1e15, "1000000000000000")])
def test_numbers_are_shown_as_people_write_them(value: float, shown: str) -> None:
    assert body(least('location = "{V}"'), V=value)["location"] == {"displayName": shown}


@pytest.mark.parametrize(
    ("label", "value", "fits"),
    [
        ("1", 1, True),
        ("1", 1.0, True),
        ("1.0", 1.0, True),
        ("1.0", 1, True),
        ("1", "1", True),
        ("1", True, False),
        ("true", True, True),
        ("TRUE", "true", True),
        ("1234567890123456", 1234567890123456, True),
        ("1234567890123456", 1234567890123457, False),
    ],
)
def test_labels_are_compared_like_conditions(label: str, value: Any, *, fits: bool) -> None:
    """A check box, a number, and text: what [when] takes for equal, [values] does too."""
    mapping = least('location = "{V}"', tables=f'[values.V]\n"{label}" = "found"\n"*" = "other"')
    assert body(mapping, V=value)["location"] == {"displayName": "found" if fits else "other"}


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
