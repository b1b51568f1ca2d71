"""Function apps to run, and the means to look at what they did."""

import base64
import http.client
import json
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from local.host import HostProcess, start

# Queues are looked into often, and failed messages come back at once, unless a test says otherwise.
HOST_JSON = {"version": "2.0", "extensions": {"queues": {"maxPollingInterval": "00:00:00.2"}}}


class StartApp(Protocol):
    """Writes a function_app.py (after the usual imports) and a host.json, and starts the host with them."""

    def __call__(self, source: str, host_json: Mapping[str, Any] = HOST_JSON, **options: Any) -> HostProcess: ...


def write_app(folder: Path, source: str, host_json: Mapping[str, Any] = HOST_JSON) -> Path:
    """Write a function app; `app`, `func` and `logging` are there for it."""
    head = "import logging\n\nimport azure.functions as func\n\napp = func.FunctionApp()\n"
    folder.mkdir(exist_ok=True)
    (folder / "function_app.py").write_text(head + textwrap.dedent(source), encoding="utf-8")
    (folder / "host.json").write_text(json.dumps(host_json), encoding="utf-8")
    return folder


@pytest.fixture
def start_app(tmp_path: Path, storage: str) -> Iterator[StartApp]:
    """Start hosts that end with the test, on storage of the test's own."""
    with ExitStack() as hosts:

        def start_one(source: str, host_json: Mapping[str, Any] = HOST_JSON, **options: Any) -> HostProcess:
            app = write_app(tmp_path / "app", source, host_json)
            settings = {"AzureWebJobsStorage": storage} | options.pop("env", {})
            return hosts.enter_context(start(app=app, env=settings, **options))

        yield start_one


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def call(host: HostProcess, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a request as it is: no key, no header of our own."""
    with closing(http.client.HTTPConnection("127.0.0.1", host.port, timeout=10)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def until[T](look: Callable[[], T], seconds: float = 15) -> T:
    """Look again and again until there is something true to see; fail after a while."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {seconds:g} s.")
        time.sleep(0.02)
    return seen


class Queue:
    """A queue of a test's storage."""

    def __init__(self, storage: str, name: str) -> None:
        self._client = QueueClient.from_connection_string(storage, name)

    def create(self) -> None:
        """Create it."""
        self._client.create_queue()

    def send(self, text: str) -> None:
        """Send a message as the host expects it, in base64."""
        self.send_raw(base64.b64encode(text.encode()).decode())

    def send_raw(self, content: str) -> None:
        """Send a message as it is."""
        self._client.send_message(content)

    def peek(self) -> list[str]:
        """Return the visible messages as they are; none when there is no queue."""
        try:
            return [message.content for message in self._client.peek_messages(32)]
        except ResourceNotFoundError:
            return []

    def texts(self) -> list[str]:
        """Return the visible messages, decoded."""
        return [base64.b64decode(content).decode() for content in self.peek()]

    def count(self) -> int:
        """Return how many messages there are, invisible ones included."""
        return self._client.get_queue_properties().approximate_message_count or 0


@pytest.fixture
def queue(storage: str) -> Iterator[Callable[[str], Queue]]:
    """Open queues of the test's storage by name."""
    with ExitStack() as clients:

        def open_queue(name: str) -> Queue:
            opened = Queue(storage, name)
            clients.enter_context(opened._client)
            return opened

        yield open_queue
