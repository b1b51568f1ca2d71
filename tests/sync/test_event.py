"""What a row is rendered to: events, and what their records are told."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tzlocal.windows_tz import tz_win, win_tz

from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.record import RecordUpdate, adopted_id, record_id, record_update, reports, short_reason, wants_details
from handlers.sync.scope import Scope
from handlers.sync.template import as_text, kind_of
from tests.sync.sample import NOTE_ID, ROW, TEXT, changed


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


def event(mapping: Mapping, **columns: Any) -> CalendarEvent:
    return calendar_event(mapping, ROW | columns, Scope())


def refused(mapping: Mapping, **columns: Any) -> str:
    with pytest.raises(Permanent) as caught:
        event(mapping, **columns)
    assert caught.value.remedy.endswith(".")
    return caught.value.reason


# -- zones and dates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "windows", "iana"),
    [
        ("Eastern Standard Time", "Eastern Standard Time", "America/New_York"),
        ("eastern standard time", "Eastern Standard Time", "America/New_York"),
        ("America/New_York", "Eastern Standard Time", "America/New_York"),
        ("America/Detroit", "Eastern Standard Time", "America/New_York"),
        ("Europe/Berlin", "W. Europe Standard Time", "Europe/Berlin"),
        ("Europe/Madrid", "Romance Standard Time", "Europe/Paris"),
        ("Asia/Kolkata", "India Standard Time", "Asia/Kolkata"),
        ("UTC", "UTC", "UTC"),
        ("utc", "UTC", "UTC"),
        ("Etc/UTC", "UTC", "UTC"),
    ],
)
def test_zones(written: str, windows: str, iana: str) -> None:
    """Graph gets the Windows name; offsets are converted by the zone that it stands for."""
    mapping = load_mapping("m", changed(("Eastern Standard Time", written), ('end = "{MeetingEnd}"\n', "")))
    start = event(mapping, MeetingStart="2026-07-01T12:00:00Z").body["start"]
    there = datetime(2026, 7, 1, 12, tzinfo=UTC).astimezone(ZoneInfo(iana))
    assert start == {"dateTime": f"{there:%Y-%m-%dT%H:%M:%S}", "timeZone": windows}


def test_every_zone_can_be_used() -> None:
    """Every Windows name has a zone of the database, and every IANA name a Windows name that is known."""
    assert [name for name in win_tz if not ZoneInfo(win_tz[name]).key] == []
    assert set(tz_win.values()) - set(win_tz) == set()


@pytest.mark.parametrize(
    ("sent", "wall_clock"),
    [
        ("2026-02-03T09:30:00", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30", "2026-02-03T09:30:00"),
        ("2026-02-03 09:30:00", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30:00.1", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30:00.103", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30:59.9999999", "2026-02-03T09:30:59"),
        (" 2026-02-03T09:30:00  ", "2026-02-03T09:30:00"),
        ("2026-02-03", "2026-02-03T00:00:00"),
        ("2026-02-03T00:00:00", "2026-02-03T00:00:00"),
        ("2026-02-03T14:30:00Z", "2026-02-03T09:30:00"),
        ("2026-02-03T14:30:00.000+00:00", "2026-02-03T09:30:00"),
        ("2026-02-03T17:30:00+03:00", "2026-02-03T09:30:00"),
        ("2026-02-03T04:30:00Z", "2026-02-02T23:30:00"),
        ("2026-07-03T13:30:00Z", "2026-07-03T09:30:00"),
        # the hour that is left out in spring: 02:00 to 03:00 on 8 March
        ("2026-03-08T06:59:59Z", "2026-03-08T01:59:59"),
        ("2026-03-08T07:00:00Z", "2026-03-08T03:00:00"),
        ("2026-03-08T02:30:00", "2026-03-08T03:30:00"),
        # the hour that comes twice in autumn: 01:00 to 02:00 on 1 November
        ("2026-11-01T04:59:59Z", "2026-11-01T00:59:59"),
        ("2026-11-01T05:30:00Z", "2026-11-01T01:30:00"),
        ("2026-11-01T07:00:00Z", "2026-11-01T02:00:00"),
    ],
)
def test_dates(mapping: Mapping, sent: str, wall_clock: str) -> None:
    """Wall-clock time of the mapping's zone, converted where there is an offset, without fractions."""
    start = event(mapping, MeetingStart=sent, MeetingEnd="2027-01-01T00:00:00").body["start"]
    assert start == {"dateTime": wall_clock, "timeZone": "Eastern Standard Time"}


