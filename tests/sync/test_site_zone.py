"""Whether the site's dates are in the mapping's zone, by what rows that came both ways tell."""

from typing import Any

import pytest

from handlers.sync.change import RowChange
from handlers.sync.link import EventLink, merge, new_link
from handlers.sync.mapping_file import load_mapping
from handlers.sync.site_zone import off
from local.sample import ROW, TEXT

MAPPING = load_mapping("m", TEXT)  # UTC−05:00 in winter


def both(push: str, odata: str, timestamp: int = 123) -> tuple[dict[str, Any], EventLink]:
    change = RowChange("t", "m", ("K",), timestamp, ROW | {"MeetingStart": push, "MeetingEnd": None}, "n", 0.0)
    return ROW | {"MeetingStart": odata, "MeetingEnd": None}, merge(new_link(change, 0.0), change, MAPPING)


RIGHT = both("2026-12-01T09:00:00", "2026-12-01T14:00:00Z")
PACIFIC = both("2026-12-01T09:00:00", "2026-12-01T17:00:00Z")
SUMMER = both("2026-07-01T09:00:00", "2026-07-01T16:00:00Z")
CHANGED = both("2026-12-01T09:00:00", "2026-12-01T15:00:00Z")
SWEPT = both("2026-12-01T09:00:00", "2026-12-01T17:00:00Z", 10_000_000)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([PACIFIC, PACIFIC, SUMMER], "03:00"),
        ([PACIFIC, PACIFIC], ""),
        ([PACIFIC, PACIFIC, SWEPT], ""),
        ([PACIFIC, PACIFIC, PACIFIC, RIGHT], ""),
        ([PACIFIC, PACIFIC, PACIFIC, CHANGED], ""),
        ([RIGHT, RIGHT, RIGHT], ""),
        ([(ROW, None)] * 3, ""),
        ([], ""),
    ],
)
def test_three_rows_that_agree_tell_another_zone(rows: Any, told: str) -> None:
    assert off(MAPPING, rows) == told
