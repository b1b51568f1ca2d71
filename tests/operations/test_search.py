"""Rows are found by what people know of them; on real storage and the fakes, without a host."""

from dataclasses import replace
from typing import Any

import pytest

from handlers import upkeep
from handlers.operations.activity import about
from handlers.operations.search import Search, mailbox, mailboxes, search
from tests.bench import Bench


def found(bench: Bench, text: str) -> Search:
    return search(text, bench.factory.storage(), about(bench.factory))


def keys(bench: Bench, text: str) -> list[str]:
    return [row.row_key[0] for row in found(bench, text).rows]


def apply(bench: Bench, key: str, subject: str = "s", **columns: Any) -> None:
    change = bench.change(1, subject, **columns)
    row = {**(change.row or {}), "OpportunityID": key}
    bench.apply(replace(change, key=(key,), row=row))


def settled(bench: Bench) -> None:
    bench.factory.services().activity.flush()


@pytest.mark.parametrize("night", [False, True])
def test_rows_are_found_by_part_of_key_subject_and_mailbox(bench: Bench, night: bool) -> None:
    """Before any night, when whoever looks makes the list, and after one."""
    if night:
        upkeep.index(bench.factory.storage(), bench.factory.intake().mappings)
    apply(bench, "OP000107", "Contract review, Northwind")
    apply(bench, "OP000108", "Kick-off")
    settled(bench)
    for text in ("OP000107", "op000107", "107", "review", "NORTHWIND contract", " Op000107 "):
        assert keys(bench, text) == ["OP000107"], text
    assert sorted(keys(bench, "Ann@Example.com")) == sorted(keys(bench, "ann")) == ["OP000107", "OP000108"]
    assert keys(bench, "") == keys(bench, "bob@example.com") == keys(bench, "' or 1 eq 1 or '@") == []
    (row,) = found(bench, "107").rows
    assert (row.state, row.title, row.meeting.when) == (
        "in order",
        "Contract review, Northwind",
        "1 Dec 2026, 09:00–10:00 (Eastern Standard Time)",
    )


def test_an_exact_key_is_found_before_anything_was_written_down(bench: Bench) -> None:
    """As where a worker was killed within seconds, so that the list does not know the row."""
    assert keys(bench, "OP7") == []  # the list is made
    apply(bench, "OP7")
    bench.factory.services().activity._unwritten.clear()
    assert keys(bench, "OP7") == keys(bench, "op7") == ["OP7"]
    assert keys(bench, "P7") == []
    upkeep.index(bench.factory.storage(), bench.factory.intake().mappings)
    assert keys(bench, "P7") == ["OP7"]


def test_not_taken_in_is_said_only_of_what_may_be_a_key(bench: Bench) -> None:
    empty = found(bench, "OP000109")
    assert (empty.rows, empty.likely, empty.examples) == ([], False, ())
    apply(bench, "OP000107")
    settled(bench)
    for text, likely in (("OP000109", True), ("op999999", True), ("OP00019", False), ("zebra", False), ("x@y.com", False)):
        nothing = found(bench, text)
        assert (nothing.rows, nothing.likely, nothing.examples) == ([], likely, ("OP000107",)), text


def test_what_is_forgotten_is_not_found(bench: Bench) -> None:
    apply(bench, "OP000107")
    settled(bench)
    table = bench.factory.storage().links._table
    for entity, etag in table.query():
        assert table.delete(entity["PartitionKey"], entity["RowKey"], etag)
    assert keys(bench, "OP000107") == []


def test_a_mailbox_tells_its_events_and_failures(bench: Bench) -> None:
    bench.graph.remove_mailbox("nora@example.com")
    apply(bench, "OP1", "one")
    apply(bench, "OP2", "two")
    bench.now += 10
    apply(bench, "OP3", "three", OwnerEmail="nora@example.com")
    apply(bench, "OP4", "four", MeetingEnd="2026-12-01T08:00:00")
    settled(bench)
    storage, known = bench.factory.storage(), about(bench.factory)
    nora, ann = sorted(mailboxes(storage, known), key=lambda box: box.address, reverse=True)
    assert (ann.events, ann.failed, nora.events, nora.failed) == (2, 1, 0, 1)
    assert nora.changed == pytest.approx(bench.now, abs=0.01)
    box, rows = mailbox(" Ann@example.com", storage, known)
    assert (box, rows[0].row_key[0], len(rows)) == (ann, "OP4", 3)
    nobody, none = mailbox("nobody@example.com", storage, known)
    assert (nobody.address, nobody.events, none) == ("nobody@example.com", 0, [])


def test_in_a_trial_a_row_is_found_by_its_own_mailbox_too(bench: Bench) -> None:
    bench.reconfigure(TEST_MAILBOX="bob@example.com")
    apply(bench, "OP1", "one")
    settled(bench)
    assert keys(bench, "ann@") == keys(bench, "bob@") == ["OP1"]
    (box,) = mailboxes(bench.factory.storage(), about(bench.factory))
    assert (box.address, box.events) == ("bob@example.com", 1)
