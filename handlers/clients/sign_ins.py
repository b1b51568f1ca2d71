"""Sign-ins at the runs page, in table Runs: tries by address, and sessions that are open."""

from dataclasses import dataclass
from hashlib import sha256

from handlers.clients.tables import Entity, Table

_PARTITION = "access"
VERSION = 1


@dataclass(frozen=True)
class Tries:
    """Tries to sign in of one address (or of all together); moments in seconds since 1970."""

    count: int = 0
    since: float = 0.0
    until: float = 0.0  # nothing is looked at before
    signed_in: float = 0.0  # when the address has last given the right key


class SignIns:
    """Every method may raise StorageError."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def tries(self, who: str) -> tuple[Tries, str | None]:
        """What is known of somebody's tries, and its ETag."""
        stored = self._table.get(_PARTITION, _row(who))
        if stored is None:
            return Tries(), None
        known = (float(stored.entity.get(name, 0.0)) for name in ("Since", "Until", "SignedIn"))
        return Tries(int(stored.entity.get("Tries", 0)), *known), stored.etag

    def save(self, who: str, tries: Tries, etag: str | None) -> bool:
        """Save tries, if nobody else has meanwhile."""
        return self._table.put(_entity(who, tries), etag) is not None

    def forgive(self, who: str, now: float) -> None:
        """Forget somebody's wrong tries, since the key was right."""
        self._table.upsert(_entity(who, Tries(since=now, signed_in=now)))

    def open(self, session: str) -> None:
        """A session begins."""
        self._table.upsert({"PartitionKey": _PARTITION, "RowKey": _session(session), "Version": VERSION})

    def is_open(self, session: str) -> bool:
        """Whether a session has begun, and nobody has signed out of it."""
        return self._table.get(_PARTITION, _session(session)) is not None

    def close(self, session: str) -> None:
        """A session ends, in every browser that has its cookie."""
        if stored := self._table.get(_PARTITION, _session(session)):
            self._table.delete(_PARTITION, _session(session), stored.etag)


def _entity(who: str, tries: Tries) -> Entity:
    return {
        "PartitionKey": _PARTITION,
        "RowKey": _row(who),
        "Version": VERSION,
        "Tries": tries.count,
        "Since": tries.since,
        "Until": tries.until,
        "SignedIn": tries.signed_in,
    }


def _row(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


def _session(session: str) -> str:
    return f"session-{_row(session)}"
