"""Values of OData in the form of a push: what means the same compares equal, and nothing else does."""

from typing import Any

import pytest

from handlers.sync.change import RowChange
from handlers.sync.link import EventLink, merge, new_link
from handlers.sync.mapping_file import load_mapping
from handlers.sync.snapshot_values import DATE, MOMENT, as_pushed, forms, known_zone, learnt, same
from handlers.sync.zones import find_zone
from local.sample import ROW, TEXT, changed

NEW_YORK = find_zone("Eastern Standard Time")
MAPPING = load_mapping("m", TEXT)


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
    ("value", "kind", "likeliest", "others"),
    [
        ("2026-12-07T14:00:00Z", None, "2026-12-07T09:00:00", []),
        ("2026-07-07T14:00:00Z", None, "2026-07-07T10:00:00", []),  # daylight saving
        ("2026-12-07T14:00:00.0000000Z", None, "2026-12-07T09:00:00", []),
        ("2026-12-07T14:00:00+00:00", None, "2026-12-07T09:00:00", []),
        ("2026-12-07T00:00:00Z", DATE, "2026-12-07T00:00:00", []),
        ("2026-12-07T00:00:00Z", MOMENT, "2026-12-06T19:00:00", []),
        ("2026-12-07T14:00:00Z", DATE, "2026-12-07T09:00:00", []),
        ("2026-12-07T00:00:00Z", None, "2026-12-06T19:00:00", ["2026-12-07T00:00:00"]),
        ("Room 4  ", None, "Room 4", []),
        ("2026-12-07T14:00:00", None, "2026-12-07T14:00:00", []),  # no offset: as it is
        ("0001-01-01T00:00:00Z", None, "0001-01-01T00:00:00", []),  # not in this zone
        ("2026-13-01T00:00:00Z", None, "2026-13-01T00:00:00", []),
        (5.5, None, 5.5, []),
        (None, None, None, []),
    ],
)
def test_a_value_as_a_push_may_tell_it(value: Any, kind: str | None, likeliest: Any, others: list[Any]) -> None:
    assert forms(value, NEW_YORK, kind) == [likeliest, *others]


def test_without_a_known_zone_nothing_is_shifted() -> None:
    assert forms("2026-12-07T14:00:00Z", None) == ["2026-12-07T14:00:00"]


def shown(start: str, end: str) -> dict[str, Any]:
    return ROW | {"MeetingStart": start, "MeetingEnd": end}


def of_push(start: str, end: str, timestamp: int = 123) -> EventLink:
    change = RowChange("t", "m", ("OP000123",), timestamp, shown(start, end), "n", 0.0)
    return merge(new_link(change, 0.0), change, MAPPING)


@pytest.mark.parametrize(
    ("end", "link", "told"),
    [
        ("2026-12-08T00:00:00Z", None, None),  # 19:00 on the seventh, or the eighth
        ("2026-12-08T00:00:01Z", None, MOMENT),
        ("2026-12-08T00:00:00Z", of_push("", "2026-12-07T19:00:00"), MOMENT),
        ("2026-12-08T00:00:00Z", of_push("", "2026-12-01T08:00:00"), MOMENT),  # whatever it has become since
        ("2026-12-08T00:00:00Z", of_push("", "2026-12-08T00:00:00"), DATE),
        ("2026-12-08T00:00:00Z", of_push("", "2026-12-08"), DATE),
        ("2026-12-08T00:00:00Z", of_push("", "2026-12-07T00:00:00"), None),
        ("2026-12-08T00:00:00Z", of_push("", "2026-12-08T00:00:00", 10_000_000), None),  # a sweep's own guess
    ],
)
def test_a_column_holds_dates_or_moments_as_rows_and_pushes_show(end: str, link: EventLink | None, told: str | None) -> None:
    found = learnt({}, MAPPING, [(shown("", end), link)])
    assert found.get("meetingend") == told
    assert learnt({"meetingend": DATE}, MAPPING, [(shown("", end), link)]) == {"meetingend": told or DATE}


def test_where_the_zone_is_utc_nothing_has_to_be_learnt() -> None:
    mapping = load_mapping("m", changed(('"Eastern Standard Time"', '"UTC"')))
    end = "2026-12-08T00:00:00"
    assert learnt({}, mapping, [(shown("", f"{end}Z"), of_push("", end))]) == {}
    assert forms(f"{end}Z", find_zone("UTC")) == [end]


def test_a_row_is_put_into_the_form_of_a_push() -> None:
    row = {"Due Day": "2026-12-07T00:00:00Z", "At": "2026-12-07T14:30:00Z", "Key": "OP1   "}
    told = {"Due Day": "2026-12-07T00:00:00", "At": "2026-12-07T09:30:00", "Key": "OP1"}
    assert as_pushed(row, NEW_YORK, {"dueday": DATE}) == told


def test_the_zone_may_stand_in_a_column() -> None:
    mapping = load_mapping(
        "m", changed(('"Eastern Standard Time"', '"{Zone}"')) + '\n[values.Zone]\nNY = "America/New_York"\n'
    )
    assert known_zone(mapping, {"Zone": "NY"}) == find_zone("America/New_York")
    assert known_zone(mapping, {"Zone": "nowhere"}) is None
    assert known_zone(load_mapping("m", TEXT), {}) == NEW_YORK
