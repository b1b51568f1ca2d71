"""Which fields of a write-back an answer shows with another value than was sent."""

from typing import Any

import pytest

from handlers.sync.read_back import not_written
from handlers.sync.record import RecordUpdate

SENT = {
    "id": "1",
    "Note": {"value": "AAMk"},
    "Start": {"value": "2026-03-06T17:00:00"},
    "custom": {"Opportunity": {"AttributeCALEVT": {"type": "CustomStringField", "value": "AAMk"}}},
    "Attributes": [{"AttributeID": {"value": "CALEVT"}, "Value": {"value": "AAMk"}}],
}
OLD = {"custom": {"Opportunity": {"AttributeCALEVT": {"type": "CustomStringField", "value": ""}}}}


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        (SENT, []),
        ({"id": "another"}, []),
        ({"Start": {"value": "2026-03-06T22:00:00+00:00"}}, []),  # in a form and a zone of Acumatica's choice
        ({"Start": {"value": None}}, ["Start"]),
        ({"Note": {"value": "aamk"}}, []),
        ({"Note": {}, "custom": None, "Attributes": "?"}, []),
        ({"Note": {"value": "old"}}, ["Note"]),
        ({"Note": {"value": None}}, ["Note"]),
        (OLD, ["custom.Opportunity.AttributeCALEVT"]),
        ({"Attributes": [{"Attribute": {"value": "calevt"}, "Value": {"value": "x"}}]}, ["Attributes.CALEVT"]),
        ({"Attributes": [{"AttributeID": {"value": "ROOM"}, "Value": {"value": "x"}}]}, []),
    ],
)
def test_fields_with_another_value_than_was_sent(shown: dict[str, Any], names: list[str]) -> None:
    """What an answer does not show counts as written: it need not show everything."""
    assert not_written(RecordUpdate("Default/24.200.001/Opportunity", SENT), shown) == names
