"""Azure Storage: connections to the tables, the queues and the blobs of the app, and the stores that use them.

Each store says what it holds: links, notifications, dead_letters, held, sweeps, pins, slots, put_off, sign_ins, search,
queue.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from handlers.clients.activity_record import old_bodies
from handlers.clients.blobs import Blobs
from handlers.clients.dead_letters import DEAD_LETTERS, DeadLetters
from handlers.clients.held import HELD, Held
from handlers.clients.links import LINKS, Links
from handlers.clients.notifications import NOTIFICATIONS, Notifications
from handlers.clients.pins import MAPPINGS, Pins
from handlers.clients.put_off import PutOff
from handlers.clients.queue import POISON_QUEUE, QUEUE, Queue
from handlers.clients.search import ROWS_BLOBS, SearchIndex
from handlers.clients.sign_ins import SignIns
from handlers.clients.slots import SESSIONS, Slots
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, SWEEP_QUEUE, SWEEPS, Sweeps
from handlers.clients.tables import StorageError, Table, untouched_since
from handlers.settings import StorageSettings

if TYPE_CHECKING:
    from azure.data.tables import TableClient
    from azure.storage.blob import ContainerClient
    from azure.storage.queue import QueueClient

ACTIVITY = "Runs"  # handlers.clients.activity
TABLES = (NOTIFICATIONS, LINKS, DEAD_LETTERS, SESSIONS, MAPPINGS, ACTIVITY, HELD, SWEEPS)
ROW_BLOBS = "row-changes"  # a lifecycle rule removes what is older than any message can be
DEAD_LETTER_BLOBS = "dead-letters"
_BODIES_KEPT = timedelta(days=7)
_SENDERS = 32

# Queue and blob clients wait 15 s before their first retry, and add up to 3 s at random, unless told otherwise.
_RETRY = {"retry_total": 2, "initial_backoff": 0.2, "increment_base": 1, "random_jitter_range": 1}


class Storage:
    """All of the app's storage. Safe for many threads; every method may raise handlers.clients.tables.StorageError."""

    def __init__(self, settings: StorageSettings, clock: Callable[[], float] = time.time) -> None:
        # Slow to import, and Azure waits for function_app.py at every start of an instance: so not before the first request.
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415
        from azure.data.tables import TableServiceClient  # noqa: PLC0415
        from azure.storage.queue import QueueClient, TextBase64EncodePolicy  # noqa: PLC0415

        from handlers.clients.connections import session  # noqa: PLC0415
        from handlers.clients.web import trusted  # noqa: PLC0415

        self._settings = settings
        self._clock = clock
        self._making = threading.Lock()
        self._session = session()
        self._transport = RequestsTransport(
            session=self._session, session_owner=False, connection_timeout=5, read_timeout=10, connection_verify=trusted()
        )
        self._containers: dict[str, ContainerClient] = {}
        self._table_service = self._client(TableServiceClient, "table", retry_total=2, retry_backoff_factor=0.2)
        self._queue_clients = {
            name: self._client(QueueClient, "queue", name, message_encode_policy=TextBase64EncodePolicy(), **_RETRY)
            for name in (QUEUE, SWEEP_QUEUE)
        }
        self._made_queues: set[str] = set()
        self._poison_clients = [
            self._client(QueueClient, "queue", name, **_RETRY) for name in (POISON_QUEUE, SWEEP_POISON_QUEUE)
        ]
        self._sender = ThreadPoolExecutor(_SENDERS, thread_name_prefix="sender")

        self.links = Links(self._table(LINKS))
        self.notifications = Notifications(self._table(NOTIFICATIONS))
        self.dead_letters = DeadLetters(self._table(DEAD_LETTERS), self._blobs(DEAD_LETTER_BLOBS), clock)
        self.pins = Pins(self._table(MAPPINGS))
        self.slots = Slots(self._table(SESSIONS))
        self.activity_table = self._table(ACTIVITY)
        self.put_off = PutOff(self.activity_table)
        self.sign_ins = SignIns(self.activity_table)
        self.held = Held(self._table(HELD), self._blobs(ROW_BLOBS))
        self.queue = Queue(partial(self._connect_queue, QUEUE), self._blobs(ROW_BLOBS))
        self.sweeps = Sweeps(self._table(SWEEPS), partial(self._connect_queue, SWEEP_QUEUE))
        self.search = SearchIndex(self.activity_table, partial(self._connect_container, ROWS_BLOBS))

    def close(self) -> None:
        """End the connections and the sender threads."""
        self._sender.shutdown(cancel_futures=True)
        self._session.close()

    def now(self) -> float:
        """Seconds since 1970, by the clock that all of the app uses."""
        return self._clock()

    def in_parallel(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run many calls of this storage at a time; raises the first failure after trying all."""
        futures = [self._sender.submit(call) for call in calls]
        wait(futures)
        for future in futures:
            future.result()

    def check(self) -> None:
        """Raises StorageError unless tables and queue answer."""
        self.slots.load("0")
        self.queue.count()

    def poison_count(self) -> int:
        """About how many messages the host gave up on, and nobody has made dead letters of yet."""
        count = 0
        for client in self._poison_clients:
            with contextlib.suppress(ResourceNotFoundError):  # the host makes the queue when it needs it
                count += client.get_queue_properties().approximate_message_count or 0
        return count

    def purge(self, before: datetime) -> dict[str, int]:
        """Remove what was not touched since `before`; returns how many of each table. Raises the first failure after all.

        What refused requests held is removed after a week in any case. The table of links is scanned as a whole, which may
        outlast the time of one run: so it comes last.
        """
        old, removed, failures = untouched_since(before), dict[str, int](), list[StorageError]()
        refused = max(before, datetime.fromtimestamp(self.now(), UTC) - _BODIES_KEPT)
        tables: dict[str, Callable[[], int]] = {
            NOTIFICATIONS: lambda: self.notifications.purge(old),
            ACTIVITY: lambda: self.activity_table.remove_all(old) + self.activity_table.remove_all(old_bodies(refused)),
            MAPPINGS: lambda: self.pins.purge(old),
            HELD: lambda: self.held.purge(old),
            SWEEPS: lambda: self.sweeps.purge(old),
            LINKS: lambda: self._purge_links(before),
        }
        for name, purge in tables.items():
            try:
                removed[name] = purge()
            except StorageError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return removed

    def _purge_links(self, before: datetime) -> int:
        """Remove settled tombstones that are older than `before` was when the oldest change came that still waits.

        Such a change may be older than the removal, and would bring the row back. One that is overlooked here (under way at
        this moment) is refused as too old, since what may be forgotten is noted first.
        """
        now = self.now()
        waiting = [w.first_sent for w in self.put_off.all(now)]
        if since := self.queue.waiting_since():
            waiting.append(since.timestamp())
        until = before - timedelta(seconds=max(now - min(waiting, default=now), 0.0))
        self.pins.forget(until.timestamp())
        return self.links.purge(untouched_since(until))

    # -- connections -------------------------------------------------------------------------------------------------

    @cached_property
    def _credential(self) -> Any:
        # https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
        from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415  (slow, Azure only)

        if self._settings.credential == "managedidentity":
            return ManagedIdentityCredential(client_id=self._settings.client_id)
        return DefaultAzureCredential()

    def _client(self, client: Any, service: str, *name: str, **options: Any) -> Any:
        """A client of the SDK, by connection string or by identity."""
        from handlers.clients.web import proxies_for  # noqa: PLC0415

        options |= {"transport": self._transport}
        if self._settings.connection_string:
            made = client.from_connection_string(self._settings.connection_string.get_secret_value(), *name, **options)
        else:
            url = f"https://{self._settings.account_name}.{service}.core.windows.net"
            made = client(url, *name, credential=self._credential, **options)
        self._session.proxies.update(proxies_for(made.url))
        return made

    def _table(self, name: str) -> Table:
        return Table(name, self._connect_table)

    def _blobs(self, container: str) -> Blobs:
        return Blobs(partial(self._connect_container, container))

    def _connect_table(self, name: str) -> "TableClient":
        with self._making:  # once, however many threads begin together
            return self._made_tables[name]

    @cached_property
    def _made_tables(self) -> "dict[str, TableClient]":
        for name in TABLES:
            self._table_service.create_table_if_not_exists(name)
        return {name: self._table_service.get_table_client(name) for name in TABLES}

    def _connect_queue(self, name: str) -> "QueueClient":
        client = cast("QueueClient", self._queue_clients[name])
        with self._making:
            if name not in self._made_queues:
                with contextlib.suppress(ResourceExistsError):
                    client.create_queue()
                self._made_queues.add(name)
        return client

    def _connect_container(self, name: str) -> "ContainerClient":
        from azure.storage.blob import ContainerClient  # noqa: PLC0415  (slow; few rows are that large)

        if name in self._containers:
            return self._containers[name]
        container = self._client(ContainerClient, "blob", name, **_RETRY)
        with contextlib.suppress(ResourceExistsError):
            container.create_container()
        return self._containers.setdefault(name, container)
