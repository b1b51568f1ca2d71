"""The plan of a sweep, row by row of its table."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from handlers.sync.change import datetime_to_ticks
from handlers.sync.link import merge
from handlers.sync.sweep_plan import SweepPlan, brake, removals, sigma, too_young
from handlers.sync.turn import in_order
from handlers.sync.verdict import Equal, Skipped, TooYoung, Upsert, Withdrawn
from tests.sync.snapshot import BEGAN, MAPPING, SIGMA, known, push


def test_sigma_is_the_clock_less_the_margin() -> None:
    assert sigma(BEGAN, 900) == datetime_to_ticks(datetime(2026, 1, 5, 11, 45, tzinfo=UTC))


@pytest.mark.parametrize(
    ("mode", "live", "before", "count", "sent"),
    [("full", 10, 0, 5, 3), ("upsert", 10, 0, 5, 0), ("full", 10, 4, 2, 0), ("full", 10, 3, 2, 2), ("full", 20, 0, 5, 3)],
)
def test_events_that_leave_are_sent_as_long_as_the_brake_agrees(
    mode: str, live: int, before: int, count: int, sent: int
) -> None:
    plan = SweepPlan("m", mode, SIGMA, live=live, before=before)
    for number in range(count):
        plan = plan.judged((str(number),), plan.agreed(Withdrawn({}), 3))
    assert (plan.withdrawn, plan.skipped.get("would-remove", 0)) == (sent, count - sent)
    assert bool(plan.withheld) == (mode == "full" and sent < count)
    assert (plan.leaving, replace(plan, complete=True).leaving) == (max(count, before), count)


def test_only_what_a_complete_read_did_not_show_is_removed() -> None:
    live, young = known(), known(push(before=60))
    gone = in_order(merge(known(push(before=7200)), push(None), MAPPING))
    nothing, everything = (lambda _: False), (lambda _: True)
    assert removals([live, young, gone], nothing, sigma=SIGMA, complete=True) == [live]
    assert removals([live], everything, sigma=SIGMA, complete=True) == []
    assert removals([live], nothing, sigma=SIGMA, complete=False) == []


@pytest.mark.parametrize(
    ("count", "live", "read", "held"),
    [
        (0, 0, 0, None),
        (50, 1000, None, None),
        (51, 1000, None, "More than REMOVALS_MAX (50) rows would be removed."),
        (51, 1000, 949, "More than REMOVALS_MAX (50) rows would be removed."),
        (51, 1000, 0, "The inquiry shows no row at all."),
        (1, 1, 0, "The inquiry shows no row at all."),
        (6, 20, 14, None),
        (7, 20, 13, "More than 30% of the mapping's 20 rows would be removed."),
        (18, 19, 1, None),
        (7, 20, None, None),
    ],
)
def test_the_brake(count: int, live: int, read: int | None, held: str | None) -> None:
    assert brake(count, live, at_most=50, read=read) == held


def test_a_plan_is_a_value() -> None:
    plan = SweepPlan("m", "report", SIGMA)
    for number in range(15):
        plan = plan.judged((f"K{number}",), Upsert({}))
    plan = plan.judged(("a", "b"), Skipped("past")).judged(("c",), TooYoung()).judged(("d",), Equal())
    assert (plan.read, plan.upserts, plan.skipped, plan.too_young, plan.equal) == (18, 15, {"past": 1}, 1, 1)
    assert plan.samples["upserts"] == [f"K{number}" for number in range(10)]
    assert plan.samples["past"] == ["a, b"]
    assert SweepPlan.decode(plan.encode()) == plan
    with pytest.raises(ValueError, match="another version"):
        SweepPlan.decode(plan.encode() | {"version": 2})


def test_what_is_not_shown_and_may_be_newer_is_looked_at_again() -> None:
    live, young = known(), known(push(before=60))
    gone = in_order(merge(young, push(None, before=30), MAPPING))
    assert too_young([live, young, gone], lambda _: False, sigma=SIGMA) == [young]
    assert too_young([live, young, gone], lambda _: True, sigma=SIGMA) == []
