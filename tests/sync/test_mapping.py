"""Mapping files: what one may hold, and how problems are told."""

import re
from pathlib import Path
from typing import Any

import pytest

from handlers.sync.event import calendar_event
from handlers.sync.mapping import Days, Mapping
from handlers.sync.mapping_file import MappingProblems, load_mapping, load_mappings
from handlers.sync.scope import Scope
from handlers.sync.template import MissingColumns
from local.sample import ROW, TEXT, changed

COMPARED = "greater, less and the like are conditions of the inquiry"
KEYS = (
    "query, key, mailbox, calendar, time_zone, locale, attributes, default_minutes, adopt, link, footer, event, relay, "
    "when, values, shape, on, sweep, backfill, write_back"
)
EVENT = (
    "subject, body, start, end, isAllDay, location, attendees, showAs, sensitivity, importance, categories, isReminderOn, "
    "reminderMinutesBeforeStart, hideAttendees, isOnlineMeeting"
)
SAMPLE = Path(__file__).resolve().parents[2] / "ready-made/opportunity-meetings.toml"


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


def problems(*changes: tuple[str, str]) -> list[str]:
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", changed(*changes))
    assert str(caught.value) == "; ".join(caught.value.problems)
    return [re.sub(r"^m\.toml:\d+", "m.toml", problem) for problem in caught.value.problems]


def test_the_sample_says_what_it_reads() -> None:
    """The file that is shipped is valid; its columns stand once each, the key first."""
    mapping = load_mapping(SAMPLE.stem, SAMPLE.read_text(encoding="utf-8"))
    assert mapping.name == "opportunity-meetings"
    assert mapping.query == "Calendar - Opportunity Meetings"
    assert mapping.columns == ("OpportunityID", "OwnerEmail", "Subject", "MeetingStart", "MeetingEnd", "Room", "NoteID")
    assert mapping.attributes == ["MeetingStart", "MeetingEnd", "Room"]


def test_the_least_mapping() -> None:
    """Location, attributes and write-back are optional."""
    text = TEXT[: TEXT.index("location")].replace('attributes = ["Room"]', "")
    mapping = load_mapping("m", text)
    assert (mapping.attributes, mapping.write_back, mapping.event.location) == ([], None, None)
    assert set(calendar_event(mapping, ROW, Scope()).body) == {"subject", "start", "end", "isAllDay"}


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """Some editors of Windows write one."""
    assert load_mapping("m", "\ufeff" + TEXT) == load_mapping("m", TEXT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('query = "Calendar - Opportunity Meetings"', ""), "m.toml: query: missing"),
        (
            ('query = "Calendar - Opportunity Meetings"', 'query = " "'),
            "m.toml: query: must not be empty",
        ),
        (('query = "Calendar - Opportunity Meetings"', "query = 5"), 'm.toml: query: has to be text in quotes: "5"'),
        (
            ("query =", "qurey ="),
            ("m.toml: qurey: unknown key; did you mean query? (known: {KEYS})"),
        ),
        (('key = ["OpportunityID"]', "key = []"), "m.toml: key: has to hold at least one"),
        (('key = ["OpportunityID"]', 'key = "OpportunityID"'), 'm.toml: key: has to be a list: ["OpportunityID"]'),
        (('key = ["OpportunityID"]', "key = [1]"), 'm.toml: key.0: has to be text in quotes: "1"'),
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
        (("[event]", "[event]\nrecurrence = 'x'"), "m.toml: event.recurrence: unknown key (known: {EVENT})"),
        (
            ("location =", "loction ="),
            "m.toml: event.loction: unknown key; did you mean location? (known: {EVENT})",
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
            "m.toml: write_back.endpoint: 'Default' does not have the form of \"Default/24.200.001\"",
        ),
        (
            ('"Opportunity"', '"Opportunity/x"'),
            "m.toml: write_back.entity: 'Opportunity/x' does not have the form of \"SalesOrder\"",
        ),
        (('id = "{NoteID}"', ""), "m.toml: write_back.id: missing"),
        (
            ('"custom.Opportunity.AttributeCALEVT" = "{event_id}"', ""),
            "m.toml: write_back.fields: has to hold at least one",
        ),
        (
            ('"{event_id}"', '"{Subject}"'),
            (
                'm.toml: write_back.fields: "custom.Opportunity.AttributeCALEVT": '
                "{Subject} cannot be written back; what can: {answer.id}, {event_id}, {iCalUId}, {joinUrl}, {outlook_end}, "
                "{outlook_start}, {outlook_status}, {reason}, {responses}, {webLink}"
            ),
        ),
    ],
)
def test_one_problem(change: tuple[str, str], problem: str) -> None:
    """File, key, what is wrong, and where it helps what was meant."""
    assert problem.replace("{KEYS}", KEYS).replace("{EVENT}", EVENT) in problems(change)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ('[sweep]\nmode = "ful"', ["sweep.mode: 'ful' is none of off, report, upsert, full; did you mean 'full'?"]),
        ("[sweep]\nmod = true", ["sweep.mod: unknown key; did you mean mode? (known: mode, inquiry)"]),
        ('[backfill]\nrows = "past"', ["backfill.rows: 'past' is none of future, all"]),
        ("[backfill]\nrows = { days = -1 }", ["backfill.rows.days: has to be at least 0"]),
        (
            "[backfill]\nrows = { day = 7 }",
            ["backfill.rows.days: missing", "backfill.rows.day: unknown key; did you mean days? (known: days)"],
        ),
        ("[backfill]\ninvite = true", ["backfill.invite: the event has no attendees, so nobody to invite"]),
    ],
)
def test_problems_of_sweep_and_backfill(more: str, found: list[str]) -> None:
    with pytest.raises(MappingProblems) as error:
        load_mapping("m", f"{TEXT}\n{more}\n")
    assert [problem.partition(": ")[2] for problem in error.value.problems] == found


