"""Mappings: what a file may hold, how problems are told, and what a row is rendered to."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tzlocal.windows_tz import tz_win, win_tz

from handlers.sync.errors import Permanent
from handlers.sync.mapping import (
    CalendarEvent,
    Mapping,
    MappingProblems,
    MissingColumns,
    RecordUpdate,
    Template,
    load_mapping,
    pick,
)

SAMPLE = Path(__file__).resolve().parents[2] / "mappings/opportunity-meetings.toml"
TEXT = """
query = "Calendar - Opportunity Meetings"
key = ["OpportunityID"]
mailbox = "{OwnerEmail}"
time_zone = "Eastern Standard Time"
attributes = ["Room"]

[event]
subject = "{Subject}"
start = "{MeetingStart}"
end = "{MeetingEnd}"
location = "{Room}"

[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{NoteID}"
[write_back.fields]
"custom.Opportunity.AttributeCALEVT" = "{event_id}"
"""
NOTE_ID = "6b0f6a52-5d0e-4f1e-9c2a-0a1b2c3d4e5f"
ROW: dict[str, Any] = {
    "OpportunityID": "OP000123 ",
    "OwnerEmail": "Jane.Doe@Example.com ",
    "Subject": "Site visit",
    "MeetingStart": "2026-02-03T09:30:00",
    "MeetingEnd": "2026-02-03T10:30:00",
    "Room": "Building 4",
    "NoteID": NOTE_ID,
}


def changed(*changes: tuple[str, str]) -> str:
    """The text above with pieces replaced, each of which has to occur once."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def problems(*changes: tuple[str, str]) -> list[str]:
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", changed(*changes))
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


def event(mapping: Mapping, **columns: Any) -> CalendarEvent:
    return mapping.calendar_event(ROW | columns)


def refused(mapping: Mapping, **columns: Any) -> str:
    with pytest.raises(Permanent) as caught:
        event(mapping, **columns)
    assert caught.value.remedy.endswith(".")
    return caught.value.reason


# -- loading ------------------------------------------------------------------------------------------------------------


def test_the_sample_says_what_it_reads() -> None:
    """The file that is shipped is valid; its columns stand once each, the key first."""
    mapping = load_mapping(SAMPLE.stem, SAMPLE.read_text(encoding="utf-8"))
    assert mapping.name == "opportunity-meetings"
    assert mapping.query == "Calendar - Opportunity Meetings"
    assert mapping.columns == ("OpportunityID", "OwnerEmail", "Subject", "MeetingStart", "MeetingEnd", "Room", "NoteID")
    assert mapping.attributes == ["Room"]


def test_the_least_mapping() -> None:
    """Location, attributes and write-back are optional."""
    text = TEXT[: TEXT.index("location")].replace('attributes = ["Room"]', "")
    mapping = load_mapping("m", text)
    assert (mapping.attributes, mapping.write_back, mapping.event.location) == ([], None, None)
    assert set(mapping.calendar_event(ROW).body) == {"subject", "start", "end"}
    with pytest.raises(ValueError, match="writes nothing back"):
        mapping.record_update(ROW, "E")


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """Some editors of Windows write one."""
    assert load_mapping("m", "\ufeff" + TEXT) == load_mapping("m", TEXT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('query = "Calendar - Opportunity Meetings"', ""), "m.toml: query: missing"),
        (
            ('query = "Calendar - Opportunity Meetings"', 'query = " "'),
            "m.toml: query: String should have at least 1 character",
        ),
        (('query = "Calendar - Opportunity Meetings"', "query = 5"), "m.toml: query: Input should be a valid string"),
        (
            ("query =", "qurey ="),
            (
                "m.toml: qurey: unknown key; did you mean query?"
                " (known: query, key, mailbox, time_zone, attributes, event, write_back)"
            ),
        ),
        (('key = ["OpportunityID"]', "key = []"), "m.toml: key: List should have at least 1 item after validation, not 0"),
        (('key = ["OpportunityID"]', 'key = "OpportunityID"'), "m.toml: key: Input should be a valid list"),
        (('key = ["OpportunityID"]', "key = [1]"), "m.toml: key.0: Input should be a valid string"),
        (('key = ["OpportunityID"]', 'key = ["Order Nbr", "OrderNbr."]'), "m.toml: key: has to name each key column once"),
        (('key = ["OpportunityID"]', 'key = ["OpportunityID", " "]'), "m.toml: key: has to name each key column once"),
        (
            ("Eastern Standard", "Easter Standard"),
            (
                "m.toml: time_zone: 'Easter Standard Time' is no Windows or IANA time zone;"
                " did you mean 'Eastern Standard Time'?"
            ),
        ),
        (
            ("Eastern Standard Time", "america/new_york"),
            "m.toml: time_zone: 'america/new_york' is no Windows or IANA time zone; did you mean 'America/New_York'?",
        ),
        (("Eastern Standard Time", "+02:00"), "m.toml: time_zone: '+02:00' is no Windows or IANA time zone"),
        (('["Room"]', '["Rom"]'), "m.toml: attributes: 'Rom' is not used by any template"),
        (("[event]", "[event]\nbody = 'x'"), "m.toml: event.body: unknown key (known: subject, start, end, location)"),
        (
            ("location =", "loction ="),
            "m.toml: event.loction: unknown key; did you mean location? (known: subject, start, end, location)",
        ),
        (('start = "{MeetingStart}"', ""), "m.toml: event.start: missing"),
        (('"{MeetingStart}"', "2026-01-01"), "m.toml: event.start: has to be text in quotes"),
        (
            ('"{Subject}"', '"{Subject"'),
            "m.toml: event.subject: the brace at position 1 is not part of a {Column} (write {{ for a brace)",
        ),
        (
            ('"{Subject}"', '"{event_id}"'),
            "m.toml: {event_id} stands only in write_back.fields: elsewhere it would feed an event from its own id",
        ),
        (
            ('"{NoteID}"', '"{event_id}"'),
            "m.toml: {event_id} stands only in write_back.fields: elsewhere it would feed an event from its own id",
        ),
        (
            ("Default/24.200.001", "Default"),
            r"m.toml: write_back.endpoint: String should match pattern '^[A-Za-z0-9_.-]+/[0-9]+\.[0-9]+\.[0-9]+$'",
        ),
        (
            ('"Opportunity"', '"Opportunity/x"'),
            "m.toml: write_back.entity: String should match pattern '^[A-Za-z_][A-Za-z0-9_]*$'",
        ),
        (('id = "{NoteID}"', ""), "m.toml: write_back.id: missing"),
        (
            ('"custom.Opportunity.AttributeCALEVT" = "{event_id}"', ""),
            "m.toml: write_back.fields: Dictionary should have at least 1 item after validation, not 0",
        ),
        (
            ('"{event_id}"', '"{Subject}"'),
            (
                'm.toml: write_back.fields: "custom.Opportunity.AttributeCALEVT": '
                "only {event_id} can be written back, not {Subject}"
            ),
        ),
    ],
)
def test_one_problem(change: tuple[str, str], problem: str) -> None:
    """File, key, what is wrong, and where it helps what was meant."""
    assert problem in problems(change)


