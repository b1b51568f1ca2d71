"""Storage on Azurite: conditional saves, answers that get lost, sizes, the queue, dead letters, pins and the purge."""

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from handlers.clients.storage import (
    BLOBS,
    DEAD_LETTERS,
    INLINE_BYTES,
    LINKS,
    NOTIFICATIONS,
    QUEUE,
    RUNS,
    TABLES,
    StateTooLarge,
    Storage,
)
from handlers.settings import StorageSettings, load_settings
from handlers.sync.change import NotARowChange, RowChange, canonical
from handlers.sync.link import Claim, Column, Entry, EventLink, Version

CHANGE = RowChange("P", "m", ("A",), 639055764123456781, {"Subject": "Ä😀"}, "n", 1770000000.25)
LINK = EventLink("P", "m", ("A",), version=Version(1, present=True, row_hash="h"), columns={"a": Column(1, "x")})
TOMBSTONE = replace(LINK, version=Version(2, present=False, row_hash=""), columns={})
SOON = timedelta(minutes=5)
UNICODE = "a/b\\c#d?e%f 'g' \"h\" Ä会議😀\u0000\u0001\n"


def open_storage(connection_string: str, clock: Callable[[], float] = time.time) -> Storage:
    return Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection_string}), clock)


@pytest.fixture
def app(storage: str) -> Iterator[Storage]:
    with closing(open_storage(storage)) as opened:
        yield opened


@pytest.fixture
def queue(storage: str) -> Iterator[QueueClient]:
    with QueueClient.from_connection_string(storage, QUEUE) as client:
        yield client


@pytest.fixture
def tables(storage: str) -> Iterator[TableServiceClient]:
    with TableServiceClient.from_connection_string(storage) as client:
        yield client


def entities(tables: TableServiceClient, name: str) -> list[dict[str, Any]]:
    return [dict(entity) for entity in tables.get_table_client(name).list_entities()]


def received(queue: QueueClient) -> list[Any]:
    """All messages that can be seen, as the host would get them."""
    return list(queue.receive_messages(max_messages=32, visibility_timeout=60))


def text_of(message: Any) -> str:
    return base64.b64decode(message.content).decode()


# -- a proxy that loses answers -----------------------------------------------------------------------------------------


class Proxy:
    """Stands before the tables. `faults` maps the n-th changing request to "lost" (no answer) or "cut" (not carried out)."""

    def __init__(self, connection_string: str) -> None:
        parts = dict(part.split("=", 1) for part in connection_string.split(";"))
        target = urlsplit(parts["TableEndpoint"])
        proxy = self
        self.faults: dict[int, str] = {}
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.seen: list[str] = []
        self._connections: list[socket.socket] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                proxy._connections.append(self.connection)

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = None
                if self.command != "GET" and not self.path.split("?")[0].endswith("/Tables"):
                    proxy.seen.append(self.command)
                    fault = proxy.faults.pop(len(proxy.seen), None)
                    proxy.before(self.command, self.path)
                if fault == "cut":
                    self.close_connection = True
                    return
                with closing(http.client.HTTPConnection(str(target.hostname), target.port or 80, timeout=10)) as onward:
                    onward.request(self.command, self.path, body, dict(self.headers))
                    answer = onward.getresponse()
                    content = answer.read()
                if fault == "lost":
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = False  # server_close joins them

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        address = f"http://127.0.0.1:{self._server.server_port}{target.path}"
        self.connection_string = connection_string.replace(parts["TableEndpoint"], address)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        for connection in self._connections:  # kept alive by the client
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


@pytest.fixture
def proxy(storage: str) -> Iterator[Proxy]:
    with closing(Proxy(storage)) as running:
        yield running


@pytest.fixture
def behind(proxy: Proxy) -> Iterator[Storage]:
    """Storage whose tables are reached through the proxy; the connection ends before the proxy does."""
    with closing(open_storage(proxy.connection_string)) as opened:
        opened.check()
        yield opened


# -- notifications ------------------------------------------------------------------------------------------------------