@pytest.mark.parametrize(
    "sent",
    [
        "garbage",
        "02/03/2026 09:30:00",
        "2026-02-30T09:30:00",
        "2026-02-03T25:00:00",
        "2026-02-03T09:30:00 EST",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "٢٠٢٦",
        5,
        True,
        1.5,
        {"a": 1},
    ],
)
def test_dates_that_are_none(mapping: Mapping, sent: Any) -> None:
    """The column is named, the value is not."""
    assert (
        refused(mapping, MeetingStart=sent)
        == f"The mapping's start, made of MeetingStart ({kind_of(sent)}), is no ISO date and time in this row."
    )
    assert (
        refused(mapping, MeetingEnd=sent)
        == f"The mapping's end, made of MeetingEnd ({kind_of(sent)}), is no ISO date and time in this row."
    )


@pytest.mark.parametrize("sent", [None, "", "  "])
def test_empty_dates(mapping: Mapping, sent: Any) -> None:
    """Are told apart from wrong ones."""
    assert refused(mapping, MeetingStart=sent) == "The mapping's start, made of MeetingStart, is empty in this row."


def test_the_end_is_not_before_the_start(mapping: Mapping) -> None:
    """An event without duration is one; a negative one is refused, also across offsets."""
    assert event(mapping, MeetingEnd=ROW["MeetingStart"]).body["end"]["dateTime"] == "2026-02-03T09:30:00"
    assert (
        refused(mapping, MeetingEnd="2026-02-03T09:29:59")
        == "The mapping's end, made of MeetingEnd (text), is before the start in this row."
    )
    assert (
        refused(mapping, MeetingEnd="2026-02-03T14:29:59Z")
        == "The mapping's end, made of MeetingEnd (text), is before the start in this row."
    )


# -- events -------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("value", "mailbox"),
    [
        ("jane@example.com", "jane@example.com"),
        (" Jane.O'Neil+crm@Sub.Example.CO.UK\r\n", "jane.o'neil+crm@sub.example.co.uk"),
        ("jörg@example.com", "jörg@example.com"),
        ("jane_fabrikam.com#EXT#@contoso.onmicrosoft.com", "jane_fabrikam.com#ext#@contoso.onmicrosoft.com"),
        ("6B0F6A52-5D0E-4F1E-9C2A-0A1B2C3D4E5F", NOTE_ID),
    ],
)
def test_mailboxes(mapping: Mapping, value: str, mailbox: str) -> None:
    """Addresses, guests, and object ids; one spelling each, or a change of case would move events."""
    assert event(mapping, OwnerEmail=value).mailbox == mailbox


@pytest.mark.parametrize(
    "value",
    [
        "..",
        ".",
        "me",
        "../me@example.com",
        "a/b@example.com",
        "a\\b@example.com",
        "a@b?x.com",
        "a?b@example.com",
        "a@b.com/events",
        "a@b.com?$select=id",
        "a@b.com#x",
        "a%2fb@example.com",
        "a@b.com\r\nAuthorization: x",
        "a@b.com\nb",
        "a\x00@b.com",
        "a b@c.com",
        "a@b@c.com",
        "a@b.com;c@d.com",
        "a@b.com, c@d.com",
        "Jane <a@b.com>",
        "a@localhost",
        "@b.com",
        "a@",
        NOTE_ID + "/x",
        NOTE_ID[:-1],
        5,
        True,
        ["a@b.com"],
    ],
)
def test_what_is_no_mailbox(mapping: Mapping, value: Any) -> None:
    """Nothing that could lead to another path, mailbox or header; the value is not repeated."""
    assert (
        refused(mapping, OwnerEmail=value)
        == f"The mapping's mailbox, made of OwnerEmail ({kind_of(value)}), is no e-mail address in this row."
    )


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_mailbox(mapping: Mapping, value: Any) -> None:
    """A row without an owner."""
    assert refused(mapping, OwnerEmail=value) == "The mapping's mailbox, made of OwnerEmail, is empty in this row."


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