def test_a_sweep_reports_and_a_backfill_makes_what_is_to_come_unless_it_is_told_otherwise() -> None:
    mapping = load_mapping("m", TEXT)
    assert (mapping.sweep.mode, mapping.sweep.inquiry) == ("report", None)
    assert (mapping.backfill.rows, mapping.backfill.invite) == ("future", False)
    assert load_mapping("m", f"{TEXT}\n[backfill]\nrows = {{ days = 7 }}\n").backfill.rows == Days(days=7)


@pytest.mark.parametrize(
    "field", ["custom.Opportunity", "custom.A.B.C", "a.b", "custom..B", "id", "rowNumber", "delete", "custom"]
)
def test_fields_that_cannot_be_written_back(field: str) -> None:
    """What is no field, and what would replace the record's own id."""
    (problem,) = problems(("custom.Opportunity.AttributeCALEVT", field))
    assert problem == (
        f'm.toml: write_back.fields: "{field}": has to be "custom.<View>.<Field>" '
        '(user-defined and Usr fields), "Attributes.<ID>" (class attributes) or a field of the entity'
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


# -- columns ------------------------------------------------------------------------------------------------------------


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


# -- conditions, values, and what stands between files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "fits", "fails"),
    [
        ('"Open"', ["Open", " open ", "OPEN"], ["Closed", "", None, "Open 2"]),
        ('["Open", "New"]', ["Open", "new"], ["Closed", None]),
        ('{ not = "Open" }', ["Closed", None, ""], ["Open", "open"]),
        ('{ not = ["Open", "New"] }', ["Closed", None], ["open", "New"]),
        ("{ empty = true }", ["", "  ", None], ["x", 0, False]),
        ("{ empty = false }", ["x", 0, False], ["", "  ", None]),
        ('{ empty = false, not = "Open" }', ["Closed"], ["Open", None]),
        ("true", [True, "True"], [False, None, "1"]),
        ("false", [False], [True, None]),
        ("5", [5, 5.0, "5"], [50, True, None]),
        ("5.0", [5, 5.0, "5"], [50, True, None]),
        ("1250.5", [1250.5, "1250.5"], [1250]),
        ("1234567890123456", [1234567890123456, 1234567890123456.0], [1234567890123457, 1234567890123455]),
        ("0.1", [0.1, "0.1"], [0.10000000000000002]),
        ("5", [5], [10**400, -(10**400), 1e308, 5e-324]),
        (f"{2**53 + 1}", [2**53 + 1], [float(2**53), 2**53]),
        ('""', ["", None], ["x"]),
    ],
)
def test_conditions(condition: str, fits: list[Any], fails: list[Any]) -> None:
    """As people would say it: text without regard to case and outer blanks, numbers by their value."""
    mapping = load_mapping("m", f"{TEXT}\n[when]\nStatus = {condition}")
    assert [value for value in fits if not mapping.matches({"Status": value})] == []
    assert [value for value in fails if mapping.matches({"Status": value})] == []
    assert "Status" in mapping.columns


