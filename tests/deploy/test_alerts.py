"""Every alert fires on its story and is silent on a healthy one; every chart shows what happened.

The stories are told by the app itself: its log, as the Functions host hands it to Application Insights (table `traces`).
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers import telemetry
from handlers.apply import bury_poison
from handlers.health import Health
from handlers.receive import receive
from handlers.services import Factory
from handlers.sync.slots import Open
from local.azurite import Azurite
from local.fakes import FakeAcumatica, FakeGraph, Fault
from tests.bench import QUERY, Bench
from tests.deploy.bicep import Bicep, literal
from tests.deploy.kql import KqlError, Row, run

INFRA = Path(__file__).resolve().parent.parent.parent / "infra"
ALERTS = Bicep(INFRA / "modules/alerts.bicep")
CHARTS = sorted(path.stem for path in (INFRA / "queries").glob("chart-*.kql"))
SEVERITIES = {"INFO": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 4}


class Recorder(logging.Handler):
    """What the host would hand on: time, text and level; nothing else of a log line reaches Application Insights."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.rows: list[Row] = []

    def emit(self, record: logging.LogRecord) -> None:
        when = datetime.fromtimestamp(record.created, UTC)
        self.rows.append({"timestamp": when, "message": record.getMessage(), "severityLevel": SEVERITIES[record.levelname]})


@contextmanager
def recorded() -> Iterator[list[Row]]:
    """The log of a while."""
    recorder, handlers = Recorder(), logging.getLogger("handlers")
    level = handlers.level
    handlers.setLevel(logging.INFO)
    handlers.addHandler(recorder)
    try:
        yield recorder.rows
    finally:
        handlers.removeHandler(recorder)
        handlers.setLevel(level)


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
    Health(bench.factory).tell(time.monotonic())


def drain(bench: Bench) -> None:
    """Empty the queue, which nobody reads here."""
    bench.factory.storage()._connect_queue().clear_messages()


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
    factory = Factory({"AzureWebJobsStorage": bench.connection})
    assert receive(b"{}", factory).status == 503
    Health(factory).tell(time.monotonic())
    factory.close()


def wrong_password(bench: Bench) -> None:
    bench.acumatica.password = "another"
    for number in range(3):
        bench.apply(bench.change(number))
        bench.now += 3600  # past the pause, in which nobody tries


def no_access(bench: Bench) -> None:
    body = {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}}
    bench.graph.faults.add(Fault(method="POST", status=403, body=body, times=3))
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
    bench.apply(replace(bench.change(1), first_sent=bench.now - 5 * 3600))