def test_a_notification_is_receiving_until_it_is_queued(app: Storage, tables: TableServiceClient) -> None:
    """A repetition of one whose intake died is taken in again; a repetition of a finished one is not."""
    facts = {"Query": UNICODE.replace("\u0000", ""), "Rows": 3}
    assert app.begin_notification("ab12", facts) == "receiving"
    assert app.begin_notification("ab12", facts) == "receiving"
    app.notification_queued("ab12")
    assert app.begin_notification("ab12", facts) == "queued"
    assert app.begin_notification("ab13", facts) == "receiving"
    (first, _) = entities(tables, NOTIFICATIONS)
    assert {name: first[name] for name in ("RowKey", "State", "Query", "Rows")} == {
        "RowKey": "ab12",
        "State": "queued",
        **facts,
    }


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_notification_whose_insert_got_no_answer(behind: Storage, proxy: Proxy, fault: str) -> None:
    """Is new, whether or not the insert was carried out."""
    proxy.faults = {1: fault}
    assert behind.begin_notification("ab12", {}) == "receiving"
    behind.notification_queued("ab12")
    assert behind.begin_notification("ab12", {}) == "queued"


def test_two_requests_at_a_time(app: Storage) -> None:
    """Both take the notification in: repeated work, none lost."""
    app.check()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(app.begin_notification("ab12", {}))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["receiving"] * 4


# -- links --------------------------------------------------------------------------------------------------------------

LATER = replace(LINK, last_effect="CreateEvent")
MINE = replace(LINK, claim=Claim("mine", 5.25))
THEIRS = replace(LINK, claim=Claim("theirs", 5.25))


def test_a_link_that_was_never_saved(app: Storage) -> None:
    """Is none, and has no ETag."""
    assert app.load_link(LINK.key) == (None, None)


def test_what_is_saved_is_loaded(app: Storage) -> None:
    """Every field, exactly, and the ETag for the next save."""
    link = EventLink(
        company=UNICODE,
        mapping=UNICODE,
        row_key=(UNICODE, ""),
        version=Version(639055764123456781, present=True, row_hash="h"),
        columns={UNICODE: Column(639055764123456783, {UNICODE: [1, 1.5, None, True, UNICODE]})},
        entries=(Entry("a@x.com", 1, "id", "f"), Entry("b@x.com", 2, leaving=True, unsure=True)),
        generation=2,
        written_back="id",
        claim=Claim("t", 1770000000.123456),
        last_effect="CreateEvent",
        last_error=UNICODE,
        repairs=1,
    )
    etag = app.save_link(link, None)
    assert etag is not None
    assert app.load_link(link.key) == (link, etag)
    assert list(app.links()) == [link]


def test_saves_are_conditional(app: Storage) -> None:
    """On what was loaded; ETags change with every save."""
    first = app.save_link(LINK, None)
    assert first is not None
    second = app.save_link(MINE, first)
    assert second not in {None, first}
    assert app.save_link(THEIRS, first) is None
    assert app.save_link(THEIRS, None) is None
    assert app.load_link(LINK.key) == (MINE, second)


def test_a_link_that_was_purged_meanwhile(app: Storage, tables: TableServiceClient) -> None:
    """Is no longer the one that was loaded."""
    etag = app.save_link(LINK, None)
    tables.get_table_client(LINKS).delete_entity(LINK.key[:2], LINK.key)
    assert app.save_link(LATER, etag) is None
    assert app.load_link(LINK.key) == (None, None)


def test_a_save_that_is_repeated_counts_as_saved(app: Storage) -> None:
    """As the one whose answer got lost does; the ETag is the one of what is stored."""
    first = app.save_link(LINK, None)
    assert app.save_link(LINK, None) == first
    second = app.save_link(MINE, first)
    assert app.save_link(MINE, first) == second
    assert app.load_link(LINK.key) == (MINE, second)


@pytest.mark.parametrize("fault", ["lost", "cut"])
@pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
def test_a_save_without_an_answer(behind: Storage, proxy: Proxy, there: bool, fault: str) -> None:
    """Counts as saved exactly if it was carried out, by this attempt or by the SDK's next one."""
    etag = behind.save_link(LINK, None) if there else None
    proxy.faults = {len(proxy.seen) + 1: fault}
    saved = behind.save_link(MINE, etag)
    stored, stored_etag = behind.load_link(LINK.key)
    if stored == MINE:
        assert saved == stored_etag is not None
    else:
        assert saved is None
        assert (fault, stored) == ("cut", LINK if there else None)
    assert proxy.faults == {}


