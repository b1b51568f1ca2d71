"""Holds of removals, on Azurite."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from handlers.clients.held import Hold, Source, hold_id
from handlers.clients.storage import Storage
from tests.clients.storage import SOON, open_storage

NOW = datetime(2026, 12, 1, tzinfo=UTC)
KEYS = [(f"K{n}", "Ä😀") for n in range(12)]


@pytest.fixture
def opened(storage: str) -> Iterator[Storage]:
    found = open_storage(storage)
    yield found
    found.close()


def hold(source: Source = "notification", origin: str = "n1") -> Hold:
    return Hold(
        hold_id(source, origin, "m"),
        source=source,
        origin=origin,
        company="P",
        mapping="m",
        timestamp=639055764123456781,
        notification="n",
        reason="too many",
        at=NOW,
    )


def test_a_hold_is_read_as_it_was_written_with_a_sample_and_all_keys(opened: Storage) -> None:
    assert opened.held.hold(hold(), KEYS)
    [found] = opened.held.open(10)
    assert (found.count, found.sample, found.state, found.reason) == (12, tuple(KEYS[:10]), "held", "too many")
    assert opened.held.keys(found) == KEYS
    assert opened.held.get(found.id) == found
    removals = found.removals(KEYS, 1.5)
    assert [(change.key, change.row, change.timestamp) for change in removals] == [
        (key, None, found.timestamp) for key in KEYS
    ]


def test_a_notification_that_comes_again_changes_nothing_of_what_was_decided(opened: Storage) -> None:
    opened.held.hold(hold(), KEYS)
    assert not opened.held.hold(hold(), KEYS)
    [found] = opened.held.open(10)
    assert opened.held.decide(found, "discarded", NOW, "ann", "by mistake")
    assert not opened.held.hold(hold(), KEYS)
    assert opened.held.open(10) == []
    known = opened.held.get(found.id)
    assert known
    assert (known.state, known.by, known.why, known.decided) == ("discarded", "ann", "by mistake", NOW)


def test_two_decisions_on_one_hold_are_one(opened: Storage) -> None:
    opened.held.hold(hold(), KEYS)
    [found] = opened.held.open(10)
    releasing = opened.held.releasing(found, NOW, "ann", "r1")
    assert releasing
    assert opened.held.decide(found, "discarded", NOW, "ben") is None
    assert [each.state for each in opened.held.open(10)] == ["releasing"]
    assert opened.held.decide(releasing, "released", NOW, "ann")


def test_a_later_sweep_replaces_what_an_earlier_one_holds_unless_that_is_being_released(opened: Storage) -> None:
    assert opened.held.hold(hold("sweep", "s1"), KEYS)
    assert opened.held.hold(hold("sweep", "s2"), KEYS[:2])
    [found] = opened.held.open(10)
    assert (found.origin, found.count) == ("s2", 2)
    assert opened.held.releasing(found, NOW, "ann", "r1")
    assert not opened.held.hold(hold("sweep", "s3"), KEYS)
    assert [each.origin for each in opened.held.open(10)] == ["s2"]


def test_what_was_decided_on_is_forgotten_in_time_and_what_waits_is_not(opened: Storage) -> None:
    opened.held.hold(hold(), KEYS)
    opened.held.hold(hold(origin="n2"), KEYS)
    opened.held.decide(next(each for each in opened.held.open(10) if each.origin == "n2"), "released", NOW, "ann")
    assert opened.purge(datetime.now(UTC) - timedelta(days=1))["Held"] == 0
    assert opened.purge(datetime.now(UTC) + SOON)["Held"] == 1
    assert [each.origin for each in opened.held.open(10)] == ["n1"]


def test_keys_of_any_length_are_held_and_read_with_a_sample_that_is_cut(opened: Storage) -> None:
    keys = [("Ä" * 1100, f'"{n}"' * 400, "😀" * 300) for n in range(60)]
    assert opened.held.hold(hold(), keys)
    [found] = opened.held.open(10)
    assert opened.held.keys(found) == keys
    assert len(found.sample) == 10
    assert found.sample[0] == ("Ä" * 99 + "…", ('"0"' * 400)[:99] + "…", "😀" * 99 + "…")
