"""Application Insights and its alerts, as far as infra/ uses them: a log, KQL over parts of it, and rules along the time.

KQL is translated by duckdb-kql and runs on DuckDB. What a rule does: every 15 minutes its query looks back over its window,
at what has been taken in by then; it fires after so many looks above the threshold, and is resolved at the first look
that is not (Azure waits a little longer with that: here, alerts flap sooner than there).
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#log-alerts
"""

import json
import logging
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import duckdb_kql

from tests.deploy.bicep import Bicep, leaves, literal, objects, properties

INFRA = Path(__file__).resolve().parent.parent.parent / "infra"
ALERTS = Bicep(INFRA / "modules/alerts.bicep")
LOOK_EVERY = timedelta(minutes=15)
_SEVERITIES = {"INFO": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 4}
_WINDOWS = {"PT30M": 30, "PT1H": 60, "PT2H": 120, "PT6H": 360, "P1D": 1440, "P2D": 2880}

_DATABASE = duckdb.connect(config={"threads": 1})

type Row = tuple[datetime, str, int]  # timestamp, message, severityLevel


class Recorder(logging.Handler):
    """What the host would hand on: time, text and level; nothing else of a log line reaches Application Insights."""

    def __init__(self, clock: Callable[[], float] | None) -> None:
        super().__init__(logging.INFO)
        self.rows: list[Row] = []
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        when = datetime.fromtimestamp(self._clock() if self._clock else record.created, UTC)
        self.rows.append((when, record.getMessage(), _SEVERITIES[record.levelname]))


@contextmanager
def recorded(clock: Callable[[], float] | None = None) -> Iterator[list[Row]]:
    """The log of a while, with the times of `clock`."""
    recorder, handlers = Recorder(clock), logging.getLogger("handlers")
    level = handlers.level
    handlers.setLevel(logging.INFO)
    handlers.addHandler(recorder)
    try:
        yield recorder.rows
    finally:
        handlers.removeHandler(recorder)
        handlers.setLevel(level)


@cache
def sql(query: str) -> str:
    """The query in SQL; raises where it is no KQL. Kept, since translating takes longer than running it."""
    return str(duckdb_kql.to_sql(query))


class Traces:
    """The table `traces`."""

    def __init__(self, rows: list[Row]) -> None:
        _DATABASE.execute("CREATE OR REPLACE TABLE traces (timestamp TIMESTAMP, message VARCHAR, severityLevel INTEGER)")
        if rows:
            columns = [
                list(column) for column in zip(*((when.replace(tzinfo=None), *rest) for when, *rest in rows), strict=True)
            ]
            _DATABASE.execute("INSERT INTO traces SELECT unnest(?), unnest(?), unnest(?)", columns)

    def run(self, query: str) -> list[dict[str, Any]]:
        """The result of a query."""
        found = _DATABASE.execute(sql(query))
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@dataclass(frozen=True)
class Rule:
    """An alert, with its defaults."""

    name: str
    query: str
    threshold: float
    window: timedelta
    periods: int = 1

    def above(self, traces: Traces) -> bool:
        """Whether what the traces show is above the threshold."""
        (result,) = traces.run(self.query)
        assert set(result) == {"value"}
        return bool(result["value"] is not None and result["value"] > self.threshold)


_ABOVE: dict[tuple[Rule, str], bool] = {}


def rules() -> dict[str, Rule]:
    """All alerts of infra/, by name. That on silence has the entry's default."""
    entry = Bicep(INFRA / "main.bicep").parameters
    found = {}
    for node in ALERTS.variables["alerts"].named_children:
        alert = properties(node)
        name = literal(alert["name"])
        query = (INFRA / "queries" / f"{name}.kql").read_text(encoding="utf-8")
        defaults = {path: value for part in objects(node) for path, value in leaves(part)}
        threshold = defaults["threshold"]
        if threshold is None:
            threshold = int(entry["silenceHours"].default or 0)
        window = timedelta(minutes=_WINDOWS[defaults["window"]])
        periods = literal(alert["periods"]) if "periods" in alert else 1
        found[name] = Rule(name, query, threshold, window, periods)
    return found


def steps_of(rule: Rule, rows: list[Row], end: datetime, late: timedelta = timedelta()) -> list[tuple[str, datetime]]:
    """When the rule fired and was resolved, up to `end`. `rows` are in order; each is taken in so much later."""
    told, above, fired = [], 0, False
    prefixes = tuple(re.findall(r'message startswith "([^"]+)"', rule.query))
    read = [row for row in rows if row[1].startswith(prefixes)]
    times = [row[0] for row in read]
    # Looks at the same facts give the same, and where a query takes the newest row, those before it do not matter.
    newest = "arg_max(timestamp, e)" in rule.query
    facts = [_facts(row[1], tuple(sorted(read_facts(rule.query)))) for row in read]
    now = rows[0][0] + LOOK_EVERY
    while now <= end:
        first, last = bisect_right(times, now - rule.window), bisect_right(times, now - late)
        key = str(facts[first:last][-1:] if newest else sorted(Counter(facts[first:last]).items()))
        if (rule, key) not in _ABOVE:
            _ABOVE[rule, key] = rule.above(Traces(read[first:last]))
        above = above + 1 if _ABOVE[rule, key] else 0
        if not fired and above >= rule.periods:
            told.append(("fired", now))
            fired = True
        elif fired and not above:
            told.append(("resolved", now))
            fired = False
        now += LOOK_EVERY
    return told


@cache
def _facts(message: str, names: tuple[str, ...]) -> str:
    """The name of an event, and those of its facts."""
    name, _, text = message.partition(" ")
    known = json.loads(text) if text.startswith("{") else {}
    return name + json.dumps([known.get(fact) for fact in names])


def charts() -> dict[str, str]:
    """The queries of the workbook by title."""
    items = json.loads((INFRA / "workbook.json").read_text(encoding="utf-8"))["items"]
    return {item["name"]: item["content"]["query"] for item in items if "query" in item["content"]}


def read_facts(query: str) -> set[str]:
    """The facts of events that a query reads."""
    return set(re.findall(r"\be\.(\w+)", query))
