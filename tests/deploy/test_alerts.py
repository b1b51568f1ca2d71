"""Every alert fires on its fault; every chart shows what happened.

The telemetry is told by the app itself: its log, as the Functions host hands it to Application Insights (table `traces`).
tests/weeks goes on along weeks of another clock.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb_kql
import pytest

from handlers import telemetry
from handlers.clients.condition import Condition, weekday_hours
from handlers.sync.errors import Code
from local.azurite import Azurite
from local.fakes import FakeAcumatica, FakeGraph
from tests.bench import QUERY, Bench
from tests.deploy.monitor import Row, Rule, Traces, charts, read_facts, recorded, sql, steps_of
from tests.deploy.stories import (
    ALERTS,
    dead,
    dead_at_intake,
    emptied,
    given_up_by_the_host,
    healthy,
    lies,
    no_access,
    no_notification,
    no_session,
    no_token,
    not_ready,
    paused,
    poisoned,
    put_off_for_hours,
    rejected,
    silent,
    sweep_given_up_by_the_host,
    swept,
    tell,
    unreadable,
    waiting_for_hours,
    wrong_password,
)

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
