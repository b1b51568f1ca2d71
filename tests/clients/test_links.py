"""Links on Azurite: conditional saves, answers that get lost, and sizes."""

import threading
from contextlib import closing
from dataclasses import replace

import pytest
from azure.data.tables import TableServiceClient

from handlers.clients.links import LINKS, ListedLinks, StateTooLarge, entity_of
from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError, Stored
from handlers.sync.link import Claim, Column, Entry, EventLink, Version
from local.searching import links as made
from tests.clients.storage import LINK, UNICODE, Proxy, open_storage

LATER = replace(LINK, last_effect="CreateEvent")
MINE = replace(LINK, claim=Claim("mine", 5.25))
THEIRS = replace(LINK, claim=Claim("theirs", 5.25))


def test_a_link_that_was_never_saved(app: Storage) -> None:
    """Is none, and has no ETag."""
    assert app.links.load(LINK.key) == (None, None)


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
    etag = app.links.save(link, None)
    assert etag is not None
    assert app.links.load(link.key) == (link, etag)
    assert list(app.links.all()) == [link]


def test_saves_are_conditional(app: Storage) -> None:
    """On what was loaded; ETags change with every save."""
    first = app.links.save(LINK, None)
    assert first is not None
    second = app.links.save(MINE, first)
    assert second not in {None, first}
    assert app.links.save(THEIRS, first) is None
    assert app.links.save(THEIRS, None) is None
    assert app.links.load(LINK.key) == (MINE, second)


def test_a_link_that_was_purged_meanwhile(app: Storage, tables: TableServiceClient) -> None:
    """Is no longer the one that was loaded."""
    etag = app.links.save(LINK, None)
    tables.get_table_client(LINKS).delete_entity(LINK.key[:2], LINK.key)
    assert app.links.save(LATER, etag) is None
    assert app.links.load(LINK.key) == (None, None)


def test_a_save_that_is_repeated_counts_as_saved(app: Storage) -> None:
    """As the one whose answer got lost does; the ETag is the one of what is stored."""
    first = app.links.save(LINK, None)
    assert app.links.save(LINK, None) == first
    second = app.links.save(MINE, first)
    assert app.links.save(MINE, first) == second
    assert app.links.load(LINK.key) == (MINE, second)


@pytest.mark.parametrize("fault", ["lost", "cut"])
@pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
def test_a_save_without_an_answer(behind: Storage, proxy: Proxy, there: bool, fault: str) -> None:
    """Counts as saved exactly if it was carried out, by this attempt or by the SDK's next one."""
    etag = behind.links.save(LINK, None) if there else None
    proxy.faults = {len(proxy.seen) + 1: fault}
    saved = behind.links.save(MINE, etag)
    stored, stored_etag = behind.links.load(LINK.key)
    if stored == MINE:
        assert saved == stored_etag is not None
    else:
        assert saved is None
        assert (fault, stored) == ("cut", LINK if there else None)
    assert proxy.faults == {}


def test_a_lost_answer_with_another_save_after_it(behind: Storage, app: Storage, proxy: Proxy) -> None:
    """Is a conflict: what is stored is someone else's."""
    etag = behind.links.save(LINK, None)
    lost = len(proxy.seen) + 1
    proxy.faults = {lost: "lost"}

    def meanwhile(_method: str, _path: str) -> None:
        if len(proxy.seen) == lost + 1:  # the SDK repeats it
            assert app.links.save(THEIRS, app.links.load(LINK.key)[1])

    proxy.before = meanwhile
    assert behind.links.save(MINE, etag) is None
    assert behind.links.load(LINK.key)[0] == THEIRS


def test_storage_that_is_gone_is_told(storage: str) -> None:
    """By the SDK's own error, which is all that handlers know of it."""
    proxy = Proxy(storage)
    with closing(open_storage(proxy.connection_string)) as opened:
        opened.check()
        proxy.close()
        with pytest.raises(StorageError):
            opened.links.save(LINK, None)


def test_two_workers_insert_one_link(app: Storage) -> None:
    """Exactly one of them holds it."""
    app.check()
    start = threading.Barrier(8)
    saved: list[str] = []

    def insert(token: str) -> None:
        start.wait()
        if app.links.save(replace(LINK, claim=Claim(token, 1.0)), None):
            saved.append(token)

    threads = [threading.Thread(target=insert, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = app.links.load(LINK.key)[0]
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
    etag = app.links.save(link, None)
    later = replace(link, entries=(Entry("a@x.com", 1, "i" * 200, "f" * 32),), last_error="e" * 5000)
    assert app.links.save(later, etag)
    assert app.links.load(link.key)[0] == later


@pytest.mark.parametrize("value", ["x" * 460_000, "😀" * 80_000, "😀" * 230_000, "\u0001" * 160_000])
def test_too_large_states(app: Storage, value: str) -> None:
    """Are told before anything is sent; what was stored stays."""
    etag = app.links.save(LINK, None)
    for tag in (None, etag):
        with pytest.raises(StateTooLarge):
            app.links.save(replace(LINK, columns={"a": Column(1, value)}), tag)
    assert app.links.load(LINK.key) == (LINK, etag)


def test_what_a_dead_letter_notes_has_room_in_any_case(app: Storage) -> None:
    """Else the row could neither be worked on nor become a dead letter."""
    etag = app.links.save(replace(LINK, columns={"a": Column(1, "x" * 449_000)}), None)
    link, _ = app.links.load(LINK.key)
    assert link
    noted = replace(link, last_error="e" * 2000)
    with pytest.raises(StateTooLarge):
        app.links.save(noted, etag)
    assert app.links.save(replace(noted, buried=1), etag)


def test_a_state_that_shrinks_leaves_nothing_behind(app: Storage) -> None:
    """Chunks of the larger one would break the next load."""
    etag = app.links.save(replace(LINK, columns={"a": Column(1, "x" * 100_000)}), None)
    etag = app.links.save(LINK, etag)
    assert app.links.load(LINK.key) == (LINK, etag)


def test_listed_links_are_as_they_were_but_for_their_history_and_small() -> None:
    """What a sweep remembers of each row: 100,000 are to fit into an instance's memory beside all else."""
    links = [*made(200), replace(LINK, columns={UNICODE: Column(7, {UNICODE: [1, 1.5, None]})})]
    listed = ListedLinks()
    for link in links:
        listed.add(Stored(entity_of(link), "etag"))
    assert [listed.get(link.key) for link in links] == [replace(link, history=()) for link in links]
    assert [link.key for link in listed.but(lambda key: key == LINK.key)] == sorted(link.key for link in links[:-1])
    assert listed.get("00" * 32) is None
    assert listed.size < 300 * len(links)  # bytes; alone, each would take twice as much