@pytest.mark.parametrize(
    "field", ["custom.Opportunity", "custom.A.B.C", "a.b", "custom..B", "id", "rowNumber", "delete", "custom"]
)
def test_fields_that_cannot_be_written_back(field: str) -> None:
    """What is no field, and what would replace the record's own id."""
    (problem,) = problems(("custom.Opportunity.AttributeCALEVT", field))
    assert problem == (
        f'm.toml: write_back.fields: "{field}": has to be "custom.<View>.<Field>" '
        "(user-defined and Usr fields) or a field of the entity"
    )


def test_several_problems_at_once() -> None:
    """All of them, each with its key."""
    found = problems(
        ("time_zone =", "timezone ="),
        ('"{Subject}"', '"{Subject"'),
        ("entity =", "entty ="),
        ('key = ["OpportunityID"]', "key = []"),
    )
    assert sorted(problem.split(": ")[1] for problem in found) == [
        "event.subject",
        "key",
        "time_zone",
        "timezone",
        "write_back.entity",
        "write_back.entty",
    ]


@pytest.mark.parametrize("text", ["x", "[event", "a = 1\na = 2", "a = " + "[" * 5000, "\x00"])
def test_files_that_are_no_toml(text: str) -> None:
    """Are problems like others, with the place where the parser knows it."""
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", text)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("m.toml: no TOML: ")


