"""Storage as a whole on Azurite, and the purge."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from handlers.clients.held import HELD
from handlers.clients.links import LINKS
from handlers.clients.notifications import NOTIFICATIONS, ReceivedNotification
from handlers.clients.pins import MAPPINGS
from handlers.clients.put_off import Waiting
from handlers.clients.storage import ACTIVITY, TABLES, Storage
from handlers.clients.sweeps import SWEEPS
from handlers.sync.link import Claim, Entry, EventLink, Version
from tests.clients.storage import CHANGE, LINK, SOON, TOMBSTONE, Proxy, open_storage

NOTHING = {MAPPINGS: 0, ACTIVITY: 0, HELD: 0, SWEEPS: 0}


def test_everything_is_made_at_first_use(app: Storage, tables: TableServiceClient, queue: QueueClient) -> None:
    """And is there the second time."""
    app.check()
    assert {table.name for table in tables.list_tables()} == set(TABLES)
    assert queue.get_queue_properties().approximate_message_count == 0
    app.check()


def test_closing_ends_the_threads(storage: str) -> None:
    """Of the sender; nothing can be sent any more."""
    app = open_storage(storage)
    app.in_parallel([partial(app.queue.send, CHANGE)])
    app.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sender")]
    with pytest.raises(RuntimeError):
        app.in_parallel([partial(app.queue.send, CHANGE)])


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
        assert app.links.save(link, None)
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 5, NOTIFICATIONS: 0, **NOTHING}
    assert sorted(link.row_key[0] for link in app.links.all()) == ["claimed", "leaving", "present"]
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 0, NOTIFICATIONS: 0, **NOTHING}


def test_rows_are_remembered_for_the_oldest_change_that_waits(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one, held back by a pause, would bring a removed row back. A busy queue alone keeps nothing."""
    assert app.links.save(TOMBSTONE, None)
    now, soon = app.now(), datetime.now(UTC) + SOON
    with monkeypatch.context() as patch:
        patch.setattr(app.put_off, "all", lambda _: [Waiting("mailbox-denied", now - 86_400, now + 300)])
        assert app.purge(soon)[LINKS] == 0
    with monkeypatch.context() as patch:
        patch.setattr(app.queue, "waiting_since", lambda: datetime.fromtimestamp(now - 86_400, UTC))
        assert app.purge(soon)[LINKS] == 0
    assert app.pins.forgotten() == pytest.approx(soon.timestamp() - 86_400, abs=60)
    app.queue.send(CHANGE)
    assert app.purge(soon)[LINKS] == 1
    assert app.pins.forgotten() == pytest.approx(soon.timestamp(), abs=60)
    app.purge(soon - SOON)
    assert app.pins.forgotten() == pytest.approx(soon.timestamp(), abs=60), "what is forgotten once stays so"


def test_a_table_that_fails_keeps_no_other_from_being_purged(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.links.save(TOMBSTONE, None)

    def away(_: str) -> int:
        raise ServiceRequestError("away")

    monkeypatch.setattr(app.notifications, "purge", away)
    with pytest.raises(ServiceRequestError):
        app.purge(datetime.now(UTC) + SOON)
    assert list(app.links.all()) == []


def test_adoptions_are_forgotten_and_other_pins_are_not(app: Storage) -> None:
    app.pins.adopt("event", "a")
    app.pins.company("t")
    app.pins.key_columns("m", ["Key"])
    assert app.purge(datetime.now(UTC) + SOON)[MAPPINGS] == 1
    assert (app.pins.company("u"), app.pins.key_columns("m", ["Other"])) == ("t", ["Key"])
    assert app.pins.adopt("event", "b")


def test_what_was_touched_since_then_stays(app: Storage) -> None:
    """Counted from the last touch, as storage saw it, in whatever zone the moment is given."""
    app.links.save(TOMBSTONE, None)
    app.notifications.begin(ReceivedNotification("ab12"))
    app.notifications.begin(ReceivedNotification("cd34"))
    before = datetime.now(UTC) - SOON
    east = before.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+13:00").tzinfo)
    assert app.purge(before) == app.purge(east) == {LINKS: 0, NOTIFICATIONS: 0, **NOTHING}
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 1, NOTIFICATIONS: 2, **NOTHING}


def test_a_link_that_is_used_again_during_the_purge_survives(behind: Storage, app: Storage, proxy: Proxy) -> None:
    """Between being listed and being removed; it holds up its partition until the next purge, not the others."""
    used = other(TOMBSTONE, "t0")
    beside = next(link for n in range(1, 9999) if (link := other(TOMBSTONE, f"t{n}")).key[:2] == used.key[:2])
    apart = next(link for n in range(1, 9999) if (link := other(TOMBSTONE, f"t{n}")).key[:2] > used.key[:2])
    for link in (used, beside, apart):
        assert app.links.save(link, None)

    def meanwhile(_method: str, path: str) -> None:
        if not path.endswith("$batch"):
            return
        proxy.before = lambda _method, _path: None
        assert app.links.save(replace(used, version=Version(9, present=True, row_hash="h")), app.links.load(used.key)[1])

    proxy.before = meanwhile
    assert behind.purge(datetime.now(UTC) + SOON) == {LINKS: 1, NOTIFICATIONS: 0, **NOTHING}
    assert {link.row_key for link in app.links.all()} == {used.row_key, beside.row_key}
    assert behind.purge(datetime.now(UTC) + SOON) == {LINKS: 1, NOTIFICATIONS: 0, **NOTHING}
    assert [link.row_key for link in app.links.all()] == [used.row_key]


def test_purging_many_of_one_partition(app: Storage, tables: TableServiceClient) -> None:
    """A transaction holds 100."""
    app.check()
    rows = [("upsert", {"PartitionKey": "aa", "RowKey": f"aa{number:03}"}) for number in range(105)]
    for batch in (rows[:100], rows[100:]):
        tables.get_table_client(NOTIFICATIONS).submit_transaction(batch)
    assert app.purge(datetime.now(UTC) + SOON) == {LINKS: 0, NOTIFICATIONS: 105, **NOTHING}


def test_links_which_may_take_long_come_last(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is cut short has dealt with the other tables."""
    app.notifications.begin(ReceivedNotification("ab12"))
    app.links.save(TOMBSTONE, None)

    def endless(_: str) -> int:
        raise TimeoutError

    monkeypatch.setattr(app.links, "purge", endless)
    with pytest.raises(TimeoutError):
        app.purge(datetime.now(UTC) + SOON)
    assert app.notifications.get("ab12") is None