def test_a_lost_answer_with_another_save_after_it(behind: Storage, app: Storage, proxy: Proxy) -> None:
    """Is a conflict: what is stored is someone else's."""
    etag = behind.save_link(LINK, None)
    lost = len(proxy.seen) + 1
    proxy.faults = {lost: "lost"}

    def meanwhile(_method: str, _path: str) -> None:
        if len(proxy.seen) == lost + 1:  # the SDK repeats it
            assert app.save_link(THEIRS, app.load_link(LINK.key)[1])

    proxy.before = meanwhile
    assert behind.save_link(MINE, etag) is None
    assert behind.load_link(LINK.key)[0] == THEIRS


def test_storage_that_is_gone_is_told(storage: str) -> None:
    """By the SDK's own error, which is all that handlers know of it."""
    proxy = Proxy(storage)
    with closing(open_storage(proxy.connection_string)) as opened:
        opened.check()
        proxy.close()
        with pytest.raises(AzureError):
            opened.save_link(LINK, None)


def test_two_workers_insert_one_link(app: Storage) -> None:
    """Exactly one of them holds it."""
    app.check()
    start = threading.Barrier(8)
    saved: list[str] = []

    def insert(token: str) -> None:
        start.wait()
        if app.save_link(replace(LINK, claim=Claim(token, 1.0)), None):
            saved.append(token)

    threads = [threading.Thread(target=insert, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = app.load_link(LINK.key)[0]
    assert stored is not None
    assert stored.claim is not None
    assert saved == [stored.claim.token]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 15_999,
        "x" * 16_000,
        "x" * 16_001,
        "x" * 400_000,
        "😀" * 70_000,
        "a" + "😀" * 40_000,
        '"\\' * 90_000,
        "\u0001" * 60_000,
    ],
    ids=["below a chunk", "near a chunk", "above a chunk", "letters", "emoji", "odd emoji", "quotes", "control characters"],
)
def test_large_states(app: Storage, value: str) -> None:
    """Are split over properties, and can be saved again with what becomes of them."""
    link = replace(LINK, columns={"a": Column(1, value)})
    etag = app.save_link(link, None)
    later = replace(link, entries=(Entry("a@x.com", 1, "i" * 200, "f" * 32),), last_error="e" * 5000)
    assert app.save_link(later, etag)
    assert app.load_link(link.key)[0] == later


@pytest.mark.parametrize("value", ["x" * 460_000, "😀" * 80_000, "😀" * 230_000, "\u0001" * 160_000])
def test_too_large_states(app: Storage, value: str) -> None:
    """Are told before anything is sent; what was stored stays."""
    etag = app.save_link(LINK, None)
    for tag in (None, etag):
        with pytest.raises(StateTooLarge):
            app.save_link(replace(LINK, columns={"a": Column(1, value)}), tag)
    assert app.load_link(LINK.key) == (LINK, etag)


def test_a_state_that_shrinks_leaves_nothing_behind(app: Storage) -> None:
    """Chunks of the larger one would break the next load."""
    etag = app.save_link(replace(LINK, columns={"a": Column(1, "x" * 100_000)}), None)
    etag = app.save_link(LINK, etag)
    assert app.load_link(LINK.key) == (LINK, etag)


# -- purge --------------------------------------------------------------------------------------------------------------


def other(link: EventLink, key: str) -> EventLink:
    return replace(link, row_key=(key,))


def test_only_settled_tombstones_are_purged(app: Storage) -> None:
    """No row, no event, no claim."""
    keep = [
        other(LINK, "present"),
        replace(other(TOMBSTONE, "leaving"), entries=(Entry("a@x.com", 1, leaving=True),)),
        replace(other(TOMBSTONE, "claimed"), claim=Claim("t", 1.0)),
    ]
    for link in [*keep, *(other(TOMBSTONE, f"t{n}") for n in range(5))]:
        assert app.save_link(link, None)
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 5, NOTIFICATIONS: 0, RUNS: 0}
    assert sorted(link.row_key[0] for link in app.links()) == ["claimed", "leaving", "present"]
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 0, NOTIFICATIONS: 0, RUNS: 0}


