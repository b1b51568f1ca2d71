"""Along weeks of another clock, every alert fires on its fault, once, and is resolved when that is over."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from handlers.sync.change import RowChange
from handlers.sync.slots import Free
from local.fakes import Fault
from tests.bench import Bench
from tests.deploy.monitor import Row, recorded, steps_of
from tests.deploy.stories import ALERTS, DENIED, drain, no_session, notify, tell

WEEK = 168  # hours
GAP_MAX = 360  # minutes between two looks at most; the app was silent where it is longer
LATE = timedelta(minutes=25)  # of telemetry that is taken in late


@dataclass
class Week:
    """The app on a clock of its own, with traffic now and then, and what it says of itself each minute.

    What is sent is applied when it is due, as the host would; `loses` is a mailbox's fault, and so on: see the tests.
    """

    bench: Bench
    rows: list[Row]
    number: int = 0
    pending: list[tuple[float, RowChange]] = field(default_factory=list)
    outcome: frozenset[tuple[str, Any]] = frozenset()  # of the last tries
    new_rows: bool = False  # each change is of a row of its own, and is written back

    def __post_init__(self) -> None:
        self.start = self.bench.now
        self.takes_what_is_sent()

    def restart(self, **settings: str) -> None:
        """The app goes on with other settings."""
        self.bench.reconfigure(**settings)
        self.takes_what_is_sent()

    def takes_what_is_sent(self) -> None:
        def send(change: RowChange, delay: float = 0.0) -> None:
            self.pending.append((self.bench.now + delay, change))

        self.bench.factory.storage().queue.send = send  # type: ignore[method-assign]

    def at(self, hours: float) -> datetime:
        return datetime.fromtimestamp(self.start + hours * 3600, UTC)

    def notify(self, **columns: Any) -> None:
        """One more change of the row (or of another, by its columns) comes in."""
        self.number += 1
        known = self.bench.change(self.number, subject=f"s{self.number}").row or {}
        row = {**known, **({"OpportunityID": f"OP{self.number}"} if self.new_rows else {}), **columns}
        assert notify(self.bench, self.number, Inserted=[row]) == 202

    def live(
        self, hours: float, *, traffic: float = 20.0, speaks: bool = True, works: bool = True, seldom: bool = False
    ) -> None:
        """Time passes: a notification each so many hours (0 = none), every try when it is due, and looks at health."""
        bench, end = self.bench, self.bench.now + hours * 3600
        coming = bench.now + 600 if traffic else end
        look = bench.now + 60
        while True:
            due = min([look, coming, end] + [when for when, _ in self.pending if works])
            bench.now = max(bench.now, due)
            if bench.now >= end:
                if speaks:
                    tell(bench)
                return
            ready = [entry for entry in self.pending if works and entry[0] <= bench.now]
            self.pending = [entry for entry in self.pending if entry not in ready]
            known = len(self.rows)
            for _, change in ready:
                bench.apply(change)
            if ready:
                before, self.outcome = self.outcome, kinds(self.rows[known:])
            # One more try that is put off for the same reason changes nothing of what is told.
            news = ready and not (self.outcome == before and {name for name, _ in before} == {"deferred"})
            if bench.now >= coming:
                self.notify()
                coming += traffic * 3600
            if speaks and (news or bench.now >= look):
                tell(bench)
            if bench.now >= look:
                look = bench.now + (3600 if self.pending else GAP_MAX * 60 if seldom else 7200)

    def told(self) -> dict[str, list[tuple[str, float]]]:
        """What each alert did in the whole week, with the hours since the start; those that did nothing are left out.

        Where telemetry is taken in late, each does the same, a little later.
        """
        assert self.at(WEEK) <= datetime.fromtimestamp(self.bench.now, UTC)
        rows, found = each_minute(self.rows), {}
        for name, rule in ALERTS.items():
            steps = steps_of(rule, rows, datetime.fromtimestamp(self.bench.now, UTC))
            late = steps_of(rule, rows, datetime.fromtimestamp(self.bench.now, UTC) + LATE, LATE)
            assert [what for what, _ in late] == [what for what, _ in steps], f"{name}, late"
            assert all(when <= later <= when + 2 * LATE for (_, when), (_, later) in zip(steps, late, strict=True)), name
            if steps:
                found[name] = [(what, round((when.timestamp() - self.start) / 3600, 2)) for what, when in steps]
        return found

    def rest(self, *, traffic: float = 20.0) -> None:
        """The rest of the week, in which all is as it is: it is looked at seldom."""
        self.live(max(0, WEEK - (self.bench.now - self.start) / 3600), traffic=traffic, seldom=True)


def kinds(rows: list[Row]) -> frozenset[tuple[str, Any]]:
    """The events in a log, by name and code."""
    told = [message.partition(" ")[::2] for _, message, _ in rows]
    return frozenset((name, json.loads(text).get("code")) for name, text in told if text.startswith("{"))


def each_minute(rows: list[Row]) -> list[Row]:
    """The app looks at itself each minute: what it said at one look and at the next, it said all the time between."""
    looks = [row for row in rows if row[1].startswith("health {")]
    filled = list(rows)
    for before, after in pairwise(looks):
        gap = int((after[0] - before[0]).total_seconds() // 60)
        if gap <= GAP_MAX:
            filled += [(before[0] + timedelta(minutes=minute), *before[1:]) for minute in range(1, gap)]
    return sorted(filled, key=lambda row: row[0])


@pytest.fixture
def week(bench: Bench) -> Iterator[Week]:
    bench.acumatica.switches.lock_after = None
    with recorded(lambda: bench.now) as rows:
        yield Week(bench, rows)


def once(steps: list[tuple[str, float]], fired: tuple[float, float], resolved: tuple[float, float] | None) -> None:
    """The alert fired once within these hours, and was resolved once within those (None: never)."""
    assert [what for what, _ in steps] == (["fired", "resolved"] if resolved else ["fired"]), steps
    assert fired[0] <= steps[0][1] <= fired[1], steps
    if resolved:
        assert resolved[0] <= steps[1][1] <= resolved[1], steps


@pytest.mark.slow
def test_a_week_in_which_all_is_well_raises_nobody(week: Week) -> None:
    week.live(168)
    assert week.told() == {}


@pytest.mark.slow
def test_a_wrong_password_is_one_alert_for_as_long_as_it_is_wrong(week: Week) -> None:
    """Sign-in is tried less and less often: alerts on the tries would be resolved in between."""
    week.new_rows = True
    week.live(24)
    right, week.bench.acumatica.password = week.bench.acumatica.password, "another"
    week.restart()  # the open session would do
    week.live(60)
    week.bench.acumatica.password = right
    week.live(30)
    week.rest()
    told = week.told()
    once(told["access"], fired=(24, 32), resolved=(84, 91))
    once(told["oldest"], fired=(28, 36), resolved=(84, 91))
    once(told["dead-letters"], fired=(70, 74), resolved=None)  # the first, after DEFER_MAX_HOURS
    assert set(told) == {"access", "oldest", "dead-letters"}


@pytest.mark.slow
def test_one_mailbox_outside_of_the_group_is_one_alert_then_one_dead_letter(week: Week) -> None:
    week.bench.graph.faults.add(Fault(method="POST", mailbox="ceo@example.com", status=403, body=DENIED))
    week.live(10)
    week.notify(OpportunityID="OP2", OwnerEmail="ceo@example.com")
    week.live(158)
    week.rest()
    told = week.told()
    once(told["access"], fired=(10, 11), resolved=(57, 60))
    once(told["oldest"], fired=(14, 14.6), resolved=(57, 60))
    once(told["dead-letters"], fired=(57, 60), resolved=None)
    assert set(told) == {"access", "oldest", "dead-letters"}


@pytest.mark.slow
def test_a_dead_letter_is_one_alert_until_it_is_gone(week: Week) -> None:
    week.live(5, traffic=0)
    week.bench.apply(week.bench.change(10**6, MeetingEnd="absent"))
    week.live(100, traffic=0)
    week.bench.apply(week.bench.change(10**6 + 1))
    week.live(20, traffic=0)
    week.rest(traffic=0)
    told = week.told()
    once(told["dead-letters"], fired=(5, 5.6), resolved=(105, 105.6))
    assert set(told) == {"dead-letters"}


@pytest.mark.slow
def test_a_pause_on_purpose_raises_nobody(week: Week) -> None:
    week.live(6)
    week.bench.reconfigure(SYNC_PAUSED="true")  # what comes in is in the queue, and grows old there
    week.live(60, works=False)
    week.restart()
    drain(week.bench)
    week.live(40)
    week.rest()
    assert week.told() == {}


@pytest.mark.slow
def test_graph_being_away_for_half_a_day_is_one_alert(week: Week) -> None:
    week.live(5)
    week.bench.graph.faults.add(Fault(status=503))
    week.live(12)
    week.bench.graph.faults.clear()
    week.live(30)
    week.rest()
    told = week.told()
    once(told["oldest"], fired=(9, 11), resolved=(17, 18))
    assert set(told) == {"oldest"}


@pytest.mark.slow
def test_an_app_that_lost_a_setting_is_one_alert(week: Week) -> None:
    week.live(24)
    week.bench.reconfigure(ACUMATICA_URL="")
    week.live(72, traffic=0)
    week.restart()
    week.live(24)
    week.rest()
    told = week.told()
    once(told["health"], fired=(24, 25), resolved=(96, 97))
    assert set(told) <= {"health", "silence"}  # intake answers 503 meanwhile


@pytest.mark.slow
def test_an_app_that_says_nothing_any_more_is_one_alert(week: Week) -> None:
    week.live(24)
    week.live(30, traffic=0, speaks=False, works=False)
    week.live(24)
    week.rest()
    told = week.told()
    once(told["health"], fired=(24, 25), resolved=(54, 55))
    assert set(told) == {"health"}


@pytest.mark.slow
def test_an_app_that_is_being_set_up_raises_nobody(week: Week) -> None:
    """Between provisioning and the secrets, and until the first notification, it is not ready, or waits: no fault."""
    week.bench.reconfigure(ACUMATICA_URL="", ACUMATICA_PASSWORD="")
    week.live(50, traffic=0)
    week.restart()
    week.live(60, traffic=0)
    week.live(30)
    week.rest()
    assert week.told() == {}


@pytest.mark.slow
def test_a_key_that_acumatica_lost_is_one_alert_on_silence(week: Week) -> None:
    """Whatever the reason is: refused with 401 by the platform, no notification is ever seen by the app."""
    week.live(24)
    week.live(100, traffic=0)
    week.live(24)
    week.rest()
    told = week.told()
    once(told["silence"], fired=(66, 73), resolved=(124, 125))
    assert set(told) == {"silence"}


@pytest.mark.slow
def test_notifications_that_are_refused_again_and_again_are_one_alert(week: Week) -> None:
    week.live(6)
    for _ in range(8):
        assert notify(week.bench, 10**6, CompanyId="Sandbox") == 400
        week.live(5)
    week.live(60)
    week.rest()
    told = week.told()
    once(told["rejected"], fired=(6, 6.5), resolved=(65, 66))
    assert set(told) == {"rejected"}


@pytest.mark.slow
def test_a_licence_with_too_few_seats_is_one_alert(week: Week) -> None:
    """Six hours of a rush each day, for three days: once a day, and no more."""
    no_session(week.bench)
    (away,) = [row for row in week.rows if "sessions-busy" in row[1]]
    storage = week.bench.factory.storage()
    storage.slots.save("0", Free(), storage.slots.load("0")[1])
    week.rows.clear()
    week.pending.clear()
    week.restart()
    week.live(80)
    for day in range(3):
        for second in range(0, 6 * 3600, 10):
            week.rows.append((week.at(24 * day + 1) + timedelta(seconds=second), *away[1:]))
    week.rows.sort(key=lambda row: row[0])
    week.rest()
    told = week.told()
    assert [what for what, _ in told["sessions"]] == ["fired", "resolved"] * 3
    assert set(told) == {"sessions"}


@pytest.mark.slow
def test_a_pause_in_the_middle_of_a_fault_ends_no_alert_but_that_on_waiting(week: Week) -> None:
    """Paused, nobody tries: the sign-in that failed is not known to work, the dead letter is open. Waiting is meant."""
    week.new_rows = True
    week.live(2)
    week.bench.apply(week.bench.change(10**6, MeetingEnd="absent"))
    right, week.bench.acumatica.password = week.bench.acumatica.password, "another"
    week.restart()  # the open session would do
    week.live(10)
    week.restart(SYNC_PAUSED="true")
    week.live(12, works=False)
    week.bench.acumatica.password = right
    week.restart()
    week.rest()
    told = week.told()
    once(told["dead-letters"], fired=(2, 2.6), resolved=None)
    once(told["access"], fired=(2, 3), resolved=(24, 45))
    once(told["oldest"], fired=(6, 7.6), resolved=(12, 12.6))
    assert set(told) == {"dead-letters", "access", "oldest"}


def test_every_alert_has_its_week() -> None:
    """One in which it fires once, or once a day; in all the others it is silent, or named."""
    here = Path(__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'(?:once\(told|in told)\["([\w-]+)"\]', here)) == set(ALERTS)
