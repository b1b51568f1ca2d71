"""What table Runs says: the newest runs, one of them, and the numbers of the last hours."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from handlers.clients.activity_record import PARTITION, WHICH, Run, body_key, hour_key, hour_of, run_of, sums_of
from handlers.clients.storage import Storage
from handlers.clients.tables import joined

_PAGES = 20


def newest(storage: Storage, *, before: str = "", which: str = "", limit: int = 50) -> list[Run]:
    """The newest runs, older than the one called `before`; `which`: accepted, failed, rejected or people."""
    condition = "PartitionKey eq @partition and RowKey gt @after and RowKey lt 's'" + WHICH.get(which, "")
    pages = storage.activity_table.pages(condition, {"partition": PARTITION, "after": before or "r"}, limit)
    found: list[Run] = []
    for _, page in zip(range(_PAGES), pages, strict=False):
        found += [run_of(stored.entity) for stored in page]
        if len(found) >= limit:
            break
    return found[:limit]


def newest_notification(storage: Storage) -> float | None:
    """When the newest notification was taken in, in seconds since 1970; None where none is remembered."""
    found = newest(storage, which="accepted", limit=1)
    return found[0].received.timestamp() if found else None


def one(storage: Storage, run_id: str) -> Run | None:
    """One run."""
    stored = storage.activity_table.get(PARTITION, run_id) if run_id.startswith("r") else None
    return run_of(stored.entity) if stored else None


def refused_body(storage: Storage, run_id: str) -> str | None:
    """What a refused request held; None where that is not kept (any more)."""
    stored = storage.activity_table.get(PARTITION, body_key(run_id))
    return joined(stored.entity, "Body") if stored else None


def hours(storage: Storage, now: datetime, count: int = 24) -> dict[datetime, Counter[str]]:
    """The numbers of the last hours, oldest first: applied, unchanged, failed, deferred, and so on."""
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found: dict[datetime, Counter[str]] = {this - timedelta(hours=n): Counter() for n in reversed(range(count))}
    condition = "PartitionKey eq @partition and RowKey ge @first and RowKey lt 'i'"
    parameters = {"partition": PARTITION, "first": hour_key(min(found).timestamp())}
    for entity, _ in storage.activity_table.query(condition, parameters):
        if (hour := hour_of(entity)) in found:
            found[hour] += sums_of(entity)
    return found
