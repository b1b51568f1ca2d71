"""What receive and apply rely on in storage."""

import uuid
from dataclasses import replace

from handlers.clients.storage import Storage
from handlers.sync.change import RowChange, canonical
from handlers.sync.link import Claim, Column, Entry, EventLink, Version

FACTS = {"Query": "Q"}


def new_link() -> EventLink:
    key = uuid.uuid4().hex
    version, columns = Version(639055764123456781, present=True, row_hash="h"), {"a": Column(1, "Ä😀\0")}
    return EventLink("t", "m", (key,), version, columns, (Entry("a@b.c", 1),), 1, claim=Claim("c", 5.5))


def test_a_notification_is_receiving_until_it_is_queued(store: Storage) -> None:
    key = uuid.uuid4().hex
    assert [store.begin_notification(key, FACTS) for _ in range(2)] == ["receiving", "receiving"]
    store.notification_queued(key)
    assert store.begin_notification(key, FACTS) == "queued"
    assert store.begin_notification(uuid.uuid4().hex, FACTS) == "receiving"


def test_a_link_is_what_was_saved(store: Storage) -> None:
    link = new_link()
    assert store.load_link(link.key) == (None, None)
    etag = store.save_link(link, None)
    assert etag
    assert store.load_link(link.key) == (link, etag)


def test_saves_are_conditional(store: Storage) -> None:
    link = new_link()
    first = store.save_link(link, None)
    changed = replace(link, generation=2)
    assert store.save_link(changed, None) is None
    second = store.save_link(changed, first)
    assert second not in {None, first}
    assert store.save_link(link, first) is None
    assert store.load_link(link.key) == (changed, second)
    assert store.save_link(new_link(), "W/\"datetime'2020-01-01T00%3A00%3A00Z'\"") is None


def test_dead_letters_can_be_written_again_and_cleared_without_being_there(store: Storage) -> None:
    key = uuid.uuid4().hex
    store.clear_dead_letter(key)
    for reason in ("first", "second"):
        store.put_dead_letter(key, {"a": 1}, reason, "remedy", {})
    store.clear_dead_letter(key)


def test_a_message_is_read_as_it_was_sent(store: Storage) -> None:
    change = RowChange("t", "m", ("A", "ß"), 639055764123456781, {"a": [1.5, None, "😀"]}, "n", 1.25, tries=2)
    store.send(change)
    assert store.read_message(canonical(change.encode())) == change
