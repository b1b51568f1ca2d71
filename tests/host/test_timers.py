"""NCRONTAB expressions, by the examples of Microsoft's page and more."""

from datetime import UTC, datetime

import pytest

from local.host.timers import Schedule

MOMENT = datetime(2026, 1, 30, 10, 29, 30, 500_000, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        # https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-examples
        ("0 */5 * * * *", "2026-01-30 10:30:00"),
        ("0 0 * * * *", "2026-01-30 11:00:00"),
        ("0 0 */2 * * *", "2026-01-30 12:00:00"),
        ("0 0 9-17 * * *", "2026-01-30 11:00:00"),
        ("0 30 9 * * *", "2026-01-31 09:30:00"),
        ("0 30 9 * * 1-5", "2026-02-02 09:30:00"),
        ("0 30 9 * Jan Mon", "2027-01-04 09:30:00"),
        ("* * * * * *", "2026-01-30 10:29:31"),
        ("*/15 * * * * *", "2026-01-30 10:29:45"),
        ("5,40 * * * * *", "2026-01-30 10:29:40"),
        ("30 29 10 * * *", "2026-01-31 10:29:30"),
        ("*/5 * * * *", "2026-01-30 10:30:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 * * 0", "2026-02-01 00:00:00"),
        ("0 0 0 * * 7", "2026-02-01 00:00:00"),
        ("0 0 0 * * sat,sunday", "2026-01-31 00:00:00"),
        ("0 10/20 * * * *", "2026-01-30 10:30:00"),
        ("0 0 0 31 12 *", "2026-12-31 00:00:00"),
    ],
)
def test_next_occurrence(expression: str, following: str) -> None:
    """The first moment after the given one."""
    assert f"{Schedule(expression).after(MOMENT):%Y-%m-%d %H:%M:%S}" == following


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "60 * * * * *", "* * 24 * * *", "* * * 0 * *", "a * * * * *", "5-1 * * * * *", "*/0 * * * *"],
)
def test_nonsense_is_refused(expression: str) -> None:
    """The message repeats the expression."""
    with pytest.raises(ValueError, match="schedule"):
        Schedule(expression)


def test_a_day_that_never_comes() -> None:
    """The 31st of February is found out."""
    with pytest.raises(ValueError, match="never"):
        Schedule("0 0 0 31 2 *").after(MOMENT)
