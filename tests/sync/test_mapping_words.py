"""What people read who write something else than was expected: TOML's own forms, where a key belongs, what was meant."""

from typing import Any

import pytest

from handlers.sync.mapping_file import MappingProblems, load_mapping, load_mappings
from handlers.sync.mapping_values import IMPORTANCE, SENSITIVITY, SHOW_AS
from handlers.sync.mapping_words import decoded, misnamed
from handlers.sync.near import nearest
from local.sample import TEXT, changed

END = 'end = "{MeetingEnd}"'
KEY = 'key = ["OpportunityID"]'


def problems(text: str) -> list[str]:
    with pytest.raises(MappingProblems) as caught:
        load_mapping("m", text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("change", "told"),
    [
        # TOML's own forms, made of what was written
        ((KEY, 'key = "ID"'), ':3: key: has to be a list: ["ID"]'),
        ((KEY, "key = 5"), ":3: key: has to be a list: [5]"),
        (("location =", 'attendees = "a@b.com"\nlocation ='), 'event.attendees: has to be a list: ["a@b.com"]'),
        (("location =", 'categories = "Visit"\nlocation ='), 'event.categories: has to be a list: ["Visit"]'),
        (('"{Subject}"', '["{Subject}"]'), "event.subject: has to be text in quotes"),
        (('query = "Calendar - Opportunity Meetings"', "query = 7"), 'query: has to be text in quotes: "7"'),
        (
            ('query = "Calendar - Opportunity Meetings"', 'query = ["A"]'),
            'query: has to be one text, without brackets: "A"',
        ),
        (("[event]", 'default_minutes = "45"\n[event]'), "default_minutes: has to be a whole number (without quotes): 45"),
        (("[event]", 'on = "delete"\n[event]'), "on: has to be a table: [on], or { … }"),
        (
            ("location =", 'isAllDay = "true"\nlocation ='),
            "event.isAllDay: has to be true, false or a {Column} (without quotes)",
        ),
        (
            ("location =", 'reminderMinutesBeforeStart = "15"\nlocation ='),
            "event.reminderMinutesBeforeStart: has to be a whole number or a {Column} (without quotes)",
        ),
        ((END, "end = { hour = 2 }"), "event.end.hour: unknown key; did you mean hours? (known: minutes, hours, time_span)"),
        ((END, "end = { minuts = 5 }"), "event.end.minuts: unknown key; did you mean minutes?"),
        ((END, 'end = { date = "{A}", hours = 5 }'), "event.end.hours: unknown key (known: date, time, days, minutes)"),
        # forms of a text
        (('"Opportunity"', '"Sales Order"'), 'write_back.entity: blanks cannot stand in it: "SalesOrder"'),
        (('"Opportunity"', '"Sales-Order"'), "write_back.entity: 'Sales-Order' does not have the form of \"SalesOrder\""),
        (
            ("Default/24.200.001", "Default / 24.200.001"),
            'write_back.endpoint: blanks cannot stand in it: "Default/24.200.001"',
        ),
        # keys in another table than theirs
        (
            ("location =", 'calendar = "Visits"\nlocation ='),
            "event.calendar: it belongs above the first [table], at the top of the file",
        ),
        (("[event]", 'subject = "x"\n[event]'), "subject: it belongs under [event]"),
        (
            ("location =", 'timezone = "UTC"\nlocation ='),
            "event.timezone: did you mean time_zone? it belongs above the first [table], at the top of the file",
        ),
        (("location =", "when = { A = 1 }\nlocation ="), "event.when: it is a table of its own: [when]"),
        (('id = "{NoteID}"', 'id = "{NoteID}"\nclear = true'), "write_back.clear: it belongs under [on]"),
        # what was meant
        (("location =", 'title = "x"\nlocation ='), "event.title: unknown key; did you mean subject?"),
        (("[event]", 'title = "x"\n[event]'), "title: did you mean subject? it belongs under [event]"),
        (("location =", 'Location = "x"\n#'), "event.Location: unknown key; did you mean location?"),
        (("location =", 'showAs = "outOfOffice"\nlocation ='), "did you mean 'oof'?"),
        (("location =", 'showAs = "Out of office"\nlocation ='), "did you mean 'oof'?"),
        (("location =", 'importance = "urgent"\nlocation ='), "did you mean 'high'?"),
        (
            ("[event]", 'on = { delete = "Remove" }\n[event]'),
            "on.delete: 'Remove' is none of delete, cancel, keep; did you mean",
        ),
        # formats and locales
        (
            ('"{Subject}"', '"{MeetingStart:Date}"'),
            "event.subject: {MeetingStart:Date}: 'Date' is no format; did you mean date? (known: date, longdate,",
        ),
        (('"{Subject}"', '"{MeetingStart:dd.MM.yyyy}"'), "'dd.MM.yyyy' is no format (known: "),
        (('"{MeetingStart}"', '"{MeetingStart:date}"'), "event.start: {MeetingStart:date}: a format counts in texts only"),
        (('"{OwnerEmail}"', '"{OwnerEmail:0}"'), "mailbox: {OwnerEmail:0}: a format counts in texts only"),
        (("[event]", 'locale = "german"\n[event]'), "locale: 'german' is no locale"),
        (("[event]", 'locale = ""\n[event]'), "locale: '' is no locale"),
    ],
)
def test_what_people_need_to_read(change: tuple[str, str], told: str) -> None:
    text = changed(change)
    assert text != TEXT
    assert [problem for problem in problems(text) if told in problem], problems(text)