def test_what_was_touched_since_then_stays(app: Storage) -> None:
    """Counted from the last touch, as storage saw it, in whatever zone the moment is given."""
    app.save_link(TOMBSTONE, None)
    app.begin_notification("ab12", {})
    app.begin_notification("cd34", {})
    before = datetime.now(UTC) - SOON
    east = before.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+13:00").tzinfo)
    assert app.purge(before) == app.purge(east) == {LINKS: 0, NOTIFICATIONS: 0, RUNS: 0}
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 1, NOTIFICATIONS: 2, RUNS: 0}


def test_a_link_that_is_used_again_during_the_purge_survives(behind: Storage, app: Storage, proxy: Proxy) -> None:
    """Between being listed and being removed; it holds up its partition until the next purge, not the others."""
    used = other(TOMBSTONE, "t0")
    beside = next(link for n in range(1, 9999) if (link := other(TOMBSTONE, f"t{n}")).key[:2] == used.key[:2])
    apart = next(link for n in range(1, 9999) if (link := other(TOMBSTONE, f"t{n}")).key[:2] > used.key[:2])
    for link in (used, beside, apart):
        assert app.save_link(link, None)

    def meanwhile(_method: str, path: str) -> None:
        proxy.before = lambda _method, _path: None
        assert path.endswith("$batch")
        assert app.save_link(replace(used, version=Version(9, present=True, row_hash="h")), app.load_link(used.key)[1])

    proxy.before = meanwhile
    assert behind.purge(datetime.now(UTC) + SOON) == {LINKS: 1, NOTIFICATIONS: 0, RUNS: 0}
    assert {link.row_key for link in app.links()} == {used.row_key, beside.row_key}
    assert behind.purge(datetime.now(UTC) + SOON) == {LINKS: 1, NOTIFICATIONS: 0, RUNS: 0}
    assert [link.row_key for link in app.links()] == [used.row_key]


def test_purging_many_of_one_partition(app: Storage, tables: TableServiceClient) -> None:
    """A transaction holds 100."""
    app.check()
    rows = [("upsert", {"PartitionKey": "aa", "RowKey": f"aa{number:03}"}) for number in range(105)]
    for batch in (rows[:100], rows[100:]):
        tables.get_table_client(NOTIFICATIONS).submit_transaction(batch)
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 0, NOTIFICATIONS: 105, RUNS: 0}


# -- dead letters -------------------------------------------------------------------------------------------------------


def test_a_dead_letter_holds_everything(storage: str) -> None:
    """The whole change, why, what to do, how often, and the first and the last time."""
    now = 1770000000.0
    with closing(open_storage(storage, lambda: now)) as app:
        app.put_dead_letter("abc", CHANGE.encode(), "first", "do", {"Mapping": "m", "Tries": 1})
        now = 1770003600.5
        app.put_dead_letter("abc", replace(CHANGE, tries=4).encode(), "second", "do it", {"Mapping": "m"})
        app.put_dead_letter("abd", CHANGE.encode(), "other", "do", {})
        one, two = app.dead_letters()
    assert json.loads(one.pop("Content")) == replace(CHANGE, tries=4).encode()
    assert one == {
        "PartitionKey": "ab",
        "RowKey": "abc",
        "Reason": "second",
        "Remedy": "do it",
        "FirstTime": datetime(2026, 2, 2, 2, 40, tzinfo=UTC),
        "LastTime": datetime(2026, 2, 2, 3, 40, 0, 500_000, tzinfo=UTC),
        "Times": 2,
        "Mapping": "m",
        "TransactionTimeStamp": "0",
    }
    assert (two["RowKey"], two["Times"]) == ("abd", 1)


def test_a_cleared_dead_letter_is_gone(app: Storage) -> None:
    """Clearing one that is not there is nothing."""
    app.put_dead_letter("abc", "text", "r", "do", {})
    for _ in range(2):
        app.clear_dead_letter("abc")
    assert list(app.dead_letters()) == []
    app.put_dead_letter("abc", "text", "r", "do", {})
    assert [letter["Times"] for letter in app.dead_letters()] == [1]


