"""What records are told of their events."""

from typing import Any

import pytest

from handlers.sync.errors import Permanent
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.record import RecordUpdate, adopted_id, record_id, record_update, reports, short_reason, wants_details
from handlers.sync.template import as_text
from local.sample import NOTE_ID, ROW, TEXT, changed
from tests.sync.least import least


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


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