def test_a_mapping_is_named_like_its_file() -> None:
    """Its name is part of every event's identity."""
    assert load_mapping("other", TEXT).name == "other"


# -- templates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("Visit", "Visit"),
        ("{A}", "x"),
        ("{A}{B}", "xy"),
        ("{ A }", "x"),
        ("{A}: {B}!", "x: y!"),
        ("{{A}}", "{A}"),
        ("{{{A}}}", "{x}"),
        ("a }} b {{ c", "a } b { c"),
        ("{Null}", ""),
        ("{A} {Null}", "x"),
        ("{Absent}", ""),
        ("{Padded}/{A}", "z/x"),
        ("{Flag} {Number} {Float}", "true 7 12.5"),
        ("{Odd}", "{A}"),
        ("{Größe (m²)}", "groß"),
    ],
)
def test_rendering(source: str, text: str) -> None:
    """Columns are put in trimmed and once only; double braces are braces; null and nothing are nothing."""
    row = {"A": "x", "B": "y", "Null": None, "Padded": " z  ", "Flag": True, "Number": 7, "Float": 12.5, "Odd": "{A}"}
    assert Template.parse(source).render(row | {"Größe (m²)": "groß"}) == text


@pytest.mark.parametrize(
    ("source", "position"),
    [("{", 1), ("}", 1), ("a{", 2), ("{A", 1), ("A}", 2), ("{}", 1), ("{ }", 1), ("{A}}", 4), ("{a{b}", 1)],
)
def test_unbalanced_braces(source: str, position: int) -> None:
    """The position is told."""
    with pytest.raises(ValueError, match=f"^the brace at position {position} is not part of a {{Column}}"):
        Template.parse(source)


def test_columns_in_the_order_of_their_use() -> None:
    """With repetitions; literal braces name none."""
    assert Template.parse("{B} {{C}} {A}{B}").columns == ("B", "A", "B")


# -- columns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrived", "asked"),
    [
        ("MeetingStart", "MeetingStart"),
        ("MeetingStart", "Meeting Start"),
        ("meetingstart", "MeetingStart"),
        ("MeetingStart", "Meeting-Start."),
        ("InventoryItem_lastModifiedDateTime", "Inventory Item: Last Modified DateTime"),
        ("STRASSE", "Straße"),
        ("ÄNDERUNG", "änderung"),
        ("Nr_1", "Nr. 1"),
    ],
)
def test_captions_lose_blanks_and_punctuation(arrived: str, asked: str) -> None:
    """A column is found by its letters and digits, under the name that the mapping has for it."""
    assert pick({"Other": 0, arrived: 1}, [asked]) == {asked: 1}


def test_an_exact_name_comes_first() -> None:
    """Also when another one folds to the same."""
    assert pick({"start": 1, "Start": 2, "S t a r t": 3}, ["Start"]) == {"Start": 2}


def test_missing_columns_are_named() -> None:
    """All of them, and those that arrived; null is not missing."""
    with pytest.raises(MissingColumns) as caught:
        pick({"B": None, "A": 1}, ["B", "C", "D"])
    assert str(caught.value) == "The inquiry's rows have no column C, D. Columns that arrived: A, B."
    with pytest.raises(MissingColumns, match=r"Columns that arrived: none\."):
        pick({}, ["A"])


def test_only_mapped_columns_are_picked(mapping: Mapping) -> None:
    """Audit columns never reach the link."""
    assert mapping.pick(ROW | {"LastModifiedDateTime": "x", "Amount": 1}) == ROW


@pytest.mark.parametrize(
    ("value", "key"),
    [("OP1", "OP1"), (" OP1  ", "OP1"), ("op1", "op1"), (7, "7"), (True, "true"), (0, "0"), ("a / #", "a / #")],
)
def test_keys(mapping: Mapping, value: Any, key: str) -> None:
    """Trimmed, since Acumatica pads them; otherwise as they are."""
    assert mapping.key_of({"opportunity id": value}) == (key,)


