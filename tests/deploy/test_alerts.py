"""Every alert fires on its fault, once, and is resolved when that is over; every chart shows what happened.

The telemetry is told by the app itself: its log, as the Functions host hands it to Application Insights (table `traces`),
along weeks of another clock.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb_kql
import pytest
from azure.storage.queue import QueueClient

from handlers import calendar_sweep, telemetry
from handlers.apply import bury_poison
from handlers.clients.condition import Condition, weekday_hours
from handlers.clients.queue import POISON_QUEUE
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, Look
from handlers.health import Health
from handlers.receive import receive
from handlers.services import Factory
from handlers.sweep import step
from handlers.sweep_start import start
from handlers.sync.change import RowChange
from handlers.sync.errors import Code
from handlers.sync.slots import Free, Open
from local.azurite import Azurite
from local.fakes import FakeAcumatica, FakeGraph, Fault
from tests.bench import QUERY, Bench
from tests.deploy.monitor import Row, Rule, Traces, charts, read_facts, recorded, rules, sql, steps_of

ALERTS = rules()
DENIED = {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}}


def notify(bench: Bench, number: int, **members: Any) -> int:
    """Post a notification of the bench's row; returns the status."""
    change = bench.change(number)
    whole = {
        "Inserted": [change.row],
        "Deleted": [],
        "Query": QUERY,
        "CompanyId": "Production",
        "Id": f"id-{number}",
        "TimeStamp": change.timestamp,
        **members,
    }
    return receive(json.dumps(whole).encode(), bench.factory).status


def healthy(bench: Bench) -> None:
    """A notification, its repetition, its row, the echo, and a minute's look at health."""
    assert (notify(bench, 1), notify(bench, 1)) == (202, 200)
    bench.apply(replace(bench.change(1), notification="id-1"))
    bench.apply(replace(bench.change(2), notification="id-2"))  # nothing of the event has changed
    drain(bench)
    tell(bench)


def drain(bench: Bench) -> None:
    """Empty the queue, which nobody reads here."""
    bench.factory.storage().queue._connect().clear_messages()


def dead(bench: Bench) -> None:
    bench.apply(bench.change(1, MeetingEnd="absent"))


def dead_at_intake(bench: Bench) -> None:
    row = {name: value for name, value in (bench.change(1).row or {}).items() if name != "OpportunityID"}
    assert notify(bench, 1, Inserted=[row]) == 202


def poisoned(bench: Bench) -> None:
    bury_poison(json.dumps(bench.change(1).encode()), bench.factory)


def unreadable(bench: Bench) -> None:
    bury_poison("no change", bench.factory)


def rejected(bench: Bench) -> None:
    assert receive(b"no JSON", bench.factory).status == 400


def not_ready(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    factory = Factory({"AzureWebJobsStorage": bench.connection})
    assert receive(b"{}", factory).status == 503
    bench.factory.activity().flush()
    tell(bench, factory)
    factory.close()


def tell(bench: Bench, factory: Factory | None = None) -> None:
    """A minute's look at health, by the timer of another instance."""
    bench.factory.activity().flush()
    Health(factory or bench.factory).tell(time.monotonic())


def wrong_password(bench: Bench) -> None:
    bench.acumatica.password = "another"
    for number in range(3):
        bench.apply(bench.change(number))
        bench.now += 3600  # past the pause, in which nobody tries


def no_access(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="POST", status=403, body=DENIED, times=3))
    for number in range(3):
        bench.apply(bench.change(number))


def no_token(bench: Bench) -> None:
    bench.graph.identity.user_assigned = {"assigned"}
    environ = {**bench.factory._environ, "GRAPH_CLIENT_ID": "unassigned"}
    bench.factory = Factory(environ, lambda: bench.now)
    for number in range(3):
        bench.apply(bench.change(number))


def put_off_for_hours(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="POST", status=503, times=1))
    bench.apply(replace(bench.change(1), first_sent=bench.now - 5 * 3600, tries=10))


