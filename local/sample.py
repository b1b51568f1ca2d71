"""Samples: a mapping and a row that tests, the simulation and the fuzzer share; notifications of the ready-made mappings."""

import json
from pathlib import Path
from typing import Any

from handlers.services import ROOT, load_mappings
from local.fakes import FakeAcumatica

NOTIFICATIONS = Path("tests/fixtures/ready-made")  # from the repository's root
_TITLES = {"Appointment": "Description", "Event": "Summary", "Task": "Summary"}

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


def notification(mapping: str) -> dict[str, Any]:
    """The sample notification of a ready-made mapping."""
    sample: dict[str, Any] = json.loads((ROOT / NOTIFICATIONS / f"{mapping}.notification.json").read_text(encoding="utf-8"))
    return sample


def make_records(acumatica: FakeAcumatica) -> None:
    """The records that the samples of the ready-made mappings are about, with the fields that the mappings write."""
    acumatica.declare("Case", "Case", "AttributeCALERR")
    for name, mapping in load_mappings(ROOT / "ready-made").items():
        for row in notification(name)["Inserted"] if mapping.write_back else ():
            assert mapping.write_back
            entity = mapping.write_back.entity
            fields = {column: row[column] for column in mapping.key} | {_TITLES.get(entity, "Subject"): "as in Acumatica"}
            acumatica.put_record(entity, fields, row["NoteID"])
