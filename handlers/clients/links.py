"""Table EventLinks: one entity per row and mapping, with the link's state as JSON (handlers.sync.link has its version)."""

import json
from collections.abc import Iterator

from handlers.clients.tables import Entity, Stored, Table, joined, split
from handlers.sync.change import canonical
from handlers.sync.link import EventLink, from_state, to_state

LINKS = "EventLinks"
_STATE_BYTES = 900_000  # an entity holds 1 MiB
_ERROR = 1000  # characters


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

    def purge(self, old: str) -> int:
        """Remove settled tombstones that fit a condition; returns how many."""
        return self._table.remove_all(f"{old} and Tombstone eq true")


def entity_of(link: EventLink) -> Entity:
    """A link as it is stored. Raises StateTooLarge."""
    state = canonical(to_state(link))
    # The emulator counts the body of an update, where JSON escapes what is not ASCII.
    if max(len(state.encode("utf-16-le")), len(json.dumps(state))) > _STATE_BYTES:
        raise StateTooLarge
    return {
        "PartitionKey": link.key[:2],
        "RowKey": link.key,
        "Mapping": link.mapping,
        "Tombstone": not (link.present or link.entries or link.claim or link.buried),
        "LastError": link.last_error[:_ERROR],
        **split(state, "State"),
    }


def _link(stored: Stored) -> EventLink:
    return from_state(json.loads(joined(stored.entity, "State")))
