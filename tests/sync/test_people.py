"""Whose calendar an event stands in, and who is invited."""

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
