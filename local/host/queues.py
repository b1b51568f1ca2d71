"""Storage queues: triggers, poison queues and output bindings.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger
What that page leaves open is taken from the host's source: https://github.com/Azure/azure-sdk-for-net, folder
sdk/storage/Microsoft.Azure.WebJobs.Extensions.Storage.Queues.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import logging
import random
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError

from local.host.config import ConfigError, QueueOptions, resolve
from local.host.invocations import Invocations
from local.host.storage import Account, Message, Queue, account_of
from local.host.worker import Binding, Data, Function

log = logging.getLogger("host")

# The shortest pause between two looks into an empty queue, in seconds.
SHORTEST_POLL = 0.1


class Queues:
    """The queues of the storage accounts that the app's bindings name."""

    def __init__(self, settings: Mapping[str, str], options: QueueOptions) -> None:
        self._settings = settings
        self._options = options
        self._services: dict[str, Account] = {}
        self._credentials: list[Any] = []
        self._listeners: dict[tuple[str, str], asyncio.Event] = {}

    def queue(self, connection: str, name: str) -> Queue:
        """Return the client of a queue; `connection` is the name of the setting, or "" for the app's own storage."""
        connection = connection or "AzureWebJobsStorage"
        if connection not in self._services:
            self._services[connection] = self._service(connection)
        return Queue(self._services[connection], name)

    def _service(self, connection: str) -> Account:
        """Connect by connection string or by identity.

        https://learn.microsoft.com/azure/azure-functions/functions-reference#configure-an-identity-based-connection
        """
        for name in (connection, f"AzureWebJobs{connection}"):
            if text := self._settings.get(name):
                try:
                    return account_of(text)
                except ValueError as error:
                    raise ConfigError(f"The app setting {name} is no connection string: {error}") from error
            account = self._settings.get(f"{name}__accountName")
            default = f"https://{account}.queue.core.windows.net" if account else ""
            if uri := self._settings.get(f"{name}__queueServiceUri", default):
                return Account(uri, credential=self._credential(name))
        raise ConfigError(f"A binding needs the app setting {connection} (or {connection}__queueServiceUri).")

    def _credential(self, name: str) -> Any:
        from azure.identity import aio as identity  # noqa: PLC0415 - slow to import, and rarely needed

        client_id = self._settings.get(f"{name}__clientId")
        if self._settings.get(f"{name}__credential") == "managedidentity":
            credential: Any = identity.ManagedIdentityCredential(client_id=client_id)
        else:
            credential = identity.DefaultAzureCredential(managed_identity_client_id=client_id)
        self._credentials.append(credential)
        return credential

    def resolve(self, binding: Binding) -> tuple[str, str]:
        """Return the connection and the queue that a binding names."""
        return binding.get("connection") or "", resolve(binding["queueName"], self._settings)

    def arrivals(self, connection: str, name: str) -> asyncio.Event:
        """Return the event that is set when this host puts a message into that queue."""
        return self._listeners.setdefault((connection, name), asyncio.Event())

    def decode(self, content: str) -> bytes:
        """Return the text of a message as the function shall see it; raise ValueError when it is not encoded right."""
        return base64.b64decode(content, validate=True) if self._options.base64 else content.encode()

    async def deliver(self, binding: Binding, data: Data) -> None:
        """Send what a function gave to a queue output binding."""
        connection, name = self.resolve(binding)
        for message in output_messages(data):
            content = base64.b64encode(message).decode() if self._options.base64 else message.decode()
            await self.send(connection, name, content)

    async def send(self, connection: str, name: str, content: str) -> None:
        """Send a message as it is; make the queue when there is none."""
        queue = self.queue(connection, name)
        try:
            await queue.send(content)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                await queue.create()
            await queue.send(content)
        self.arrivals(connection, name).set()

    async def close(self) -> None:
        """Close the connections."""
        for client in (*self._services.values(), *self._credentials):
            await client.close()


def output_messages(data: Data) -> list[bytes]:
    """Return the messages that the host makes of an output: text that looks like JSON is read, an array is many."""
    if data.kind == "bytes":
        return [data.value]
    value = data.value
    if data.kind == "json" or (isinstance(value, str) and re.fullmatch(r"\s*(\{.*\}|\[.*\])\s*", value, re.DOTALL)):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    return [
        (item if isinstance(item, str) else json.dumps(item, indent=2, ensure_ascii=False)).encode()
        for item in (value if isinstance(value, list) else [value])
    ]


def trigger_metadata(message: Message, text: str) -> dict[str, Data]:
    """Return what a function is told of its message; properties of a JSON message override it, in any case of letters.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#message-metadata
    https://learn.microsoft.com/azure/azure-functions/functions-bindings-expressions-patterns#json-payloads
    """

    def moment(value: datetime | None) -> Data:
        return Data("json", json.dumps((value or datetime.max.replace(tzinfo=UTC)).isoformat()))

    metadata = {
        "QueueTrigger": Data("string", text),
        "Id": Data("string", message.id),
        "DequeueCount": Data("json", json.dumps(message.dequeue_count)),
        "PopReceipt": Data("string", message.pop_receipt),
        "InsertionTime": moment(message.inserted_on),
        "ExpirationTime": moment(message.expires_on),
        "NextVisibleTime": moment(message.next_visible_on),
    }
    names = {name.lower(): name for name in metadata}
    for name, value in _json_properties(text).items():
        if value is not None and not isinstance(value, list):
            data = Data("string", value) if isinstance(value, str) else Data("json", json.dumps(value))
            metadata[names.get(name.lower(), name)] = data
    return metadata