def test_a_key_in_the_wrong_table_is_not_missing_as_well() -> None:
    text = changed(('time_zone = "Eastern Standard Time"', ""), ("location =", 'time_zone = "UTC"\nlocation ='))
    assert problems(text) == ["m.toml:12: event.time_zone: it belongs above the first [table], at the top of the file"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("subject = \u201c{Subject}\u201d", 'curly quotes; texts stand in straight ones: "…" (at line 1, column'),
        ("subject = \u2018x\u2019", "curly quotes"),
        ("Amount = > 1000", "greater, less and the like are conditions of the inquiry, not of a mapping"),
        ("subject = {Subject}", 'text stands in quotes: subject = "{Subject}" (at line 1, column'),
        ("subject = {Subject}: {Room}", 'text stands in quotes: subject = "{Subject}: {Room}"'),
        ("query = Calendar - Visits  # title", 'text stands in quotes: query = "Calendar - Visits"'),
        ('query = Calendar"', 'text stands in quotes: query = "Calendar"'),
        ("clear = yes", 'text stands in quotes: clear = "yes"'),
        ('subject = "{Subject}', "a quote is missing"),
        ("subject = '{Subject}", "a quote is missing"),
        ('subject: "x"', 'between key and value stands =: subject = "x"'),
        ("subject =", 'there is no value: subject = "…"'),
        ("[event", "the ] of a [table] is missing"),
        ('a = "x"\na = "y"', "this key or table stands in the file already"),
        ('path = "C:\\data"', "a backslash in a text is written twice"),
        ("end = { minutes = 5,\n  hours = 1 }", "(at line "),
        ("\x00", "(at line 1, column 1)"),
        ("a", "(at end of document)"),
    ],
)
def test_what_is_no_toml(line: str, told: str) -> None:
    """What people write instead, with line and column."""
    (problem,) = problems(line)
    assert problem.startswith("m.toml: no TOML: ")
    assert told in problem


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            "# Termin für alle\n".encode("cp1252"),
            "m.toml: line 1 has a character in another encoding, such as ANSI; save it as UTF-8",
        ),
        (("a = 1\n" * 6 + "# für\n").encode("latin-1"), "m.toml: line 7 has a character"),
        ("# x".encode("utf-16"), "m.toml: it is UTF-16; save it as UTF-8 (in Notepad: Save as, Encoding)"),
    ],
)
def test_files_in_other_encodings(data: bytes, told: str) -> None:
    with pytest.raises(MappingProblems) as caught:
        load_mappings([("m", data), ("n", b"x")])
    assert caught.value.problems[0].startswith(told)
    assert caught.value.problems[1].startswith("n.toml: no TOML"), "and those of other files"


@pytest.mark.parametrize("data", [TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode(), TEXT.replace("\n", "\r\n").encode()])
def test_files_as_editors_of_windows_save_them(data: bytes) -> None:
    assert load_mappings([("m", data)]) == {"m": load_mapping("m", TEXT)}
    assert decoded("m", data).lstrip("\ufeff").splitlines() == TEXT.splitlines()


def test_files_with_other_endings() -> None:
    """Windows hides endings that it knows; what is certainly something else is left alone."""
    names = ["a.toml", "m.toml.txt", "n.TOML", "o.txt", "p.toml.bak", "README.md", "readme.txt", ".gitkeep", "q.json"]
    assert [problem.partition(" (")[0] for problem in misnamed(names)] == [
        "m.toml.txt: is no mapping because of its ending; rename it to m.toml",
        "n.TOML: is no mapping because of its ending; rename it to n.toml",
        "o.txt: is no mapping because of its ending; rename it to o.toml",
        "p.toml.bak: is no mapping because of its ending; rename it to p.toml",
    ]


# -- nearest -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("Busy", SHOW_AS, "busy"),
        ("out-of-office", SHOW_AS, "oof"),
        ("WORKING ELSEWHERE", SHOW_AS, "workingElsewhere"),
        ("remote", SHOW_AS, "workingElsewhere"),
        ("available", SHOW_AS, "free"),
        ("bussy", SHOW_AS, "busy"),
        ("secret", SENSITIVITY, "private"),
        ("medium", IMPORTANCE, "normal"),
        ("xyz", SHOW_AS, ""),
        ("", SHOW_AS, ""),
        ("!", SHOW_AS, ""),
    ],
)
def test_the_nearest_word(word: str, known: Any, meant: str) -> None:
    """By letters first, without regard to case and marks; else by what it means."""
    assert nearest(word, known) == meant
