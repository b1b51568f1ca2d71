"""What happened, as people see it: runs, the rows of a run, one row, a search for rows."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from handlers.clients import activity_reading as stored
from handlers.clients.activity_record import Run
from handlers.clients.storage import Storage
from handlers.sync.change import link_key, ticks_to_datetime
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.notification import folded

ROWS = 200  # shown at a time
KEY = re.compile("[0-9a-f]{64}")  # of an event link or a dead letter
_RUN_ID = re.compile("r[0-9]{13}-[0-9a-f]{1,64}")


@dataclass(frozen=True)
class RowState:
    """A row under a mapping: what is known of it now, and in one word how it is."""

    key: str  # of its event link
    mapping: str
    row_key: tuple[str, ...]
    link: EventLink | None
    timestamp: int = 0  # of the change that is asked about; 0 = none in particular

    @property
    def state(self) -> str:
        """In order, left out (by [when]), removed, failed, deferred, in doubt, working, waiting (not looked at yet)."""
        link = self.link
        if link is None:
            return "waiting"
        if link.buried:
            return "failed"
        if link.version is None or link.version.timestamp < self.timestamp:
            return "waiting"
        if link.claim:
            return "in doubt" if link.last_error else "working"
        if link.last_error:
            return "deferred"
        if not link.present:
            return "removed"
        return "in order" if link.live else "left out"

    @property
    def mailbox(self) -> str:
        """Where its event is, or was to be."""
        entries = self.link.entries if self.link else ()
        live = self.link.live if self.link else None
        return live.mailbox if live else entries[-1].mailbox if entries else ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        known = {"key": self.key, "mapping": self.mapping, "row": list(self.row_key), "state": self.state}
        link = self.link
        if link is None:
            return known
        return known | {
            "mailbox": self.mailbox,
            "event": link.live.id if link.live else None,
            "written_back": link.written_back,
            "in_outlook": link.in_outlook._asdict() if link.in_outlook else None,
            "present": link.present,
            "changed": ticks_to_datetime(link.version.timestamp).isoformat() if link.version else None,
            "last_effect": link.last_effect,
            "last_error": link.last_error,
            "notes": list(link.notes),
            "history": [
                {**past._asdict(), "at": _moment(past.at).isoformat(), "timestamp": str(past.timestamp)}
                for past in reversed(link.history)
            ],
        }


def newest(storage: Storage, *, before: str = "", which: str = "", limit: int = 50) -> list[Run]:
    """The newest runs, older than the one called `before`; `which`: failed, rejected or people."""
    return stored.newest(storage, before=before if _RUN_ID.fullmatch(before) else "", which=which, limit=limit)


def run(run_id: str, storage: Storage) -> Run | None:
    """One run; none where there is none of this id, or where this is no id."""
    return stored.one(storage, run_id) if _RUN_ID.fullmatch(run_id) else None


def hours(storage: Storage) -> dict[datetime, Counter[str]]:
    """The numbers of the last 24 hours, oldest first."""
    return stored.hours(storage, _moment(storage.now()))


def rows_of(run: Run, storage: Storage) -> tuple[list[RowState], int]:
    """The rows of a run as they are now, at most 200, and how many it has in all."""
    known = storage.notifications.get(run.key)
    keys, timestamp = (known.keys, known.timestamp) if known else ((), 0)
    total = (known.changes if known else 0) or run.changes
    found: dict[str, RowState] = {}

    def look(company: str, mapping: str, row_key: tuple[str, ...]) -> None:
        key = link_key(company, mapping, row_key)
        found[key] = RowState(key, mapping, row_key, storage.links.load(key)[0], timestamp)

    calls = [partial(look, *name) for name in keys[:ROWS]]
    storage.in_parallel(calls)
    return [found[link_key(*name)] for name in keys[:ROWS]], max(total, len(keys))


def timestamp_of(run: Run, storage: Storage) -> int:
    """The TimeStamp of a run's transaction; 0 where there is none."""
    known = storage.notifications.get(run.key)
    return known.timestamp if known else 0


def row(key: str, storage: Storage) -> RowState | None:
    """One row by the key of its event link; none where nothing is known of it, or where this is no key."""
    if not KEY.fullmatch(key):
        return None
    link, _ = storage.links.load(key)
    return _of(link) if link else None


def search(text: str, storage: Storage, mappings: Mapping[str, SyncMapping], company: str) -> list[RowState]:
    """Rows by their exact key (the values of several key columns with commas between them), or by mailbox."""
    text = text.strip()
    if not text:
        return []
    found = []
    for name, mapping in mappings.items():
        parts = [text] if len(mapping.key) == 1 else [part.strip() for part in text.split(",")]
        if state := row(link_key(folded(company), name, parts), storage):
            found.append(state)
    if not found and "@" in text:
        found = [_of(link) for link in storage.links.in_mailbox(text, ROWS)]
    return found


def _of(link: EventLink) -> RowState:
    return RowState(link.key, link.mapping, link.row_key, link)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