def _json_properties(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def message_by_hand(text: str) -> Message:
    """Return a message that was never in a queue, for a function that is fired by hand."""
    now = datetime.now(UTC)
    return Message(str(uuid.uuid4()), text, "by hand", 1, now, None, now)


class QueueListener:
    """Fetches the messages of one queue and runs its function with them."""

    def __init__(
        self,
        function: Function,
        queues: Queues,
        options: QueueOptions,
        invocations: Invocations,
        *,
        fetch_visibility: float,
    ) -> None:
        """Take for how many seconds a fetched message is invisible to others; 10 minutes in Azure."""
        self._function = function
        self._queues = queues
        self._options = options
        self._invocations = invocations
        self._fetch_visibility = fetch_visibility
        self._connection, self.name = queues.resolve(function.trigger)
        self._queue = queues.queue(self._connection, self.name)
        # A queue of that name has no poison queue of its own.
        self._poison = None if self.name.endswith("-poison") else f"{self.name}-poison"
        self._arrivals = queues.arrivals(self._connection, self.name)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._storage_is_away = False

    async def run(self) -> None:
        """Fetch until cancelled. Messages that were fetched are finished all the same."""
        empty_looks = 0
        while True:
            self._arrivals.clear()
            # A fetch under way is finished even when this is cancelled, or its messages would stay invisible for long.
            if await asyncio.shield(self._invocations.begin(self._fetch())):
                empty_looks = 0
                while len(self._in_flight) > self._options.threshold:
                    await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            else:
                empty_looks += 1
                await self._pause(empty_looks)

    async def _pause(self, empty_looks: int) -> None:
        """Wait ever longer, up to maxPollingInterval, unless this host itself sends a message to the queue.

        https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger#polling-algorithm
        """
        pause = SHORTEST_POLL * (2 ** min(empty_looks, 20) - 1) * random.uniform(0.8, 1.2)
        pause = max(SHORTEST_POLL, min(pause, self._options.max_polling_interval))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrivals.wait(), pause)

    async def _fetch(self) -> bool:
        """Fetch one batch and begin with its messages; return whether there were any."""
        try:
            messages = await self._queue.receive(self._options.batch_size, int(self._fetch_visibility))
        except ResourceNotFoundError:
            messages = []  # a queue that is not there yet is an empty queue
        except Exception as error:  # noqa: BLE001 - whatever it is, a listener never gives up
            if not self._storage_is_away:
                self._storage_is_away = True
                log.warning("The queue %s cannot be reached; the host keeps trying. %s", self.name, _first_line(error))
            return False
        if self._storage_is_away:
            self._storage_is_away = False
            log.warning("The queue %s can be reached again.", self.name)
        for message in messages:
            task = self._invocations.begin(self._process(message))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        return bool(messages)

    async def fire(self, text: str) -> None:
        """Run the function with a text as its message."""
        await self._invocations.run(self._function, Data("string", text), trigger_metadata(message_by_hand(text), text))

    async def _process(self, message: Message) -> None:
        try:
            try:
                text = self._queues.decode(message.content).decode(errors="replace")
            except (binascii.Error, ValueError):
                if self._poison:
                    log.warning("A message in queue '%s' is not base64; it is moved to '%s'.", self.name, self._poison)
                    await self._move_to_poison(message)
                return
            if self._poison and message.dequeue_count > self._options.max_dequeue_count:
                await self._give_up(message)
                return
            await self._run_and_settle(message, text)
        except AzureError as error:
            # The message becomes visible again when its time is over.
            log.warning("A message of queue %s could not be settled. %s", self.name, _first_line(error))

    async def _run_and_settle(self, message: Message, text: str) -> None:
        done = asyncio.Event()
        renewal = asyncio.create_task(self._keep_invisible(message, done))
        try:
            answer = await self._invocations.run(self._function, Data("string", text), trigger_metadata(message, text))
        finally:
            done.set()
            await renewal
        if answer:
            await self._delete(message)
        elif not self._poison:
            pass  # left invisible, so that it is not tried over and over without a pause
        elif message.dequeue_count >= self._options.max_dequeue_count:
            await self._give_up(message)
        else:
            await self._update(message, self._options.visibility_timeout)

    async def _keep_invisible(self, message: Message, done: asyncio.Event) -> None:
        """Renew the invisibility at half time, as long as the function runs."""
        pause = self._fetch_visibility / 2
        while True:
            try:
                await asyncio.wait_for(done.wait(), pause)
            except TimeoutError:
                try:
                    await self._update(message, self._fetch_visibility)
                    pause = self._fetch_visibility / 2
                except AzureError:
                    pause = self._fetch_visibility / 10
            else:
                return

    async def _give_up(self, message: Message) -> None:
        log.warning(
            "Message has reached MaxDequeueCount of %s. Moving message to queue '%s'.",
            self._options.max_dequeue_count,
            self._poison,
        )
        await self._move_to_poison(message)

    async def _move_to_poison(self, message: Message) -> None:
        if self._poison:
            await self._queues.send(self._connection, self._poison, message.content)
            await self._delete(message)

    async def _delete(self, message: Message) -> None:
        with _unless_taken_over():
            await self._queue.delete(message)

    async def _update(self, message: Message, visibility: float) -> None:
        with _unless_taken_over():
            await self._queue.update(message, int(visibility))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


@contextlib.contextmanager
def _unless_taken_over() -> Iterator[None]:
    """Ignore that a message is gone, or that somebody else has fetched it since."""
    try:
        yield
    except HttpResponseError as error:
        if getattr(error, "error_code", None) not in {"MessageNotFound", "PopReceiptMismatch", "QueueNotFound"}:
            raise
        log.debug("A message was settled by somebody else. %s", error)