# -- write-back ---------------------------------------------------------------------------------------------------------


def test_a_custom_field_is_written_back(mapping: Mapping) -> None:
    """Under custom, view and field, with its type; the record by its id."""
    assert record_update(mapping, NOTE_ID, {"event_id": "AAMk="}) == RecordUpdate(
        "Default/24.200.001/Opportunity",
        {
            "id": NOTE_ID,
            "custom": {"Opportunity": {"AttributeCALEVT": {"type": "CustomStringField", "value": "AAMk="}}},
        },
    )


def test_plain_and_several_custom_fields_are_written_back() -> None:
    """Plain fields wrapped in value; views with several fields, and text around the id."""
    fields = '"custom.A.UsrX" = "{event_id}"\n"custom.A.UsrY" = "at {event_id}"\n"custom.B.Z" = "synced"\nExternalRef'
    mapping = load_mapping("m", changed(('"custom.Opportunity.AttributeCALEVT"', fields)))
    assert record_update(mapping, NOTE_ID, {"event_id": "E"}).body == {
        "id": NOTE_ID,
        "custom": {
            "A": {
                "UsrX": {"type": "CustomStringField", "value": "E"},
                "UsrY": {"type": "CustomStringField", "value": "at E"},
            },
            "B": {"Z": {"type": "CustomStringField", "value": "synced"}},
        },
        "ExternalRef": {"value": "E"},
    }


@pytest.mark.parametrize(
    "value", [None, "", "OP000123", NOTE_ID + "0", f"{{{NOTE_ID}}}", NOTE_ID + "/x", 5, f"{NOTE_ID} {NOTE_ID}"]
)
def test_record_ids_are_guids(mapping: Mapping, value: Any) -> None:
    """Anything else could hit another record."""
    with pytest.raises(Permanent) as caught:
        record_update(mapping, record_id(mapping, ROW | {"NoteID": value}), {"event_id": "E"})
    wrong = "is no GUID" if as_text(value) else "is empty"
    assert caught.value.reason == f"The mapping's write_back.id, made of NoteID, {wrong} in this row."
    assert caught.value.remedy == "Use the column with the record's NoteID."


def test_a_record_id_may_be_padded(mapping: Mapping) -> None:
    """Like every column it is trimmed."""
    assert record_id(mapping, ROW | {"NoteID": f" {NOTE_ID.upper()} "}) == NOTE_ID.upper()


# -- everything else that a mapping can say -----------------------------------------------------------------------------

LEAST = """
query = "Q"
key = ["Key"]
mailbox = "{Owner}"
time_zone = "America/New_York"
[event]
subject = "s"
start = "{Start}"
"""
SITE = Scope("https://erp.example.com/site")
SHORT: dict[str, Any] = {"Key": "A", "Owner": "ann@example.com", "Start": "2026-02-03T09:30:00"}


def least(event: str = "", top: str = "", tables: str = "", start: str = 'start = "{Start}"') -> Mapping:
    """The least mapping, and more: in [event], before it, after it, and instead of its start."""
    text = LEAST.replace("[event]", top + "\n[event]").replace('start = "{Start}"', start)
    return load_mapping("m", f"{text}\n{event}\n{tables}")


def body(mapping: Mapping, **columns: Any) -> dict[str, Any]:
    return calendar_event(mapping, SHORT | columns, SITE).body


