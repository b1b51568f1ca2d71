"""What all stories are about: one Generic Inquiry, the versions of its mapping, and the rows that it shows."""

import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

from handlers.settings import Settings
from handlers.sync.change import RowChange
from handlers.sync.change import link_key as key_of
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping

type State = tuple[str, str, str]
"""Owner, subject and room of a row."""

BEGINNING = datetime(2026, 12, 1, tzinfo=UTC)
CLAIM = 60.0
GRACE = 10
MARGIN = 120.0  # seconds; no transaction takes as long
REMOVALS_MAX = 2
_PLAIN = """
query = "Q"
key = ["Key"]
mailbox = "{Owner}@example.com"
time_zone = "UTC"
attributes = ["Room"]
[event]
subject = "{Subject}"
start = "2026-12-01T09:00:00"
end = "2026-12-01T10:00:00"
location = "{Room}"
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{NoteID}"
[write_back.fields]
"custom.Opportunity.AttributeCALEVT" = "{event_id}"
[sweep]
mode = "full"
[backfill]
rows = "all"
"""


def _edited(old: str = "", new: str = "", end: str = "") -> Mapping:
    assert old in _PLAIN
    return load_mapping("m", _PLAIN.replace(old, new) + end if old else _PLAIN + end)


# What people make of the mapping, one after the other: `noted` and `open` read a column that no other version reads.
VERSIONS = {
    "plain": _edited(),
    "noted": _edited('location = "{Room}"', 'location = "{Room}"\nbody = "{Note}"'),
    "valued": _edited(end='[values.Subject]\ns0 = "zero"\ns1 = "one"\n"*" = "many"\n'),
    "moved": _edited("example.com", "example.org"),
    "open": _edited(end='[when]\nStage = "open"\n'),
}
MAPPING = VERSIONS["plain"]
SETTINGS = Settings(
    ACUMATICA_URL="https://erp.example.com",
    ACUMATICA_TENANT="t",
    ACUMATICA_USERNAME="u",
    ACUMATICA_PASSWORD="p",
    CLAIM_SECONDS=CLAIM,
    REQUEST_TIMEOUT_SECONDS=5,
    DELETE_GRACE_SECONDS=GRACE,
    DEFER_MAX_HOURS=4,
    SWEEP_MARGIN_MINUTES=MARGIN / 60,
    REMOVALS_MAX=REMOVALS_MAX,
).model_copy(update={"sweep_page_rows": 2})  # fewer than anybody may set


@cache
def note_id(row: str) -> str:
    """The id of a row's record in Acumatica."""
    return str(uuid.UUID(int=ord(row[0])))


def shown(row: str, state: State, known: State | None = None) -> dict[str, Any]:
    """A row as the inquiry shows it; an attribute that did not change comes as null."""
    owner, subject, room = state
    return {
        "Key": row,
        "Owner": owner,
        "Subject": subject,
        "NoteID": note_id(row),
        "Room": None if known and known[2] == room else room or None,
        "Note": f"{subject} of {owner}",
        "Stage": "closed" if subject == "s2" else "open",
    }


@cache
def link_key(row: str) -> str:
    """The key of a row's event link."""
    return key_of("t", "m", (row,))


def change_of(row: str, timestamp: int, state: State | None) -> RowChange:
    """A change of a row, as it is merged."""
    return RowChange("t", "m", (row,), timestamp, shown(row, state) if state else None, "", 0.0)


def inserted(row: str, state: State, known: State | None, bad: str) -> list[dict[str, Any]]:
    """A row of `Inserted`, or what a mistake in the inquiry makes of it."""
    sound = shown(row, state, known)
    match bad:
        case "repeated":
            return [sound | {"Subject": "twice"}, sound]
        case "short":
            return [{name: value for name, value in sound.items() if name != "Subject"}]
        case _:
            return [sound]
