"""Azure Storage: the tables, the queue and the blobs of the app.

PushNotifications     one entity per notification (deduplication), with the keys of its rows
EventLinks            one entity per row and mapping: handlers.sync.link
DeadLetters           one entity per row and mapping that needs a person
AcumaticaSessions     one entity per Acumatica session that the app may have open, and the gate of failed sign-ins
Mappings              the key columns of every mapping name, pinned at its first use
Runs                  what people look at, newest first: handlers.clients.runs
queue row-changes     one message per row change; blobs hold the rows that are too large for it
"""

import contextlib
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceResponseError,
)

from handlers.settings import StorageSettings
from handlers.sync.link import Entry, EventLink, from_state, to_state
from handlers.sync.notification import NotARowChange, RowChange, canonical, load_json

if TYPE_CHECKING:
    from azure.data.tables import TableClient
    from azure.storage.queue import QueueClient

log = logging.getLogger(__name__)

QUEUE = "row-changes"
POISON_QUEUE = "row-changes-poison"
BLOBS = "row-changes"  # a lifecycle rule removes what is older than any message can be
DEAD_LETTER_BLOBS = "dead-letters"
NOTIFICATIONS, LINKS, DEAD_LETTERS = "PushNotifications", "EventLinks", "DeadLetters"
SESSIONS, MAPPINGS, RUNS = "AcumaticaSessions", "Mappings", "Runs"
SIGN_IN = "sign-in"  # what stands beside the slots: how sign-in fares
TABLES = (NOTIFICATIONS, LINKS, DEAD_LETTERS, SESSIONS, MAPPINGS, RUNS)

INLINE_BYTES = 48 * 1024  # base64 makes 64 KiB of it, the most that a queue message may hold
_CHUNK = 16_000  # characters; a string property holds 64 KiB of UTF-16, where some characters take 4 bytes
_STATE_BYTES = 900_000  # an entity holds 1 MiB
_BATCH = 100  # entities in one transaction
_PENDING = 2000
_SENDERS = 32
_BLOB_NAME = re.compile(r"[0-9a-f]{64}")
_DELAY_MAX = 7 * 86_400 - 1  # seconds that a queue message may stay invisible

# Queue and blob clients wait 15 s before their first retry, and add up to 3 s at random, unless told otherwise.
_RETRY = {"retry_total": 2, "initial_backoff": 0.2, "increment_base": 1, "random_jitter_range": 1}

type Entity = dict[str, Any]

_NOWHERE = Entry("", 0)


class StateTooLarge(Exception):
    """The mapped columns of one row do not fit an entity of Table Storage."""