def test_all_conditions_have_to_hold() -> None:
    mapping = load_mapping("m", f'{TEXT}\n[when]\nStatus = "Open"\nRoom.empty = false')
    assert mapping.matches({"Status": "Open", "Room": "1"})
    assert not mapping.matches({"Status": "Open", "Room": None})
    assert load_mapping("m", TEXT).matches({})


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[when]\nStatus = []", "m.toml:21: when.Status.one_of: has to hold at least one"),
        (
            "[when]\nStatus = { nto = 1 }",
            "m.toml:21: when.Status.nto: unknown key; did you mean not? (known: one_of, not, empty)",
        ),
        ("[when]\nStatus = [[1]]", "m.toml:21: when.Status.one_of.0: has to be text, true, false or a number"),
        ("[values.Rom]\nA = 1", "m.toml: values: 'Rom' is not used by any template"),
        (
            '[values.Room]\nA = "{Subject}"',
            "m.toml:21: values.Room.A: {Subject} cannot stand here: this text is taken as it is",
        ),
        (
            '[values.Room]\nA = "at {{Subject}}"',
            "m.toml:21: values.Room.A: {Subject} cannot stand here: this text is taken as it is",
        ),
        (
            '[when]\nRoom = ["1", "{Subject}"]',
            "m.toml:21: when.Room.one_of.1: {Subject} cannot stand here: this text is taken as it is",
        ),
        (
            '[when]\nRoom = { not = "{Subject}" }',
            "m.toml:21: when.Room.not.0: {Subject} cannot stand here: this text is taken as it is",
        ),
        (
            '[on]\ndelete = "cancel"\ncomment = "{Subject} is off"',
            "m.toml:22: on.comment: {Subject} cannot stand here: this text is taken as it is",
        ),
        ("[values.Room]\nA = [1]", "m.toml:21: values.Room.A: has to be text, true, false or a number"),
        ('[on]\nupdate = "never"', "m.toml:21: on.update: 'never' is none of update, ignore"),
        ('[on]\ncomment = "x"', 'm.toml: on.comment: counts only with delete = "cancel"'),
        ("[on]\nclear = 1", "m.toml:21: on.clear: has to be true or false"),
        ('[on]\nmoved = "tell"', "m.toml:21: on.moved: 'tell' is none of restore, report, ignore"),
        (
            '[on]\nmoved = "restore"\nupdate = "ignore"',
            'm.toml: on.moved: with update = "ignore" nothing writes the event\'s times again',
        ),
        (
            '"custom.Opportunity.UsrWho" = "{responses}"\n[on]\nmoved = "restore"',
            'm.toml: write_back.fields: {responses} is written only with on.moved = "report" or on.deleted = "report"',
        ),
        (
            '"custom.Opportunity.UsrBoth" = "{event_id} {outlook_status}"\n[on]\nmoved = "report"',
            'm.toml:18: write_back.fields: "custom.Opportunity.UsrBoth": what is seen in Outlook has to stand alone',
        ),
        (
            '[when]\nAmount = "> 1000"',
            "m.toml:21: when.Amount.one_of: '> 1000' would be compared as text: greater, less are conditions of the inquiry",
        ),
        (
            "[when]\nAmount = { above = 1000 }",
            f"m.toml:21: when.Amount.above: unknown key; {COMPARED} (known: one_of, not, empty)",
        ),
    ],
)
def test_problems_of_further_tables(more: str, problem: str) -> None:
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", f"{TEXT}{more}\n")
    assert problem in caught.value.problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("location =", 'showAs = "bussy"\nlocation ='), "event.showAs: 'bussy' is none of free, tentative, busy"),
        (
            ('end = "{MeetingEnd}"', "end = { minutes = 5, hours = 1 }"),
            "event.end: has to hold one of minutes, hours, time_span",
        ),
        (('end = "{MeetingEnd}"', "end = { time_span = 130 }"), "event.end.time_span: has to be a {Column}"),
        (('end = "{MeetingEnd}"', 'end = { time_span = "130" }'), "event.end.time_span: has to be a {Column}"),
        (('end = "{MeetingEnd}"', 'end = { hours = "2.5" }'), "event.end.hours: has to be a number or a {Column}"),
        (('end = "{MeetingEnd}"', "end = { hours = -1.5 }"), "event.end.hours: cannot be negative"),
        (('end = "{MeetingEnd}"', "end = { hours = inf }"), "event.end.hours: cannot be more than 999999"),
        (('end = "{MeetingEnd}"', "end = { minutes = 1000000 }"), "event.end.minutes: cannot be more than 999999"),
        (('end = "{MeetingEnd}"', "end = { minutes = true }"), "event.end.minutes: has to be a whole number or a {Column}"),
        (('key = ["OpportunityID"]', 'key = ["{OpportunityID}"]'), "key: {OpportunityID} cannot stand here"),
        (("location =", "isAllDay = 1\nlocation ="), "event.isAllDay: has to be true, false or a {Column}"),
        (
            ("location =", "reminderMinutesBeforeStart = -1\nlocation ="),
            "event.reminderMinutesBeforeStart: cannot be negative",
        ),
        (
            ("location =", 'attendees = [{ adress = "x" }]\nlocation ='),
            "event.attendees.0.adress: unknown key; did you mean address?",
        ),
        (
            ("location =", 'body = { content = "x", contentType = "md" }\nlocation ='),
            "event.body.contentType: 'md' is none of text, html",
        ),
        (('end = "{MeetingEnd}"', "end = { minuts = 5 }"), "event.end.minuts: unknown key"),
        (
            ('end = "{MeetingEnd}"', 'end = { minutes = "soon" }'),
            "event.end.minutes: has to be a whole number or a {Column}",
        ),
        (("[event]", 'footer = "{link}"\n[event]'), "footer: {link} needs the key link, the address of the record"),
        (("[event]", 'link = "x"\nfooter = "{Room}"\n[event]'), "footer: only {link} can stand in it, not {Room}"),
        (("[event]", 'adopt = "{event_id}"\n[event]'), "{event_id} stands only in write_back.fields"),
        (("[event]", "default_minutes = 0\n[event]"), "default_minutes: has to be at least 1"),
        (
            ('"{event_id}"', '{ value = "x", type = "Custom" }'),
            "write_back.fields.\"custom.Opportunity.AttributeCALEVT\".type: 'Custom' is none of CustomStringField",
        ),
        (
            ('"custom.Opportunity.AttributeCALEVT" = "{event_id}"', 'X = { value = 1, type = "CustomIntField" }'),
            "only custom fields have a type",
        ),
    ],
)
def test_problems_of_further_keys(change: tuple[str, str], problem: str) -> None:
    """Key, what is wrong, and what was meant."""
    assert [found for found in problems(change) if problem in found]