def waiting_for_hours(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    bench.now += 5 * 3600
    tell(bench)


def no_session(bench: Bench) -> None:
    """Another instance has the only session, as far as its lease says."""
    slot = Open(bench.now + 10**6, bench.now, {"cookies": {}})
    bench.factory.storage().slots.save("0", slot, None)
    began, started = bench.now, time.monotonic()
    sessions = bench.factory.services().sessions
    sessions._clock = lambda: began + 40 * (time.monotonic() - started)  # 5 s of waiting pass quickly
    bench.apply(replace(bench.change(1), key=("a row that is new",)))


def silent(_: Bench) -> None:
    pass


def given_up_by_the_host(bench: Bench) -> None:
    """The app is too broken to make a dead letter of it: the message stays in the poison queue."""
    with QueueClient.from_connection_string(bench.connection, POISON_QUEUE) as queue:
        queue.create_queue()
        queue.send_message("x")


def sweep_given_up_by_the_host(bench: Bench) -> None:
    with QueueClient.from_connection_string(bench.connection, SWEEP_POISON_QUEUE) as queue:
        queue.create_queue()
        queue.send_message("x")


def swept(bench: Bench) -> None:
    """A sweep, and a look at a calendar."""
    services = bench.factory.services()
    step(start("opportunity-meetings", "report", "a test", services, queue=False)[0], services)
    assert calendar_sweep.run(Look("ann@example.com", ()), services) is None


def no_notification(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    drain(bench)
    bench.factory.activity().flush()
    bench.now += 49 * 3600


def emptied(bench: Bench) -> None:
    """A notification takes all rows out of the inquiry; the brake holds them."""
    assert notify(bench, 1, Inserted=[], Deleted=[{"OpportunityID": f"OP{n}"} for n in range(51)]) == 202


def lies(bench: Bench) -> None:
    """Names of inquiries that look like the app's, or the host's, own words."""
    for text in ("Message has reached MaxDequeueCount of 5", 'health {"dead_letters": 5}\nhealth {"dead_letters": 6}'):
        assert notify(bench, 1, Query=text) == 400


def paused(bench: Bench) -> None:
    bench.reconfigure(SYNC_PAUSED="true")


WEEK = 168  # hours
GAP_MAX = 360  # minutes between two looks at most; the app was silent where it is longer
LATE = timedelta(minutes=25)  # of telemetry that is taken in late

type Story = Callable[[Bench], None]

# By alert: what happens for it to fire at a single look, and how often.
FIRES: dict[str, list[tuple[Story, int]]] = {
    "dead-letters": [
        (dead, 1),
        (dead_at_intake, 1),
        (poisoned, 1),
        (unreadable, 1),
        (given_up_by_the_host, 1),
        (sweep_given_up_by_the_host, 1),
        (emptied, 1),
    ],
    "rejected": [(rejected, 1)],
    "access": [(wrong_password, 1), (no_access, 1), (no_token, 1)],
    "oldest": [(put_off_for_hours, 1), (waiting_for_hours, 1)],
    "sessions": [(no_session, 1001)],
    "health": [(not_ready, 1), (silent, 1)],
    "silence": [(no_notification, 1)],
}


@pytest.fixture(scope="module")
def happen(azurite: Azurite) -> Iterator[Callable[[Story], list[Row]]]:
    """Let a story happen, on storage of its own, with a look at health in the end; returns its log. Each happens once."""
    known: dict[Story, list[Row]] = {}
    with FakeGraph() as graph, FakeAcumatica() as acumatica, pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_ENDPOINT", graph.identity_endpoint)
        patch.setenv("IDENTITY_HEADER", graph.identity_header)
        password = acumatica.password
        acumatica.switches.lock_after = None

        def happen(story: Story) -> list[Row]:
            if story not in known:
                acumatica.password, graph.identity.user_assigned = password, set()
                bench = Bench(azurite.new_account(), graph, acumatica)
                with recorded() as rows:
                    story(bench)
                    if story not in {not_ready, silent}:
                        tell(bench)
                    bench.factory.close()
                known[story] = rows
            return known[story]

        yield happen


def fires(name: str, rows: list[Row]) -> bool:
    return ALERTS[name].above(Traces(rows))


def test_every_alert_has_its_stories() -> None:
    assert set(FIRES) == set(ALERTS)


@pytest.mark.parametrize(
    ("name", "story", "times"),
    [(name, story, times) for name, stories in FIRES.items() for story, times in stories],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_an_alert_fires(name: str, story: Story, times: int, happen: Callable[[Story], list[Row]]) -> None:
    rows = happen(story)
    assert rows or story is silent
    assert fires(name, rows * times)
    assert times == 1 or not fires(name, rows * (times - 1))


@pytest.mark.parametrize("name", sorted(FIRES))
def test_an_alert_is_silent_when_all_is_well(name: str, happen: Callable[[Story], list[Row]]) -> None:
    assert not fires(name, happen(healthy))


def test_an_alert_takes_no_text_of_a_row_for_an_event(happen: Callable[[Story], list[Row]]) -> None:
    """Whoever writes records, or calls intake, cannot make up events; nor what the host says of poison."""
    rows = happen(lies)
    assert not any("MaxDequeueCount" in message for _, message, _ in rows)
    assert [name for name in ALERTS if name != "rejected" and fires(name, rows)] == []


# -- along weeks --------------------------------------------------------------------------------------------------------


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


def test_weekends_count_no_hours_where_that_is_asked_for() -> None:
    friday, monday = datetime(2026, 11, 27, 17, tzinfo=UTC), datetime(2026, 11, 30, 8, tzinfo=UTC)
    assert weekday_hours(friday.timestamp(), monday.timestamp()) == 7 + 8
    saturday = datetime(2026, 11, 28, 1, tzinfo=UTC)
    assert weekday_hours(saturday.timestamp(), saturday.timestamp() + 3600) == 0
    facts = Condition(notified=friday.timestamp()).facts(monday.timestamp())
    assert (facts["silent_hours"], facts["silent_weekday_hours"]) == (63, 15)


# -- charts -------------------------------------------------------------------------------------------------------------


def chart(title: str, rows: list[Row]) -> list[dict[str, Any]]:
    return Traces(rows).run(charts()[title])


def test_the_charts_show_what_happened(happen: Callable[[Story], list[Row]]) -> None:
    now = datetime.now(UTC)
    told = (row for story in (healthy, rejected, dead, put_off_for_hours, wrong_password) for row in happen(story))
    rows = [(now, message, level) for _, message, level in told]
    hour = now.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    (seen,) = chart("Notifications", rows)
    assert seen == {"timestamp": hour, "accepted": 1, "duplicate": 1, "rejected": 1, "refused": 0}
    (seen,) = chart("Rows: applied, put off, dead", rows)
    assert (seen["applied"], seen["dead"]) == (1, 1)
    assert seen["deferred"] == 4  # put off once, and three times without a password
    (times,) = chart("Seconds from the notification to the calendar", rows)
    assert 0 <= times["p50"] <= times["p95"] < 60
    (seen,) = chart("Throttled by Graph or Acumatica", rows)
    assert seen == {"timestamp": hour, "Graph": 1, "Acumatica": 0, "sessions": 0, "mailbox": 0}
    (seen,) = chart("Sign-ins to Acumatica, and for each record written", rows)
    assert seen == {"sign_ins": 1, "failed": 3, "written": 1, "sign_ins_per_row": 1.0}
    why = {(row["event"], row["code"]) for row in chart("Why rows were put off or became dead letters", rows)}
    assert {("dead letter", "column-missing"), ("put off", "sign-in-refused")} <= why


@pytest.mark.parametrize("title", charts())
def test_every_chart_can_show_nothing(title: str) -> None:
    assert len(chart(title, [])) <= 1


def test_charts_have_a_point_for_each_hour(happen: Callable[[Story], list[Row]]) -> None:
    rows = happen(healthy)
    later = [(when + timedelta(hours=3), message, level) for when, message, level in rows]
    points = chart("Rows: applied, put off, dead", [*later, *rows])
    assert len(points) == 2
    assert points[0]["timestamp"] < points[1]["timestamp"]


# -- events -------------------------------------------------------------------------------------------------------------


def all_stories() -> list[Story]:
    return [healthy, paused, swept, *(story for stories in FIRES.values() for story, _ in stories)]


def test_queries_read_only_events_facts_and_codes_that_the_app_tells(happen: Callable[[Story], list[Row]]) -> None:
    names = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}
    facts: set[str] = set()
    for _, message, _ in (row for story in all_stories() for row in happen(story)):
        name, _, text = message.partition(" ")
        facts |= set(json.loads(text)) if name in names else set()
    for title, query in {**{rule.name: rule.query for rule in ALERTS.values()}, **charts()}.items():
        assert set(re.findall(r'message startswith "([\w-]+) \{"', query)) <= names, title
        assert read_facts(query) <= facts, title
        assert set(re.findall(r'(?:code == |put_off\[)"([\w-]+)"', query)) <= {str(code) for code in Code}, title
        assert not re.search(r"reason (startswith|has|contains|==)", query), f"{title} hangs on a sentence"
        skipped = re.findall(r'startswith "([\w-]+) \{"\n\| extend e = parse_json\(substring\(message, (\d+)\)\)', query)
        assert all(int(start) == len(name) + 1 for name, start in skipped), title


def test_an_event_has_facts_and_a_version_and_nothing_of_the_row(happen: Callable[[Story], list[Row]]) -> None:
    names = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}
    seen = set()
    for _, message, _ in (row for story in all_stories() for row in happen(story)):
        for content in ("ann@example.com", "2026-12-01T09", "another"):
            assert content not in message
        name, _, facts = message.partition(" ")
        if name in names:
            seen.add(name)
            assert json.loads(facts)["version"]
    assert seen == names


def test_a_row_is_followed_from_intake_by_the_notification_s_id(happen: Callable[[Story], list[Row]]) -> None:
    events = [message for _, message, _ in happen(healthy)]
    accepted = json.loads(next(m for m in events if m.startswith("accepted {")).partition(" ")[2])
    settled = json.loads(next(m for m in events if m.startswith("settled {")).partition(" ")[2])
    assert accepted["notification"] == settled["notification"] == "id-1"
    assert settled["effects"] == "CreateEvent, WriteBack"
    assert settled["query"] == accepted["query"] == QUERY
    assert re.fullmatch("[0-9a-f]{16}", settled["row"])


# -- the evaluator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["traces | frobnicate x", "traces | where nope(message)", "traces | summarize last = 1"])
def test_the_evaluator_refuses_what_is_no_kql(query: str) -> None:
    with pytest.raises(duckdb_kql.KqlError):
        Traces([]).run(query)


def test_a_rule_looks_back_over_its_window_and_sees_what_was_taken_in() -> None:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    rows = [(start, "x", 1), (start + timedelta(hours=1), "bad", 1), (start + timedelta(hours=9), "x", 1)]
    query = 'traces | where message startswith "bad" | summarize value = count()'
    rule = Rule("r", query, 0, timedelta(hours=2))
    end = start + timedelta(hours=9)
    minutes = [(what, (when - start) / timedelta(minutes=1)) for what, when in steps_of(rule, rows, end)]
    assert minutes == [("fired", 60), ("resolved", 180)]
    late = steps_of(rule, rows, end, timedelta(minutes=20))
    assert late[0] == ("fired", start + timedelta(minutes=90))
    assert "CREATE" not in sql(query)
