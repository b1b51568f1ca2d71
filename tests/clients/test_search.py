"""The list of all rows, on Azurite: what is found in it, and how it is kept up with what changes."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from handlers.clients import search
from handlers.clients.activity import Recorder
from handlers.clients.search import IndexedRow
from handlers.clients.storage import Storage
from handlers.environment import load_settings
from handlers.settings import StorageSettings


@pytest.fixture
def app(storage: str) -> Iterator[Storage]:
    with closing(Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": storage}))) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "_start_writer", lambda _: None)


def row(key: str, subject: str = "", mailbox: str = "ann@example.com", **more: Any) -> IndexedRow:
    return IndexedRow(sha256(key.encode()).hexdigest(), "m", (key,), subject, mailbox=mailbox, owner=mailbox, **more)


ROWS = [
    row("OP000123", "Contract review, Northwind", "nora.smith@example.com", start="2026-12-09T11:00:00"),
    row("OP000124", "Straße und ÉTÉ", start="2026-12-10T11:00:00"),
    row("SO 17", "about OP000123", start="2026-12-11T11:00:00"),
]


def found(app: Storage, text: str, most: int = 50) -> list[str]:
    return [each.row_key[0] for each in app.search.find(text, most)[0]]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("op000123", ["OP000123", "SO 17"]),  # the key itself first
        ("OP000124", ["OP000124"]),
        ("0012", ["SO 17", "OP000124", "OP000123"]),  # part of a key; the latest meeting first
        ("  rEVIEW  contract", ["OP000123"]),
        ("nora", ["OP000123"]),
        ("smith, northwind", ["OP000123"]),
        ("so, 17", ["SO 17"]),
        ("STRASSE été", ["OP000124"]),
        ("zebra", []),
        ("'", []),
        (".*", []),
    ],
)
def test_any_part_of_any_case_is_found(app: Storage, text: str, keys: list[str]) -> None:
    app.search.rebuild(ROWS)
    assert found(app, text) == keys


def test_what_is_found_is_told_whole_and_at_most_as_many_as_asked_for(app: Storage) -> None:
    app.search.rebuild(ROWS)
    assert app.search.find("northwind", 50) == ([ROWS[0]], 1)
    some, total = app.search.find("op", 2)
    assert (len(some), total) == (2, 3)


def test_what_changes_counts_before_the_next_night_and_in_every_process(app: Storage, storage: str) -> None:
    app.search.rebuild(ROWS)
    assert found(app, "northwind") == ["OP000123"]
    worker = Recorder(app)
    worker.indexed(replace(ROWS[0], subject="Moved"))
    worker.indexed(row("OP000999", "New at Northwind"))
    worker.flush()
    with closing(Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": storage}))) as other:
        for each in (app, other):
            assert (found(each, "northwind"), found(each, "moved")) == (["OP000999"], ["OP000123"])
        other.search.rebuild([ROWS[1]])
        assert list(other.activity_table.query()) == []
        assert (found(app, "op"), found(other, "op")) == (["OP000124"], ["OP000124"])


def test_what_changes_while_the_list_is_made_survives(app: Storage) -> None:
    worker = Recorder(app)
    worker.indexed(row("OLD", "before"))
    worker.flush()

    def rows() -> Iterator[IndexedRow]:
        worker.indexed(row("OLD", "meanwhile"))
        worker.flush()
        yield row("OLD", "before")

    app.search.rebuild(rows())
    assert found(app, "meanwhile") == ["OLD"]


def test_whoever_finds_many_changes_puts_them_into_the_list(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_MANY", 2)
    app.search.rebuild(ROWS)
    worker = Recorder(app)
    for n in range(3):
        worker.indexed(row(f"N{n}", "new"))
    worker.flush()
    for _ in range(2):
        assert sorted(found(app, "new")) == ["N0", "N1", "N2"]
        assert list(app.activity_table.query()) == []
        assert found(app, "northwind") == ["OP000123"]


def test_there_is_no_list_before_it_is_made(app: Storage) -> None:
    assert not app.search.is_built()
    assert app.search.find("op", 50) == ([], 0)
    assert app.search.rebuild([]) == 0
    assert app.search.is_built()
    assert app.search.find("op", 50) == ([], 0)


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\u2028b", "a\x1eb", "\x00", '"\\', "\U0001f5d3\ufe0f", "x" * 5000])
def test_whatever_a_row_holds_stays_one_line(app: Storage, text: str) -> None:
    hostile = row(text, text)
    app.search.rebuild([hostile, *ROWS])
    assert app.search.find(text, 50)[0][:1] == [hostile] or len(text) == 5000
    assert found(app, "northwind") == ["OP000123"]
    assert hostile in app.search.sample(10)


def test_what_a_mailbox_has(app: Storage) -> None:
    mine = [row(f"R{n}", changed=float(n), state="event") for n in range(3)]
    moved = replace(row("T", mailbox="trial@example.com", changed=9.0), owner="ann@example.com")
    app.search.rebuild([*mine, moved, row("X", mailbox="joann@example.com"), row("Y", mailbox="")])
    assert [each.row_key for each in app.search.in_mailbox(" Ann@Example.com ")] == [("T",), ("R2",), ("R1",), ("R0",)]
    assert ("ann@example.com", "event", 2.0) in set(app.search.in_mailboxes())
    assert "" not in {mailbox for mailbox, _, _ in app.search.in_mailboxes()}