def times(mapping: Mapping, **columns: Any) -> tuple[str, str]:
    """Start and end as `2026-02-03 09:30`, with the zone's name where it is not the mapping's."""
    found = body(mapping, **columns)

    def shown(moment: dict[str, str]) -> str:
        zone = "" if moment["timeZone"] == "Eastern Standard Time" else f" {moment['timeZone']}"
        return moment["dateTime"][:16].replace("T", " ") + zone

    return shown(found["start"]), shown(found["end"])


def reason(mapping: Mapping, **columns: Any) -> str:
    with pytest.raises(Permanent) as caught:
        body(mapping, **columns)
    assert caught.value.remedy.endswith(".")
    return caught.value.reason


@pytest.mark.parametrize(
    "end", ["", 'end = "{End}"', 'end = { minutes = "{End}" }', 'end = { date = "{End}", time = "{End}" }']
)
def test_an_event_without_an_end_has_the_default_length(end: str) -> None:
    assert times(least(end), End=None) == ("2026-02-03 09:30", "2026-02-03 10:30")
    assert times(least(end, "default_minutes = 15"), End="") == ("2026-02-03 09:30", "2026-02-03 09:45")


@pytest.mark.parametrize(
    ("length", "end"),
    [(90, "11:00"), ("90", "11:00"), ("1:30", "11:00"), ("01:30:00", "11:00"), (0, "09:30"), (45.0, "10:15")],
)
def test_an_end_by_its_length(length: Any, end: str) -> None:
    assert times(least('end = { minutes = "{Length}" }'), Length=length)[1] == f"2026-02-03 {end}"


def test_a_length_of_the_mapping() -> None:
    assert times(least("end = { minutes = 20 }"))[1] == "2026-02-03 09:50"


@pytest.mark.parametrize("length", [-5, 1.5, "soon", True, "1:75", 10**9])
def test_what_is_no_length(length: Any) -> None:
    assert "is no length in minutes" in reason(least('end = { minutes = "{Length}" }'), Length=length)


@pytest.mark.parametrize(
    "clock",
    ["1900-01-01T14:05:00", "2026-07-09T14:05:00", "14:05", "14:05:00", "2:05 PM", "02:05:00 pm", "1900-01-01T14:05:00Z"],
)
def test_a_date_and_a_time_in_columns_of_their_own(clock: str) -> None:
    """The time column's date does not count: Acumatica puts in any."""
    mapping = least(start='start = { date = "{Day}", time = "{Clock}" }')
    assert times(mapping, Day="2026-02-03T00:00:00", Clock=clock)[0] == "2026-02-03 14:05"
    assert times(mapping, Day="2026-02-03", Clock=clock)[0] == "2026-02-03 14:05"


@pytest.mark.parametrize(
    ("day", "clock"), [("soon", "14:05"), ("2026-02-03", "noon"), ("2026-02-03", ""), ("2026-02-03", None)]
)
def test_what_is_no_date_and_time(day: str, clock: Any) -> None:
    mapping = least(start='start = { date = "{Day}", time = "{Clock}" }')
    assert reason(mapping, Day=day, Clock=clock).startswith("The mapping's start, made of Day (text) and Clock")


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-02-03T00:00:00", None, ("2026-02-03", "2026-02-04")),
        ("2026-02-03", "2026-02-03", ("2026-02-03", "2026-02-04")),
        ("2026-02-03T23:59:00", "2026-02-05T00:00:00", ("2026-02-03", "2026-02-06")),
        ("2026-02-28", "2026-02-28T23:59:00", ("2026-02-28", "2026-03-01")),
        ("2026-03-08", "2026-03-08", ("2026-03-08", "2026-03-09")),  # a day of 23 hours
        ("2026-02-04T02:00:00Z", None, ("2026-02-03", "2026-02-04")),  # still the third in New York
    ],
)
def test_all_day(start: str, end: str | None, days: tuple[str, str]) -> None:
    """Only dates count; the end's day is the last one, and Graph's end is the midnight after it."""
    found = body(least('isAllDay = true\nend = "{End}"'), Start=start, End=end)
    zoned = [{"dateTime": f"{day}T00:00:00", "timeZone": "Eastern Standard Time"} for day in days]
    assert (found["start"], found["end"], found["isAllDay"]) == (*zoned, True)


