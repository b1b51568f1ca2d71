"""A mapping and a row: the one sample that tests, the simulation and the fuzzer share."""

from typing import Any

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
