"""Table PushNotifications: one entity per notification, so that a repetition is known, with the keys of its rows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from handlers.clients.tables import Entity, Table, joined, split
from handlers.sync.change import RowChange, canonical

NOTIFICATIONS = "PushNotifications"
VERSION = 1
_KEYS_MAX = 1000  # rows of one notification whose keys are kept with it
_KEYS_TEXT = 150_000  # characters of them; an entity holds 1 MiB
_TEXT = 1000
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)

type State = Literal["receiving", "queued"]
type RowName = tuple[str, str, tuple[str, ...]]  # company, mapping, key: what handlers.sync.notification.link_key takes


@dataclass(frozen=True)
class ReceivedNotification:
    """A notification as it is remembered. `key` is its hash, `keys` are `kept_keys` of its changes, `run` its activity."""

    key: str
    query: str = ""
    notification: str = ""  # its Id
    received: datetime = _UNKNOWN
    timestamp: int = 0
    rows: int = 0
    changes: int = 0
    without_key: int = 0
    run: str = ""
    keys: tuple[RowName, ...] = ()
    state: State = "receiving"
    version: int = VERSION


def kept_keys(changes: Iterable[RowChange]) -> tuple[RowName, ...]:
    """What is kept of a notification's rows, so that their links can be found: as many as fit an entity."""
    keys: list[RowName] = []
    room = _KEYS_TEXT
    for change in changes:
        key = (change.company, change.mapping, change.key)
        room -= len(canonical(key))
        if room < 0 or len(keys) == _KEYS_MAX:
            break
        keys.append(key)
    return tuple(keys)


class Notifications:
    """All notifications. Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self, received: ReceivedNotification) -> State:
        """Remember a notification as `receiving`; returns its state: receiving (new, or begun before) or queued."""
        if self._table.insert(_entity(received)):
            return "receiving"
        known = self.get(received.key)
        return known.state if known else "receiving"

    def mark_queued(self, key: str) -> None:
        """All of a notification's row changes are in the queue."""
        self._table.upsert({"PartitionKey": key[:2], "RowKey": key, "State": "queued"})

    def get(self, key: str) -> ReceivedNotification | None:
        """What is remembered of a notification."""
        stored = self._table.get(key[:2], key)
        return _received(stored.entity) if stored else None

    def purge(self, old: str) -> int:
        """Remove those that fit a condition; returns how many."""
        return self._table.remove_all(old)


def _entity(received: ReceivedNotification) -> Entity:
    return {
        "PartitionKey": received.key[:2],
        "RowKey": received.key,
        "Version": VERSION,
        "State": received.state,
        "Query": received.query[:_TEXT],
        "NotificationId": received.notification[:_TEXT],
        "Received": received.received,
        "TransactionTimeStamp": str(received.timestamp),  # a property holds 64 bits, but the SDK takes 32 without more ado
        "Rows": received.rows,
        "Changes": received.changes,
        "WithoutKey": received.without_key,
        "Run": received.run,
        **split(canonical(received.keys), "Keys"),
    }


def _received(entity: Entity) -> ReceivedNotification:
    keys = json.loads(joined(entity, "Keys") or "[]")
    return ReceivedNotification(
        key=entity["RowKey"],
        query=entity.get("Query", ""),
        notification=entity.get("NotificationId", ""),
        received=entity.get("Received", _UNKNOWN),
        timestamp=int(entity.get("TransactionTimeStamp", 0)),
        rows=entity.get("Rows", 0),
        changes=entity.get("Changes", 0),
        without_key=entity.get("WithoutKey", 0),
        run=entity.get("Run", ""),
        keys=tuple((company, mapping, tuple(key)) for company, mapping, key in keys),
        state="queued" if entity.get("State") == "queued" else "receiving",
        version=entity.get("Version", 0),
    )