@pytest.mark.parametrize("value", [None, "", "   ", "\t"])
def test_empty_keys(mapping: Mapping, value: Any) -> None:
    """Cannot identify a row."""
    with pytest.raises(MissingColumns, match=r"The key column OpportunityID is empty in this row\."):
        mapping.key_of({"OpportunityID": value})


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
    mapping = load_mapping("m", changed(("Eastern Standard Time", written)))
    assert (mapping.time_zone, mapping.zone.key) in {(windows, iana), (windows, iana.replace("Kolkata", "Calcutta"))}


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
        ("2026-03-08T02:30:00", "2026-03-08T02:30:00"),
        # the hour that comes twice in autumn: 01:00 to 02:00 on 1 November
        ("2026-11-01T04:59:59Z", "2026-11-01T00:59:59"),
        ("2026-11-01T05:30:00Z", "2026-11-01T01:30:00"),
        ("2026-11-01T06:30:00Z", "2026-11-01T01:30:00"),
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
    assert refused(mapping, MeetingStart=sent) == "The mapping's start (MeetingStart) is no ISO date and time in this row."
    assert refused(mapping, MeetingEnd=sent) == "The mapping's end (MeetingEnd) is no ISO date and time in this row."


@pytest.mark.parametrize("sent", [None, "", "  "])
def test_empty_dates(mapping: Mapping, sent: Any) -> None:
    """Are told apart from wrong ones."""
    assert refused(mapping, MeetingStart=sent) == "The mapping's start (MeetingStart) is empty in this row."


def test_the_end_is_not_before_the_start(mapping: Mapping) -> None:
    """An event without duration is one; a negative one is refused, also across offsets."""
    assert event(mapping, MeetingEnd=ROW["MeetingStart"]).body["end"]["dateTime"] == "2026-02-03T09:30:00"
    assert (
        refused(mapping, MeetingEnd="2026-02-03T09:29:59")
        == "The mapping's end (MeetingEnd) is before the start in this row."
    )
    assert (
        refused(mapping, MeetingEnd="2026-02-03T14:29:59Z")
        == "The mapping's end (MeetingEnd) is before the start in this row."
    )


# -- events -------------------------------------------------------------------------------------------------------------


def test_a_whole_event(mapping: Mapping) -> None:
    """The mailbox in lower case, and Graph's event without any id."""
    assert event(mapping) == CalendarEvent(
        "jane.doe@example.com",
        {
            "subject": "Site visit",
            "start": {"dateTime": "2026-02-03T09:30:00", "timeZone": "Eastern Standard Time"},
            "end": {"dateTime": "2026-02-03T10:30:00", "timeZone": "Eastern Standard Time"},
            "location": {"displayName": "Building 4"},
        },
    )


def test_an_attribute_that_was_never_seen_is_empty(mapping: Mapping) -> None:
    """Null is no news, so such a column is not in the row at all."""
    row = {name: value for name, value in ROW.items() if name != "Room"}
    assert mapping.calendar_event(row).body["location"] == {"displayName": ""}


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
    assert refused(mapping, OwnerEmail=value) == "The mapping's mailbox (OwnerEmail) is no e-mail address in this row."


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_mailbox(mapping: Mapping, value: Any) -> None:
    """A row without an owner."""
    assert refused(mapping, OwnerEmail=value) == "The mapping's mailbox (OwnerEmail) is empty in this row."


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
    assert event(mapping).fingerprint == "cbe4cdb1c58754e85bafdc3e801d3a48"


# -- write-back ---------------------------------------------------------------------------------------------------------


def test_a_custom_field_is_written_back(mapping: Mapping) -> None:
    """Under custom, view and field, with its type; the record by its id."""
    assert mapping.record_update(ROW, "AAMk=") == RecordUpdate(
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
    assert mapping.record_update(ROW, "E").body == {
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
        mapping.record_update(ROW | {"NoteID": value}, "E")
    assert caught.value.reason == "The mapping's write_back.id (NoteID) is no GUID in this row."
    assert caught.value.remedy == "Use the column with the record's NoteID."


def test_a_record_id_may_be_padded(mapping: Mapping) -> None:
    """Like every column it is trimmed."""
    assert mapping.record_update(ROW | {"NoteID": f" {NOTE_ID.upper()} "}, "E").body["id"] == NOTE_ID.upper()
