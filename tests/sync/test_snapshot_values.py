"""Values of OData in the form of a push: what means the same compares equal, and nothing else does."""

from typing import Any

import pytest

from handlers.sync.mapping_file import load_mapping
from handlers.sync.snapshot_values import as_pushed, date_columns, forms, known_zone, same
from handlers.sync.zones import find_zone
from local.sample import TEXT, changed

NEW_YORK = find_zone("Eastern Standard Time")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A ", "A"),
        (None, ""),
        (None, "  "),
        (5, 5.0),
        (5, "5.00"),
        ("1250.5000", 1250.5),
        (12345678901234567, "12345678901234567"),
        ("2026-12-07T09:00:00", "2026-12-07T09:00:00.000"),
        ("2026-12-07T09:00", "2026-12-07T09:00:00"),
        ("2026-12-07", "2026-12-07T00:00:00"),
        (True, True),
    ],
)
def test_what_means_the_same_is_the_same(one: Any, other: Any) -> None:
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "A"),
        ("005", "5"),
        (True, 1),
        (True, "1"),
        (0, None),
        (0, ""),
        (False, None),
        ("2026-12-07T09:00:00", "2026-12-07T09:00:01"),
        ("2026-12-07", "2026-12-08"),
        (12345678901234567, "12345678901234568"),
        ("NaN", 1.0),
        ("five", 5),
        (10**30, 10**30 + 1),
    ],
)
def test_what_differs_is_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize(
    ("value", "is_date", "likeliest", "others"),
    [
        ("2026-12-07T14:00:00Z", False, "2026-12-07T09:00:00", []),
        ("2026-07-07T14:00:00Z", False, "2026-07-07T10:00:00", []),  # daylight saving
        ("2026-12-07T14:00:00.0000000Z", False, "2026-12-07T09:00:00", []),
        ("2026-12-07T14:00:00+00:00", False, "2026-12-07T09:00:00", []),
        ("2026-12-07T00:00:00Z", True, "2026-12-07T00:00:00", ["2026-12-06T19:00:00"]),
        ("2026-12-07T00:00:00Z", False, "2026-12-06T19:00:00", ["2026-12-07T00:00:00"]),
        ("Room 4  ", False, "Room 4", []),
        ("2026-12-07T14:00:00", False, "2026-12-07T14:00:00", []),  # no offset: as it is
        ("0001-01-01T00:00:00Z", False, "0001-01-01T00:00:00", []),  # not in this zone
        ("2026-13-01T00:00:00Z", False, "2026-13-01T00:00:00", []),
        (5.5, False, 5.5, []),
        (None, False, None, []),
    ],
)
def test_a_value_as_a_push_may_tell_it(value: Any, is_date: bool, likeliest: Any, others: list[Any]) -> None:
    assert forms(value, NEW_YORK, is_date=is_date) == [likeliest, *others]


def test_without_a_known_zone_nothing_is_shifted() -> None:
    assert forms("2026-12-07T14:00:00Z", None, is_date=False) == ["2026-12-07T14:00:00"]


def test_a_column_of_midnights_holds_dates() -> None:
    rows = [
        {"Day": "2026-12-07T00:00:00Z", "At": "2026-12-07T00:00:00Z", "Text": "x", "None": None},
        {"Day": "2026-12-08T00:00:00Z", "At": "2026-12-08T14:30:00Z", "Text": "y", "None": None},
    ]
    assert date_columns(rows) == {"Day"}
    row = {"Day": "2026-12-07T00:00:00Z", "At": "2026-12-07T14:30:00Z", "Key": "OP1   "}
    assert as_pushed(row, NEW_YORK, frozenset({"Day"})) == {
        "Day": "2026-12-07T00:00:00",
        "At": "2026-12-07T09:30:00",
        "Key": "OP1",
    }


def test_the_zone_may_stand_in_a_column() -> None:
    mapping = load_mapping(
        "m", changed(('"Eastern Standard Time"', '"{Zone}"')) + '\n[values.Zone]\nNY = "America/New_York"\n'
    )
    assert known_zone(mapping, {"Zone": "NY"}) == find_zone("America/New_York")
    assert known_zone(mapping, {"Zone": "nowhere"}) is None
    assert known_zone(load_mapping("m", TEXT), {}) == NEW_YORK
