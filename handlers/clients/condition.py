"""How the app is doing, as its storage tells: read once a minute for the health event, on whose facts alerts hang.

A fact is a state, not an event: it stays until the fault is over, so that an alert neither flaps nor says "resolved" too
early. Best effort, and never read by the sync.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ResourceNotFoundError

from handlers.clients.runs import newest_notification
from handlers.sync.errors import Code
from handlers.sync.notification import RowChange

if TYPE_CHECKING:
    from azure.data.tables import TableClient

    from handlers.clients.storage import Storage

log = logging.getLogger(__name__)

COUNTED = 1000
_PUT_OFF, _STATE, _NOTIFIED = "put-off", "state", "notified"  # partitions of table Runs, and a row
_AT_ONCE_SECONDS = 30.0  # what is tried again that soon is not worth a transaction
_GRACE_SECONDS = 900.0  # for a queue that is long, and workers that are busy
_KEEP_SECONDS, _FRESH_SECONDS = 3600.0, 86_400.0  # between two saves of when the last notification came, at most
_SATURDAY = 5


@dataclass(frozen=True)
class Condition:
    """All times in seconds since 1970. `put_off`: rows that wait for another try, by why; `oldest`: the first of these."""

    waiting: int = 0
    waiting_since: float | None = None
    put_off: Counter[str] = field(default_factory=Counter)
    oldest: float | None = None
    dead_letters: int = 0
    poison: int = 0
    sign_in_failures: int = 0
    notified: float | None = None

    def facts(self, now: float) -> dict[str, Any]:
        """What the health event says of it: docs/deploy.md, "Alerts and workbook", names each."""
        since = [moment for moment in (self.waiting_since, self.oldest) if moment is not None]
        known: dict[str, Any] = {
            "age": max(0.0, now - min(since)) if since else 0.0,
            "waiting": self.waiting,
            "put_off": dict(self.put_off),
            "dead_letters": self.dead_letters,
            "poison": self.poison,
            "sign_in_failures": self.sign_in_failures,
            "started": self.notified is not None,
        }
        if self.notified is not None:
            known["silent_hours"] = max(0.0, now - self.notified) / 3600
            known["silent_weekday_hours"] = weekday_hours(self.notified, now)
        return known


def look(storage: "Storage", now: float) -> Condition:
    """Read all of it. Raises AzureError."""
    put_off, oldest = _put_off(storage.runs, now)
    waiting, since = storage.waiting()
    return Condition(
        waiting=waiting,
        waiting_since=since.timestamp() if since else None,
        put_off=put_off,
        oldest=oldest,
        dead_letters=storage.count_dead_letters(COUNTED),
        poison=storage.count_poison(),
        sign_in_failures=storage.sign_in_failures(),
        notified=_notified(storage, now),
    )


class Notes:
    """Notes which changes are put off. Without storage it notes nothing. Never raises."""

    def __init__(self, storage: "Storage | None" = None) -> None:
        self._storage = storage

    def put_off(self, change: RowChange, code: Code, delay: float) -> None:
        """A change waits for `delay` seconds before it is tried again."""
        if self._storage is None or delay < _AT_ONCE_SECONDS:
            return
        until = datetime.fromtimestamp(self._storage.now() + delay + _GRACE_SECONDS, UTC)
        entity = {"PartitionKey": _PUT_OFF, "RowKey": _row(change), "Code": str(code), "Until": until}
        try:
            self._storage.runs.upsert_entity(entity | {"FirstSent": change.first_sent})
        except AzureError as error:
            log.warning("a change that is put off could not be noted: %s", type(error).__name__)

    def over(self, change: RowChange) -> None:
        """A change is settled, or a dead letter: it waits no more, if it ever did."""
        if self._storage is not None and change.tried_at:
            _remove(self._storage.runs, _row(change))


def _row(change: RowChange) -> str:
    return f"{change.link_key}-{change.timestamp}"


def _remove(table: "TableClient", row: str) -> None:
    try:
        table.delete_entity(_PUT_OFF, row)
    except ResourceNotFoundError:
        return
    except AzureError as error:
        log.warning("a change that was put off could not be forgotten: %s", type(error).__name__)


def _put_off(table: "TableClient", now: float) -> tuple[Counter[str], float | None]:
    rows: Counter[str] = Counter()
    first: list[float] = []
    for entity in islice(table.query_entities(f"PartitionKey eq '{_PUT_OFF}'", results_per_page=COUNTED), COUNTED):
        if entity["Until"].timestamp() < now:  # nobody will: its worker was killed, or the change is another message by now
            _remove(table, entity["RowKey"])
        else:
            rows[entity["Code"]] += 1
            first.append(float(entity["FirstSent"]))
    return rows, min(first, default=None)


def _notified(storage: "Storage", now: float) -> float | None:
    """When the last notification was taken in; kept for longer than the records of runs are."""
    found = storage.runs.query_entities(f"PartitionKey eq '{_STATE}' and RowKey eq '{_NOTIFIED}'")
    kept, saved = next(((e["At"].timestamp(), e["Saved"].timestamp()) for e in found), (0.0, 0.0))
    latest = max(newest_notification(storage) or 0.0, kept)
    if latest and (latest - kept >= _KEEP_SECONDS or now - saved >= _FRESH_SECONDS):
        times = {"At": datetime.fromtimestamp(latest, UTC), "Saved": datetime.fromtimestamp(now, UTC)}
        storage.runs.upsert_entity({"PartitionKey": _STATE, "RowKey": _NOTIFIED, **times})
    return latest or None


def weekday_hours(since: float, now: float) -> float:
    """Hours between two moments without Saturdays and Sundays (UTC)."""
    moment, end, seconds = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(now, UTC), 0.0
    while moment < end:
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        if moment.weekday() < _SATURDAY:
            seconds += (min(midnight, end) - moment).total_seconds()
        moment = midnight
    return seconds / 3600
