"""Table Held: removals that the brake holds. One entity for each hold; the keys of its rows are in a blob.

A hold of a notification is written once, whatever is repeated. A sweep has one hold for each mapping: the next sweep knows
better, and replaces it, unless somebody has released it. What a later sweep would not remove any more is overtaken.
"""

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from handlers.clients.blobs import Blobs
from handlers.clients.tables import Entity, Stored, Table
from handlers.sync.change import PUSH, SNAPSHOT, RowChange, canonical, digest

HELD = "Held"
VERSION = 1
_PARTITION = "held"
_TEXT = 1000
_SAMPLE = 10
_PART = 100  # characters of each part of a key in it
_MOST = 1000  # looked at
_OPEN = f"PartitionKey eq '{_PARTITION}' and (State eq 'held' or State eq 'releasing')"
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)

type Source = Literal["notification", "sweep"]
type HoldState = Literal["held", "releasing", "released", "discarded", "overtaken"]


@dataclass(frozen=True)
class Hold:
    """Removals of one mapping with one TimeStamp. `origin` is the notification's hash, or the sweep's id.

    `sample` are the first keys, cut, for people. `at`: when it was held; `decided`, `by` and `why`: who decided on it, and
    how come.
    """

    id: str
    _: KW_ONLY
    source: Source
    origin: str
    company: str
    mapping: str
    timestamp: int
    notification: str = ""  # what each removal names as its notification
    count: int = 0
    reason: str = ""
    sample: tuple[tuple[str, ...], ...] = ()
    at: datetime = _UNKNOWN
    state: HoldState = "held"
    decided: datetime | None = None
    by: str = ""
    why: str = ""
    run: str = ""  # what its removals count for, once it is released
    done: int = 0  # rows that were sent, or found to be there again
    sent: int = 0
    blob: str = ""
    etag: str = ""
    version: int = VERSION

    @property
    def open(self) -> bool:
        """Whether a person has to decide, or its removals are being sent."""
        return self.state in {"held", "releasing"}

    def removals(self, keys: Sequence[tuple[str, ...]], now: float) -> list[RowChange]:
        """What it holds, as changes of their own transaction: a row that came back since stays."""
        origin = PUSH if self.source == "notification" else SNAPSHOT
        whole = RowChange(self.company, self.mapping, (), self.timestamp, None, self.notification, now, origin=origin)
        return [replace(whole, key=key, run=self.run) for key in keys]


def hold_id(source: Source, origin: str, mapping: str) -> str:
    """The id of a hold: for a notification by its hash, for a sweep by the mapping alone."""
    return digest([source, origin if source == "notification" else "", mapping])


class Held:
    """All holds. Every method may raise StorageError."""

    def __init__(self, table: Table, blobs: Blobs) -> None:
        self._table = table
        self._blobs = blobs

    def hold(self, hold: Hold, keys: Sequence[tuple[str, ...]]) -> bool:
        """Hold removals. False where a notification's are known already (decided on, even), or a sweep's are released."""
        blob = self._blobs.put(canonical({"hold": hold.id, "keys": keys}))
        sample = tuple(tuple(map(_cut, key)) for key in keys[:_SAMPLE])
        entity = _entity(replace(hold, count=len(keys), sample=sample, blob=blob))
        if self._table.insert(entity):
            return True
        known = self.get(hold.id)
        if hold.source == "notification" or known is None or known.state == "releasing":
            return False
        return self._table.put(entity, known.etag) is not None

    def get(self, key: str) -> Hold | None:
        """One hold."""
        stored = self._table.get(_PARTITION, key)
        return _hold(stored) if stored else None

    def keys(self, hold: Hold) -> list[tuple[str, ...]] | None:
        """The keys of the rows that a hold would remove; None where they have expired."""
        text = self._blobs.get(hold.blob)
        return None if text is None else [tuple(key) for key in json.loads(text)["keys"]]

    def open(self, limit: int) -> list[Hold]:
        """Holds that are not decided on, or are being released; at most `limit`."""
        return [_hold(stored) for stored in self._table.query(_OPEN, limit=limit)]

    def of_mapping(self, mapping: str) -> list[Hold]:
        """Holds of a mapping that nobody has decided on."""
        return [hold for hold in self.open(_MOST) if hold.mapping == mapping and hold.state == "held"]

    def decide(self, hold: Hold, state: HoldState, at: datetime, by: str, why: str = "") -> Hold | None:
        """Change a hold's state; None if it is another one by now."""
        return self._save(replace(hold, state=state, decided=at, by=by[:_TEXT], why=why[:_TEXT]))

    def releasing(self, hold: Hold, at: datetime, by: str, run: str) -> Hold | None:
        """Somebody releases a hold; None if it is another one by now."""
        return self._save(replace(hold, state="releasing", decided=at, by=by[:_TEXT], run=run, done=0, sent=0))

    def progress(self, hold: Hold, done: int, sent: int) -> Hold | None:
        """So many of its rows are done with, of which so many were sent; None if it is another one by now."""
        return self._save(replace(hold, done=done, sent=sent))

    def purge(self, old: str) -> int:
        """Remove those that fit a condition and are decided on; returns how many."""
        return self._table.remove_all(f"{old} and (State eq 'released' or State eq 'discarded' or State eq 'overtaken')")

    def _save(self, hold: Hold) -> Hold | None:
        etag = self._table.put(_entity(hold), hold.etag)
        return replace(hold, etag=etag) if etag else None


def _cut(text: str) -> str:
    return text if len(text) <= _PART else f"{text[: _PART - 1]}…"


def _entity(hold: Hold) -> Entity:
    entity = {
        "PartitionKey": _PARTITION,
        "RowKey": hold.id,
        "Version": VERSION,
        "State": hold.state,
        "Source": hold.source,
        "Origin": hold.origin,
        "Company": hold.company,
        "Mapping": hold.mapping,
        "TransactionTimeStamp": str(hold.timestamp),
        "NotificationId": hold.notification[:_TEXT],
        "Count": hold.count,
        "Reason": hold.reason[:_TEXT],
        "Sample": canonical(hold.sample),
        "At": hold.at,
        "Decided": hold.decided,
        "By": hold.by,
        "Why": hold.why,
        "Run": hold.run,
        "Done": hold.done,
        "Sent": hold.sent,
        "Blob": hold.blob,
    }
    return {name: value for name, value in entity.items() if value is not None}


def _hold(stored: Stored) -> Hold:
    entity, etag = stored
    return Hold(
        id=entity["RowKey"],
        source=entity["Source"],
        origin=entity["Origin"],
        company=entity["Company"],
        mapping=entity["Mapping"],
        timestamp=int(entity["TransactionTimeStamp"]),
        notification=entity["NotificationId"],
        count=entity["Count"],
        reason=entity["Reason"],
        sample=tuple(tuple(key) for key in json.loads(entity["Sample"])),
        at=entity["At"],
        state=entity["State"],
        decided=entity.get("Decided"),
        by=entity["By"],
        why=entity["Why"],
        run=entity["Run"],
        done=entity["Done"],
        sent=entity.get("Sent", 0),
        blob=entity["Blob"],
        etag=etag,
        version=entity["Version"],
    )
