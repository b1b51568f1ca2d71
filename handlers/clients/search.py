"""The rows that can be looked for: one line of text for each event link, all of them in one blob, made anew each night.

What changes until the next night stands beside it, as entities of table Runs that are written together with the runs, so
that they cost no operation of their own. A search reads the blob (once, as long as it stays the same) and these entities.
With the blob, every row is compared as a whole, so that any part of a text is found. It is for people; nothing is decided
by it, and a line that is missing or old for a few seconds does no harm.
"""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from handlers.clients.activity_record import PARTITION
from handlers.clients.tables import Entity, Table
from handlers.sync.change import ticks_to_datetime
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.meeting import meeting_of

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

ROWS_BLOBS = "search"
VERSION = 1
_NAME = "rows-v1"
_PREFIX = "s"  # of the row keys of what changed since
_MANY = 1000  # lines beside the blob: whoever meets more puts them into it
_TEXT = 1000
_TAB = "\t"
_BLANKS = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class IndexedRow:
    """A row as it is looked for. `state`: event, failed, waiting, or nothing; `changed` is in seconds since 1970."""

    key: str  # of its event link
    mapping: str
    row_key: tuple[str, ...]
    subject: str = ""
    start: str = ""
    mailbox: str = ""  # where its event is, or was to be
    owner: str = ""  # the mailbox that it asks for; in a trial the event is elsewhere
    state: str = ""
    changed: float = 0.0


def indexed(link: EventLink, mapping: Mapping | None, *, failed: bool = False) -> IndexedRow:
    """How a row is looked for. `failed`: it has just become a dead letter, which the link does not say yet."""
    meeting = meeting_of(link, mapping)
    entry = link.live or (link.entries[-1] if link.entries else None)
    changed = link.history[-1].at if link.history else 0.0
    if not changed and link.version:
        changed = ticks_to_datetime(link.version.timestamp).timestamp()
    return IndexedRow(
        key=link.key,
        mapping=link.mapping,
        row_key=link.row_key,
        subject=meeting.subject,
        start=meeting.start,
        mailbox=entry.mailbox if entry else meeting.mailbox,
        owner=meeting.mailbox,
        state=_state(link, failed=failed),
        changed=changed,
    )


def _state(link: EventLink, *, failed: bool) -> str:
    if failed or link.buried:
        return "failed"
    return "waiting" if link.last_error or link.claim else "event" if link.stands else ""


def delta(row: IndexedRow) -> tuple[str, Entity]:
    """Row key and properties of a row that has changed."""
    return f"{_PREFIX}{row.key}", {"Line": _line(row)}