@pytest.mark.parametrize("content", ["no JSON", UNICODE, "", "😀" * 12_000])
def test_unreadable_messages_are_kept_as_they_are(app: Storage, content: str) -> None:
    """Whatever they hold."""
    app.put_dead_letter("abc", content, UNICODE, "do", {})
    (letter,) = app.dead_letters()
    assert (letter["Content"], letter["Reason"]) == (content, UNICODE)


def test_the_newest_change_stays_as_dead_letter(app: Storage) -> None:
    """Whatever the order of arrival."""
    for timestamp in (2, 3, 1):
        app.put_dead_letter("abc", f"change {timestamp}", "r", "do", {}, timestamp=timestamp)
    (letter,) = app.dead_letters()
    assert (letter["Content"], letter["Times"]) == ("change 3", 2)


def test_a_large_dead_letter_is_in_a_blob(app: Storage) -> None:
    """Which is kept apart from those of messages, whose age ends them."""
    change = replace(CHANGE, row={"a": "x" * 200_000})
    app.put_dead_letter("abc", change.encode(), "r" * 50_000, "do", {})
    (letter,) = app.dead_letters()
    assert app.read_message(app.content_of(letter)) == change
    with pytest.raises(NotARowChange):
        app.read_message(letter["Content"])
    assert letter["Reason"] == "r" * 16_000


def test_a_dead_letter_that_shrinks_leaves_nothing_behind(app: Storage, tables: TableServiceClient) -> None:
    """Neither chunks nor facts of the older one."""
    app.put_dead_letter("abc", "x" * 40_000, "r", "do", {"Old": 1})
    app.put_dead_letter("abc", "y", "r", "do", {})
    (letter,) = app.dead_letters()
    assert letter["Content"] == "y"
    assert "Old" not in entities(tables, DEAD_LETTERS)[0]


# -- mappings -----------------------------------------------------------------------------------------------------------


def test_key_columns_are_pinned_at_the_first_use(app: Storage) -> None:
    """Per name, whatever the name holds; later ones learn what they were."""
    assert app.pinned_key(UNICODE, ["A", "B"]) == ["A", "B"]
    assert app.pinned_key(UNICODE, ["B", "A"]) == ["A", "B"]
    assert app.pinned_key("other", [UNICODE]) == [UNICODE]
    assert app.pinned_key("other", []) == [UNICODE]


