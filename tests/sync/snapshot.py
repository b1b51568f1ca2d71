"""What tests of sweeps share: a row as OData shows it, and links that know it by a push."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.sync.change import RowChange, datetime_to_ticks
from handlers.sync.link import Entry, EventLink, merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.plan import wanted_event
from handlers.sync.scope import Scope
from handlers.sync.sweep_plan import sigma
from handlers.sync.turn import in_order
from local.sample import ROW, TEXT

BEGAN = datetime(2026, 1, 5, 12, tzinfo=UTC)
SIGMA = sigma(BEGAN, 900)
NOW = BEGAN.timestamp()
MAPPING = load_mapping("m", TEXT)
SHOWN = ROW | {
    "OpportunityID": "OP000123",
    "MeetingStart": "2026-02-03T14:30:00Z",
    "MeetingEnd": "2026-02-03T15:30:00Z",
    "Subject": "Site visit  ",
}


def push(row: dict[str, Any] | None = ROW, before: float = 3600, **more: Any) -> RowChange:
    stamped = datetime_to_ticks(BEGAN - timedelta(seconds=before))
    return RowChange("t", "m", ("OP000123",), stamped, row, "n", NOW - before, **more)


def known(change: RowChange | None = None, mapping: Mapping = MAPPING) -> EventLink:
    """The link of a row that is in order."""
    change = change or push()
    link = merge(new_link(change, NOW), change, mapping)
    event = wanted_event(link, mapping, Scope())
    if event:
        entry = Entry(event.mailbox, 1, "id1", event.fingerprint)
        link = replace(link, entries=(entry,), written_back="id1", written_to=ROW["NoteID"], written=True)
    return in_order(link)