class Storage:
    """All of the app's storage. Safe for many threads; every method may raise azure.core.exceptions.AzureError."""

    def __init__(self, settings: StorageSettings, clock: Callable[[], float] = time.time) -> None:
        # Slow to import, and Azure waits for function_app.py at every start of an instance: so not before the first request.
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415
        from azure.data.tables import TableServiceClient, UpdateMode  # noqa: PLC0415
        from azure.storage.queue import QueueClient, TextBase64EncodePolicy  # noqa: PLC0415

        from handlers.clients.web import Session  # noqa: PLC0415

        self._settings = settings
        self._clock = clock
        self._making = threading.Lock()
        self._whole = UpdateMode.REPLACE  # rather than a merge, the default
        self._session = Session(10)
        self._transport = RequestsTransport(
            session=self._session, session_owner=False, connection_timeout=5, read_timeout=10
        )
        self._containers: dict[str, Any] = {}
        self._table_service = self._client(TableServiceClient, "table", retry_total=2, retry_backoff_factor=0.2)
        self._queue_client = self._client(
            QueueClient, "queue", QUEUE, message_encode_policy=TextBase64EncodePolicy(), **_RETRY
        )
        self._poison_client = self._client(QueueClient, "queue", POISON_QUEUE, **_RETRY)
        self._sender = ThreadPoolExecutor(_SENDERS, thread_name_prefix="sender")

    def close(self) -> None:
        """End the connections and the sender threads."""
        self._sender.shutdown(cancel_futures=True)
        self._session.close()

    # -- notifications ---------------------------------------------------------------------------------------------

    def begin_notification(self, key: str, facts: Entity) -> str:
        """Remember a notification as `receiving`; returns its state: receiving (new, or begun before) or queued."""
        entity = {"PartitionKey": key[:2], "RowKey": key, "State": "receiving", **facts}
        try:
            self._insert(NOTIFICATIONS, entity)
        except ResourceExistsError:
            known = self._get(NOTIFICATIONS, key[:2], key) or {}
            return str(known.get("State", "receiving"))
        return "receiving"

    def notification_queued(self, key: str) -> None:
        """All of a notification's row changes are in the queue."""
        entity = {"PartitionKey": key[:2], "RowKey": key, "State": "queued"}
        self._table(NOTIFICATIONS).upsert_entity(entity)

    def notification(self, key: str) -> Entity | None:
        """What is remembered of a notification; `Keys` is the JSON of its rows' keys."""
        entity = self._get(NOTIFICATIONS, key[:2], key)
        return {**entity, "Keys": _joined(entity, "Keys")} if entity else None

    # -- links -----------------------------------------------------------------------------------------------------

    def load_link(self, key: str) -> tuple[EventLink | None, str | None]:
        """The link and its ETag; (None, None) where the row was never seen."""
        entity = self._get(LINKS, key[:2], key)
        return (from_state(json.loads(_joined(entity, "State"))), entity["ETag"]) if entity else (None, None)

    def save_link(self, link: EventLink, etag: str | None) -> str | None:
        """Save if the stored link still is the one with `etag` (None: if there is none); returns the new ETag, or None.

        A save that was carried out although its answer got lost counts as saved. Raises StateTooLarge.
        """
        state = canonical(to_state(link))
        # The emulator counts the body of an update, where JSON escapes what is not ASCII.
        if max(len(state.encode("utf-16-le")), len(json.dumps(state))) > _STATE_BYTES:
            raise StateTooLarge
        entity = {
            "PartitionKey": link.key[:2],
            "RowKey": link.key,
            "Mapping": link.mapping,
            "Tombstone": not (link.present or link.entries or link.claim or link.buried),
            "LastError": link.last_error[:1000],
            "Mailbox": (link.live or (link.entries or (_NOWHERE,))[-1]).mailbox,
            **split(state, "State"),
        }
        try:
            return self._replace(LINKS, entity, etag)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            pass
        except ServiceResponseError:
            log.warning("no answer to a save of event link %s; looking at what is stored", link.key)
        stored, stored_etag = self.load_link(link.key)
        return stored_etag if stored == link else None

    def links(self) -> Iterator[EventLink]:
        """All links that are stored."""
        for entity in self._table(LINKS).list_entities():
            yield from_state(json.loads(_joined(entity, "State")))

    def links_of(self, mailbox: str, limit: int) -> list[EventLink]:
        """Links whose event is in a mailbox, at most `limit`. Reads the whole table: for people, not for work."""
        found = self._table(LINKS).query_entities("Mailbox eq @mailbox", parameters={"mailbox": mailbox.strip().lower()})
        return [from_state(json.loads(_joined(entity, "State"))) for entity in islice(found, limit)]

    def purge(self, before: datetime) -> dict[str, int]:
        """Remove settled tombstones, notifications and runs not touched since `before`; returns how many of each.

        Transactions are per partition and conditional, so that a link which is used again meanwhile survives.
        """
        old = f"Timestamp lt datetime'{before.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"
        return {
            LINKS: self._remove_all(LINKS, f"{old} and Tombstone eq true"),
            NOTIFICATIONS: self._remove_all(NOTIFICATIONS, old),
            RUNS: self._remove_all(RUNS, old),
        }

    # -- dead letters ----------------------------------------------------------------------------------------------

    def put_dead_letter(
        self, key: str, content: Any, reason: str, remedy: str, facts: Entity, *, timestamp: int = 0
    ) -> None:
        """Keep what a person has to look at: one per key, with the whole change; the one with the newest TimeStamp stays."""
        while True:
            known = self._get(DEAD_LETTERS, key[:2], key) or {}
            if int(known.get("TransactionTimeStamp", "0")) > timestamp:
                return
            entity = self._dead_letter(key, content, reason, remedy, facts, timestamp, known)
            with contextlib.suppress(ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                self._replace(DEAD_LETTERS, entity, known.get("ETag"))
                return

    def _dead_letter(  # noqa: PLR0917
        self, key: str, content: Any, reason: str, remedy: str, facts: Entity, timestamp: int, known: Entity
    ) -> Entity:
        now = _moment(self._clock())
        return {
            "PartitionKey": key[:2],
            "RowKey": key,
            "Reason": reason[:_CHUNK],
            "Remedy": remedy,
            "FirstTime": known.get("FirstTime", now),
            "LastTime": now,
            "Times": known.get("Times", 0) + 1,
            "TransactionTimeStamp": str(timestamp),
            **{name: known[name] for name in ("Resubmitted", "ResubmittedBy") if name in known},
            **facts,
            **split(self._inline(content, DEAD_LETTER_BLOBS), "Content"),
        }

    def clear_dead_letter(self, key: str) -> None:
        """The row is in order again."""
        self._table(DEAD_LETTERS).delete_entity(key[:2], key)

    def dead_letters(self) -> Iterator[Entity]:
        """All dead letters; `Content` is the JSON of the change (or the text of an unreadable message)."""
        for entity in self._table(DEAD_LETTERS).list_entities():
            facts = {name: value for name, value in entity.items() if not name.startswith("Content")}
            yield facts | {"Content": _joined(entity, "Content")}

    def dead_letter_facts(self, limit: int) -> list[Entity]:
        """What is known of dead letters, without their content; at most `limit`."""
        names = ["Reason", "Remedy", "Mapping", "Key", "NotificationId", "TransactionTimeStamp", "FirstTime", "LastTime"]
        names += ["Times", "Tries", "Resubmitted", "ResubmittedBy"]
        found = self._table(DEAD_LETTERS).list_entities(select=["PartitionKey", "RowKey", *names])
        return [dict(entity) for entity in islice(found, limit)]

    def count_dead_letters(self, limit: int) -> int:
        """How many there are; counting stops at `limit`."""
        return sum(1 for _ in islice(self._table(DEAD_LETTERS).list_entities(select=["PartitionKey"]), limit))

    def dead_letter(self, key: str) -> Entity | None:
        """One dead letter, with its ETag."""
        entity = self._get(DEAD_LETTERS, key[:2], key)
        return {**entity, "Content": _joined(entity, "Content")} if entity else None

    def mark_dead_letter(self, key: str, facts: Entity) -> None:
        """Add facts to a dead letter, if it is still there."""
        with contextlib.suppress(ResourceNotFoundError):
            self._table(DEAD_LETTERS).update_entity({"PartitionKey": key[:2], "RowKey": key, **facts})

    def discard_dead_letter(self, key: str, etag: str) -> bool:
        """Remove a dead letter, unless it is another one by now."""
        try:
            self._table(DEAD_LETTERS).delete_entity(key[:2], key, etag=etag, match_condition=MatchConditions.IfNotModified)
        except (ResourceModifiedError, ResourceNotFoundError):
            return False
        return True

    def content_of(self, letter: Entity) -> str:
        """The content of a dead letter, wherever it is kept."""
        text = str(letter["Content"])
        name = re.fullmatch(r'\{"blob":"([0-9a-f]{64})"\}', text)
        return self._blob(DEAD_LETTER_BLOBS, name[1]).download_blob().readall().decode() if name else text

    # -- mappings --------------------------------------------------------------------------------------------------

    def pinned_key(self, mapping: str, key: list[str], *, pin: bool = True) -> list[str]:
        """The key columns that belong to a mapping's name, which are `key` (from now on: `pin`) if it was never used."""
        row_key = sha256(mapping.encode()).hexdigest()
        if not (known := self._get(MAPPINGS, "mapping", row_key)) and pin:
            try:
                self._insert(
                    MAPPINGS, {"PartitionKey": "mapping", "RowKey": row_key, "Name": mapping, "Key": json.dumps(key)}
                )
            except ResourceExistsError:
                known = self._get(MAPPINGS, "mapping", row_key)
        return list(json.loads(known["Key"])) if known else key

    # -- queue -----------------------------------------------------------------------------------------------------

    def send(self, change: RowChange, delay: float = 0.0) -> None:
        """Put one change into the queue, to be seen after `delay` seconds. It never expires."""
        self._queue.send_message(
            self._inline(change.encode()), visibility_timeout=min(max(math.ceil(delay), 0), _DELAY_MAX), time_to_live=-1
        )

    def in_parallel(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run many calls of this storage at a time; raises the first failure after trying all."""
        futures = [self._sender.submit(call) for call in calls]
        wait(futures)
        for future in futures:
            future.result()

    def read_message(self, text: str) -> RowChange:
        """The change that a message of the queue holds. Raises NotARowChange."""
        try:
            data = load_json(text)
            if isinstance(data, dict) and _BLOB_NAME.fullmatch(str(data.get("blob"))):
                data = load_json(self._blob(BLOBS, data["blob"]).download_blob().readall().decode())
        except ValueError as error:
            raise NotARowChange(f"the message is not JSON: {error}") from None
        except ResourceNotFoundError:
            raise NotARowChange("the blob that the message names does not exist (any more)") from None
        return RowChange.decode(data)

    def _inline(self, content: Any, container: str = BLOBS) -> str:
        text = content if isinstance(content, str) else canonical(content)
        data = text.encode()
        if len(data) <= INLINE_BYTES:
            return text
        name = sha256(data).hexdigest()
        self._blob(container, name).upload_blob(data, overwrite=True)
        return canonical({"blob": name})

    # -- sessions --------------------------------------------------------------------------------------------------

    def load_slot(self, name: str) -> tuple[Entity, str | None]:
        """A session slot (or the sign-in gate) and its ETag; ({}, None) before its first use."""
        entity = self._get(SESSIONS, "slot", name)
        return (json.loads(_joined(entity, "State")), entity["ETag"]) if entity else ({}, None)

    def slots(self) -> dict[str, tuple[Entity, str | None]]:
        """All slots (and the gate) that were ever used, with their ETags."""
        found = self._table(SESSIONS).query_entities("PartitionKey eq 'slot'")
        return {e["RowKey"]: (json.loads(_joined(e, "State")), e.metadata["etag"]) for e in found}

    def save_slot(self, name: str, state: Entity, etag: str | None) -> str | None:
        """Save a slot if nobody else has; returns the new ETag, or None. A save whose answer got lost counts as saved."""
        text = canonical(state)
        try:
            return self._replace(SESSIONS, {"PartitionKey": "slot", "RowKey": name, **split(text, "State")}, etag)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError, ServiceResponseError):
            stored, stored_etag = self.load_slot(name)
            return stored_etag if stored == state else None

    # -- health ----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since 1970, by the clock that all of the app uses."""
        return self._clock()

    def waiting(self) -> tuple[int, datetime | None]:
        """About how many messages are in the queue, and since when the first of those that can be seen is there."""
        count = self._queue.get_queue_properties().approximate_message_count or 0
        return count, self.waiting_since() if count else None

    def waiting_since(self) -> datetime | None:
        """When the first message that can be seen was put into the queue; None if there is none."""
        seen = self._queue.peek_messages(max_messages=1)
        return seen[0].inserted_on if seen else None

    def count_poison(self) -> int:
        """About how many messages the host gave up on, and nobody has made dead letters of yet."""
        try:
            return self._poison_client.get_queue_properties().approximate_message_count or 0
        except ResourceNotFoundError:
            return 0  # the host makes the queue when it needs it

    def sign_in_failures(self) -> int:
        """How often in a row sign-in to Acumatica has failed."""
        gate, _ = self.load_slot(SIGN_IN)
        return int(gate.get("failures", 0))

    @property
    def runs(self) -> "TableClient":
        """The table of handlers.clients.runs."""
        return self._table(RUNS)

    def check(self) -> None:
        """Raises AzureError unless tables and queue answer."""
        self._get(SESSIONS, "slot", "0")
        self._queue.get_queue_properties()

    # -- below -----------------------------------------------------------------------------------------------------

    @cached_property
    def _credential(self) -> Any:
        # https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
        from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415  (slow, Azure only)

        if self._settings.credential == "managedidentity":
            return ManagedIdentityCredential(client_id=self._settings.client_id)
        return DefaultAzureCredential()

    def _client(self, client: Any, service: str, *name: str, **options: Any) -> Any:
        """A client of the SDK, by connection string or by identity."""
        options |= {"transport": self._transport}
        if self._settings.connection_string:
            return client.from_connection_string(self._settings.connection_string.get_secret_value(), *name, **options)
        url = f"https://{self._settings.account_name}.{service}.core.windows.net"
        return client(url, *name, credential=self._credential, **options)

    @property
    def _tables(self) -> "dict[str, TableClient]":
        with self._making:  # once, however many threads begin together
            return self._made_tables

    @cached_property
    def _made_tables(self) -> "dict[str, TableClient]":
        for name in TABLES:
            self._table_service.create_table_if_not_exists(name)
        return {name: self._table_service.get_table_client(name) for name in TABLES}

    @property
    def _queue(self) -> "QueueClient":
        with self._making:
            return self._made_queue

    @cached_property
    def _made_queue(self) -> "QueueClient":
        with contextlib.suppress(ResourceExistsError):
            self._queue_client.create_queue()
        return cast("QueueClient", self._queue_client)

    def _container(self, name: str) -> Any:
        from azure.storage.blob import ContainerClient  # noqa: PLC0415  (slow; few rows are that large)

        if name in self._containers:
            return self._containers[name]
        container = self._client(ContainerClient, "blob", name, **_RETRY)
        with contextlib.suppress(ResourceExistsError):
            container.create_container()
        return self._containers.setdefault(name, container)

    def _blob(self, container: str, name: str) -> Any:
        return self._container(container).get_blob_client(name)

    def _table(self, name: str) -> "TableClient":
        return self._tables[name]

    def _get(self, table: str, partition: str, row: str) -> Entity | None:
        try:
            entity = self._table(table).get_entity(partition, row)
        except ResourceNotFoundError:
            return None
        return {**entity, "ETag": entity.metadata["etag"]}

    def _insert(self, table: str, entity: Entity) -> str:
        """Insert; a lost answer is asked for once more, when the entity that is there then may be the own one."""
        try:
            return str(self._table(table).create_entity(entity)["etag"])
        except ServiceResponseError:
            return str(self._table(table).create_entity(entity)["etag"])

    def _replace(self, table: str, entity: Entity, etag: str | None) -> str:
        if etag is None:
            return str(self._table(table).create_entity(entity)["etag"])
        answer = self._table(table).update_entity(
            entity, mode=self._whole, etag=etag, match_condition=MatchConditions.IfNotModified
        )
        return str(answer["etag"])

    def _remove_all(self, table: str, condition: str) -> int:
        client = self._table(table)
        removed = 0
        batches: dict[str, list[Any]] = {}

        def flush(partition: str) -> int:
            batch = batches.pop(partition)
            operations = [
                ("delete", entity, {"etag": entity.metadata["etag"], "match_condition": MatchConditions.IfNotModified})
                for entity in batch
            ]
            try:
                client.submit_transaction(operations)
            except HttpResponseError as error:  # one of them was used again: the rest waits for the next purge
                log.info("purge of %s left %d entities for later: %s", table, len(batch), error.status_code)
                return 0
            return len(batch)

        for entity in client.query_entities(condition, select=["PartitionKey", "RowKey"]):
            batch = batches.setdefault(entity["PartitionKey"], [])
            batch.append(entity)
            if len(batch) == _BATCH:
                removed += flush(entity["PartitionKey"])
            elif sum(map(len, batches.values())) >= _PENDING:  # progress that counts, should this run be cut short
                removed += sum(flush(partition) for partition in list(batches))
        for partition in list(batches):
            removed += flush(partition)
        return removed


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def split(text: str, name: str) -> Entity:
    """A long text as several properties: a string property holds 64 KiB only."""
    return {f"{name}{i}": text[at : at + _CHUNK] for i, at in enumerate(range(0, len(text), _CHUNK))}


def _joined(entity: Entity, name: str) -> str:
    parts = sorted(
        (int(key[len(name) :]), value)
        for key, value in entity.items()
        if key.startswith(name) and key[len(name) :].isdigit()
    )
    return "".join(value for _, value in parts)
