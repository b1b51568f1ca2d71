"""Whose calendar an event stands in, and who is invited."""

import time
from typing import Any

import pytest

from handlers.sync.event import calendar_event
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.template import kind_of
from local.sample import NOTE_ID, TEXT
from tests.sync.least import SHORT, SITE, body, event, least, refused


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


@pytest.mark.parametrize(
    ("value", "mailbox"),
    [
        ("jane@example.com", "jane@example.com"),
        (" Jane.O'Neil+crm@Sub.Example.CO.UK\r\n", "jane.o'neil+crm@sub.example.co.uk"),
        ("jörg@example.com", "jörg@example.com"),
        ("jane_fabrikam.com#EXT#@contoso.onmicrosoft.com", "jane_fabrikam.com#ext#@contoso.onmicrosoft.com"),
        ("Jane Doe <Jane@example.com>", "jane@example.com"),
        ('"Doe, Jane" <jane@example.com>', "jane@example.com"),
        ("Doe, Jane <jane@example.com>;", "jane@example.com"),
        ("mailto:jane@example.com", "jane@example.com"),
        ("jane@müller.example", "jane@xn--mller-kva.example"),
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
        "a@localhost",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a@-x.de",
        "a@x-.de",
        "a@x..de",
        "a@b@c.com <x",
        "Jane jane@example.com",
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


@pytest.mark.parametrize(
    "value", ["a@b.com;c@d.com", "a@b.com, c@d.com", "Jane <a@b.com>, Lee <c@d.com>", "a@b.com\r\nc@d.com"]
)
def test_several_mailboxes(mapping: Mapping, value: str) -> None:
    """One of them would be a guess."""
    assert refused(mapping, OwnerEmail=value) == (
        "The mapping's mailbox, made of OwnerEmail (text), holds several e-mail addresses in this row."
    )


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_mailbox(mapping: Mapping, value: Any) -> None:
    """A row without an owner."""
    assert refused(mapping, OwnerEmail=value) == "The mapping's mailbox, made of OwnerEmail, is empty in this row."


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


INVITING = 'attendees = ["{To}"]'


@pytest.mark.parametrize(
    ("field", "people"),
    [
        ("Bob <bob@x.com>", [("bob@x.com", "Bob")]),
        ('"Lee, Bob" <bob@x.com>', [("bob@x.com", "Lee, Bob")]),
        ("Lee, Bob <bob@x.com>", [("bob@x.com", "Lee, Bob")]),
        ("Lee, Bob <bob@x.com>, Roth, Cleo <cleo@x.com>", [("bob@x.com", "Lee, Bob"), ("cleo@x.com", "Roth, Cleo")]),
        ("Lee, Bob <bob@x.com>; cleo@x.com;", [("bob@x.com", "Lee, Bob"), ("cleo@x.com", None)]),
        ("mailto:bob@x.com?subject=a;<MAILTO:cleo@x.com>", [("bob@x.com", None), ("cleo@x.com", None)]),
        ("bob@x.com (office)", [("bob@x.com", "office")]),
        ("bob@x.com cleo@x.com\r\ndan@x.com", [("bob@x.com", None), ("cleo@x.com", None), ("dan@x.com", None)]),
        ("'bob@x.com'", [("bob@x.com", None)]),
        ("o'neil+a.b_c@sub.x.co.uk", [("o'neil+a.b_c@sub.x.co.uk", None)]),
        ("jörg@straße.example", [("jörg@xn--strae-oqa.example", None)]),
        ("bob@例え.テスト", [("bob@xn--r8jz45g.xn--zckzah", None)]),
        ("Bob\x07\n<bob@x.com>", [("bob@x.com", None)]),
    ],
)
def test_addresses_as_people_write_them(field: str, people: list[tuple[str, str | None]]) -> None:
    """Names, quotes, mailto:, and several in one field; domains as they travel."""
    found = body(least(INVITING), To=field)["attendees"]
    assert [(p["emailAddress"]["address"], p["emailAddress"].get("name")) for p in found] == people


@pytest.mark.parametrize(
    ("field", "unusable"),
    [
        ("Jane Doe", 1),
        ("Doe, Jane", 1),
        ("Jane Doe; Lee, Bob", 2),
        ("a..b@x.com", 1),
        (".a@x.com;a.@x.com", 2),
        ("a@-x.de, a@x-.de, a@x", 3),
        ("@x.com;a@", 2),
        ("Jane jane@x.com", 1),
        ('"a b"@x.com', 1),
        ("a@1.2.3.4", 1),
        (f"{'a' * 65}@x.com", 1),
        (f"a@{'b' * 64}.com", 1),
        ("a@xn--\ufffd.com", 1),
        ("((((bob@x.com", 1),
        ("Bob <", 1),
        ("x" * 200_000, 1),
        (";;, ;", 0),
        ("", 0),
    ],
)
def test_people_without_a_usable_address_are_counted_as_people(field: str, unusable: int) -> None:
    """Not as words; Exchange would refuse the whole event for one of them."""
    event = calendar_event(least(INVITING), SHORT | {"To": field}, SITE)
    assert event.body["attendees"] == []
    note = f"{unusable} of the attendees have no usable e-mail address and are left out."
    assert event.notes == ((note,) if unusable else ())


def test_the_organizer_is_left_out_however_the_mailbox_is_written() -> None:
    found = body(least(INVITING), Owner="Ann Lee <Ann@Example.com>;", To="bob@x.com; Lee, Ann <ANN@example.com>")[
        "attendees"
    ]
    assert [person["emailAddress"]["address"] for person in found] == ["bob@x.com"]


def test_many_addresses_take_little_time() -> None:
    began = time.process_time()
    for field in ('"' * 99_998, '\\"' * 40_000, "<" * 99_999, "," * 99_999, "a@" * 40_000, "a@b.de " * 14_000, "(<" * 200):
        body(least(INVITING), To=field)
    assert time.process_time() - began < 5
