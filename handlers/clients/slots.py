"""Table AcumaticaSessions: the slots of the session budget, and the circuit breaker of sign-ins."""

import json
from typing import Any

from handlers.clients.tables import Stored, Table, joined, split
from handlers.sync.change import canonical
from handlers.sync.slots import (
    Breaker,
    Free,
    Slot,
    breaker_from_state,
    breaker_to_state,
    slot_from_state,
    slot_to_state,
)

SESSIONS = "AcumaticaSessions"
_PARTITION = "slot"
_BREAKER = "sign-in"
_ALL = "PartitionKey eq @partition"


class Slots:
    """Slots by name, each with its ETag. Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def all(self) -> dict[str, tuple[Slot, str]]:
        """All slots that were ever used."""
        found = {stored.entity["RowKey"]: stored for stored in self._table.query(_ALL, {"partition": _PARTITION})}
        found.pop(_BREAKER, None)
        return {name: (slot_from_state(_state(stored)), stored.etag) for name, stored in found.items()}

    def load(self, name: str) -> tuple[Slot, str | None]:
        """One slot; free, without an ETag, before its first use."""
        found = self._table.get(_PARTITION, name)
        return (slot_from_state(_state(found)), found.etag) if found else (Free(), None)

    def save(self, name: str, slot: Slot, etag: str | None) -> str | None:
        """Save a slot if nobody else has; returns the new ETag, or None."""
        return self._save(name, slot_to_state(slot), etag)

    def load_breaker(self) -> tuple[Breaker, str | None]:
        """The circuit breaker of sign-ins; closed, without an ETag, before its first use."""
        found = self._table.get(_PARTITION, _BREAKER)
        return (breaker_from_state(_state(found)), found.etag) if found else (Breaker(), None)

    def save_breaker(self, breaker: Breaker, etag: str | None) -> str | None:
        """Save it if nobody else has; returns the new ETag, or None."""
        return self._save(_BREAKER, breaker_to_state(breaker), etag)

    def _save(self, name: str, state: dict[str, Any], etag: str | None) -> str | None:
        return self._table.put({"PartitionKey": _PARTITION, "RowKey": name, **split(canonical(state), "State")}, etag)


def _state(found: Stored) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(joined(found.entity, "State"))
    return state
