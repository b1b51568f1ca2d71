"""The queue on Azurite: messages, delays, large rows."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from handlers.clients.blobs import INLINE_BYTES
from handlers.clients.storage import ROW_BLOBS, Storage
from handlers.sync.change import NotARowChange, RowChange, canonical
from tests.clients.storage import CHANGE, received, text_of


def test_messages_hold_the_change(app: Storage, queue: QueueClient) -> None:
    """As base64, which the host expects; they never expire."""
    app.queue.send(CHANGE)
    (message,) = received(queue)
    assert app.queue.read(text_of(message)) == CHANGE
    assert json.loads(text_of(message)) == CHANGE.encode()
    assert message.expires_on == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_delays(app: Storage, queue: QueueClient) -> None:
    """In whole seconds, rounded up; nothing is seen before."""
    app.queue.send(CHANGE, 0.01)
    began = time.monotonic()
    assert received(queue) == []
    while not (messages := received(queue)):
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    assert time.monotonic() - began > 0.5
    assert app.queue.read(text_of(messages[0])) == CHANGE


@pytest.mark.parametrize(("delay", "seen"), [(-5.0, 1), (0.0, 1), (30.0, 0), (1e9, 0)])
def test_delays_that_the_queue_would_refuse(app: Storage, queue: QueueClient, delay: float, seen: int) -> None:
    """Are brought into what it takes: 7 days at most."""
    app.queue.send(CHANGE, delay)
    assert len(received(queue)) == seen
    assert queue.get_queue_properties().approximate_message_count == 1


@pytest.mark.parametrize(("extra", "blobs"), [(0, 0), (1, 1)])
def test_large_messages_are_in_blobs(app: Storage, queue: QueueClient, storage: str, extra: int, blobs: int) -> None:
    """Above 48 KiB of UTF-8, named by their content: the same one again makes no second one."""
    empty = len(canonical(replace(CHANGE, row={"a": "é"}).encode()).encode()) - 2
    length = INLINE_BYTES + extra - empty
    change = replace(CHANGE, row={"a": "é" * (length // 2) + "x" * (length % 2)})
    assert len(canonical(change.encode()).encode()) == INLINE_BYTES + extra
    for _ in range(2):
        app.queue.send(change)
    assert [app.queue.read(text_of(message)) for message in received(queue)] == [change, change]
    with BlobServiceClient.from_connection_string(storage) as service, service.get_container_client(ROW_BLOBS) as container:
        names = [blob.name for blob in container.list_blobs()] if container.exists() else []
    assert len(names) == blobs
    assert all(len(name) == 64 for name in names)


def test_very_large_rows_pass(app: Storage, queue: QueueClient) -> None:
    """Megabytes of them."""
    change = replace(CHANGE, row={"a": "😀" * 1_000_000})
    app.queue.send(change)
    (message,) = received(queue)
    assert len(message.content) < 200
    assert app.queue.read(text_of(message)) == change


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a row change"),
        ('{"v": 99}', "not a row change"),
        ('{"blob": 5}', "not a row change"),
        ('{"blob": ""}', "not a row change"),
        ('{"blob": "../x"}', "not a row change"),
        (f'{{"blob": "{"0" * 64}"}}', "does not exist"),
    ],
)
def test_messages_that_are_no_row_change(app: Storage, text: str, words: str) -> None:
    """Are told apart from storage that fails."""
    with pytest.raises(NotARowChange, match=words):
        app.queue.read(text)


def test_many_messages_in_parallel(app: Storage, queue: QueueClient) -> None:
    """Each once, each with its delay."""
    changes = [replace(CHANGE, key=(f"k{n}",)) for n in range(40)]
    app.in_parallel([partial(app.queue.send, change, 60.0 if n % 2 else 0.0) for n, change in enumerate(changes)])
    found: list[str] = []
    while messages := received(queue):
        found += [app.queue.read(text_of(message)).key[0] for message in messages]
    assert sorted(found) == sorted(change.key[0] for change in changes[::2])
    assert queue.get_queue_properties().approximate_message_count == 40


def test_a_send_that_fails_is_told_after_all_were_tried(
    app: Storage, queue: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notification is not marked as queued then, and comes again."""
    send = app.queue.send

    def failing(change: RowChange, delay: float = 0.0) -> None:
        if change.key == ("k0",):
            raise ConnectionError("no queue")
        send(change, delay)

    monkeypatch.setattr(app.queue, "send", failing)
    with pytest.raises(ConnectionError, match="no queue"):
        app.in_parallel([partial(app.queue.send, replace(CHANGE, key=(f"k{n}",))) for n in range(5)])
    assert sorted(app.queue.read(text_of(message)).key[0] for message in received(queue)) == ["k1", "k2", "k3", "k4"]