def test_two_instances_pin_at_a_time(app: Storage) -> None:
    """One of them wins, and both know."""
    app.check()
    start = threading.Barrier(4)
    found: list[str] = []

    def pin(column: str) -> None:
        start.wait()
        found.extend(app.pinned_key("m", [column]))

    threads = [threading.Thread(target=pin, args=(column,)) for column in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_pin_without_an_answer(behind: Storage, proxy: Proxy, fault: str) -> None:
    """Is pinned."""
    proxy.faults = {1: fault}
    assert behind.pinned_key("m", ["A"]) == ["A"]
    assert behind.pinned_key("m", ["B"]) == ["A"]


# -- queue --------------------------------------------------------------------------------------------------------------


def test_messages_hold_the_change(app: Storage, queue: QueueClient) -> None:
    """As base64, which the host expects; they never expire."""
    app.send(CHANGE)
    (message,) = received(queue)
    assert app.read_message(text_of(message)) == CHANGE
    assert json.loads(text_of(message)) == CHANGE.encode()
    assert message.expires_on == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_delays(app: Storage, queue: QueueClient) -> None:
    """In whole seconds, rounded up; nothing is seen before."""
    app.send(CHANGE, 0.01)
    began = time.monotonic()
    assert received(queue) == []
    while not (messages := received(queue)):
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    assert time.monotonic() - began > 0.5
    assert app.read_message(text_of(messages[0])) == CHANGE


@pytest.mark.parametrize(("delay", "seen"), [(-5.0, 1), (0.0, 1), (30.0, 0), (1e9, 0)])
def test_delays_that_the_queue_would_refuse(app: Storage, queue: QueueClient, delay: float, seen: int) -> None:
    """Are brought into what it takes: 7 days at most."""
    app.send(CHANGE, delay)
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
        app.send(change)
    assert [app.read_message(text_of(message)) for message in received(queue)] == [change, change]
    with BlobServiceClient.from_connection_string(storage) as service, service.get_container_client(BLOBS) as container:
        names = [blob.name for blob in container.list_blobs()] if container.exists() else []
    assert len(names) == blobs
    assert all(len(name) == 64 for name in names)


def test_very_large_rows_pass(app: Storage, queue: QueueClient) -> None:
    """Megabytes of them."""
    change = replace(CHANGE, row={"a": "😀" * 1_000_000})
    app.send(change)
    (message,) = received(queue)
    assert len(message.content) < 200
    assert app.read_message(text_of(message)) == change


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
        app.read_message(text)


def test_many_messages_in_parallel(app: Storage, queue: QueueClient) -> None:
    """Each once, each with its delay."""
    changes = [replace(CHANGE, key=(f"k{n}",)) for n in range(40)]
    app.in_parallel([partial(app.send, change, 60.0 if n % 2 else 0.0) for n, change in enumerate(changes)])
    found: list[str] = []
    while messages := received(queue):
        found += [app.read_message(text_of(message)).key[0] for message in messages]
    assert sorted(found) == sorted(change.key[0] for change in changes[::2])
    assert queue.get_queue_properties().approximate_message_count == 40


def test_a_send_that_fails_is_told_after_all_were_tried(
    app: Storage, queue: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notification is not marked as queued then, and comes again."""
    send = app.send

    def failing(change: RowChange, delay: float = 0.0) -> None:
        if change.key == ("k0",):
            raise ConnectionError("no queue")
        send(change, delay)

    monkeypatch.setattr(app, "send", failing)
    with pytest.raises(ConnectionError, match="no queue"):
        app.in_parallel([partial(app.send, replace(CHANGE, key=(f"k{n}",))) for n in range(5)])
    assert sorted(app.read_message(text_of(message)).key[0] for message in received(queue)) == ["k1", "k2", "k3", "k4"]


# -- sessions -----------------------------------------------------------------------------------------------------------


def test_slots(app: Storage) -> None:
    """Saved conditionally; a save that is repeated counts as saved."""
    assert app.load_slot("0") == ({}, None)
    assert app.slots() == {}
    free = {"state": "free", "until": 1.5}
    first = app.save_slot("0", free, None)
    assert first is not None
    assert app.load_slot("0") == (free, first)
    second = app.save_slot("0", {"state": "open", "token": "x" * 50_000}, first)
    assert app.save_slot("0", {"state": "signing-in"}, first) is None
    assert app.save_slot("0", {"state": "signing-in"}, None) is None
    assert app.save_slot("0", {"state": "open", "token": "x" * 50_000}, first) == second
    third = app.save_slot("gate", free, None)
    assert app.slots() == {"0": ({"state": "open", "token": "x" * 50_000}, second), "gate": (free, third)}


@pytest.mark.parametrize("fault", ["lost", "cut"])
@pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
def test_a_slot_without_an_answer(behind: Storage, proxy: Proxy, there: bool, fault: str) -> None:
    """Is ours exactly if it says so."""
    etag = behind.save_slot("0", {"state": "free"}, None) if there else None
    proxy.faults = {len(proxy.seen) + 1: fault}
    saved = behind.save_slot("0", {"state": "signing-in", "by": "me"}, etag)
    state, stored_etag = behind.load_slot("0")
    if state == {"state": "signing-in", "by": "me"}:
        assert saved == stored_etag is not None
    else:
        assert saved is None
        assert fault == "cut"


# -- the whole ----------------------------------------------------------------------------------------------------------


def test_everything_is_made_at_first_use(app: Storage, tables: TableServiceClient, queue: QueueClient) -> None:
    """And is there the second time."""
    app.check()
    assert {table.name for table in tables.list_tables()} == set(TABLES)
    assert queue.get_queue_properties().approximate_message_count == 0
    app.check()


def test_closing_ends_the_threads(storage: str) -> None:
    """Of the sender; nothing can be sent any more."""
    app = open_storage(storage)
    app.in_parallel([partial(app.send, CHANGE)])
    app.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sender")]
    with pytest.raises(RuntimeError):
        app.in_parallel([partial(app.send, CHANGE)])
