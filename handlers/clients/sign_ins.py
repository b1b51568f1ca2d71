"""Sign-ins at the runs page, in table Runs: tries by address, and sessions that are open."""

from dataclasses import dataclass
from hashlib import sha256

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import UpdateMode

from handlers.clients.storage import Storage

_PARTITION = "access"


@dataclass(frozen=True)
class Tries:
    """Tries to sign in of one address (or of all together); moments in seconds since 1970."""

    count: int = 0
    since: float = 0.0
    until: float = 0.0  # nothing is looked at before
    signed_in: float = 0.0  # when the address has last given the right key


class SignIns:
    """Every method may raise azure.core.exceptions.AzureError."""

    def __init__(self, storage: Storage) -> None:
        self._table = storage.runs

    def tries(self, who: str) -> tuple[Tries, str | None]:
        """What is known of somebody's tries, and its ETag."""
        try:
            entity = self._table.get_entity(_PARTITION, _row(who))
        except ResourceNotFoundError:
            return Tries(), None
        known = Tries(int(entity["Tries"]), float(entity["Since"]), float(entity["Until"]), float(entity["SignedIn"]))
        return known, entity.metadata["etag"]

    def save(self, who: str, tries: Tries, etag: str | None) -> bool:
        """Save tries, if nobody else has meanwhile."""
        entity = {
            "PartitionKey": _PARTITION,
            "RowKey": _row(who),
            "Tries": tries.count,
            "Since": tries.since,
            "Until": tries.until,
            "SignedIn": tries.signed_in,
        }
        try:
            if etag is None:
                self._table.create_entity(entity)
            else:
                self._table.update_entity(
                    entity, mode=UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
                )
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            return False
        return True

    def forgive(self, who: str, now: float) -> None:
        """Forget somebody's wrong tries, since the key was right."""
        entity = {"PartitionKey": _PARTITION, "RowKey": _row(who), "Tries": 0, "Since": now, "Until": 0.0, "SignedIn": now}
        self._table.upsert_entity(entity, mode=UpdateMode.REPLACE)

    def open(self, session: str) -> None:
        """A session begins."""
        self._table.upsert_entity({"PartitionKey": _PARTITION, "RowKey": _row(f"session {session}")})

    def is_open(self, session: str) -> bool:
        """Whether a session has begun, and nobody has signed out of it."""
        try:
            self._table.get_entity(_PARTITION, _row(f"session {session}"))
        except ResourceNotFoundError:
            return False
        return True

    def close(self, session: str) -> None:
        """A session ends, in every browser that has its cookie."""
        self._table.delete_entity(_PARTITION, _row(f"session {session}"))


def _row(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]
