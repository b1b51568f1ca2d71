"""Table Mappings: what was used once and must not change unnoticed, since the identity of events hangs on it.

The key columns of each mapping's name, the tenant's name, and whose an event of an earlier integration has become. And up
to when removed rows are forgotten.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from handlers.clients.tables import Entity, Table
from handlers.sync.notification import name_form
from handlers.sync.template import folded

MAPPINGS = "Mappings"
VERSION = 1
_FORGOTTEN = ("forgotten", "rows")


@dataclass(frozen=True)
class Pin:
    """What belongs to a name since its first use; `kind` is mapping, company or event."""

    kind: str
    name: str
    value: str
    version: int = VERSION


class Pins:
    """All pins; the first one for a name stays. Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def key_columns(self, mapping: str, key: list[str], *, pin: bool = True) -> list[str] | None:
        """The key columns that belong to a mapping's name; they become `key` (with `pin`) if it was never used, else None.

        Another spelling that names the same columns is no difference: then it is `key`.
        """
        pinned = self._pinned(Pin("mapping", mapping, json.dumps(key)), pin=pin)
        if pinned is None:
            return None
        known: list[str] = json.loads(pinned)
        return key if list(map(folded, known)) == list(map(folded, key)) else known

    def company(self, name: str, *, pin: bool = True) -> str | None:
        """The tenant's name that links were made with; it becomes `name` (with `pin`) at the first use, else None."""
        known = self._pinned(Pin("company", "company", name), pin=pin)
        return name if known is not None and name_form(known) == name_form(name) else known

    def adopt(self, event_id: str, link_key: str) -> bool:
        """Take an event of an earlier integration over for a link: first come, first served; whether it is the link's."""
        return self._pinned(Pin("event", event_id, link_key), pin=True) == link_key

    def forgotten(self) -> float:
        """Rows that were removed before this moment may be forgotten (seconds since 1970); 0: none is."""
        stored = self._table.get(*_FORGOTTEN)
        return float(stored.entity["Until"]) if stored else 0.0

    def forget(self, until: float) -> None:
        """Note that rows are about to be forgotten; what was noted once stays."""
        partition, row = _FORGOTTEN
        if until > self.forgotten():
            self._table.upsert({"PartitionKey": partition, "RowKey": row, "Version": VERSION, "Until": until})

    def purge(self, old: str) -> int:
        """Remove what was noted of adoptions, if it fits a condition: by now the events carry stamps of their own."""
        return self._table.remove_all(f"PartitionKey eq 'event' and {old}")

    def _pinned(self, wanted: Pin, *, pin: bool) -> str | None:
        """The value that belongs to a name; None where it has none, and gets none."""
        known = self._get(wanted)
        if known is None and pin:
            if self._table.insert(_entity(wanted)):
                return wanted.value
            known = self._get(wanted)  # another instance was faster, or an answer got lost
        return known.value if known else None

    def _get(self, wanted: Pin) -> Pin | None:
        stored = self._table.get(wanted.kind, _row(wanted))
        return _pin(stored.entity) if stored else None


def _row(pin: Pin) -> str:
    return sha256(pin.name.encode()).hexdigest()


def _entity(pin: Pin) -> Entity:
    return {
        "PartitionKey": pin.kind,
        "RowKey": _row(pin),
        "Version": VERSION,
        "Name": pin.name,
        "Key": pin.value,
    }


def _pin(entity: Entity) -> Pin:
    return Pin(entity["PartitionKey"], entity["Name"], entity["Key"], entity.get("Version", 0))