def test_problems_name_their_line() -> None:
    """Where the key stands in the file; also in tables, and under quoted keys."""
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", changed(("time_zone =", "timezone ="), ("location =", "loction ="), ('"{event_id}"', '"{Room}"')))
    assert sorted(problem.partition(": ")[0] for problem in caught.value.problems) == [
        "m.toml",
        "m.toml:12",
        "m.toml:18",
        "m.toml:5",
    ]


def test_problems_between_files_are_told_together_with_those_in_them() -> None:
    """Equal names but for their case, one inquiry twice without conditions, and what is wrong in each."""
    when = '[when]\nStatus = "Open"\n'
    with pytest.raises(MappingProblems) as caught:
        load_mappings([("a", TEXT), ("A", TEXT + when), ("b", TEXT), ("c", "x"), ("d", TEXT + when)])
    assert [problem[:60] for problem in caught.value.problems] == [
        "c.toml: no TOML: Expected '=' after a key in a key/value pai",
        "a.toml: another file has this name",
        "A.toml: another file has this name",
        "b.toml: query: a.toml is for the same inquiry, and neither h",
    ]


def test_one_inquiry_may_have_several_mappings_that_say_when() -> None:
    when = '[when]\nStatus = "Open"\n'
    assert list(load_mappings([("a", TEXT), ("b", TEXT + when), ("c", TEXT + when)])) == ["a", "b", "c"]
