"""What receive and apply rely on in storage."""

import uuid
from dataclasses import replace

from handlers.clients.dead_letters import DeadLetter
from handlers.clients.notifications import ReceivedNotification
from handlers.clients.storage import Storage
from handlers.sync.change import RowChange, canonical
from handlers.sync.link import Claim, Column, Entry, EventLink, Version


def new_link() -> EventLink:
    key = uuid.uuid4().hex
    version, columns = Version(639055764123456781, present=True, row_hash="h"), {"a": Column(1, "Ä😀\0")}
    return EventLink("t", "m", (key,), version, columns, (Entry("a@b.c", 1),), 1, claim=Claim("c", 5.5))


def test_a_notification_is_receiving_until_it_is_queued(store: Storage) -> None:
    key = uuid.uuid4().hex
    assert [store.notifications.begin(ReceivedNotification(key, query="Q")) for _ in range(2)] == ["receiving", "receiving"]
    store.notifications.mark_queued(key)
    assert store.notifications.begin(ReceivedNotification(key, query="Q")) == "queued"
    assert store.notifications.begin(ReceivedNotification(uuid.uuid4().hex)) == "receiving"


def test_a_link_is_what_was_saved(store: Storage) -> None:
    link = new_link()
    assert store.links.load(link.key) == (None, None)
    etag = store.links.save(link, None)
    assert etag
    assert store.links.load(link.key) == (link, etag)


def test_saves_are_conditional(store: Storage) -> None:
    link = new_link()
    first = store.links.save(link, None)
    changed = replace(link, generation=2)
    assert store.links.save(changed, None) is None
    second = store.links.save(changed, first)
    assert second not in {None, first}
    assert store.links.save(link, first) is None
    assert store.links.load(link.key) == (changed, second)
    assert store.links.save(new_link(), "W/\"datetime'2020-01-01T00%3A00%3A00Z'\"") is None


def test_dead_letters_can_be_written_again_and_cleared_without_being_there(store: Storage) -> None:
    key = uuid.uuid4().hex
    store.dead_letters.clear(key, 1)
    for reason in ("first", "second"):
        store.dead_letters.put(DeadLetter(key, reason=reason, remedy="remedy", timestamp=1, content="{}"))
    store.dead_letters.clear(key, 1)


def test_a_message_is_read_as_it_was_sent(store: Storage) -> None:
    change = RowChange("t", "m", ("A", "ß"), 639055764123456781, {"a": [1.5, None, "😀"]}, "n", 1.25, tries=2)
    store.queue.send(change)
    assert store.queue.read(canonical(change.encode())) == change