def test_all_day_for_a_length_and_by_column() -> None:
    mapping = least('isAllDay = "{AllDay}"\nend = { minutes = "{Length}" }')
    assert times(mapping, AllDay=True, Length=2880) == ("2026-02-03 00:00", "2026-02-05 00:00")
    assert times(mapping, AllDay="No", Length=60) == ("2026-02-03 09:30", "2026-02-03 10:30")
    assert "is neither true nor false" in reason(mapping, AllDay="perhaps", Length=60)


def test_an_all_day_event_does_not_end_before_it_starts() -> None:
    assert "is before the start" in reason(least('isAllDay = true\nend = "{End}"'), End="2026-02-02")


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        # 2026-03-08 in New York: 02:00 to 03:00 is left out
        ("2026-03-08T01:30:00", "2026-03-08T03:30:00", ("2026-03-08 01:30", "2026-03-08 03:30")),
        ("2026-03-08T02:30:00", "2026-03-08T03:30:00", ("2026-03-08 03:30", "2026-03-08 03:30")),
        ("2026-03-08T02:30:00", "2026-03-08T02:45:00", ("2026-03-08 03:30", "2026-03-08 03:45")),
        ("2026-03-08T01:30:00", None, ("2026-03-08 01:30", "2026-03-08 03:30")),
        # 2026-11-01: 01:00 to 02:00 is there twice
        ("2026-11-01T00:30:00", None, ("2026-11-01 00:30", "2026-11-01 01:30")),
        ("2026-11-01T01:30:00", None, ("2026-11-01 01:30", "2026-11-01 06:30 UTC")),
        ("2026-11-01T01:45:00", "2026-11-01T01:15:00", ("2026-11-01 01:45", "2026-11-01 06:15 UTC")),
        ("2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z", ("2026-11-01 01:45", "2026-11-01 06:15 UTC")),
        ("2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z", ("2026-11-01 06:30 UTC", "2026-11-01 02:30")),
        ("2026-11-01T01:30:00", "2026-11-01T02:30:00", ("2026-11-01 01:30", "2026-11-01 02:30")),
    ],
)
def test_daylight_saving(start: str, end: str | None, shown: tuple[str, str]) -> None:
    """Lengths are real; a time in the gap moves past it; the second of two equal times is told in UTC."""
    assert times(least('end = "{End}"'), Start=start, End=end) == shown


@pytest.mark.parametrize("all_day", ["true", "false"])
def test_the_end_of_time(all_day: str) -> None:
    mapping = load_mapping("m", LEAST.replace("America/New_York", "UTC") + f"isAllDay = {all_day}")
    assert reason(mapping, Start="9999-12-31T23:30:00") == "The event would end after the year 9999."


def test_the_zone_of_a_column() -> None:
    mapping = load_mapping("m", LEAST.replace("America/New_York", "{Zone}"))
    found = body(mapping, Zone="Asia/Kolkata")
    assert found["start"] == {"dateTime": "2026-02-03T09:30:00", "timeZone": "India Standard Time"}
    assert body(mapping, Zone="Asia/Kolkata", Start="2026-02-03T04:00:00Z")["start"] == found["start"]
    assert "time_zone, made of Zone (text), is no Windows or IANA time zone" in reason(mapping, Zone="Mars/Base")
    assert "time_zone, made of Zone, is empty" in reason(mapping, Zone=None)


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


