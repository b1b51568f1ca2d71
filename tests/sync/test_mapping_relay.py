"""The [relay] table: what it takes, and what is said of what is wrong with it."""

import pytest

from handlers.sync.mapping_file import MappingProblems, load_mapping, load_mappings
from local.sample import TEXT as EVENT

BEGIN = 'query = "Calendar - Opportunity Meetings"\nkey = ["Key"]\ntime_zone = "UTC"\n'
RELAY = '[relay]\nurl = "RELAY_CRM"\n'
FIELDS = "[relay.fields]\n" + 'name = "{Name}"\n'

WRITE_BACK = """
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{{NoteID}}"
fields.ExternalRef = "{}"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(MappingProblems) as told:
        load_mapping("m", text)
    return told.value.problems


def test_what_is_not_said() -> None:
    relay = load_mapping("m", BEGIN + RELAY).relay
    assert relay
    assert (relay.format, relay.auth, relay.secret, relay.fields) == ("standard", "signature", "RELAY_CRM_SECRET", {})
    assert relay.types == ["row.inserted", "row.updated", "row.removed"]
    assert relay.audience == "https://service.flow.microsoft.com/"


def test_columns_are_those_that_are_told() -> None:
    mapping = load_mapping("m", BEGIN + '[when]\nStage = "New"\n' + RELAY + FIELDS)
    assert mapping.columns == ("Key", "Name", "Stage")
    assert mapping.pick({"Key": "A", "Name": "n", "Stage": "New", "More": 1}) == {"Key": "A", "Name": "n", "Stage": "New"}


def test_without_fields_every_column_is_read_and_named_ones_by_the_names_of_the_mapping() -> None:
    mapping = load_mapping("m", BEGIN + 'attributes = ["Color Code"]\n' + RELAY)
    row = {"Key": "A", "ColorCode": None, "More": 1}
    assert mapping.pick(row) == {"Key": "A", "Color Code": None, "More": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BEGIN + '[relay]\nurl = "https://hooks.example.com"\n', "relay.url"),
        (BEGIN + "[relay]\n", "relay.url: missing"),
        (BEGIN + RELAY + 'format = "xml"\n', "relay.format: 'xml' is none of standard, cloudevents, cloudevents-binary"),
        (BEGIN + RELAY + 'types = ["row.insert"]\n', "did you mean 'row.inserted'?"),
        (BEGIN + RELAY + "types = []\n", "relay.types: has to hold at least one"),
        (BEGIN + RELAY + 'audience = "api://x"\n', 'relay.audience: counts only with auth = "entra"'),
        (BEGIN + RELAY + 'formt = "standard"\n', "relay.formt: unknown key; did you mean format?"),
        (BEGIN + 'mailbox = "{M}"\n' + RELAY, "mailbox: is of events, and this mapping has a [relay]"),
        (BEGIN + RELAY + '[on]\ndelete = "keep"\n', "on: is of events"),
        (BEGIN + RELAY + '[backfill]\nrows = "future"\n', 'backfill: with a [relay] it can only say rows = "all"'),
        (BEGIN + RELAY + '[sweep]\nmode = "full"\n', "sweep: needs relay.fields"),
        (BEGIN + RELAY + WRITE_BACK.format("{event_id}"), "{event_id} is of events; with a [relay], {answer.id}"),
        (EVENT.replace("{event_id}", "{answer.id}"), "{answer.id} is of the answer to a [relay]"),
        (BEGIN.replace('time_zone = "UTC"\n', "") + RELAY, "time_zone: missing"),
    ],
)
def test_one_problem(text: str, problem: str) -> None:
    found = problems(text)
    assert (len(found), problem in found[0]) == (1, True), found


def test_a_whole_row_is_not_swept() -> None:
    """By OData, columns that nobody names may be called otherwise, and every row would look changed."""
    assert load_mapping("m", BEGIN + RELAY).sweep.mode == "off"
    assert load_mapping("m", BEGIN + RELAY + FIELDS).sweep.mode == "report"


def test_one_inquiry_may_feed_a_calendar_and_a_relay() -> None:
    assert set(load_mappings([("calendar", EVENT), ("relay", BEGIN + RELAY)])) == {"calendar", "relay"}
