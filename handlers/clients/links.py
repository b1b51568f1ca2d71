"""Table EventLinks: one entity per row and mapping, with the link's state as JSON (handlers.sync.link has its version)."""

import json
import zlib
from collections.abc import Callable, Iterator

from handlers.clients.tables import Entity, Stored, Table, joined, split
from handlers.sync.change import canonical
from handlers.sync.link import EventLink
from handlers.sync.link_state import from_state, to_state

LINKS = "EventLinks"
_STATE_BYTES = 900_000  # an entity holds 1 MiB
_LETTER_BYTES = 60_000  # more, for what a dead letter notes: that has to fit in any case
_LISTED = 1000  # entities that one request returns at most
_ERROR = 1000  # characters
_ALIKE = 16_000  # bytes of a link that others are packed by: zlib looks no further back than twice that


class StateTooLarge(Exception):
    """The mapped columns of one row do not fit an entity of Table Storage."""


class Links:
    """All event links. Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def load(self, key: str) -> tuple[EventLink | None, str | None]:
        """The link and its ETag; (None, None) where the row was never seen."""
        stored = self._table.get(key[:2], key)
        return (_link(stored), stored.etag) if stored else (None, None)

    def save(self, link: EventLink, etag: str | None) -> str | None:
        """Save if the stored link still is the one with `etag` (None: if there is none); returns the new ETag, or None.

        A save that was carried out although its answer got lost counts as saved. Raises StateTooLarge.
        """
        return self._table.put(entity_of(link), etag)

    def all(self) -> Iterator[EventLink]:
        """All links that are stored."""
        return map(_link, self._table.query())

    def of_mapping(self, mapping: str) -> "ListedLinks":
        """All links of a mapping, 1,000 a request, small enough in memory for hundreds of thousands."""
        listed = ListedLinks()
        for page in self._table.pages("Mapping eq @mapping", {"mapping": mapping}, _LISTED):
            for stored in page:
                listed.add(stored)
        return listed

    def purge(self, old: str) -> int:
        """Remove settled tombstones that fit a condition; returns how many."""
        return self._table.remove_all(f"{old} and Tombstone eq true")


class ListedLinks:
    """Links as they were listed, by their keys; without their history.

    They are much alike: packed with the first one as the dictionary, each takes less than half of what it would alone.
    """

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._first = b""
        self.present = 0  # how many are of rows that are in the inquiry, as far as is known
        self.newest = 0  # the latest TimeStamp

    def add(self, stored: Stored) -> None:
        """Take a link in."""
        state = json.loads(joined(stored.entity, "State"))
        state["history"] = []
        timestamp, present, _ = state["version"] or (0, False, "")
        self.present += present
        self.newest = max(self.newest, timestamp)
        text = json.dumps(state).encode()
        self._first = self._first or text[:_ALIKE]
        packer = zlib.compressobj(1, zdict=self._first)
        self._packed[bytes.fromhex(stored.entity["RowKey"])] = packer.compress(text) + packer.flush()

    def get(self, key: str) -> EventLink | None:
        """One link."""
        packed = self._packed.get(bytes.fromhex(key))
        return self._unpacked(packed) if packed else None

    def but(self, seen: Callable[[str], bool]) -> Iterator[EventLink]:
        """Those whose keys were not seen, in the order of their keys."""
        keys = (key for key in sorted(self._packed) if not seen(key.hex()))
        return (self._unpacked(self._packed[key]) for key in keys)

    @property
    def size(self) -> int:
        """Bytes that they take, packed."""
        return sum(map(len, self._packed.values()))

    def _unpacked(self, packed: bytes) -> EventLink:
        return from_state(json.loads(zlib.decompressobj(zdict=self._first).decompress(packed)))


def entity_of(link: EventLink) -> Entity:
    """A link as it is stored. Raises StateTooLarge."""
    state = canonical(to_state(link))
    # The emulator counts the body of an update, where JSON escapes what is not ASCII.
    most = _STATE_BYTES + (_LETTER_BYTES if link.buried else 0)
    if max(len(state.encode("utf-16-le")), len(json.dumps(state))) > most:
        raise StateTooLarge
    return {
        "PartitionKey": link.key[:2],
        "RowKey": link.key,
        "Mapping": link.mapping,
        "Tombstone": not (link.present or link.entries or link.delivery.pending or link.claim or link.buried),
        "LastError": link.last_error[:_ERROR],
        **split(state, "State"),
    }


def _link(stored: Stored) -> EventLink:
    return from_state(json.loads(joined(stored.entity, "State")))