class SearchIndex:
    """All rows. Every method may raise StorageError."""

    def __init__(self, table: Table, connect: "Callable[[], ContainerClient]") -> None:
        self._table = table
        self._connect = connect
        self._lock = threading.Lock()
        self._etag = ""
        self._lines: dict[str, str] = {}  # of the blob with this ETag, by link key

    def rebuild(self, rows: Iterable[IndexedRow]) -> int:
        """Make it anew of all rows; returns how many. What changes meanwhile stays beside it."""
        before = list(self._table.query(*_DELTAS, select=("Version",)))
        lines = {row.key: _line(row) for row in rows}
        self._write(lines, None)
        self._table.remove_these(before)
        return len(lines)

    def is_built(self) -> bool:
        """Whether there is a blob: before the first night, whoever looks has to make it."""
        return bool(self._etag or self._base()[0])

    def find(self, text: str, most: int) -> tuple[list[IndexedRow], int]:
        """Rows that hold all words of a text, of any case, anywhere in key, subject or mailbox; and how many there are.

        What begins with the text (a key) or ends with it (a mailbox) comes first, then the latest meeting; at most `most`.
        """
        whole = _folded(text)
        words = whole.split()
        found = [line for line in _holding(words, self._all()) if all(word in line.partition(_TAB)[0] for word in words)]

        def rank(line: str) -> tuple[bool, str]:
            looked_at, _, start, _ = line.split(_TAB, 3)
            return f"{looked_at} ".startswith(f"{whole} ") or looked_at.endswith(f" {whole}"), start

        return [_row(line) for line in nlargest(most, found, key=rank)], len(found)

    def sample(self, most: int) -> list[IndexedRow]:
        """Some of them, the newest among them."""
        return [_row(line) for line in self._all()[-most:]]

    def in_mailboxes(self) -> Iterator[tuple[str, str, float]]:
        """Of each row its mailbox (where there is one), state, and when it changed."""
        for line in self._all():
            _, _, _, mailbox, _, state, changed, _ = line.split(_TAB, 7)
            if mailbox:
                yield mailbox, state, float(changed)

    def in_mailbox(self, mailbox: str) -> list[IndexedRow]:
        """Those whose event is in a mailbox, or was to be; the newest change first."""
        wanted = _folded(mailbox)
        rows = (_row(line) for line in _holding([wanted], self._all()))
        return sorted((r for r in rows if wanted in {r.mailbox, r.owner}), key=lambda r: r.changed, reverse=True)

    def _all(self) -> Sequence[str]:
        etag, base = self._base()
        newer = list(self._table.query(*_DELTAS, select=("Line",)))
        lines = base | {stored.entity["RowKey"][len(_PREFIX) :]: stored.entity["Line"] for stored in newer}
        if len(newer) > _MANY and self._write(lines, etag):
            self._table.remove_these(newer)
        return list(lines.values())

    def _base(self) -> tuple[str, dict[str, str]]:
        """The blob's ETag and lines; none where there is no blob."""
        blob = self._connect().get_blob_client(_NAME)
        try:
            with self._lock:
                etag = str(blob.get_blob_properties().etag)
                if etag != self._etag:
                    found = blob.download_blob()
                    lines = gzip.decompress(found.readall()).decode().split("\n")
                    self._etag, self._lines = str(found.properties.etag), {_key(line): line for line in lines if line}
                return self._etag, self._lines
        except ResourceNotFoundError:
            return "", {}

    def _write(self, lines: dict[str, str], etag: str | None) -> bool:
        """Write the blob, over the one with `etag` where that is given; False if it is another one by now."""
        data = gzip.compress("\n".join(lines.values()).encode(), 1)
        blob = self._connect().get_blob_client(_NAME)
        try:
            if etag:
                blob.upload_blob(data, overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified)
            else:
                blob.upload_blob(data, overwrite=True)
        except HttpResponseError as error:
            if error.status_code == 412:
                return False
            raise
        return True


_DELTAS = (
    "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end",
    {"partition": PARTITION, "first": _PREFIX, "end": chr(ord(_PREFIX) + 1)},
)


def _holding(words: Sequence[str], lines: Iterable[str]) -> Iterator[str]:
    """Lines that hold the longest of the words anywhere: most others need no second look."""
    longest = max(words, key=len, default="")
    return (line for line in lines if longest in line)


def _folded(text: str) -> str:
    return _BLANKS.sub(" ", text).strip().casefold()


def _line(row: IndexedRow) -> str:
    """What is looked at, then what is shown, with tabs between; no part holds one, or a line end."""
    looked_at = _folded(" ".join((*row.row_key, row.subject, *dict.fromkeys((row.mailbox, row.owner)))))
    rest = json.dumps([VERSION, row.mapping, row.row_key, row.subject])
    people = (_folded(row.mailbox), _folded(row.owner))
    return _TAB.join((looked_at[:_TEXT], row.key, row.start, *people, row.state, f"{row.changed:.3f}", rest))


def _key(line: str) -> str:
    return line.split(_TAB, 2)[1]


def _row(line: str) -> IndexedRow:
    _, key, start, mailbox, owner, state, changed, rest = line.split(_TAB, 7)
    _, mapping, row_key, subject = json.loads(rest)
    return IndexedRow(key, mapping, tuple(row_key), subject, start, mailbox, owner, state, float(changed))
