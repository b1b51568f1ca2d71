"""Table DeadLetters: one entity per row and mapping that needs a person. A large content is in a blob, which expires."""

import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime

from handlers.clients.blobs import INLINE_BYTES, Blobs
from handlers.clients.tables import CHUNK, Contended, Entity, Table, joined, split

DEAD_LETTERS = "DeadLetters"
VERSION = 1
_TEXT = 1000
_TRIES = 20  # of clearing one that others write
_REFERENCE = re.compile(r'\{"blob":"([0-9a-f]{64})"\}')  # the content of a large letter before versions were written


@dataclass(frozen=True)
class DeadLetter:
    """What a person has to look at. `key` is the link's, or a hash where no row is known; `content` the change as JSON.

    `content` is None where it was not read, or has expired. `times`, `first` and `last` are counted by the store.
    """

    key: str
    _: KW_ONLY
    code: str = ""
    reason: str = ""
    remedy: str = ""
    mapping: str = ""  # none: it holds no row
    row_key: str = ""
    notification: str = ""
    timestamp: int = 0
    tries: int = 0
    times: int = 0
    first: datetime | None = None
    last: datetime | None = None
    resubmitted: datetime | None = None
    resubmitted_by: str = ""
    content: str | None = None
    etag: str = ""
    version: int = VERSION


class DeadLetters:
    """All dead letters. Every method may raise StorageError."""

    def __init__(self, table: Table, blobs: Blobs, clock: Callable[[], float]) -> None:
        self._table = table
        self._blobs = blobs
        self._clock = clock

    def put(self, letter: DeadLetter) -> None:
        """Keep a letter with its content; of several under one key, the one with the newest TimeStamp stays."""
        content = letter.content or ""
        large = len(content.encode()) > INLINE_BYTES
        kept = {"Blob": self._blobs.put(content)} if large else split(content, "Content")
        now = datetime.fromtimestamp(self._clock(), UTC)

        def changed(entity: Entity | None) -> Entity | None:
            known = _letter(entity, "") if entity else DeadLetter(letter.key)
            if known.timestamp > letter.timestamp:
                return None
            counted = replace(letter, times=known.times + 1, first=known.first or now, last=now)
            return _entity(replace(counted, resubmitted=known.resubmitted, resubmitted_by=known.resubmitted_by)) | kept

        self._table.change(letter.key[:2], letter.key, changed)

    def get(self, key: str) -> DeadLetter | None:
        """One dead letter with its content, wherever that is kept."""
        stored = self._table.get(key[:2], key)
        return replace(_letter(*stored), content=self._content(stored.entity)) if stored else None

    def list(self, limit: int) -> list[DeadLetter]:
        """What is known of dead letters, without their content; at most `limit`."""
        return [_letter(*stored) for stored in self._table.query(select=_FACTS, limit=limit)]

    def count(self, limit: int) -> int:
        """How many there are; counting stops at `limit`."""
        return sum(1 for _ in self._table.query(select=("PartitionKey",), limit=limit))

    def mark_resubmitted(self, key: str, at: datetime, by: str) -> None:
        """Note on a dead letter, if it is still there, who sent it to the queue again, and when."""
        self._table.merge({"PartitionKey": key[:2], "RowKey": key, "Resubmitted": at, "ResubmittedBy": by[:_TEXT]})

    def remove(self, key: str, etag: str) -> bool:
        """Remove a dead letter; False if it is another one by now."""
        return self._table.delete(key[:2], key, etag)

    def clear(self, key: str, timestamp: int) -> None:
        """The row is in order as of `timestamp`: its letter goes, unless that holds a newer change."""
        for _ in range(_TRIES):
            stored = self._table.get(key[:2], key)
            if stored is None or _letter(*stored).timestamp > timestamp or self.remove(key, stored.etag):
                return
        raise Contended(f"dead letter {key[:16]} is being written again and again")

    def _content(self, entity: Entity) -> str | None:
        name, text = entity.get("Blob"), joined(entity, "Content")
        if not (name or entity.get("Version")) and (reference := _REFERENCE.fullmatch(text)):
            name = reference[1]
        return self._blobs.get(name) if name else text


def _entity(letter: DeadLetter) -> Entity:
    entity = {
        "Version": VERSION,
        "Code": str(letter.code),
        "Reason": letter.reason[:CHUNK],
        "Remedy": letter.remedy[:CHUNK],
        "Mapping": letter.mapping[:_TEXT],
        "Key": letter.row_key[:_TEXT],
        "NotificationId": letter.notification[:_TEXT],
        "TransactionTimeStamp": str(letter.timestamp),
        "Tries": letter.tries,
        "Times": letter.times,
        "FirstTime": letter.first,
        "LastTime": letter.last,
        "Resubmitted": letter.resubmitted,
        "ResubmittedBy": letter.resubmitted_by,
    }
    return {name: value for name, value in entity.items() if value is not None}


def _letter(entity: Entity, etag: str) -> DeadLetter:
    return DeadLetter(
        key=entity["RowKey"],
        code=entity.get("Code") or "",
        reason=entity.get("Reason") or "",
        remedy=entity.get("Remedy") or "",
        mapping=entity.get("Mapping") or "",
        row_key=entity.get("Key") or "",
        notification=entity.get("NotificationId") or "",
        timestamp=int(entity.get("TransactionTimeStamp") or 0),
        tries=entity.get("Tries") or 0,
        times=entity.get("Times") or 0,
        first=entity.get("FirstTime"),
        last=entity.get("LastTime"),
        resubmitted=entity.get("Resubmitted"),
        resubmitted_by=entity.get("ResubmittedBy") or "",
        etag=etag,
        version=entity.get("Version") or 0,
    )


_FACTS = [*_entity(DeadLetter("")), "FirstTime", "LastTime", "Resubmitted"]  # all but the content
