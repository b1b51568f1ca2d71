"""Dead letters on Azurite."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from azure.data.tables import TableServiceClient

from handlers.clients.dead_letters import DEAD_LETTERS, DeadLetter
from handlers.clients.storage import DEAD_LETTER_BLOBS, Storage
from handlers.sync.change import RowChange, canonical
from tests.clients.storage import CHANGE, UNICODE, Proxy, entities, open_storage

LETTER = DeadLetter(
    "abc",
    code="mailbox-gone",
    reason="why",
    remedy="do",
    mapping="m",
    row_key="A",
    notification="n1",
    timestamp=639055764123456781,
    tries=1,
    content=canonical(CHANGE.encode()),
)
FIRST = datetime(2026, 2, 2, 2, 40, tzinfo=UTC)


def only(app: Storage) -> DeadLetter:
    """The only letter, whole."""
    (listed,) = app.dead_letters.list(10)
    whole = app.dead_letters.get(listed.key)
    assert whole
    assert replace(whole, content=None) == listed
    return whole


def test_a_dead_letter_holds_everything(storage: str) -> None:
    """The whole change, why, what to do, how often, and the first and the last time."""
    now = FIRST.timestamp()
    with closing(open_storage(storage, lambda: now)) as app:
        app.dead_letters.put(LETTER)
        assert app.dead_letters.get("abc") == replace(LETTER, times=1, first=FIRST, last=FIRST, etag=only(app).etag)
        now += 3600.5
        app.dead_letters.put(replace(LETTER, reason="second", tries=4))
        app.dead_letters.put(DeadLetter("abd", content="text"))
        one, two = app.dead_letters.list(10)
        assert app.dead_letters.count(10) == 2
        assert (app.dead_letters.count(1), len(app.dead_letters.list(1))) == (1, 1)
    last = datetime(2026, 2, 2, 3, 40, 0, 500_000, tzinfo=UTC)
    wanted = replace(LETTER, reason="second", tries=4, times=2, first=FIRST, last=last, content=None)
    assert replace(one, etag="") == wanted
    assert (two.key, two.times, two.mapping) == ("abd", 1, "")


def test_what_an_older_version_has_stored_is_read(app: Storage, tables: TableServiceClient) -> None:
    """Its large contents too, which it referred to in the place of the content."""
    app.check()
    name = app.dead_letters._blobs.put("large")
    old = {
        "PartitionKey": "ab",
        "RowKey": "abc",
        "Reason": "r",
        "Remedy": "do",
        "FirstTime": FIRST,
        "LastTime": FIRST,
        "Times": 2,
        "TransactionTimeStamp": "7",
        "Mapping": "m",
        "Key": "A",
        "NotificationId": "n1",
        "Tries": 3,
        "Content0": f'{{"blob":"{name}"}}',
    }
    tables.get_table_client(DEAD_LETTERS).create_entity(old)
    letter = DeadLetter("abc", reason="r", remedy="do", mapping="m", row_key="A", notification="n1", timestamp=7, tries=3)
    wanted = replace(letter, times=2, first=FIRST, last=FIRST, content="large", version=0)
    assert replace(only(app), etag="") == wanted


def test_a_cleared_dead_letter_is_gone(app: Storage) -> None:
    """Clearing one that is not there is nothing."""
    app.dead_letters.put(LETTER)
    for _ in range(2):
        app.dead_letters.clear("abc", LETTER.timestamp)
    assert app.dead_letters.list(10) == []
    app.dead_letters.put(LETTER)
    assert only(app).times == 1


def test_a_success_clears_no_newer_letter(app: Storage) -> None:
    """What failed after it needs a person all the same."""
    app.dead_letters.put(LETTER)
    app.dead_letters.clear("abc", LETTER.timestamp - 1)
    assert only(app).timestamp == LETTER.timestamp


def test_a_letter_that_is_written_during_a_clearance_stays(behind: Storage, app: Storage, proxy: Proxy) -> None:
    """Between being read and being removed."""
    app.dead_letters.put(LETTER)

    def meanwhile(_method: str, _path: str) -> None:
        proxy.before = lambda _method, _path: None
        app.dead_letters.put(replace(LETTER, timestamp=LETTER.timestamp + 1, reason="newer"))

    proxy.before = meanwhile
    behind.dead_letters.clear("abc", LETTER.timestamp)
    assert only(app).reason == "newer"


def test_two_that_write_one_letter_lose_nothing(behind: Storage, app: Storage, proxy: Proxy) -> None:
    """The newest change stays, whoever is faster."""

    def meanwhile(_method: str, _path: str) -> None:
        proxy.before = lambda _method, _path: None
        app.dead_letters.put(replace(LETTER, timestamp=LETTER.timestamp + 1, reason="newer"))

    proxy.before = meanwhile
    behind.dead_letters.put(LETTER)
    assert (only(app).reason, only(app).times) == ("newer", 1)


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_letter_without_an_answer(behind: Storage, proxy: Proxy, fault: str) -> None:
    """Is there, once."""
    for number in range(2):
        proxy.faults = {len(proxy.seen) + 1: fault}
        behind.dead_letters.put(replace(LETTER, tries=number))
    assert (only(behind).tries, only(behind).times) == (1, 2)


@pytest.mark.parametrize("content", ["no JSON", UNICODE, "", "😀" * 12_000, f'{{"blob":"{"0" * 64}"}}'])
def test_unreadable_messages_are_kept_as_they_are(app: Storage, content: str) -> None:
    """Whatever they hold."""
    app.dead_letters.put(DeadLetter("abc", reason=UNICODE, content=content))
    assert (only(app).content, only(app).reason) == (content, UNICODE)


def test_the_newest_change_stays_as_dead_letter(app: Storage) -> None:
    """Whatever the order of arrival."""
    for timestamp in (2, 3, 1):
        app.dead_letters.put(replace(LETTER, timestamp=timestamp, content=f"change {timestamp}"))
    assert (only(app).content, only(app).times) == ("change 3", 2)


def test_a_resubmission_is_kept(app: Storage) -> None:
    """As long as the letter is there; on one that is not there, it is nothing."""
    app.dead_letters.mark_resubmitted("abc", FIRST, "ann")
    assert app.dead_letters.get("abc") is None
    app.dead_letters.put(LETTER)
    app.dead_letters.mark_resubmitted("abc", FIRST, "ann")
    app.dead_letters.put(LETTER)
    assert (only(app).resubmitted, only(app).resubmitted_by, only(app).content) == (FIRST, "ann", LETTER.content)


def test_a_letter_is_removed_unless_it_is_another_one_by_now(app: Storage) -> None:
    app.dead_letters.put(LETTER)
    before = only(app)
    app.dead_letters.put(LETTER)
    assert not app.dead_letters.remove("abc", before.etag)
    assert app.dead_letters.remove("abc", only(app).etag)
    assert app.dead_letters.list(10) == []


def test_a_large_dead_letter_is_in_a_blob(app: Storage) -> None:
    """Which is kept apart from those of messages, whose age ends them."""
    change = replace(CHANGE, row={"a": "x" * 200_000})
    app.dead_letters.put(replace(LETTER, content=canonical(change.encode()), reason="r" * 50_000))
    assert RowChange.decode(json.loads(only(app).content or "")) == change
    assert only(app).reason == "r" * 16_000


def test_a_letter_whose_blob_has_expired_is_shown_and_can_be_removed(app: Storage) -> None:
    """Without what it held."""
    app.dead_letters.put(replace(LETTER, content="x" * 200_000))
    container = app._connect_container(DEAD_LETTER_BLOBS)
    for name in list(container.list_blob_names()):
        container.delete_blob(name)
    letter = only(app)
    assert (letter.content, letter.reason) == (None, "why")
    assert app.dead_letters.remove("abc", letter.etag)


def test_a_dead_letter_that_shrinks_leaves_nothing_behind(app: Storage, tables: TableServiceClient) -> None:
    """Neither chunks nor a reference of the older one."""
    for content in ("x" * 40_000, "x" * 200_000, "y"):
        app.dead_letters.put(replace(LETTER, content=content))
        assert only(app).content == content
    assert {"Content1", "Blob"}.isdisjoint(entities(tables, DEAD_LETTERS)[0])
