"""Rows that wait for another try, and when the last notification came: noted in table Runs, best effort.

Alerts count what waits, and the purge of links forgets nothing that it may still need (Storage.purge).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from handlers.clients.tables import Entity, Table
from handlers.sync.change import RowChange
from handlers.sync.errors import Code

VERSION = 1
_PARTITION, _STATE, _NOTIFIED = "put-off", "state", "notified"
_AT_ONCE_SECONDS = 30.0  # what is tried again that soon is not worth a request
_GRACE_SECONDS = 900.0  # for a queue that is long, and workers that are busy
_MOST = 1000


@dataclass(frozen=True)
class Waiting:
    """A change that waits for another try, by why; moments in seconds since 1970."""

    code: str
    first_sent: float
    until: float  # if it was not tried again by then, nobody will


class PutOff:
    """All of them. Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def note(self, change: RowChange, code: Code, delay: float, now: float) -> None:
        """A change waits for `delay` seconds before it is tried again."""
        if delay >= _AT_ONCE_SECONDS:
            waiting = Waiting(code, change.first_sent, now + delay + _GRACE_SECONDS)
            self._table.upsert(_entity(_row(change), waiting))

    def forget(self, change: RowChange) -> None:
        """A change is settled, or a dead letter: it waits no more, if it ever did."""
        if change.tried_at and (stored := self._table.get(_PARTITION, _row(change))):
            self._table.delete(_PARTITION, _row(change), stored.etag)

    def all(self, now: float) -> list[Waiting]:
        """What waits, at most 1,000; what nobody will try any more is removed."""
        found = []
        condition, parameters = "PartitionKey eq @partition", {"partition": _PARTITION}
        for entity, etag in self._table.query(condition, parameters, limit=_MOST):
            waiting = Waiting(entity["Code"], entity["FirstSent"], entity["Until"].timestamp())
            if waiting.until < now:  # its worker was killed, or the change is another message by now
                self._table.delete(_PARTITION, entity["RowKey"], etag)
            else:
                found.append(waiting)
        return found

    def notified(self) -> tuple[float, float]:
        """When the last notification came, and when that was saved; 0 where nobody knows."""
        stored = self._table.get(_STATE, _NOTIFIED)
        return (stored.entity["At"].timestamp(), stored.entity["Saved"].timestamp()) if stored else (0.0, 0.0)

    def save_notified(self, at: float, now: float) -> None:
        """Keep when the last notification came, for longer than the records of runs are."""
        times = {"At": datetime.fromtimestamp(at, UTC), "Saved": datetime.fromtimestamp(now, UTC)}
        self._table.upsert({"PartitionKey": _STATE, "RowKey": _NOTIFIED, "Version": VERSION, **times})


def _row(change: RowChange) -> str:
    return f"{change.link_key}-{change.timestamp}"


def _entity(row: str, waiting: Waiting) -> Entity:
    return {
        "PartitionKey": _PARTITION,
        "RowKey": row,
        "Version": VERSION,
        "Code": str(waiting.code),
        "FirstSent": waiting.first_sent,
        "Until": datetime.fromtimestamp(waiting.until, UTC),
    }