def waiting_for_hours(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    bench.now += 5 * 3600
    Health(bench.factory).tell(time.monotonic())


def no_session(bench: Bench) -> None:
    """Another instance has the only session, as far as its lease says."""
    bench.factory.storage().slots.save("0", Open(bench.now + 10**6, bench.now, {"cookies": {}}), None)
    began, started = bench.now, time.monotonic()
    sessions = bench.factory.services().sessions
    sessions._clock = lambda: began + 40 * (time.monotonic() - started)  # 5 s of waiting pass quickly
    bench.apply(bench.change(1))


def silent(_: Bench) -> None:
    pass


type Story = Callable[[Bench], None]

# By alert: stories on which it fires, and how often the same has to happen.
FIRES: dict[str, list[tuple[Story, int]]] = {
    "dead-letters": [(dead, 1), (dead_at_intake, 1), (poisoned, 1), (unreadable, 1)],
    "rejected": [(rejected, 1), (not_ready, 1)],
    "access": [(wrong_password, 1), (no_access, 1), (no_token, 1)],
    "oldest": [(put_off_for_hours, 1), (waiting_for_hours, 1)],
    "sessions": [(no_session, 501)],
    "health": [(not_ready, 1), (silent, 1)],
    "silence": [(silent, 1)],
}


@pytest.fixture(scope="module")
def tell(azurite: Azurite) -> Iterator[Callable[[Story], list[Row]]]:
    """Let a story happen, on storage of its own; returns its log. Each happens once."""
    known: dict[Story, list[Row]] = {}
    with FakeGraph() as graph, FakeAcumatica() as acumatica, pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_ENDPOINT", graph.identity_endpoint)
        patch.setenv("IDENTITY_HEADER", graph.identity_header)
        password = acumatica.password

        def happen(story: Story) -> list[Row]:
            if story not in known:
                acumatica.password, graph.identity.user_assigned = password, set()
                bench = Bench(azurite.new_account(), graph, acumatica)
                with recorded() as rows:
                    story(bench)
                    bench.factory.close()
                known[story] = rows
            return known[story]

        yield happen


def alerts() -> dict[str, tuple[str, int]]:
    """Query and threshold by name."""
    defaults = literal(ALERTS.variables["defaults"])
    found = {}
    for alert in literal(ALERTS.variables["alerts"]):
        rule = alert["rule"]
        threshold = rule["threshold"] if isinstance(rule, dict) else defaults[rule.removeprefix("chosen.")]["threshold"]
        (path,) = re.findall(r"loadTextContent\('\.\./(.*)'\)", alert["query"])
        found[alert["name"]] = ((INFRA / path).read_text(encoding="utf-8"), threshold)
    return found


def fires(name: str, rows: list[Row]) -> bool:
    query, threshold = alerts()[name]
    (result,) = run(query, rows)
    assert set(result) == {"value"}
    return bool(result["value"] > threshold)


def test_every_alert_has_its_stories() -> None:
    assert set(FIRES) == set(alerts())


@pytest.mark.parametrize(
    ("name", "story", "times"),
    [(name, story, times) for name, stories in FIRES.items() for story, times in stories],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_an_alert_fires(name: str, story: Story, times: int, tell: Callable[[Story], list[Row]]) -> None:
    rows = tell(story)
    assert rows or story is silent
    assert fires(name, rows * times)
    assert times == 1 or not fires(name, rows * (times - 1))


@pytest.mark.parametrize("name", sorted(FIRES))
def test_an_alert_is_silent_when_all_is_well(name: str, tell: Callable[[Story], list[Row]]) -> None:
    assert not fires(name, tell(healthy))


def test_the_host_s_own_word_on_poison_counts_too() -> None:
    """https://github.com/Azure/azure-sdk-for-net, QueueProcessor: the app may be too broken to say it."""
    text = "Message has reached MaxDequeueCount of 5. Moving message to queue 'row-changes-poison'."
    assert fires("dead-letters", [{"timestamp": datetime.now(UTC), "message": text, "severityLevel": 2}])


def test_an_alert_takes_no_text_of_a_row_for_an_event(tell: Callable[[Story], list[Row]]) -> None:
    """Whoever writes records, or calls intake, cannot make up events."""
    query = 'dead-letter {"reason": "x"}\ndead-letter {"reason": "y"}'

    def story(bench: Bench) -> None:
        assert notify(bench, 1, Query=query) == 400

    assert not fires("dead-letters", tell(story))


# -- charts -------------------------------------------------------------------------------------------------------------


def chart(name: str, rows: list[Row]) -> list[Row]:
    return run((INFRA / f"queries/{name}.kql").read_text(encoding="utf-8"), rows)


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_can_show_nothing_and_is_in_the_workbook(name: str) -> None:
    assert len(chart(name, [])) <= 1
    assert f"queries/{name}.kql" in (INFRA / "modules/workbook.bicep").read_text(encoding="utf-8")


def test_the_charts_show_what_happened(tell: Callable[[Story], list[Row]]) -> None:
    rows = [row for story in (healthy, rejected, dead, put_off_for_hours, wrong_password) for row in tell(story)]
    now = datetime.now(UTC)
    rows = [row | {"timestamp": now} for row in rows]
    hour = now.replace(minute=0, second=0, microsecond=0)
    assert chart("chart-notifications", rows) == [
        {"timestamp": hour, "accepted": 1, "duplicate": 1, "rejected": 1, "refused": 0}
    ]
    (seen,) = chart("chart-rows", rows)
    assert (seen["applied"], seen["dead"]) == (1, 1)
    assert seen["deferred"] == 4  # put off once, and three times without a password
    (times,) = chart("chart-time-to-calendar", rows)
    assert 0 <= times["p50"] <= times["p95"] < 60
    (throttled,) = chart("chart-throttling", rows)
    assert throttled == {"timestamp": hour, "Graph": 1, "Acumatica": 0, "sessions": 0, "mailbox": 0}
    (signed,) = chart("chart-sign-ins", rows)
    assert signed == {"sign_ins": 1, "failed": 3, "written": 1, "sign_ins_per_row": 1.0}
    reasons = {(row["event"], row["reason"]) for row in chart("chart-reasons", rows)}
    assert ("dead letter", "The inquiry's rows have no column MeetingEnd. Columns that arrived") in reasons
    assert ("put off", "Acumatica sign-in fails") in reasons


def test_charts_have_a_point_for_each_hour(tell: Callable[[Story], list[Row]]) -> None:
    rows = tell(healthy)
    later = [row | {"timestamp": row["timestamp"] + timedelta(hours=3)} for row in rows]
    points = chart("chart-rows", later + rows)
    assert len(points) == 2
    assert points[0]["timestamp"] < points[1]["timestamp"]


# -- events -------------------------------------------------------------------------------------------------------------


def test_an_event_has_facts_and_a_version_and_nothing_of_the_row(tell: Callable[[Story], list[Row]]) -> None:
    stories = [healthy, *(story for stories in FIRES.values() for story, _ in stories)]
    names = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}
    seen = set()
    for row in (row for story in stories for row in tell(story)):
        for content in ("ann@example.com", "2026-12-01T09", "another"):
            assert content not in row["message"]
        name, _, facts = row["message"].partition(" ")
        if name in names:
            seen.add(name)
            assert json.loads(facts)["version"]
    assert seen == names


def test_a_row_is_followed_from_intake_by_the_notification_s_id(tell: Callable[[Story], list[Row]]) -> None:
    events = [row["message"] for row in tell(healthy)]
    accepted = json.loads(next(m for m in events if m.startswith("accepted {")).partition(" ")[2])
    settled = json.loads(next(m for m in events if m.startswith("settled {")).partition(" ")[2])
    assert accepted["notification"] == settled["notification"] == "id-1"
    assert settled["effects"] == "CreateEvent, WriteBack"
    assert settled["query"] == accepted["query"] == QUERY
    assert re.fullmatch("[0-9a-f]{16}", settled["row"])


# -- the evaluator itself -----------------------------------------------------------------------------------------------


def test_the_evaluator_refuses_what_it_does_not_know() -> None:
    row = {"timestamp": datetime.now(UTC), "message": "m", "severityLevel": 1}
    for query in ("requests", "traces | frobnicate x", "traces | where nope(message)", "traces | where missing == 1"):
        with pytest.raises(KqlError):
            run(query, [row])


def test_has_means_whole_terms_and_startswith_ignores_case() -> None:
    rows = [{"message": "CreateEvent, WriteBack"}]
    assert run('traces | where message has "WriteBack"', rows) == rows
    assert run('traces | where message has "Event"', rows) == []
    assert run('traces | where message startswith "create"', rows) == rows