def test_attendees() -> None:
    """One or several to a column, each once, in Graph's shape, without the calendar's owner."""
    mapping = least('attendees = ["{To}", { address = "{Cc}", type = "optional", name = "{Name}" }]')
    found = calendar_event(
        mapping, SHORT | {"To": "bob@x.com; Cleo@x.com,ANN@example.com", "Cc": "dan@x.com", "Name": "Dan"}, SITE
    )
    assert found.body["attendees"] == [
        {"emailAddress": {"address": "bob@x.com"}, "type": "required"},
        {"emailAddress": {"address": "Cleo@x.com"}, "type": "required"},
        {"emailAddress": {"address": "dan@x.com", "name": "Dan"}, "type": "optional"},
    ]
    assert found.notes == ()
    several = body(mapping, To=None, Cc="bob@x.com;BOB@X.com;cleo@x.com", Name="Bob")["attendees"]
    assert [person["emailAddress"] for person in several] == [{"address": "bob@x.com"}, {"address": "cleo@x.com"}]
    assert body(mapping, To="", Cc=None, Name=None)["attendees"] == []


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


@pytest.mark.parametrize(
    ("value", "adopted"),
    [
        ("AAMk" + "x" * 100 + "=", True),
        (None, False),
        ("", False),
        ("OP1", False),
        ("../events/x?" * 5, False),
        ("A" * 2000, False),
    ],
)
def test_ids_that_may_be_adopted(value: Any, *, adopted: bool) -> None:
    assert adopted_id(least(top='adopt = "{Old}"'), {"Old": value}) == (value if adopted else None)
    assert adopted_id(least(), {"Old": value}) is None


FIELDS = """
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{Note}"
[write_back.fields]
"custom.A.UsrId" = "{event_id}"
"custom.A.UsrOk" = true
"custom.A.UsrCount" = { value = 1, type = "CustomLongField" }
"custom.A.UsrUid" = { value = "{iCalUId}", type = "CustomGuidField" }
"Attributes.CALEVT" = "{event_id}"
Link = "{webLink}"
Error = "Calendar: {reason}"
"""
ALL = {"event_id": "E", "webLink": "W", "iCalUId": "U", "reason": ""}


def test_everything_that_can_be_written_back() -> None:
    """Typed, in one request: custom fields, class attributes, plain fields."""
    mapping = least(tables=FIELDS)
    assert record_update(mapping, NOTE_ID, ALL).body == {
        "id": NOTE_ID,
        "custom": {
            "A": {
                "UsrId": {"type": "CustomStringField", "value": "E"},
                "UsrOk": {"type": "CustomBooleanField", "value": True},
                "UsrCount": {"type": "CustomLongField", "value": 1},
                "UsrUid": {"type": "CustomGuidField", "value": "U"},
            }
        },
        "Attributes": [{"AttributeID": {"value": "CALEVT"}, "Value": {"value": "E"}}],
        "Link": {"value": "W"},
        "Error": {"value": "Calendar:"},
    }
    assert (wants_details(mapping), reports(mapping)) == (True, True)
    assert (wants_details(load_mapping("m", TEXT)), reports(load_mapping("m", TEXT))) == (False, False)


def test_a_failure_touches_no_field_but_those_of_the_reason() -> None:
    update = record_update(least(tables=FIELDS), NOTE_ID, {"reason": short_reason("No mailbox. " + "x" * 300)})
    assert set(update.body) == {"id", "Error"}
    assert len(update.body["Error"]["value"]) == len("Calendar: ") + 250


def test_emptied_fields() -> None:
    """Text becomes empty text, everything else nothing."""
    body = record_update(least(tables=FIELDS), NOTE_ID, None).body
    assert {name: field["value"] for name, field in body["custom"]["A"].items()} == {
        "UsrId": "",
        "UsrOk": None,
        "UsrCount": None,
        "UsrUid": None,
    }
    assert (body["Attributes"][0]["Value"], body["Link"], body["Error"]) == ({"value": ""}, {"value": ""}, {"value": ""})


def test_attributes_of_appointments_have_another_name() -> None:
    mapping = least(tables=FIELDS.replace('"Opportunity"', '"Appointment"'))
    assert record_update(mapping, NOTE_ID, ALL).body["Attributes"] == [
        {"Attribute": {"value": "CALEVT"}, "Value": {"value": "E"}}
    ]
