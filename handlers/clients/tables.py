"""One table of Table Storage: entities with their ETags, conditional writes, and texts that are too long for a property.

A write whose answer got lost is looked at, and counts as ours if what is stored is what was written.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import batched, islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

if TYPE_CHECKING:
    from azure.data.tables import TableClient, UpdateMode

log = logging.getLogger(__name__)

type Entity = dict[str, Any]
StorageError = AzureError  # whatever storage may raise

CHUNK = 16_000  # characters; a string property holds 64 KiB of UTF-16, where some characters take 4 bytes
# https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
BATCH = 100  # entities in one transaction
_PENDING = 2000
_TRIES = 20  # of a change that others make too

_CONFLICTS = (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError)


class Stored(NamedTuple):
    """An entity as it was read."""

    entity: Entity
    etag: str


class Contended(AzureError):
    """Others change the entity all the time; later it will work."""


def untouched_since(moment: datetime) -> str:
    """The condition of what nobody has written since."""
    return f"Timestamp lt datetime'{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"


def is_away(error: AzureError) -> bool:
    """Whether storage cannot be used now, as opposed to: it refused what it was asked."""
    return (
        not isinstance(error, HttpResponseError)
        or (error.status_code or 500) >= 500
        or error.status_code in {401, 403, 408, 429}
    )


def in_words(error: AzureError) -> tuple[str, str]:
    """Why storage cannot be used, and the remedy. Neither holds an address: a connection string may stand in one."""
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return "nothing answers at its address", (
            "Check AzureWebJobsStorage, and the network between. On one machine it is Azurite, which has to be running: "
            "`make run` starts it, and ends it again."
        )
    if isinstance(error, HttpResponseError) and error.status_code in {401, 403}:
        return f"it refuses the app ({type(error).__name__})", (
            "Check AzureWebJobsStorage and the roles of the app's identity: Storage Blob Data Owner, Storage Queue Data "
            "Contributor, Storage Table Data Contributor."
        )
    return f"it cannot be used ({type(error).__name__})", (
        "Check AzureWebJobsStorage, and whether the storage account is in order."
    )


class Table:
    """A table by its name; `connect` gives the SDK's client at the first use. Every method may raise StorageError."""

    def __init__(self, name: str, connect: "Callable[[str], TableClient]") -> None:
        self.name = name
        self._connect = connect

    def get(self, partition: str, row: str) -> Stored | None:
        """One entity."""
        try:
            return _stored(self._client.get_entity(partition, row))
        except ResourceNotFoundError:
            return None

    def insert(self, entity: Entity) -> str | None:
        """The new ETag; None where there is one already, which may be this one if an answer got lost."""
        try:
            try:
                return str(self._client.create_entity(entity)["etag"])
            except ServiceResponseError:
                return str(self._client.create_entity(entity)["etag"])
        except ResourceExistsError:
            return None

    def put(self, entity: Entity, etag: str | None) -> str | None:
        """Replace the entity that has `etag`, or insert where that is none; the new ETag, or None if others were faster."""
        partition, row = entity["PartitionKey"], entity["RowKey"]
        try:
            return self._replace(entity, etag)
        except _CONFLICTS:
            pass
        except ServiceResponseError:
            log.warning("no answer to a write of %s in %s; looking at what is stored", row[:16], self.name)
        stored = self.get(partition, row)
        return stored.etag if stored and stored.entity == entity else None

    def change(self, partition: str, row: str, changed: Callable[[Entity | None], Entity | None]) -> None:
        """Read, change and put, again where others were faster. `changed` gives the properties; None leaves all as it is.

        Raises Contended.
        """
        for _ in range(_TRIES):
            stored = self.get(partition, row)
            new = changed(dict(stored.entity) if stored else None)
            if new is None or self.put({**new, "PartitionKey": partition, "RowKey": row}, stored.etag if stored else None):
                return
        raise Contended(f"{row[:16]} in {self.name} is being changed by others")

    def merge(self, entity: Entity) -> bool:
        """Add properties to an entity; False if it is not there."""
        try:
            self._client.update_entity(entity)
        except ResourceNotFoundError:
            return False
        return True

    def upsert(self, entity: Entity) -> None:
        """Add properties to an entity, or insert it."""
        self._client.upsert_entity(entity)

    def upsert_all(self, entities: Sequence[Entity]) -> None:
        """The same for up to 100 entities of one partition: all or none."""
        self._client.submit_transaction([("upsert", entity) for entity in entities])

    def delete(self, partition: str, row: str, etag: str) -> bool:
        """Remove the entity that has `etag`; False if it is another one by now. One that is gone already is removed."""
        try:
            self._client.delete_entity(partition, row, etag=etag, match_condition=MatchConditions.IfNotModified)
        except ResourceModifiedError:
            return False
        return True

    def query(
        self,
        condition: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        select: Iterable[str] = (),
        limit: int | None = None,
    ) -> Iterator[Stored]:
        """Entities in the order of their keys, at most `limit`; only the properties in `select`, if it names any."""
        wanted = ["PartitionKey", "RowKey", *select] if select else None
        if condition:
            found = self._client.query_entities(condition, select=wanted, parameters=dict(parameters or {}))
        else:
            found = self._client.list_entities(select=wanted)
        return map(_stored, islice(found, limit))

    def pages(self, condition: str, parameters: Mapping[str, Any], size: int) -> Iterator[Iterator[Stored]]:
        """Entities page by page, each of which is one request and may be short although others follow."""
        found = self._client.query_entities(condition, parameters=dict(parameters), results_per_page=size)
        return (map(_stored, page) for page in found.by_page())

    def remove_all(self, condition: str) -> int:
        """Remove what fits a condition, in conditional transactions of each partition; returns how many.

        What is used again meanwhile survives, and with it what shares its transaction, until the next time.
        """
        removed = 0
        batches: dict[str, list[Stored]] = {}
        for stored in self.query(condition, select=("PartitionKey",)):
            partition = stored.entity["PartitionKey"]
            batch = batches.setdefault(partition, [])
            batch.append(stored)
            if len(batch) == BATCH:
                removed += self._remove(batches.pop(partition))
            elif sum(map(len, batches.values())) >= _PENDING:  # progress that counts, should this run be cut short
                removed += sum(self._remove(batches.pop(partition)) for partition in list(batches))
        return removed + sum(map(self._remove, batches.values()))

    def remove_these(self, entities: Iterable[Stored]) -> int:
        """Remove entities as they were read, in transactions of each partition; returns how many."""
        partitions: dict[str, list[Stored]] = {}
        for stored in entities:
            partitions.setdefault(stored.entity["PartitionKey"], []).append(stored)
        return sum(self._remove(list(batch)) for some in partitions.values() for batch in batched(some, BATCH, strict=False))

    @property
    def _client(self) -> "TableClient":
        return self._connect(self.name)

    def _replace(self, entity: Entity, etag: str | None) -> str:
        if etag is None:
            return str(self._client.create_entity(entity)["etag"])
        # The SDK's enumeration is slow to import, and its members are texts; a merge would be the default.
        mode = cast("UpdateMode", "replace")
        answer = self._client.update_entity(entity, mode, etag=etag, match_condition=MatchConditions.IfNotModified)
        return str(answer["etag"])

    def _remove(self, batch: list[Stored]) -> int:
        unchanged = MatchConditions.IfNotModified
        operations = [("delete", entity, {"etag": etag, "match_condition": unchanged}) for entity, etag in batch]
        try:
            self._client.submit_transaction(operations)
        except HttpResponseError as error:
            log.info("purge of %s left %d entities for later: %s", self.name, len(batch), error.status_code)
            return 0
        return len(batch)


def split(text: str, name: str) -> Entity:
    """A long text as several properties."""
    return {f"{name}{i}": text[at : at + CHUNK] for i, at in enumerate(range(0, len(text), CHUNK))}


def joined(entity: Entity, name: str) -> str:
    """The reverse of `split`."""
    numbers = (key[len(name) :] for key in entity if key.startswith(name))
    return "".join(entity[f"{name}{i}"] for i in sorted(int(number) for number in numbers if number.isdigit()))


def _stored(entity: Any) -> Stored:
    return Stored(dict(entity), str(entity.metadata["etag"]))
