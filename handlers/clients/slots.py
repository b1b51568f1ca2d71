"""Table AcumaticaSessions: the session slots, and the circuit breaker of sign-ins (handlers.clients.sessions)."""

import json
from typing import Any

from handlers.clients.tables import Stored, Table, joined, split
from handlers.sync.change import canonical

SESSIONS = "AcumaticaSessions"
_PARTITION = "slot"

type SlotState = dict[str, Any]


class Slots:
    """All slots. Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def load(self, name: str) -> tuple[SlotState, str | None]:
        """One slot and its ETag; ({}, None) before its first use."""
        stored = self._table.get(_PARTITION, name)
        return (_state(stored), stored.etag) if stored else ({}, None)

    def all(self) -> dict[str, tuple[SlotState, str | None]]:
        """All slots that were ever used, with their ETags."""
        found = self._table.query("PartitionKey eq @partition", {"partition": _PARTITION})
        return {stored.entity["RowKey"]: (_state(stored), stored.etag) for stored in found}

    def save(self, name: str, state: SlotState, etag: str | None) -> str | None:
        """Save a slot if nobody else has; returns the new ETag, or None. A save whose answer got lost counts as saved."""
        return self._table.put({"PartitionKey": _PARTITION, "RowKey": name, **split(canonical(state), "State")}, etag)


def _state(stored: Stored) -> SlotState:
    return dict(json.loads(joined(stored.entity, "State")))
